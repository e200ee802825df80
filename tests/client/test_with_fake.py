"""The client and the fake Polar, which enforces the real one's rules, understand each other."""

import csv
import io
from uuid import UUID

import pytest

from django_polar.client import override_transport, polar_client
from django_polar.exceptions import (
    EndpointNotFoundError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    UnavailableError,
    UnexpectedResponseError,
)
from django_polar.testing import FakePolar

ODD = [
    "with space",
    "q?x=1",
    "h#frag",
    "100%off",
    "x%2Fy",
    "a&b=c",
    "a+b",
    "back\\slash",
    "a\nb",
    "ünï-コード-🚀",
    "...",
    "a/b/c",
    "abc/state",
    "trail/",
    "/lead",
]


@pytest.fixture
def fake():
    return FakePolar()


@pytest.fixture
def polar(fake):
    with fake.client() as client:
        yield client


@pytest.mark.parametrize("external_id", ODD)
def test_a_customers_whole_life_under_any_external_id(fake, polar, external_id):
    decoy = polar.customers.create(email="decoy@acme-mail.dev", external_id="abc")
    made = polar.customers.create(email="ada@acme-mail.dev", external_id=external_id)

    assert polar.customers.get_external(external_id).id == made.id
    assert polar.customers.update_external(external_id, name="Ada").name == "Ada"
    assert polar.customers.get_state_external(external_id).name == "Ada"
    polar.customers.delete_external(external_id)

    with pytest.raises(NotFoundError):
        polar.customers.get_external(external_id)
    assert set(fake.customers) == {str(decoy.id)}


def test_a_customers_whole_life_by_id(fake, polar):
    made = polar.customers.create(email="ada@acme-mail.dev", name="Ada", metadata={"plan": "pro"})

    assert polar.customers.get(made.id).email == "ada@acme-mail.dev"
    assert polar.customers.update(made.id, external_id="42").external_id == "42"
    assert polar.customers.get_state(made.id).metadata == {"plan": "pro"}
    polar.customers.delete(made.id, anonymize=True)

    assert fake.customers == {}
    with pytest.raises(NotFoundError):
        polar.customers.delete(made.id)


def test_an_email_or_external_id_that_is_taken_is_told_apart(polar):
    polar.customers.create(email="ada@acme-mail.dev", external_id="42")

    with pytest.raises(InvalidRequestError) as caught:
        polar.customers.create(email="ADA@acme-mail.dev", external_id="42")

    assert caught.value.has("email", "already exists")
    assert caught.value.has("external_id", "already exists")


def test_the_lists_and_the_states_tell_the_same(fake, polar):
    fake.seed_world(customers=250)

    customers = {c.id: c for c in polar.customers.iter()}
    subscriptions = [
        s
        for s in polar.subscriptions.iter(status=("active", "trialing"))
        if s.customer_id in customers
    ]
    grants = [g for g in polar.benefit_grants.iter(is_granted=True) if g.customer_id in customers]
    meters = [m for m in polar.customer_meters.iter() if m.customer_id in customers]

    truth = fake.truth()
    for kind, items in (
        ("active_subscriptions", subscriptions),
        ("granted_benefits", grants),
        ("active_meters", meters),
    ):
        expected = {item["id"] for state in truth.values() for item in state[kind]}
        # A walk may skip rows; it never invents any.
        assert {str(item.id) for item in items} <= expected
        assert len(items) > len(expected) / 2
    assert set(map(str, customers)) <= set(truth)
    some = next(s for s in subscriptions)
    state = polar.customers.get_state(some.customer_id)
    assert some.id in {s.id for s in state.active_subscriptions}


def test_the_export_has_every_customer(fake, polar):
    fake.seed_world(customers=250)

    text = b"".join(polar.customers.export()).decode()

    assert {row["ID"] for row in csv.DictReader(io.StringIO(text))} == set(fake.customers)


def test_a_customer_sees_and_changes_its_own_things(fake, polar):
    customer = fake.add_customer(external_id="42")
    session = polar.customer_sessions.create(external_customer_id="42")
    portal = polar.customer_portal.customers

    assert portal.get(session.token).id == UUID(customer["id"])
    assert portal.update(session.token, billing_name="Ada GmbH").billing_name == "Ada GmbH"
    added = portal.add_payment_method(
        session.token,
        confirmation_token_id="ctoken_1",
        set_default=True,
        return_url="https://example.com/",
    )
    assert added.status == "succeeded"
    methods = portal.list_payment_methods(session.token).items
    assert [method.id for method in methods] == [added.payment_method.id]
    portal.delete_payment_method(session.token, methods[0].id)
    assert list(portal.iter_payment_methods(session.token)) == []


def test_the_balance_of_a_new_server_comes_from_wallets(fake):
    customer = fake.add_customer()
    fake.add_wallet(customer, balance=-1234, currency="usd")

    with override_transport(fake.transport()), polar_client() as polar:
        balances = polar.customers.get_balance(customer["id"])
        assert [(b.balance, b.currency) for b in balances] == [(-1234, "usd")]
        with pytest.raises(NotFoundError):
            polar.customers.get_balance("992fae2a-2a17-4b7a-8d9e-e287cf90131b")


def test_the_balance_of_an_old_server_is_one_request():
    fake = FakePolar.old_server()
    customer = fake.add_customer()
    fake.add_wallet(customer, balance=1500, currency="usd")

    with override_transport(fake.transport()), polar_client() as polar:
        balances = polar.customers.get_balance(customer["id"])

    assert [(b.balance, b.currency) for b in balances] == [(1500, "usd")]
    assert [r.method for r in fake.requests] == ["GET"]


@pytest.fixture(autouse=True)
def _settings(settings, fake):
    settings.POLAR_ACCESS_TOKEN = fake.token
    settings.POLAR_BASE_URL = fake.base_url


def test_a_deletion_whose_answer_was_lost_may_have_happened(fake, polar):
    customer = fake.add_customer()
    fake.drop_next(after_apply=True)

    with pytest.raises(UnavailableError) as caught:
        polar.customers.delete(customer["id"])

    assert caught.value.maybe_applied
    assert fake.customers == {}
    assert len(fake.requests) == 1


def test_reads_get_through_a_bad_moment(fake, polar):
    customer = fake.add_customer()
    fake.fail_next(503)
    fake.drop_next(after_apply=False)
    fake.timeout_next(after_apply=True)

    assert str(polar.customers.get(customer["id"]).id) == customer["id"]
    assert polar.requests_made == 4


def test_broken_json_is_none_of_polars(fake, polar):
    fake.garble_next()

    with pytest.raises(UnexpectedResponseError):
        polar.customers.list()


def test_a_rate_limited_client_learns_how_long_to_wait(polar, fake):
    fake.rate_limit = 2
    polar.customers.list()
    polar.customers.list()

    with pytest.raises(RateLimitError) as caught:
        polar.customers.list()

    assert caught.value.retry_after.total_seconds() == 60


def test_a_token_without_a_scope_learns_which(fake):
    token = fake.add_token("customers:read")

    with fake.client(token) as polar, pytest.raises(PermissionDeniedError) as caught:
        polar.subscriptions.list()

    assert "subscriptions:read" in caught.value.scopes


def test_an_unknown_api_version_is_no_missing_customer(fake):
    customer = fake.add_customer()

    with (
        fake.client(api_version="2025-01") as polar,
        pytest.raises(EndpointNotFoundError, match="version 2025-01"),
    ):
        polar.customers.get(customer["id"])


def test_webhook_endpoints_and_deliveries_can_be_looked_at(fake, polar):
    endpoint = fake.add_webhook_endpoint("https://example.com/hook", events=["customer.created"])

    assert [str(e.id) for e in polar.webhook_endpoints.list().items] == [endpoint["id"]]
    assert polar.webhook_endpoints.get(endpoint["id"]).url == "https://example.com/hook"
    assert polar.webhook_deliveries.list(endpoint_id=endpoint["id"]).problems == []
    with pytest.raises(NotFoundError):
        polar.webhook_deliveries.redeliver("992fae2a-2a17-4b7a-8d9e-e287cf90131b")
