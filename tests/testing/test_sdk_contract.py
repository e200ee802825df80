"""Polar's own SDK talks to the fake over HTTP and can load every answer."""

from __future__ import annotations

import re
import traceback

import pytest
from polar.base import PolarDeserializationError
from polar.v2026_04.client import Polar
from polar.v2026_04.errors import HTTPValidationError, ResourceNotFound

from django_polar.testing import FakePolar


@pytest.fixture
def fake():
    return FakePolar()


@pytest.fixture
def base_url(fake):
    with fake.serve() as url:
        yield url


@pytest.fixture
def sdk(fake, base_url):
    with Polar(fake.token, base_url=base_url) as client:
        yield client


@pytest.fixture
def ada(fake):
    return fake.add_customer(
        external_id="1",
        email="ada@acme-mail.dev",
        name="Ada",
        metadata={"plan": "pro", "seats": 3},
        billing_address={
            "line1": "12 Analytical St",
            "line2": None,
            "postal_code": "75001",
            "city": "Paris",
            "state": None,
            "country": "FR",
        },
        tax_id=["FR61954506077", "eu_vat"],
    )


@pytest.fixture
def portal(sdk):
    """The portal as the customer with external id 1 sees it, by a session made through the SDK."""

    def call(operation, *args, **kwargs):
        session = sdk.customer_sessions.create(external_customer_id="1")
        return operation(*args, request_access_token=session.token, **kwargs)

    return call


def test_customers_are_created_read_updated_and_deleted(sdk):
    """The SDK's create, get, update and delete work by id."""
    created = sdk.customers.create(email="new@acme-mail.dev", external_id="7", metadata={"n": 7})
    assert sdk.customers.get(created.id) == created

    updated = sdk.customers.update(created.id, name="New")
    assert (updated.name, updated.external_id) == ("New", "7")

    sdk.customers.delete(created.id, anonymize=True)
    with pytest.raises(ResourceNotFound):
        sdk.customers.get(created.id)


def test_customers_are_read_updated_and_deleted_by_external_id(sdk, ada):
    """The SDK's external operations reach the same customer."""
    assert sdk.customers.get_external("1").id == ada["id"]
    assert sdk.customers.update_external("1", name="Countess").name == "Countess"
    sdk.customers.delete_external("1")
    with pytest.raises(ResourceNotFound):
        sdk.customers.get_external("1")


def test_a_team_without_email_loads(sdk):
    """A team may have no email of its own."""
    team = sdk.customers.create(type="team", name="Team", owner={"email": "o@acme-mail.dev"})
    assert (team.type, team.email) == ("team", None)


def test_every_customer_of_a_seeded_world_loads(fake, sdk):
    """The list's pages and the export show every customer."""
    fake.stable = True
    fake.seed_world(250)

    listed = {customer.id for customer in sdk.customers.iter_list(limit=100)}

    assert listed == set(fake.customers)
    assert sdk.customers.export().count("@acme-mail.dev") > 200


def test_filters_and_sorting_are_understood(fake, sdk, ada):
    """What the SDK sends as filters finds what it describes."""
    fake.add_customer(email="other@acme-mail.dev", name="Zed")

    assert sdk.customers.list(email="ADA@acme-mail.dev").items[0].id == ada["id"]
    assert sdk.customers.list(metadata={"plan": "pro"}).pagination.total_count == 1
    names = [item.name for item in sdk.customers.list(sorting=["-name"]).items]
    assert names == ["Zed", "Ada"]


def test_states_without_an_active_subscription_load(fake, sdk, ada):
    """Benefits and meters of every known kind load, by id and by external id."""
    for kind in ("custom", "feature_flag", "license_keys", "meter_credit"):
        properties = {"license_key_id": fake.new_id(), "display_key": "****-1"}
        fake.add_grant(ada, benefit_type=kind, properties=properties if "key" in kind else {})
    fake.add_meter(ada, consumed_units=2.5, credited_units=10)
    fake.add_subscription(ada, status="past_due")

    state = sdk.customers.get_state(ada["id"])

    assert len(state.granted_benefits) == 4
    assert [meter.balance for meter in state.active_meters] == [7.5]
    assert sdk.customers.get_state_external("1").id == state.id


def test_this_sdk_loads_no_state_with_an_active_subscription(fake, sdk, ada):
    """A flaw of this version on every server: its ``status`` accepts only grants' values."""
    fake.add_subscription(ada)

    with pytest.raises(PolarDeserializationError) as refused:
        sdk.customers.get_state(ada["id"])

    reasons = "".join(traceback.format_exception(refused.value))
    assert re.search(
        r"\{'(granted|disabled)', '(granted|disabled)'\}\), input_value='active'", reasons
    )


def test_payment_methods_load(fake, sdk, ada):
    """Cards and other methods load for the merchant, who sees which is the default."""
    fake.add_payment_method(ada, default=True)
    fake.add_payment_method(ada, kind="link")

    by_id = sdk.customers.list_payment_methods(ada["id"]).items
    assert {(item.type, item.is_default) for item in by_id} == {("card", True), ("link", False)}
    assert len(sdk.customers.list_payment_methods_external("1").items) == 2


def test_grants_and_meters_load(fake, sdk, ada):
    """Granted and revoked benefits, and meters, by the customer's ids."""
    fake.revoke_grant(fake.add_grant(ada))
    fake.add_grant(ada, benefit_type="feature_flag")
    fake.add_meter(ada)

    assert len(sdk.benefit_grants.list(customer_id=ada["id"]).items) == 2
    assert len(sdk.benefit_grants.list(is_granted=True).items) == 1
    assert len(sdk.customer_meters.list(external_customer_id="1").items) == 1


def test_a_customer_reads_and_updates_itself(sdk, portal, ada):
    """The portal's customer loads, and shows what was changed through it."""
    me = portal(sdk.customer_portal.customers.get)
    assert me.id == ada["id"]

    changed = portal(sdk.customer_portal.customers.update, billing_name="Ada L. GmbH")
    assert changed.billing_name == "Ada L. GmbH"


def test_a_customer_adds_confirms_lists_and_deletes_payment_methods(sdk, portal, ada):
    """Adding succeeds at once or asks for an action that is then confirmed."""
    customers = sdk.customer_portal.customers
    added = portal(
        customers.add_payment_method,
        confirmation_token_id="ctoken_1",
        set_default=True,
        return_url="https://app.acme-mail.dev",
    )
    assert added.status == "succeeded"
    asked = portal(
        customers.add_payment_method,
        confirmation_token_id="ctoken_requires_action",
        set_default=False,
        return_url="https://app.acme-mail.dev",
    )
    assert asked.status == "requires_action"
    confirmed = portal(
        customers.confirm_payment_method, setup_intent_id="seti_1", set_default=False
    )
    assert confirmed.status == "succeeded"
    assert len(portal(customers.list_payment_methods).items) == 2

    portal(customers.delete_payment_method, added.payment_method.id)

    assert len(portal(customers.list_payment_methods).items) == 1


def test_wallets_load(fake, sdk, portal, ada):
    """A customer's wallets are listed and read."""
    wallet = fake.add_wallet(ada, balance=-1234)

    assert [item.balance for item in portal(sdk.customer_portal.wallets.list).items] == [-1234]
    assert portal(sdk.customer_portal.wallets.get, wallet["id"]).currency == "usd"


def test_refused_values_load_as_errors(sdk, ada):
    """Both kinds of 422 are understood."""
    with pytest.raises(HTTPValidationError):
        sdk.customers.create(email="nobody")
    with pytest.raises(HTTPValidationError):
        sdk.customers.create(email="ADA@acme-mail.dev")
