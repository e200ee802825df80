"""The real server's answers, read by the client. Needs ``--polar-recordings PATH``."""

import json
import re
from urllib.parse import unquote, urlsplit

import httpx
import pytest

from django_polar.client import PolarClient
from django_polar.client.customers import servers_without_balance
from django_polar.exceptions import (
    AuthenticationError,
    EndpointNotFoundError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    PolarError,
    RateLimitError,
    UnavailableError,
    UnexpectedResponseError,
)
from django_polar.payloads import Page
from tests.recordings import recorded_exchanges

ID = "([0-9A-Za-z-]+)"
EXTERNAL = "/v1/customers/external/([^/]*)"
ME = "/v1/customer-portal/customers/me"

CALLS = [
    ("GET", "/v1/customers", lambda p: p.customers.list()),
    ("POST", "/v1/customers", lambda p: p.customers.create(email="a@example.com")),
    ("GET", "/v1/customers/export", lambda p: b"".join(p.customers.export())),
    ("GET", f"/v1/customers/{ID}", lambda p, id: p.customers.get(id)),
    ("PATCH", f"/v1/customers/{ID}", lambda p, id: p.customers.update(id)),
    ("DELETE", f"/v1/customers/{ID}", lambda p, id: p.customers.delete(id)),
    ("GET", f"/v1/customers/{ID}/state", lambda p, id: p.customers.get_state(id)),
    ("GET", f"/v1/customers/{ID}/balance", lambda p, id: p.customers.get_balance(id)),
    ("GET", EXTERNAL, lambda p, id: p.customers.get_external(id)),
    ("PATCH", EXTERNAL, lambda p, id: p.customers.update_external(id)),
    ("DELETE", EXTERNAL, lambda p, id: p.customers.delete_external(id)),
    ("GET", f"{EXTERNAL}/state", lambda p, id: p.customers.get_state_external(id)),
    ("POST", "/v1/customer-sessions", lambda p: p.customer_sessions.create(customer_id="x")),
    ("GET", "/v1/subscriptions", lambda p: p.subscriptions.list()),
    ("GET", "/v1/benefit-grants", lambda p: p.benefit_grants.list()),
    ("GET", "/v1/customer-meters", lambda p: p.customer_meters.list()),
    ("GET", "/v1/customer-portal/wallets", lambda p: p.wallets.list("cst")),
    ("GET", ME, lambda p: p.customer_portal.customers.get("cst")),
    ("PATCH", ME, lambda p: p.customer_portal.customers.update("cst")),
    (
        "GET",
        f"{ME}/payment-methods",
        lambda p: p.customer_portal.customers.list_payment_methods("cst"),
    ),
    (
        "POST",
        f"{ME}/payment-methods",
        lambda p: p.customer_portal.customers.add_payment_method(
            "cst", confirmation_token_id="c", set_default=True, return_url="https://example.com"
        ),
    ),
    (
        "POST",
        f"{ME}/payment-methods/confirm",
        lambda p: p.customer_portal.customers.confirm_payment_method(
            "cst", setup_intent_id="s", set_default=True
        ),
    ),
    (
        "DELETE",
        f"{ME}/payment-methods/{ID}",
        lambda p, id: p.customer_portal.customers.delete_payment_method("cst", id),
    ),
    ("GET", f"/v1/webhooks/endpoints/{ID}", lambda p, id: p.webhook_endpoints.get(id)),
    ("GET", "/v1/webhooks/deliveries", lambda p: p.webhook_deliveries.list()),
    (
        "POST",
        f"/v1/webhooks/events/{ID}/redeliver",
        lambda p, id: p.webhook_deliveries.redeliver(id),
    ),
]

# Asked for something that this client refuses to put into a path.
UNSPEAKABLE = {
    "customers_get_external_dot",
    "customers_get_external_dotdot",
    "customers_get_external_empty",
    "customers_get_external_slash",
    "customers_get_external_state_suffix",
    "customers_get_external_trailing_slash",
    "customers_delete_external_slash_404",
    "customers_patch_external_slash_404",
    "customers_patch_external_state_suffix_405",
}


@pytest.fixture(autouse=True)
def _forget_servers():
    servers_without_balance.clear()
    yield
    servers_without_balance.clear()


def expected_error(exchange):
    if exchange.status == 404:
        is_resource = b"ResourceNotFound" in exchange.response_body
        return NotFoundError if is_resource else EndpointNotFoundError
    return {
        307: UnexpectedResponseError,
        401: AuthenticationError,
        403: PermissionDeniedError,
        405: InvalidRequestError,
        422: InvalidRequestError,
        429: RateLimitError,
        500: UnavailableError,
    }[exchange.status]


def find_call(exchange):
    path = urlsplit(exchange.path).path
    for method, pattern, call in CALLS:
        match = re.fullmatch(pattern + "/?", path)
        if exchange.method == method and match:
            return call, [unquote(group) for group in match.groups()]
    return None, []


def replay(exchange, call, arguments):
    """The result or the error, and the target that was asked for first."""
    targets = []

    def answer(request):
        targets.append(request.url.raw_path.decode())
        headers = [(k, v) for k, v in exchange.response_headers if k != "transfer-encoding"]
        return httpx.Response(exchange.status, headers=headers, content=exchange.response_body)

    polar = PolarClient(
        "polar_oat_x",
        base_url="http://polar.test",
        transport=httpx.MockTransport(answer),
        max_attempts=1,
    )
    try:
        return call(polar, *arguments), targets[0]
    except PolarError as error:
        return error, targets[0]


def test_every_recorded_answer_is_read_or_becomes_the_right_error(pytestconfig):
    problems = []
    seen = 0
    for exchange in recorded_exchanges(pytestconfig):
        call, arguments = find_call(exchange)
        if call is None or exchange.name in UNSPEAKABLE:
            continue
        seen += 1
        outcome, _ = replay(exchange, call, arguments)
        if 200 <= exchange.status < 300:
            unread = isinstance(outcome, Page) and outcome.problems
            if isinstance(outcome, PolarError) or unread:
                problems.append((exchange.name, outcome))
        elif type(outcome) is not expected_error(exchange):
            problems.append((exchange.name, outcome))
        elif outcome.status != exchange.status:
            problems.append((exchange.name, outcome.status))

    assert problems == []
    assert seen > 250


def test_external_ids_are_addressed_as_the_recording_client_did(pytestconfig):
    seen = 0
    for exchange in recorded_exchanges(pytestconfig):
        call, arguments = find_call(exchange)
        if exchange.name in UNSPEAKABLE or not exchange.path.startswith("/v1/customers/external/"):
            continue
        if call is None or exchange.status >= 300:
            continue
        seen += 1
        _, target = replay(exchange, call, arguments)
        assert target.split("?")[0] == exchange.path.split("?")[0], exchange.name

    assert seen > 20


def test_every_recorded_refusal_tells_its_fields_and_repeats_no_value(pytestconfig):
    seen = 0
    for exchange in recorded_exchanges(pytestconfig):
        call, arguments = find_call(exchange)
        if call is None or exchange.status != 422 or exchange.name in UNSPEAKABLE:
            continue
        seen += 1
        error, _ = replay(exchange, call, arguments)
        assert error.errors, exchange.name
        for entry in json.loads(exchange.response_body)["detail"]:
            value = entry.get("input")
            if isinstance(value, str) and len(value) > 3:
                assert value not in str(error), exchange.name

    assert seen > 40


def test_every_recorded_missing_scope_is_told(pytestconfig):
    seen = 0
    for exchange in recorded_exchanges(pytestconfig):
        call, arguments = find_call(exchange)
        if call is None or b"insufficient_scope" not in exchange.response_body:
            continue
        if exchange.status != 403:
            continue
        seen += 1
        error, _ = replay(exchange, call, arguments)
        assert error.scopes, exchange.name

    assert seen > 5
