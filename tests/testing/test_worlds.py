"""Payload builders and seeded worlds."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from django_polar import testing
from django_polar.testing import FakePolar, customer_payload, state_payload, subscription_payload
from django_polar.testing.seeding import ODD_EXTERNAL_IDS, UNKNOWN_BENEFIT_TYPE


@pytest.fixture(scope="module")
def world():
    polar = FakePolar()
    polar.seed_world(1000)
    return polar


def test_a_seeded_world_is_the_same_for_the_same_seed(world):
    """Ids, names, what belongs to whom: everything."""
    again, other = FakePolar(), FakePolar()
    again.seed_world(1000)
    other.seed_world(1000, seed=2)

    assert again.truth() == world.truth()
    assert other.truth() != world.truth()


def test_a_seeded_world_has_what_real_ones_have(world):
    """Ties, teams without email, odd ids, an unknown benefit, lapsed and deleted ones."""
    rows = list(world.customers.values())
    ties = Counter(row["created_at"] for row in rows).most_common(1)[0][1]
    statuses = {row["status"] for row in world.subscriptions.values()}
    kinds = {world.benefits[row["benefit_id"]]["type"] for row in world.grants.values()}

    assert len(rows) == 1000
    assert ties >= 20
    assert any(row["type"] == "team" and row["email"] is None for row in rows)
    assert set(ODD_EXTERNAL_IDS) <= {row["external_id"] for row in rows}
    assert {"active", "trialing", "past_due", "canceled", "unpaid", "incomplete"} <= statuses
    assert UNKNOWN_BENEFIT_TYPE in kinds
    assert any(not row["is_granted"] for row in world.grants.values())
    assert any(
        row["is_granted"] and row["customer_id"] in world.deleted_customers
        for row in world.grants.values()
    )


@pytest.mark.parametrize(
    ("share", "rows"), [("subscribed", "active_subscriptions"), ("metered", "active_meters")]
)
def test_shares_are_kept(world, share, rows):
    """About three in ten, as asked for."""
    have = sum(bool(state[rows]) for state in world.truth().values())

    assert 250 < have < 350, share


def test_external_ids_can_be_those_of_users():
    """A callable gives the n-th customer's."""
    polar = FakePolar()
    polar.seed_world(10, external_ids=lambda number: f"user-{number}", unlinked=0, odd=False)

    assert {row["external_id"] for row in polar.customers.values()} == {
        f"user-{number}" for number in range(1, 11)
    }


def test_the_truth_is_what_the_server_answers(world):
    """Every live customer's state, as its own request would show it."""
    world.stable = True
    truth = world.truth()
    customer_id = next(key for key, state in truth.items() if state["granted_benefits"])

    state = world.served_state(world.customers[customer_id])

    assert state == truth[customer_id]
    assert set(truth) == set(world.customers)


def test_payloads_are_built_from_what_matters():
    """The rest is filled in, and follows from what was given."""
    customer = customer_payload(email="a@acme-mail.dev", name="Ada")
    subscription = subscription_payload(customer, status="trialing")
    lapsed = subscription_payload(customer, status="past_due")

    state = state_payload(customer, subscriptions=[subscription, lapsed])

    assert customer["billing_name"] == "Ada"
    assert subscription["customer"] == customer
    assert [item["id"] for item in state["active_subscriptions"]] == [subscription["id"]]


def test_payloads_keep_fields_that_nobody_knows_yet():
    """As Polar adds them between releases."""
    assert customer_payload(shoe_size=42)["shoe_size"] == 42


def test_payloads_handed_out_earlier_do_not_change(fake):
    """An update makes a new one."""
    before = fake.add_customer(name="Before")

    after = fake.update_customer(before, name="After")

    assert (before["name"], after["name"]) == ("Before", "After")
    assert after["modified_at"] > before["created_at"]


def test_every_name_of_the_test_kit_can_be_imported():
    """And no other."""
    for name in testing.__all__:
        assert callable(getattr(testing, name))
    with pytest.raises(AttributeError):
        testing.nonsense  # noqa: B018


def test_the_plugin_loads_nothing_until_it_is_used():
    """It is active in every test run of every project that has the package installed."""
    code = (
        "import sys, pytest; before = set(sys.modules);"
        "import django_polar.testing.plugin;"
        "print(sorted(set(sys.modules) - before))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert loaded.stdout.strip() == str(
        ["django_polar", "django_polar.testing", "django_polar.testing.plugin"]
    )
