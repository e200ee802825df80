"""The balance, from servers that answer for it and from those that only know wallets."""

import httpx
import pytest

from django_polar.client import PolarClient
from django_polar.client.customers import servers_without_balance
from django_polar.exceptions import EndpointNotFoundError, InvalidRequestError, NotFoundError

from .server import CUSTOMER_ID, NO_ROUTE, NOT_FOUND, OTHER_ID, ok, page, session

ENDPOINT_GONE = httpx.Response(404, json=NO_ROUTE, headers={"polar-version": "2026-04"})


@pytest.fixture(autouse=True)
def _forget_servers():
    servers_without_balance.clear()
    yield
    servers_without_balance.clear()


def wallet(balance, currency="usd"):
    return {"id": OTHER_ID, "customer_id": CUSTOMER_ID, "balance": balance, "currency": currency}


def refusal(field, msg):
    entry = {"type": "value_error", "loc": ["body", field], "msg": msg, "input": None}
    return httpx.Response(422, json={"error": "PolarRequestValidationError", "detail": [entry]})


def test_an_old_server_answers_itself_and_its_currency_is_made_lower_case(polar, server):
    server.answer(ok({"balance": -250, "currency": "USD"}))

    assert [(b.balance, b.currency) for b in polar.customers.get_balance(CUSTOMER_ID)] == [
        (-250, "usd")
    ]


def test_a_new_server_answers_through_the_customers_wallets(polar, server):
    server.answer(ENDPOINT_GONE, session("polar_cst_one"), page(wallet(1500), wallet(7, "eur")))

    balances = polar.customers.get_balance(CUSTOMER_ID)

    assert {b.currency: b.balance for b in balances} == {"usd": 1500, "eur": 7}
    assert server.requests[1].url.path == "/v1/customer-sessions/"
    assert server.requests[2].headers["authorization"] == "Bearer polar_cst_one"


def test_several_wallets_in_one_currency_are_one_balance(polar, server):
    server.answer(ENDPOINT_GONE, session(), page(wallet(1500), wallet(-200, "USD")))

    assert [(b.balance, b.currency) for b in polar.customers.get_balance(CUSTOMER_ID)] == [
        (1300, "usd")
    ]


def test_a_customer_without_wallets_has_no_balance(polar, server):
    server.answer(ENDPOINT_GONE, session(), page())

    assert polar.customers.get_balance(CUSTOMER_ID) == ()


def test_the_way_that_a_server_wants_is_remembered_by_other_clients_too(polar, server):
    server.answer(ENDPOINT_GONE, session(), page(), session(), page())
    polar.customers.get_balance(CUSTOMER_ID)

    other = PolarClient(
        "polar_oat_secret", base_url=polar.base_url, transport=httpx.MockTransport(server)
    )
    other.customers.get_balance(CUSTOMER_ID)

    assert [r.url.path for r in server.requests[3:]] == [
        "/v1/customer-sessions/",
        "/v1/customer-portal/wallets/",
    ]


def test_another_server_is_asked_anew(polar, server):
    server.answer(ENDPOINT_GONE, session(), page(), ok({"balance": 0, "currency": "USD"}))
    polar.customers.get_balance(CUSTOMER_ID)

    other = PolarClient(
        "polar_oat_secret", base_url="http://old.test", transport=httpx.MockTransport(server)
    )
    other.customers.get_balance(CUSTOMER_ID)

    assert server.requests[-1].url.path.endswith("/balance")


def test_nothing_is_remembered_of_a_server_that_has_no_endpoint_at_all(polar, server):
    """With an unknown API version every endpoint is missing."""
    server.always(httpx.Response(404, json=NO_ROUTE))

    with pytest.raises(EndpointNotFoundError):
        polar.customers.get_balance(CUSTOMER_ID)

    assert not servers_without_balance


def test_an_unknown_customer_is_not_found_on_an_old_server(polar, server):
    server.answer(httpx.Response(404, json=NOT_FOUND))

    with pytest.raises(NotFoundError):
        polar.customers.get_balance(CUSTOMER_ID)

    assert len(server.requests) == 1


def test_an_unknown_customer_is_not_found_on_a_new_server(polar, server):
    """Which calls it a wrong value of ``customer_id``."""
    server.answer(ENDPOINT_GONE, refusal("customer_id", "Customer does not exist."))

    with pytest.raises(NotFoundError):
        polar.customers.get_balance(CUSTOMER_ID)


def test_a_team_customer_needs_to_say_which_member_asks(polar, server):
    server.answer(ENDPOINT_GONE, refusal("member_id", "member_id is required for team customers."))

    with pytest.raises(InvalidRequestError) as caught:
        polar.customers.get_balance(CUSTOMER_ID)
    assert caught.value.has("member_id")

    server.answer(ENDPOINT_GONE, session(), page(wallet(5)))
    polar.customers.get_balance(CUSTOMER_ID, member_id=OTHER_ID)
    assert b'"member_id":"' + OTHER_ID.encode() in server.requests[-2].content
