"""Whatever Polar has, after a sync the mirror has it too."""

from __future__ import annotations

from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from django_polar.client import override_transport
from django_polar.services.sync import sync_customers
from django_polar.testing import FakePolar
from tests.truth import mirrored, truth

MOMENTS = st.sampled_from(
    ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000001Z", "2026-02-03T04:05:06.789Z"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2)
    ),
    max_leaves=4,
)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
CUSTOMERS = st.fixed_dictionaries(
    {
        "name": st.none() | TEXT,
        "created_at": MOMENTS,
        "metadata": st.dictionaries(TEXT, TEXT, max_size=2),
    },
    optional={
        "billing_address": st.just(
            {
                "country": "FR",
                "line1": "1 rue",
                "line2": None,
                "city": None,
                "state": None,
                "postal_code": None,
            }
        )
    },
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["add", "rename", "delete", "subscribe", "end", "grant", "revoke", "meter", "sync"]
        ),
        st.integers(0, 10**6),
        CUSTOMERS,
        MOMENTS,
    ),
    max_size=40,
)


def pick(rows, number):
    return list(rows)[number % len(rows)] if rows else None


def take_step(polar, step, number, fields, moment):  # noqa: C901 - a line for each step
    if step == "sync":
        sync_customers()
    elif step == "add":
        polar.add_customer(
            email=f"c{polar.new_id()}@mail.dev", external_id=str(number), **fields
        ) if polar.find_by_external_id(str(number)) is None else None
    elif (customer := pick(polar.customers, number)) is None:
        return
    elif step == "rename":
        polar.update_customer(customer, name=fields["name"])
    elif step == "delete":
        polar.delete_customer(customer, anonymize=bool(number % 2))
    elif step == "subscribe":
        status = ("active", "trialing", "past_due", "canceled")[number % 4]
        polar.add_subscription(customer, status=status, started_at=moment)
    elif step == "grant":
        polar.add_grant(customer, created_at=moment, granted_at=moment)
    elif step == "meter":
        polar.add_meter(customer, created_at=moment)
    elif step == "end" and (subscription := pick(polar.subscriptions, number)):
        polar.end_subscription(subscription)
    elif step == "revoke" and (grant := pick(polar.grants, number)):
        polar.revoke_grant(grant)


class TestWorlds(TestCase):
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(STEPS, STEPS, st.integers(0, 1000))
    def test_the_mirror_equals_any_world(self, steps, later, seed):
        """Any history, with syncs anywhere in it: one more sync, and nothing differs."""
        polar = FakePolar(seed=seed)
        configured = override_settings(
            POLAR_ACCESS_TOKEN=polar.token,
            POLAR_BASE_URL=polar.base_url,
            POLAR_MAX_DELETED_SHARE=1.0,
        )
        with configured, override_transport(polar.transport()):
            for step in steps:
                take_step(polar, *step)

            report = sync_customers()

            assert report.problems == []
            assert mirrored() == truth(polar)
            for _ in range(2):  # the second time many pages are known by their bytes
                again = sync_customers()
                for counts in again.counts.values():
                    assert counts.created == counts.updated == counts.deleted == 0
            for step in later:
                take_step(polar, *step)
            assert sync_customers().problems == []
            assert mirrored() == truth(polar)
