"""Polar's JSON is read tolerantly where Polar changes, strictly where the mirror would be wrong."""

import json
import re
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest

from django_polar import payloads
from django_polar.exceptions import PayloadError
from django_polar.payloads import (
    BenefitGrantPayload,
    CustomerMeterPayload,
    CustomerPayload,
    CustomerSessionPayload,
    CustomerStatePayload,
    PaymentMethodSetupPayload,
    SubscriptionListPayload,
    WebhookDeliveryPayload,
    WebhookEndpointPayload,
    WebhookEnvelope,
    decode,
    decode_page,
    reading,
)
from tests.recordings import recorded_deliveries, recorded_exchanges

ID = "afa9f40b-619e-45e7-9bcc-dadade466217"
OTHER_ID = "cde3bc80-a516-44ed-9aca-1fe698da3c63"
TIME = "2026-11-20T09:34:09.151237Z"
CUSTOMER = {"id": ID, "created_at": TIME, "organization_id": OTHER_ID, "email": "ada@example.com"}
SUBSCRIPTION = {"id": ID, "created_at": TIME, "status": "active", "product_id": OTHER_ID}
GRANT = {"id": ID, "created_at": TIME, "benefit_id": OTHER_ID, "benefit_type": "custom"}
METER = {"id": ID, "created_at": TIME, "meter_id": OTHER_ID}


def dump(data):
    return json.dumps(data).encode()


def make_page(*items, total_count=None):
    count = len(items) if total_count is None else total_count
    return dump({"items": items, "pagination": {"total_count": count, "max_page": 1}})


def test_fields_have_the_types_that_their_names_promise():
    customer = decode(dump(CUSTOMER), CustomerPayload)

    assert customer.id == UUID(ID)
    assert customer.created_at == datetime(2026, 11, 20, 9, 34, 9, 151237, UTC)
    assert customer.external_id is None
    assert customer.raw == {}


def test_payloads_cannot_be_changed():
    customer = decode(dump(CUSTOMER), CustomerPayload)

    with pytest.raises(AttributeError):
        customer.email = "eve@example.com"


def test_defaults_are_not_shared():
    one, two = (decode(dump(CUSTOMER), CustomerPayload) for _ in range(2))
    one.metadata["a"] = 1

    assert two.metadata == {}


def test_a_field_that_is_not_known_is_kept():
    customer = decode(dump({**CUSTOMER, "mood": {"is": ["good"]}}), CustomerPayload)

    assert customer.raw == {"mood": {"is": ["good"]}}
    assert customer.id == UUID(ID)


def test_unknown_fields_are_kept_at_every_level():
    state = decode(
        dump(
            {
                **CUSTOMER,
                "mood": 1,
                "active_subscriptions": [{**SUBSCRIPTION, "mood": 2}],
                "granted_benefits": [{**GRANT, "mood": 3}],
                "active_meters": [{**METER, "mood": 4}],
            }
        ),
        CustomerStatePayload,
    )

    parts = (state, *state.active_subscriptions, *state.granted_benefits, *state.active_meters)
    assert [part.raw for part in parts] == [{"mood": n} for n in (1, 2, 3, 4)]


def test_unknown_fields_of_embedded_objects_are_kept():
    session = decode(
        dump(
            {
                "id": ID,
                "token": "polar_cst_secret",
                "expires_at": TIME,
                "customer_portal_url": "https://polar.sh",
                "customer_id": OTHER_ID,
                "customer": {**CUSTOMER, "mood": 1},
            }
        ),
        CustomerSessionPayload,
    )

    assert session.customer.raw == {"mood": 1}


def test_what_is_kept_unread_survives_a_second_reading():
    """An unknown field makes the object be read again, from Python objects instead of bytes."""
    body = {**SUBSCRIPTION, "customer_id": ID, "product": {"name": "Pro"}, "mood": 1}

    subscription = decode(dump(body), SubscriptionListPayload)

    assert msgspec.json.decode(subscription.product) == {"name": "Pro"}
    assert subscription.raw == {"mood": 1}


@pytest.mark.parametrize(
    ("payload_type", "body", "field"),
    [
        (CustomerPayload, {**CUSTOMER, "type": "robot"}, "type"),
        (SubscriptionListPayload, {**SUBSCRIPTION, "customer_id": ID, "status": "x"}, "status"),
        (
            CustomerStatePayload,
            {**CUSTOMER, "granted_benefits": [{**GRANT, "benefit_type": "x"}]},
            "granted_benefits",
        ),
        (PaymentMethodSetupPayload, {"status": "x"}, "status"),
    ],
)
def test_values_that_polar_may_add_to_an_enum_pass(payload_type, body, field):
    assert getattr(decode(dump(body), payload_type), field)


@pytest.mark.parametrize(
    ("payload_type", "body", "message"),
    [
        (CustomerPayload, {"id": ID, "created_at": TIME}, "customer.organization_id: missing"),
        (CustomerPayload, {**CUSTOMER, "mood": 1, "id": "ada"}, "customer.id: Invalid UUID"),
        (CustomerPayload, {**CUSTOMER, "created_at": "ada"}, "customer.created_at: Invalid"),
        (CustomerPayload, {**CUSTOMER, "created_at": "2026-11-20T09:34:09"}, "customer.created_at"),
        (CustomerPayload, {**CUSTOMER, "email": 5}, "customer.email: Expected `str | null`"),
        (CustomerPayload, [CUSTOMER], "customer: Expected `object`"),
        (CustomerPayload, None, "customer: Expected `object`"),
        (
            CustomerStatePayload,
            {**CUSTOMER, "active_meters": [METER, {**METER, "balance": "ada"}]},
            "customer_state.active_meters[1].balance",
        ),
        (
            BenefitGrantPayload,
            {**GRANT, "customer_id": ID, "benefit": {}},
            "benefit_grant.benefit.type: missing",
        ),
    ],
)
def test_what_cannot_be_read_is_named_and_not_quoted(payload_type, body, message):
    with pytest.raises(PayloadError) as caught:
        decode(dump(body), payload_type)

    assert str(caught.value).startswith(message)
    assert "ada" not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"<html>", b"\xff\xfe", dump(CUSTOMER) + b"}", dump({"mood": 1, **CUSTOMER})[:-1]],
)
def test_what_is_no_json_is_an_error(body):
    for read in (decode, decode_page):
        with pytest.raises(PayloadError):
            read(body, CustomerPayload)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"mood":' * 100_000])
def test_what_is_nested_without_end_is_an_error_like_any_other(body):
    for read in (decode, decode_page):
        with pytest.raises(PayloadError):
            read(body, CustomerPayload)


def test_a_page_tells_how_much_there_is():
    page = decode_page(make_page(CUSTOMER, total_count=250), CustomerPayload)

    assert [c.id for c in page.items] == [UUID(ID)]
    assert (page.total_count, page.max_page, page.problems) == (250, 1, [])


def test_an_item_that_cannot_be_read_does_not_take_its_page_down():
    broken = {**CUSTOMER, "id": OTHER_ID, "created_at": "ada"}

    page = decode_page(make_page(CUSTOMER, broken, CUSTOMER, {"id": 5}, 7), CustomerPayload)

    assert len(page.items) == 2
    assert [problem.id for problem in page.problems] == [UUID(OTHER_ID), None, None]
    assert "created_at" in page.problems[0].error
    assert "ada" not in page.problems[0].error


def test_a_page_with_unknown_fields_keeps_them_with_their_items():
    page = decode_page(make_page({**CUSTOMER, "mood": 1}, CUSTOMER), CustomerPayload)

    assert [c.raw for c in page.items] == [{"mood": 1}, {}]
    assert page.problems == []


@pytest.mark.parametrize(
    "body", [b"[]", b"{}", b'{"items": []}', b'{"items": {}, "pagination": {}}', b"null"]
)
def test_what_is_no_page_is_an_error(body):
    with pytest.raises(PayloadError, match="list of customer"):
        decode_page(body, CustomerPayload)


def test_a_page_may_say_more_about_itself_than_we_know():
    body = dump({"items": [], "pagination": {"total_count": 0, "max_page": 0, "x": 1}, "y": 2})

    assert decode_page(body, CustomerPayload).total_count == 0


def test_a_grant_from_the_list_answers_like_one_from_the_state():
    grant = decode(
        dump(
            {
                "id": ID,
                "created_at": TIME,
                "customer_id": ID,
                "benefit_id": OTHER_ID,
                "is_granted": True,
                "benefit": {"type": "custom", "metadata": {"a": 1}, "description": "x"},
            }
        ),
        BenefitGrantPayload,
    )

    assert (grant.benefit_type, grant.benefit_metadata) == ("custom", {"a": 1})
    assert grant.is_active


@pytest.mark.parametrize(
    ("status", "active"),
    [("active", True), ("trialing", True), ("past_due", False), ("canceled", False), ("x", False)],
)
def test_only_active_and_trialing_subscriptions_belong_to_the_state(status, active):
    body = {**SUBSCRIPTION, "customer_id": ID, "status": status}

    assert decode(dump(body), SubscriptionListPayload).is_active is active


@pytest.mark.parametrize(
    ("payload_type", "body"),
    [
        (
            CustomerSessionPayload,
            {
                "id": ID,
                "token": "secret",
                "expires_at": TIME,
                "customer_portal_url": "https://polar.sh/?token=secret",
                "customer_id": ID,
            },
        ),
        (PaymentMethodSetupPayload, {"status": "requires_action", "client_secret": "secret"}),
        (
            WebhookEndpointPayload,
            {"id": ID, "url": "https://x.test", "format": "raw", "secret": "secret"},
        ),
        (
            WebhookEnvelope,
            {"type": "customer.updated", "timestamp": TIME, "data": {"email": "secret"}},
        ),
        (
            WebhookDeliveryPayload,
            {
                "id": ID,
                "created_at": TIME,
                "succeeded": True,
                "webhook_event": {"id": ID, "created_at": TIME, "payload": "secret"},
            },
        ),
    ],
)
def test_secrets_are_in_no_representation(payload_type, body):
    assert "secret" not in repr(decode(dump(body), payload_type)).replace("secret=<hidden>", "")


OBJECTS = [
    ("GET /v1/customers/[^/?]+/state", CustomerStatePayload),
    ("GET /v1/customers/external/[^/?]+/state", CustomerStatePayload),
    ("GET /v1/customers/[^/?]+/balance", payloads.BalancePayload),
    ("(GET|PATCH) /v1/customers/(external/)?(?!export)[^/?]+", CustomerPayload),
    ("POST /v1/customers/", CustomerPayload),
    ("POST /v1/customer-sessions/", CustomerSessionPayload),
    ("(GET|PATCH) /v1/customer-portal/customers/me", payloads.PortalCustomerPayload),
    ("GET /v1/customer-portal/wallets/[^/?]+", payloads.WalletPayload),
    ("(GET|POST) /v1/webhooks/endpoints.*", WebhookEndpointPayload),
    ("POST /v1/subscriptions/", SubscriptionListPayload),
]
PAGES = [
    ("GET /v1/customers/", CustomerPayload),
    ("GET /v1/subscriptions/", SubscriptionListPayload),
    ("GET /v1/benefit-grants/", BenefitGrantPayload),
    ("GET /v1/customer-meters/", CustomerMeterPayload),
    ("GET /v1/customer-portal/wallets/", payloads.WalletPayload),
    ("GET .*/payment-methods", payloads.PaymentMethodPayload),
    ("GET /v1/webhooks/deliveries", WebhookDeliveryPayload),
]
WEBHOOKS = {
    "customer.state_changed": CustomerStatePayload,
    "customer": CustomerPayload,
    "subscription": SubscriptionListPayload,
    "benefit_grant": BenefitGrantPayload,
}


def find_type(types, exchange):
    asked = f"{exchange.method} {exchange.path.partition('?')[0]}"
    return next((found for pattern, found in types if re.fullmatch(pattern, asked)), None)


def assert_reads(payload, data):
    """Every field of the JSON is in the payload, with the same value."""
    known, unread = reading._known_fields(type(payload))
    assert set(payload.raw) == set(data) - known
    for name, value in data.items():
        if name not in known:
            assert payload.raw[name] == value
        elif name in unread:
            assert json.loads(bytes(getattr(payload, name))) == value
        elif isinstance(value, list) and value and name in reading._NESTED:
            for part, item in zip(getattr(payload, name), value, strict=True):
                assert_reads(part, item)
        elif isinstance(getattr(payload, name), payloads.Payload):
            assert_reads(getattr(payload, name), value)
        elif not isinstance(getattr(payload, name), payloads.BenefitPayload):
            assert msgspec.to_builtins(getattr(payload, name)) == value, name


def test_every_recorded_object_is_read_whole(pytestconfig):
    seen = 0
    for exchange in recorded_exchanges(pytestconfig):
        payload_type = find_type(OBJECTS, exchange)
        if exchange.status not in (200, 201) or payload_type is None:
            continue
        seen += 1
        data = json.loads(exchange.response_body)
        assert_reads(decode(exchange.response_body, payload_type), data)
    assert seen > 100


def test_every_recorded_page_is_read_whole(pytestconfig):
    seen = 0
    for exchange in recorded_exchanges(pytestconfig):
        payload_type = find_type(PAGES, exchange)
        if exchange.status != 200 or payload_type is None:
            continue
        seen += 1
        data = json.loads(exchange.response_body)
        page = decode_page(exchange.response_body, payload_type)
        assert page.problems == [], exchange.name
        assert page.total_count == data["pagination"]["total_count"]
        assert page.max_page == data["pagination"]["max_page"]
        for payload, item in zip(page.items, data["items"], strict=True):
            assert_reads(payload, item)
    assert seen > 60


def test_every_recorded_delivery_is_read_whole(pytestconfig):
    for name, body in recorded_deliveries(pytestconfig):
        envelope = decode(body, WebhookEnvelope)
        payload_type = WEBHOOKS.get(envelope.type) or WEBHOOKS[envelope.type.partition(".")[0]]
        data = json.loads(body)
        assert envelope.type == data["type"], name
        assert_reads(decode(envelope.data, payload_type), data["data"])


def test_recorded_answers_take_the_fast_way(pytestconfig):
    """Today's servers send no field that we do not know, so nothing is read twice."""
    slow = set()
    for exchange in recorded_exchanges(pytestconfig):
        payload_type = find_type(PAGES[:4], exchange)
        if exchange.name.startswith("old_"):
            continue
        if exchange.status == 200 and payload_type is not None:
            page = decode_page(exchange.response_body, payload_type)
            slow.update((payload_type.kind, field) for item in page.items for field in item.raw)
    assert slow == set()
