"""The signed-in user's own customer."""

from __future__ import annotations

import json
from uuid import UUID, uuid4

import pytest
from django.core.cache import cache
from rest_framework.test import APIClient

from django_polar.models import Customer

from .conftest import make_person

ME = "/polar/api/me/"
METHODS = f"{ME}payment-methods/"


def sent(polar):
    """Method and path of what Polar was asked."""
    return [f"{request.method} {request.path}" for request in polar.requests]


@pytest.fixture
def quiet(polar, ada):
    """What making the customers took is forgotten."""
    polar.reset_requests()
    return polar


def test_profile_comes_from_the_mirror(quiet, ada):
    """No request; and neither the merchant's metadata nor anything internal is shown."""
    answer = ada.client.get(ME)

    assert answer.status_code == 200
    data = answer.json()
    assert data["id"] == str(ada.customer.pk)
    assert data["email"] == ada.remote["email"]
    assert data["default_payment_method_id"] == ada.payment_method["id"]
    assert not {"metadata", "raw", "digest", "organization_id"} & data.keys()
    assert quiet.requests == []


def test_answers_are_not_cached_by_anybody(ada):
    assert "no-store" in ada.client.get(ME)["Cache-Control"]


def test_state_comes_from_the_mirror(quiet, ada):
    data = ada.client.get(f"{ME}state/").json()

    assert [s["status"] for s in data["active_subscriptions"]] == ["active"]
    assert len(data["granted_benefits"]) == len(data["active_meters"]) == 1
    assert "metadata" not in data["active_subscriptions"][0]
    assert quiet.requests == []


def test_state_takes_a_constant_number_of_queries(ada, django_assert_num_queries):
    """Session, user, customer, state and its three tables."""
    with django_assert_num_queries(7):
        ada.client.get(f"{ME}state/")


def test_profile_changes_at_polar_and_in_the_mirror(quiet, ada):
    address = {"country": "FR", "city": "Paris"}
    answer = ada.client.patch(
        ME, {"billing_name": "Ada Ltd", "billing_address": address}, format="json"
    )

    assert answer.status_code == 200
    assert answer.json()["billing_name"] == "Ada Ltd"
    assert quiet.customer(ada.remote["id"])["billing_name"] == "Ada Ltd"
    assert Customer.objects.get(pk=ada.customer.pk).billing_address["city"] == "Paris"


def test_nothing_to_change_asks_nobody(quiet, ada):
    assert ada.client.patch(ME, {}, format="json").status_code == 200
    assert quiet.requests == []


@pytest.mark.parametrize(
    "field", ["email", "external_id", "id", "user", "metadata", "deleted_at", "name"]
)
def test_what_may_not_be_changed_is_refused(quiet, ada, field):
    """Not ignored: who sends it must not believe that it was done."""
    answer = ada.client.patch(ME, {field: "x"}, format="json")

    assert answer.status_code == 400
    assert list(answer.json()) == [field]
    assert quiet.requests == []


def test_validation_errors_of_polar_keep_their_fields(ada):
    answer = ada.client.patch(
        ME, {"billing_address": {"country": "XX", "city": "Nowhere"}}, format="json"
    )

    assert answer.status_code == 400
    assert answer.json()["billing_address"]["country"]


def test_balance(ada):
    data = ada.client.get(f"{ME}balance/").json()

    assert [(each["currency"], each["amount"]) for each in data] == [("usd", 1500)]


def test_portal_session(quiet, ada):
    """The address and when it ends; the token is nowhere but in the address."""
    answer = ada.client.post(
        f"{ME}portal-session/", {"return_url": "/account/?tab=billing"}, format="json"
    )

    assert answer.status_code == 201
    assert set(answer.json()) == {"customer_portal_url", "expires_at"}
    assert "no-store" in answer["Cache-Control"]
    assert sent(quiet) == ["POST /v1/customer-sessions/"]


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "https:///evil.example",
        "javascript:alert(1)",
        "http://testserver@evil.example/",
        "https://testserver.evil.example/",
    ],
)
def test_portal_session_does_not_lead_back_elsewhere(quiet, ada, url):
    answer = ada.client.post(f"{ME}portal-session/", {"return_url": url}, format="json")

    assert answer.status_code == 400
    assert list(answer.json()) == ["return_url"]
    assert quiet.requests == []


def test_payment_methods(ada):
    data = ada.client.get(METHODS).json()

    assert [method["id"] for method in data] == [ada.payment_method["id"]]
    assert set(data[0]) == {"id", "type", "created_at", "card"}


def test_adding_a_payment_method(quiet, ada):
    """Polar has it afterwards, and the mirror knows the new default."""
    answer = ada.client.post(
        METHODS, {"confirmation_token_id": "ctoken_1", "set_default": True}, format="json"
    )

    assert answer.status_code == 201
    method = answer.json()["payment_method"]
    assert answer.json()["status"] == "succeeded"
    assert len(ada.client.get(METHODS).json()) == 2
    assert ada.client.get(ME).json()["default_payment_method_id"] == method["id"]


def test_payment_method_that_needs_the_bank(ada):
    """The answer carries what Stripe.js goes on with; the second step finishes it."""
    first = ada.client.post(
        METHODS, {"confirmation_token_id": "requires_action_1"}, format="json"
    ).json()

    assert first["status"] == "requires_action"
    assert first["client_secret"]
    assert first["payment_method"] is None
    second = ada.client.post(
        f"{METHODS}confirm/", {"setup_intent_id": "seti_1", "set_default": False}, format="json"
    )
    assert second.status_code == 201
    assert second.json()["status"] == "succeeded"


def test_deleting_a_payment_method(polar, ada):
    spare = polar.add_payment_method(ada.remote)

    assert ada.client.delete(f"{METHODS}{spare['id']}/").status_code == 204
    assert spare["id"] not in polar.payment_methods


def test_payment_method_in_use_stays(polar, ada):
    """Polar refuses, and so do we, without calling it a server's fault."""
    answer = ada.client.delete(f"{METHODS}{ada.payment_method['id']}/")

    assert answer.status_code == 409
    assert ada.payment_method["id"] in polar.payment_methods


def test_one_session_serves_many_requests(quiet, ada):
    for _ in range(3):
        ada.client.get(METHODS)

    assert sent(quiet).count("POST /v1/customer-sessions/") == 1


def test_session_that_polar_no_longer_takes_is_replaced(quiet, ada):
    ada.client.get(METHODS)
    quiet._sessions.clear()
    quiet.reset_requests()

    assert ada.client.get(METHODS).status_code == 200
    assert sent(quiet).count("POST /v1/customer-sessions/") == 1


def test_sessions_are_not_shared(quiet, ada, bob):
    """One each, although both pass through one cache."""
    quiet.reset_requests()
    assert ada.client.get(METHODS).json() != bob.client.get(METHODS).json()
    assert sent(quiet).count("POST /v1/customer-sessions/") == 2


def test_sessions_of_a_mixed_up_cache_are_not_used(quiet, ada, bob, monkeypatch):
    """Even a cache that answers one key with another's value gives nobody a foreign session."""
    bob.client.get(METHODS)
    [bobs] = [value for value in _cached() if isinstance(value, dict) and "token" in value]

    def mix_up(key, default=None, **kwargs):
        return bobs if "portal_session" in key else default

    monkeypatch.setattr(cache, "get", mix_up)

    assert [m["id"] for m in ada.client.get(METHODS).json()] == [ada.payment_method["id"]]


def test_session_expires_in_the_cache_before_it_does_at_polar(quiet, ada, monkeypatch):
    timeouts = []
    keep = cache.set

    def spy(key, value, timeout=None, **kwargs):
        timeouts.append(timeout)
        keep(key, value, timeout, **kwargs)

    monkeypatch.setattr(cache, "set", spy)
    ada.client.get(METHODS)

    assert any(timeout and 2400 < timeout <= 3000 for timeout in timeouts)


def test_stranger_is_told_that_there_is_nothing(stranger, polar):
    """Signed in and no customer: 404 everywhere. Polar is asked only for the portal, which
    opens at once for somebody whose purchase has not reached the mirror yet.
    """
    for path in ("", "state/", "balance/", "payment-methods/"):
        assert stranger.get(f"{ME}{path}").status_code == 404
    assert stranger.patch(ME, {"billing_name": "x"}, format="json").status_code == 404
    assert stranger.delete(f"{METHODS}{uuid4()}/").status_code == 404
    assert polar.requests == []
    assert stranger.post(f"{ME}portal-session/", {}, format="json").status_code == 404


ENDPOINTS = [
    ("get", ME),
    ("patch", ME),
    ("get", f"{ME}state/"),
    ("get", f"{ME}balance/"),
    ("post", f"{ME}portal-session/"),
    ("get", METHODS),
    ("post", METHODS),
    ("post", f"{METHODS}confirm/"),
    ("delete", f"{METHODS}{UUID(int=4)}/"),
]


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_anonymous_visitor_gets_nothing(polar, db, method, path):
    """Whatever the project's own defaults are."""
    assert getattr(APIClient(), method)(path).status_code in (401, 403)
    assert polar.requests == []


@pytest.mark.parametrize(("method", "path"), [each for each in ENDPOINTS if each[0] != "get"])
def test_writes_need_the_csrf_token(quiet, ada, method, path):
    """A form on another site cannot act for a signed-in user."""
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(ada.user)

    assert getattr(client, method)(path, {}, format="json").status_code == 403
    assert quiet.requests == []


def test_customer_deleted_at_polar_is_no_customer(polar, ada):
    polar.delete_customer(ada.remote["id"])

    answer = ada.client.get(METHODS)

    assert answer.status_code == 404


FAULTS = [
    ((429, {"Retry-After": "7"}), 429, "7"),
    ((500, None), 503, "30"),
    ((503, {"Retry-After": "12"}), 503, "12"),
    ((401, None), 502, "30"),
]


@pytest.mark.parametrize(("fault", "status", "retry_after"), FAULTS, ids=str)
def test_faults_of_polar_are_told_apart(polar, ada, fault, status, retry_after):
    """Rate limits, outages and a token of ours that is bad: never a 500."""
    code, headers = fault
    polar.fail_next(code, headers=headers, times=50)

    answer = ada.client.get(METHODS)

    assert answer.status_code == status
    assert answer["Retry-After"] == retry_after
    assert list(answer.json()) == ["detail"]


def test_what_polar_does_not_allow_now_is_a_conflict(polar, ada):
    """A 403 that names no scope is about the customer, not about our token."""
    body = b'{"error":"CustomerNotReady","detail":"Customer is not ready for this operation."}'
    polar.fail_next(403, body=body, path="/payment-methods/confirm")

    answer = ada.client.post(
        f"{METHODS}confirm/", {"setup_intent_id": "seti_1", "set_default": True}, format="json"
    )

    assert answer.status_code == 409


def test_missing_scope_is_ours_to_repair(polar, ada, settings, caplog):
    settings.POLAR_ACCESS_TOKEN = polar.add_token("customers:read")

    assert ada.client.get(METHODS).status_code == 502
    assert "customer_sessions:write" in caplog.text


def test_lost_connection_is_an_outage(polar, ada):
    polar.drop_next(after_apply=False, times=50)

    assert ada.client.get(f"{ME}balance/").status_code == 503


def test_garbage_is_not_passed_on(polar, ada):
    polar.garble_next(times=50)

    answer = ada.client.get(METHODS)

    assert answer.status_code == 502
    assert set(answer.json()) == {"detail"}


def test_missing_token_is_no_server_error(ada, settings):
    settings.POLAR_ACCESS_TOKEN = None

    assert ada.client.get(METHODS).status_code == 502


def test_change_counts_although_the_mirror_could_not_follow(polar, ada, caplog):
    """Polar has done it; that is the answer, and the mirror follows by webhook."""
    polar.fail_next(500, times=50, method="GET", path=f"/v1/customers/{ada.remote['id']}")

    answer = ada.client.patch(ME, {"billing_name": "Ada Ltd"}, format="json")

    assert answer.status_code == 200
    assert polar.customer(ada.remote["id"])["billing_name"] == "Ada Ltd"
    assert str(ada.customer.pk) in caplog.text
    assert ada.remote["email"] not in caplog.text


def test_requests_are_throttled(ada, settings):
    settings.REST_FRAMEWORK = {"DEFAULT_THROTTLE_RATES": {"polar_remote": "2/min"}}

    statuses = [ada.client.get(METHODS).status_code for _ in range(3)]

    assert statuses == [200, 200, 429]


def test_throttle_has_a_rate_without_any_settings(ada):
    """The project need not name our scopes: thirty questions to Polar a minute."""
    statuses = [ada.client.get(f"{ME}balance/").status_code for _ in range(31)]

    assert statuses[-2:] == [200, 429]


def test_tokens_are_in_no_body_and_no_log(polar, ada, caplog):
    caplog.set_level("DEBUG")
    bodies = [
        ada.client.get(f"{ME}{path}").content
        for path in ("", "state/", "balance/", "payment-methods/")
    ]
    tokens = [polar.token, *polar._sessions]

    assert len(tokens) > 1
    for token in tokens:
        assert token not in caplog.text
        assert not any(token.encode() in body for body in bodies)


def test_one_customer_each(polar, db):
    """Two users, two customers, and each sees the own one."""
    names = ["carol", "dan"]
    people = [make_person(polar, name) for name in names]

    assert [person.client.get(ME).json()["name"] for person in people] == [
        "Carol Example",
        "Dan Example",
    ]
    assert json.loads(people[0].client.get(ME).content) != people[1].client.get(ME).json()


def _cached():
    import pickle  # noqa: PLC0415

    return [pickle.loads(value) for value in cache._cache.values()]
