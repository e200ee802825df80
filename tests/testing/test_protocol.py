"""The fake's protocol: tokens, scopes, routes, redirects, versions, limits."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import quote

import httpx
import pytest

from django_polar.testing import FakePolar

NOT_FOUND = {"error": "ResourceNotFound", "detail": "Not found"}
NO_ROUTE = {"detail": "Not Found"}


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("value", ["", "Bearer ", "Basic dXNlcjpwYXNz"])
def test_without_a_bearer_token_nobody_is_anybody(http, value):
    """401 Unauthorized, with a bare challenge."""
    answered = http.get("/v1/customers/", headers={"Authorization": value})

    assert (answered.status_code, answered.json()["error"]) == (401, "Unauthorized")
    assert answered.headers["www-authenticate"] == 'Bearer realm="polar"'


def test_a_bad_or_expired_token_is_invalid(fake, http):
    """401 invalid_token, which the challenge says too."""
    revoked = fake.add_token("customers:read")
    fake.revoke_token(revoked)
    for token in ("polar_oat_nobody", fake.add_token("customers:read", expired=True), revoked):
        answered = http.get("/v1/customers/", headers=bearer(token))
        assert (answered.status_code, answered.json()["error"]) == (401, "invalid_token")
        assert 'error="invalid_token"' in answered.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("path", "scopes"),
    [
        ("/v1/customers/", "customers:read customers:write"),
        ("/v1/customers/export", "customers:read customers:write"),
        ("/v1/subscriptions/", "subscriptions:write subscriptions:read"),
        ("/v1/benefit-grants/", "benefits:read benefits:write"),
        ("/v1/customer-meters/", "customer_meters:read"),
        ("/v1/webhooks/endpoints", "webhooks:read webhooks:write"),
    ],
)
def test_a_missing_scope_is_named(fake, http, path, scopes):
    """Any of the scopes that the challenge names is enough."""
    refused = http.get(path, headers=bearer(fake.add_token("orders:read")))
    assert (refused.status_code, refused.json()["error"]) == (403, "insufficient_scope")
    assert f'scope="{scopes}"' in refused.headers["www-authenticate"]

    for scope in scopes.split():
        assert http.get(path, headers=bearer(fake.add_token(scope))).status_code == 200


def test_reading_is_not_writing(fake, http):
    """``customers:read`` creates nothing."""
    token = fake.add_token("customers:read")

    refused = http.post("/v1/customers/", json={"email": "a@b.dev"}, headers=bearer(token))

    assert refused.status_code == 403
    assert not fake.customers


def test_each_kind_of_token_opens_its_own_doors(fake, http):
    """A customer session opens the portal and nothing else; an organization's never does."""
    row = fake.add_customer()
    session = fake.add_session(row)

    assert http.get("/v1/customer-portal/customers/me").status_code == 401
    assert http.get(f"/v1/customers/{row['id']}", headers=bearer(session)).status_code == 401
    me = http.get("/v1/customer-portal/customers/me", headers=bearer(session))
    assert me.json()["id"] == row["id"]


def test_a_session_ends_with_its_hour_and_with_its_customer(fake, http):
    """Then its token is an invalid one."""
    staying, leaving = fake.add_customer(), fake.add_customer()
    expired = fake.add_session(staying, lifetime=timedelta(seconds=-1))
    orphaned = fake.add_session(leaving)
    fake.delete_customer(leaving)

    for token in (expired, orphaned):
        answered = http.get("/v1/customer-portal/customers/me", headers=bearer(token))
        assert answered.json()["error"] == "invalid_token"


def test_sessions_are_made_for_individuals_that_exist(fake, http):
    """An unknown customer is a 422, and a team needs a member."""
    row = fake.add_customer(external_id="x", email="x@acme-mail.dev")
    fake.add_customer(external_id="t", type="team")

    made = http.post("/v1/customer-sessions/", json={"external_customer_id": "x"}).json()
    assert made["customer_id"] == row["id"]
    assert made["token"] in made["customer_portal_url"]
    for body, place in (
        ({"external_customer_id": "nope"}, "external_customer_id"),
        ({"customer_id": fake.new_id()}, "customer_id"),
        ({"external_customer_id": "t"}, "member_id"),
    ):
        refused = http.post("/v1/customer-sessions/", json=body)
        assert refused.status_code == 422
        assert refused.json()["detail"][0]["loc"] == ["body", place]


@pytest.mark.parametrize(
    ("method", "path", "location"),
    [
        ("GET", "/v1/customers", "/v1/customers/"),
        ("GET", "/v1/customers?page=2&limit=5", "/v1/customers/?page=2&limit=5"),
        ("POST", "/v1/customers", "/v1/customers/"),
        ("GET", "/v1/customers/export/", "/v1/customers/export"),
        ("DELETE", "/v1/customers/external/trail%2F", "/v1/customers/external/trail"),
        ("GET", "/v1/customers/external/", "/v1/customers/external"),
        ("GET", "/v1/customer-portal/wallets", "/v1/customer-portal/wallets/"),
    ],
)
def test_a_slash_too_many_or_too_few_redirects_even_strangers(http, method, path, location):
    """307 with an absolute location."""
    answered = http.request(method, path, headers={"Authorization": ""})

    assert answered.status_code == 307
    assert answered.headers["location"] == f"https://polar.invalid{location}"


def test_a_slash_in_an_external_id_leads_elsewhere(fake, http):
    """It finds no route, or the state of another customer."""
    fake.add_customer(external_id="a/b/c")
    fake.add_customer(external_id="abc/state")
    other = fake.add_customer(external_id="abc")

    assert http.get("/v1/customers/external/a%2Fb%2Fc").json() == NO_ROUTE
    state = http.get("/v1/customers/external/abc%2Fstate").json()
    assert (state["id"], state["active_subscriptions"]) == (other["id"], [])
    assert http.patch("/v1/customers/external/abc%2Fstate", json={}).status_code == 405


@pytest.mark.parametrize(
    "external_id", ["100%off", "x%2Fy", "q?x=1", "h#f", "a+b", "ünï-コード-🚀", "a\nb", "it's"]
)
@pytest.mark.parametrize("over_http", [False, True])
def test_every_other_character_works_percent_encoded(fake, http, external_id, over_http):
    """In-process and over HTTP."""
    row = fake.add_customer(external_id=external_id)
    path = f"/v1/customers/external/{quote(external_id, safe='')}"

    if over_http:
        with fake.serve() as base_url, httpx.Client(base_url=base_url) as client:
            assert client.get(path, headers=bearer(fake.token)).json() == row
    else:
        assert http.get(path).json() == row


def test_three_kinds_of_not_found(fake, http):
    """An unknown customer, an unknown route, and an unknown version."""
    customer = http.get(f"/v1/customers/{fake.new_id()}")
    route = http.get("/v1/nope")
    version = http.get("/v1/customers/", headers={"Polar-Version": "2099-01"})

    assert customer.json() == NOT_FOUND
    assert route.json() == version.json() == NO_ROUTE
    assert [r.headers.get("polar-version") for r in (customer, route, version)] == [
        "2026-04",
        "2026-04",
        None,
    ]


@pytest.mark.parametrize("version", ["2026-04", "2026-10", "2027-01"])
def test_known_versions_are_echoed(http, version):
    """The answer says which version it is."""
    answered = http.get("/v1/customers/", headers={"Polar-Version": version})

    assert answered.headers["polar-version"] == version


@pytest.mark.parametrize("method", ["PUT", "HEAD", "OPTIONS", "POST"])
def test_other_methods_are_not_allowed(fake, http, method):
    """405 with one allowed method, as the real router has it."""
    answered = http.request(method, f"/v1/customers/{fake.add_customer()['id']}")

    assert (answered.status_code, answered.headers["allow"]) == (405, "GET")


def test_broken_json_is_refused_before_anybody_is_asked_who_they_are(http):
    """422 even without a token."""
    answered = http.post("/v1/customers/", content=b"{bad", headers={"Authorization": ""})

    assert answered.status_code == 422
    assert answered.json()["detail"][0]["type"] == "json_invalid"


def test_too_big_a_body_is_refused(http):
    """More than 10 MiB."""
    assert http.post("/v1/customers/", content=b" " * (10 * 1024 * 1024 + 1)).status_code == 413


def test_the_rate_limit_answers_nothing_but_a_wait(fake, http):
    """429, no body, no content type, the whole window as ``Retry-After``, for every token."""
    fake.rate_limit = 2
    assert [http.get("/v1/customers/").status_code for _ in range(2)] == [200, 200]

    refused = http.get("/v1/customers/", headers=bearer("polar_oat_bad"))

    assert (refused.status_code, refused.content) == (429, b"")
    assert refused.headers["retry-after"] == "60"
    assert "content-type" not in refused.headers


def test_two_organizations_know_nothing_of_each_other(http):
    """Each has its customers and puts its id into them."""
    other = FakePolar(organization_id="1c6a00d9-fbe0-4467-9966-72494d93f53f", seed=2)

    row = other.add_customer()

    assert row["organization_id"] == other.organization_id
    assert http.get(f"/v1/customers/{row['id']}").json() == NOT_FOUND


def test_requests_are_counted(fake, http):
    """With method, path, query and status; bodies only on request."""
    http.get("/v1/customers/?limit=1")
    fake.keep_bodies = True
    http.post("/v1/customers/", content=b"{}")

    first, second = fake.requests
    assert (first.method, first.path, first.query, first.status, first.body) == (
        "GET",
        "/v1/customers/",
        "limit=1",
        200,
        None,
    )
    assert (second.status, second.body, fake.request_count) == (422, b"{}", 2)
    fake.reset_requests()
    assert (fake.requests, fake.request_count) == ([], 0)


def test_the_old_prefix_still_works(http):
    """``/api/v1`` with a notice."""
    assert "x-polar-deprecation-notice" in http.get("/api/v1/customers/").headers


def test_only_the_export_is_streamed_over_http(fake):
    """Everything else says how long it is, and the connection is kept."""
    fake.seed_world(500)
    with fake.serve() as base_url, httpx.Client(base_url=base_url) as client:
        page = client.get("/v1/customers/", headers=bearer(fake.token))
        export = client.get("/v1/customers/export", headers=bearer(fake.token))

    assert page.headers["content-length"] == str(len(page.content))
    assert "transfer-encoding" not in page.headers
    assert export.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in export.headers
    assert len(export.text.splitlines()) > 500
