"""Every operation asks its endpoint, the way Polar documents it, and reads the answer."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from uuid import UUID

import httpx
import pytest

from django_polar import payloads
from django_polar.client import PolarClient
from django_polar.exceptions import PayloadError

from .server import CUSTOMER_ID, OTHER_ID, customer, ok, page, session

ME = "/v1/customer-portal/customers/me"
PAYMENT_METHOD = {"id": OTHER_ID, "created_at": "2026-11-20T09:37:06Z", "type": "card"}
SETUP = {"status": "succeeded", "client_secret": None, "payment_method": PAYMENT_METHOD}
STATE = customer(active_subscriptions=[], granted_benefits=[], active_meters=[])
ENDPOINT = {"id": OTHER_ID, "url": "https://example.com/hook", "format": "raw"}
EMPTY = page()


def case(call, target, answer, result, body=None):
    return pytest.param(call, target, answer, result, body, id=target)


OPERATIONS = [
    case(
        lambda polar: polar.customers.list(limit=3, page=2, sorting=("created_at", "email")),
        "GET /v1/customers/?sorting=created_at&sorting=email&page=2&limit=3",
        page(customer()),
        payloads.Page,
    ),
    case(
        lambda polar: polar.customers.create(email="ada@example.com", metadata={"a": 1}),
        "POST /v1/customers/",
        ok(customer(), status=201),
        payloads.CustomerPayload,
        {"email": "ada@example.com", "metadata": {"a": 1}},
    ),
    case(
        lambda polar: b"".join(polar.customers.export()),
        "GET /v1/customers/export",
        httpx.Response(200, content=b"ID,External ID\r\n"),
        bytes,
    ),
    case(
        lambda polar: polar.customers.get(UUID(CUSTOMER_ID)),
        f"GET /v1/customers/{CUSTOMER_ID}",
        ok(customer()),
        payloads.CustomerPayload,
    ),
    case(
        lambda polar: polar.customers.update(CUSTOMER_ID, name=None),
        f"PATCH /v1/customers/{CUSTOMER_ID}",
        ok(customer()),
        payloads.CustomerPayload,
        {"name": None},
    ),
    case(
        lambda polar: polar.customers.delete(CUSTOMER_ID, anonymize=True),
        f"DELETE /v1/customers/{CUSTOMER_ID}?anonymize=true",
        httpx.Response(204),
        type(None),
    ),
    case(
        lambda polar: polar.customers.delete(CUSTOMER_ID),
        f"DELETE /v1/customers/{CUSTOMER_ID}",
        httpx.Response(204),
        type(None),
    ),
    case(
        lambda polar: polar.customers.get_external("42"),
        "GET /v1/customers/external/42",
        ok(customer()),
        payloads.CustomerPayload,
    ),
    case(
        lambda polar: polar.customers.update_external("42", name="Ada"),
        "PATCH /v1/customers/external/42",
        ok(customer()),
        payloads.CustomerPayload,
        {"name": "Ada"},
    ),
    case(
        lambda polar: polar.customers.delete_external("42", anonymize=True),
        "DELETE /v1/customers/external/42?anonymize=true",
        httpx.Response(204),
        type(None),
    ),
    case(
        lambda polar: polar.customers.get_state(CUSTOMER_ID),
        f"GET /v1/customers/{CUSTOMER_ID}/state",
        ok(STATE),
        payloads.CustomerStatePayload,
    ),
    case(
        lambda polar: polar.customers.get_state_external("42"),
        "GET /v1/customers/external/42/state",
        ok(STATE),
        payloads.CustomerStatePayload,
    ),
    case(
        lambda polar: polar.customers.get_balance(CUSTOMER_ID)[0],
        f"GET /v1/customers/{CUSTOMER_ID}/balance",
        ok({"balance": 1500, "currency": "USD"}),
        payloads.BalancePayload,
    ),
    case(
        lambda polar: polar.customer_sessions.create(
            external_customer_id="42", return_url="https://example.com/"
        ),
        "POST /v1/customer-sessions/",
        session(),
        payloads.CustomerSessionPayload,
        {"external_customer_id": "42", "return_url": "https://example.com/"},
    ),
    case(
        lambda polar: polar.subscriptions.list(status=("active", "trialing"), limit=5),
        "GET /v1/subscriptions/?status=active&status=trialing&page=1&limit=5",
        EMPTY,
        payloads.Page,
    ),
    case(
        lambda polar: polar.benefit_grants.list(
            is_granted=True, customer_id=[UUID(CUSTOMER_ID), OTHER_ID]
        ),
        f"GET /v1/benefit-grants/?is_granted=true&customer_id={CUSTOMER_ID}"
        f"&customer_id={OTHER_ID}&page=1&limit=100",
        EMPTY,
        payloads.Page,
    ),
    case(
        lambda polar: polar.customer_meters.list(external_customer_id="a&b"),
        "GET /v1/customer-meters/?external_customer_id=a%26b&page=1&limit=100",
        EMPTY,
        payloads.Page,
    ),
    case(
        lambda polar: polar.webhook_endpoints.list(),
        "GET /v1/webhooks/endpoints?page=1&limit=100",
        page(ENDPOINT),
        payloads.Page,
    ),
    case(
        lambda polar: polar.webhook_endpoints.get(OTHER_ID),
        f"GET /v1/webhooks/endpoints/{OTHER_ID}",
        ok(ENDPOINT),
        payloads.WebhookEndpointPayload,
    ),
    case(
        lambda polar: polar.webhook_deliveries.list(endpoint_id=OTHER_ID, succeeded=False),
        f"GET /v1/webhooks/deliveries?endpoint_id={OTHER_ID}&succeeded=false&page=1&limit=100",
        EMPTY,
        payloads.Page,
    ),
    case(
        lambda polar: polar.webhook_deliveries.redeliver(OTHER_ID),
        f"POST /v1/webhooks/events/{OTHER_ID}/redeliver",
        ok(None, status=202),
        type(None),
    ),
]

PORTAL_OPERATIONS = [
    case(
        lambda polar: polar.customer_portal.customers.get("polar_cst_token"),
        f"GET {ME}",
        ok({"id": CUSTOMER_ID, "created_at": "2026-11-20T09:37:06Z"}),
        payloads.PortalCustomerPayload,
    ),
    case(
        lambda polar: polar.customer_portal.customers.update(
            "polar_cst_token", billing_name="Ada GmbH"
        ),
        f"PATCH {ME}",
        ok({"id": CUSTOMER_ID, "created_at": "2026-11-20T09:37:06Z"}),
        payloads.PortalCustomerPayload,
        {"billing_name": "Ada GmbH"},
    ),
    case(
        lambda polar: polar.customer_portal.customers.list_payment_methods("polar_cst_token"),
        f"GET {ME}/payment-methods?page=1&limit=100",
        page(PAYMENT_METHOD),
        payloads.Page,
    ),
    case(
        lambda polar: polar.customer_portal.customers.add_payment_method(
            "polar_cst_token",
            confirmation_token_id="ctoken_1",
            set_default=True,
            return_url="https://example.com/",
        ),
        f"POST {ME}/payment-methods",
        ok(SETUP, status=201),
        payloads.PaymentMethodSetupPayload,
        {
            "confirmation_token_id": "ctoken_1",
            "set_default": True,
            "return_url": "https://example.com/",
        },
    ),
    case(
        lambda polar: polar.customer_portal.customers.confirm_payment_method(
            "polar_cst_token", setup_intent_id="seti_1", set_default=False
        ),
        f"POST {ME}/payment-methods/confirm",
        ok(SETUP, status=201),
        payloads.PaymentMethodSetupPayload,
        {"setup_intent_id": "seti_1", "set_default": False},
    ),
    case(
        lambda polar: polar.customer_portal.customers.delete_payment_method(
            "polar_cst_token", OTHER_ID
        ),
        f"DELETE {ME}/payment-methods/{OTHER_ID}",
        httpx.Response(204),
        type(None),
    ),
    case(
        lambda polar: polar.wallets.list("polar_cst_token"),
        "GET /v1/customer-portal/wallets/?page=1&limit=100",
        page({"id": OTHER_ID, "customer_id": CUSTOMER_ID, "balance": -5, "currency": "usd"}),
        payloads.Page,
    ),
]


@pytest.mark.parametrize(
    ("call", "target", "answer", "result", "body"), OPERATIONS + PORTAL_OPERATIONS
)
def test_operation_asks_its_endpoint_and_reads_the_answer(
    polar, server, call, target, answer, result, body
):
    server.answer(answer)

    assert isinstance(call(polar), result)

    assert server.targets == [target]
    assert (server.last_body if server.requests[0].content else None) == body


@pytest.mark.parametrize(("call", "target", "answer", "result", "body"), PORTAL_OPERATIONS)
def test_portal_operations_carry_the_customers_token_and_not_ours(
    polar, server, call, target, answer, result, body
):
    server.answer(answer)

    call(polar)

    assert server.requests[0].headers["authorization"] == "Bearer polar_cst_token"


def test_the_customers_token_is_used_for_that_request_only(polar, server):
    server.answer(page(), ok(customer()))

    polar.wallets.list("polar_cst_token")
    polar.customers.get(CUSTOMER_ID)

    assert server.requests[1].headers["authorization"] == "Bearer polar_oat_secret"


def test_every_request_names_token_version_and_sender(polar, server):
    server.answer(ok(customer()))

    polar.customers.get(CUSTOMER_ID)

    headers = server.requests[0].headers
    assert headers["authorization"] == "Bearer polar_oat_secret"
    assert headers["polar-version"] == "2026-04"
    assert headers["user-agent"].startswith("django-polar/")


def test_only_what_was_given_is_sent_with_a_session(polar, server):
    server.answer(session())

    polar.customer_sessions.create(customer_id=UUID(CUSTOMER_ID))

    assert server.last_body == {"customer_id": CUSTOMER_ID}


def test_metadata_filters_are_written_with_brackets(polar, server):
    server.answer(page())

    polar.customers.list(metadata={"plan": "pro", "beta": True, "n": [8, 9]}, email=None)

    assert dict(server.requests[0].url.params.multi_items()) | {"metadata[n]": "8"} == {
        "metadata[plan]": "pro",
        "metadata[beta]": "true",
        "metadata[n]": "8",
        "page": "1",
        "limit": "100",
    }
    assert server.requests[0].url.params.get_list("metadata[n]") == ["8", "9"]


def test_a_page_can_be_fetched_in_one_place_and_read_in_another(polar, server):
    server.answer(page(customer()))

    body = polar.customers.fetch_page(page=1, limit=100, sorting=("created_at",))

    assert isinstance(body, bytes)
    assert [str(c.id) for c in polar.customers.read_page(body).items] == [CUSTOMER_ID]


@pytest.mark.parametrize("name", ["subscriptions", "benefit_grants", "customer_meters"])
def test_the_other_lists_give_pages_as_bytes_too(polar, server, name):
    server.answer(page(total_count=7, max_page=3))
    resource = getattr(polar, name)

    assert resource.read_page(resource.fetch_page(limit=50)).total_count == 7


@pytest.mark.parametrize(
    "name", ["customers", "subscriptions", "benefit_grants", "customer_meters"]
)
def test_iter_walks_all_pages_in_a_stable_order(polar, server, name):
    server.answer(page(total_count=300, max_page=3))
    server.answer(page(total_count=300, max_page=3), page(total_count=300, max_page=3))

    assert list(getattr(polar, name).iter()) == []

    assert [r.url.params["page"] for r in server.requests] == ["1", "2", "3"]
    assert len(server.requests[0].url.params.get_list("sorting")) > 1


def test_iter_says_that_an_item_cannot_be_read_after_those_that_can(polar, server):
    server.answer(page({"id": OTHER_ID}, customer()))
    customers = polar.customers.iter()

    assert str(next(customers).id) == CUSTOMER_ID
    with pytest.raises(PayloadError, match="created_at: missing"):
        next(customers)


def test_iter_ends_with_an_empty_list_after_one_request(polar, server):
    server.answer(page(total_count=0, max_page=0))

    assert list(polar.customers.iter(query="nobody")) == []
    assert len(server.requests) == 1


def test_a_personal_token_says_which_organization_it_means(server):
    organization_id = "ad141963-993f-4c68-a3c3-7c68e7fd3a89"
    polar = make_client(server, "polar_pat_secret", organization_id)
    server.answer(page(), ok(customer(), status=201), httpx.Response(200, content=b"ID"))

    polar.subscriptions.list()
    assert server.requests[-1].url.params["organization_id"] == organization_id
    polar.customers.create(email="ada@example.com")
    assert server.last_body["organization_id"] == organization_id
    list(polar.customers.export())
    assert server.requests[-1].url.params["organization_id"] == organization_id


def test_an_organization_token_does_not_because_polar_refuses_it(server):
    polar = make_client(server, "polar_oat_secret", "ad141963-993f-4c68-a3c3-7c68e7fd3a89")
    server.answer(ok(customer(), status=201))

    polar.customers.create(email="ada@example.com")

    assert server.last_body == {"email": "ada@example.com"}


def make_client(server, token, organization_id):
    return PolarClient(
        token, organization_id=organization_id, transport=httpx.MockTransport(server)
    )


def test_the_servers_time_is_behind_ours_by_as_much_as_its_answers_say(polar, server):
    early = datetime.now(UTC) - timedelta(minutes=10)
    server.answer(httpx.Response(200, json=customer(), headers={"date": http_date(early)}))

    polar.customers.get(CUSTOMER_ID)

    assert abs(datetime.now(UTC) - timedelta(minutes=10) - polar.server_time()) < timedelta(
        seconds=5
    )


@pytest.mark.parametrize(
    "date",
    [
        "",
        "soon",
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Mon, 01 Jan 2001 00:00:00",
    ],
)
def test_a_date_that_says_nothing_leaves_our_own_time(polar, server, date):
    server.answer(httpx.Response(200, json=customer(), headers={"date": date}))

    polar.customers.get(CUSTOMER_ID)

    assert abs(datetime.now(UTC) - polar.server_time()) < timedelta(seconds=5)


def http_date(moment):
    return format_datetime(moment, usegmt=True)
