"""The fake's customers, rule by rule."""

from __future__ import annotations

import csv
import hashlib
import io

import httpx
import pytest

from django_polar.testing import FakePolar

ADDRESS = {"country": "FR", "city": "Paris"}


def errors(response):
    """What a 422 complains about: its kind, and each place with its message."""
    assert response.status_code == 422, response.text
    body = response.json()
    return body["error"], [(*item["loc"], item["msg"]) for item in body["detail"]]


def fields_in_error(response):
    return [item["loc"][-1] for item in response.json()["detail"]]


def test_email_and_external_id_are_unique_among_live_customers(fake, http):
    """Both are reported at once; the email without regard to case, the external id with."""
    fake.add_customer(email="ada@acme-mail.dev", external_id="a1")

    refused = http.post("/v1/customers/", json={"email": "ADA@acme-mail.dev", "external_id": "a1"})
    kind, found = errors(refused)
    assert kind == "PolarRequestValidationError"
    assert [item[:2] for item in found] == [("body", "email"), ("body", "external_id")]
    created = http.post("/v1/customers/", json={"email": "b@acme-mail.dev", "external_id": "A1"})
    assert created.status_code == 201


def test_deletion_frees_email_and_external_id(fake, http):
    """A new customer may take both over."""
    old = fake.add_customer(email="ada@acme-mail.dev", external_id="a1")
    assert http.delete(f"/v1/customers/{old['id']}").status_code == 204

    body = {"email": "ada@acme-mail.dev", "external_id": "a1"}
    new = http.post("/v1/customers/", json=body)

    assert new.status_code == 201
    assert new.json()["id"] != old["id"]
    assert http.get("/v1/customers/external/a1").json()["id"] == new.json()["id"]


@pytest.mark.parametrize("blank", ["", "  ", None])
def test_blank_external_ids_and_names_become_null(http, blank):
    """Two customers without an external id are no conflict."""
    for email in ("a@acme-mail.dev", "b@acme-mail.dev"):
        body = {"email": email, "external_id": blank, "name": blank}
        created = http.post("/v1/customers/", json=body).json()
        assert (created["external_id"], created["name"]) == (None, None)


def test_an_external_id_is_written_once(fake, http):
    """It may be set where there is none, repeated, and never changed or cleared."""
    path = f"/v1/customers/{fake.add_customer()['id']}"

    assert http.patch(path, json={"external_id": "x"}).json()["external_id"] == "x"
    assert http.patch(path, json={"external_id": "x"}).status_code == 200
    for other in ("y", "", None):
        kind, found = errors(http.patch(path, json={"external_id": other}))
        assert kind == "PolarRequestValidationError"
        assert found == [("body", "external_id", "Customer external ID cannot be updated.")]


def test_the_external_route_ignores_an_external_id(fake, http):
    """It is no field of that route."""
    fake.add_customer(external_id="x")

    answered = http.patch("/v1/customers/external/x", json={"external_id": "y", "name": "N"})

    assert (answered.json()["external_id"], answered.json()["name"]) == ("x", "N")


@pytest.mark.parametrize("email", [None, "ADA@acme-mail.dev"])
def test_an_email_of_null_or_another_case_is_accepted_and_ignored(fake, http, email):
    """Nothing changes, not even ``modified_at``."""
    row = fake.add_customer(email="ada@acme-mail.dev")

    assert http.patch(f"/v1/customers/{row['id']}", json={"email": email}).json() == row


def test_metadata_is_replaced_whole(fake, http):
    """Keys that are not sent again are gone."""
    row = fake.add_customer(metadata={"a": 1, "b": 2})

    answered = http.patch(f"/v1/customers/{row['id']}", json={"metadata": {"c": True}})

    assert answered.json()["metadata"] == {"c": True}


def test_an_address_is_never_cleared(fake, http):
    """``billing_address: null`` is refused once there is one."""
    row = fake.add_customer(billing_address=ADDRESS)

    kind, found = errors(http.patch(f"/v1/customers/{row['id']}", json={"billing_address": None}))

    assert kind == "PolarRequestValidationError"
    assert found[0][1] == "billing_address"


def test_an_empty_update_changes_nothing_and_sends_webhooks(fake, http):
    """``PATCH {}`` does not move ``modified_at``."""
    row = fake.add_customer()
    fake.deliveries.clear()

    assert http.patch(f"/v1/customers/{row['id']}", json={}).json() == row
    assert [event.type for event in fake.deliveries] == [
        "customer.updated",
        "customer.state_changed",
    ]


def test_a_team_stays_a_team(fake, http):
    """The way back to an individual is closed."""
    path = f"/v1/customers/{fake.add_customer()['id']}"

    assert http.patch(path, json={"type": "team"}).json()["type"] == "team"
    assert fields_in_error(http.patch(path, json={"type": "individual"})) == ["type"]


@pytest.mark.parametrize(
    ("body", "places"),
    [
        ({}, ["email"]),
        ({"email": "nobody"}, ["email"]),
        ({"email": "x@example.com"}, ["email"]),
        ({"email": "x@foo.test"}, ["email"]),
        ({"email": "nobody", "name": "n" * 257}, ["name", "email"]),
        ({"email": "a@acme-mail.dev", "external_id": 12}, ["external_id"]),
        ({"email": "a@acme-mail.dev", "external_id": "a\x00b"}, ["external_id"]),
        ({"email": "a@acme-mail.dev", "metadata": {"k" * 41: "v"}}, ["[key]"]),
        ({"email": "a@acme-mail.dev", "metadata": {str(n): n for n in range(51)}}, ["metadata"]),
        ({"email": "a@acme-mail.dev", "billing_address": {"country": "XX"}}, ["country"]),
        ({"email": "a@acme-mail.dev", "locale": "xx-notalocale"}, ["locale"]),
        ({"type": "team", "name": "No owner"}, ["team"]),
    ],
)
def test_values_that_do_not_fit_are_all_reported(http, body, places):
    """On create the place contains the kind of customer."""
    kind, found = errors(http.post("/v1/customers/", json=body))

    assert kind == "RequestValidationError"
    assert [item[-2] for item in found] == places
    assert {item[1] for item in found} == {body.get("type", "individual")}


@pytest.mark.parametrize("value", ["", None, {"a": 1}, "v" * 501])
def test_a_metadata_value_is_tried_as_four_types(http, value):
    """Each attempt is an error of its own."""
    body = {"email": "a@acme-mail.dev", "metadata": {"k": value}}

    assert fields_in_error(http.post("/v1/customers/", json=body)) == [
        "constrained-str",
        "int",
        "float",
        "bool",
    ]


def test_a_tax_id_needs_a_country_and_to_be_one(http):
    """The pair of number and format is what is stored."""
    body = {"email": "a@acme-mail.dev", "tax_id": "FR61954506077"}
    assert fields_in_error(http.post("/v1/customers/", json=body)) == ["billing_address"]
    body["billing_address"] = ADDRESS
    assert fields_in_error(http.post("/v1/customers/", json=body | {"tax_id": "NO"})) == ["tax_id"]

    assert http.post("/v1/customers/", json=body).json()["tax_id"] == ["FR61954506077", "eu_vat"]


@pytest.mark.parametrize(
    "value", ["not-a-uuid", "018f0d7e-1f4e-7b7a-8d9e-e287cf90131b", "00" * 16, "external"]
)
def test_an_id_is_a_version_4_uuid(http, value):
    """Anything else is a 422, before it is looked for."""
    assert fields_in_error(http.get(f"/v1/customers/{value}")) == ["id"]


def test_any_spelling_of_an_id_finds_the_customer(fake, http):
    """Upper case, and without dashes."""
    row = fake.add_customer()

    for spelling in (row["id"].upper(), row["id"].replace("-", "")):
        assert http.get(f"/v1/customers/{spelling}").json() == row


def test_a_deleted_customer_is_gone_for_every_operation(fake, http):
    """A second deletion answers 404 too, so nobody can be anonymized afterwards."""
    path = f"/v1/customers/{fake.add_customer(external_id='x')['id']}"
    assert http.delete(path).status_code == 204

    gone = [
        http.get(path),
        http.get(f"{path}/state"),
        http.patch(path, json={"name": "x"}),
        http.delete(path, params={"anonymize": "true"}),
        http.get("/v1/customers/external/x"),
        http.get(f"{path}/payment-methods"),
    ]

    assert {response.status_code for response in gone} == {404}
    assert {response.json()["error"] for response in gone} == {"ResourceNotFound"}


def test_anonymization_hashes_email_and_name_and_keeps_the_external_id(fake, http):
    """A plain deletion clears the external id and keeps the rest."""
    plain = fake.add_customer(external_id="p", email="p@acme-mail.dev", name="P")
    hashed = fake.add_customer(external_id="h", email="h@acme-mail.dev", name="H")
    business = fake.add_customer(name="B", tax_id=["FR61954506077", "eu_vat"])

    http.delete("/v1/customers/external/p")
    http.delete("/v1/customers/external/h", params={"anonymize": "true"})
    http.delete(f"/v1/customers/{business['id']}", params={"anonymize": "true"})

    deleted = fake.deleted_customers
    assert (deleted[plain["id"]]["external_id"], deleted[plain["id"]]["name"]) == (None, "P")
    digest = hashlib.sha256(b"h@acme-mail.dev").hexdigest()
    assert deleted[hashed["id"]]["email"] == f"{digest}@anonymized.polar.sh"
    assert deleted[hashed["id"]]["name"] == hashlib.sha256(b"H").hexdigest()
    assert deleted[hashed["id"]]["external_id"] == "h"
    assert "__anonymized_at" in deleted[hashed["id"]]["metadata"]
    assert deleted[business["id"]]["name"] == "B"
    assert deleted[business["id"]]["tax_id"] == ["FR61954506077", "eu_vat"]


def test_what_a_deleted_customer_had_is_ended_and_still_listed(fake, http):
    """Its subscriptions are canceled, its grants revoked, its meters stay."""
    row = fake.add_customer()
    fake.add_subscription(row)
    fake.add_grant(row)
    fake.add_meter(row)

    http.delete(f"/v1/customers/{row['id']}")

    parameters = {"customer_id": row["id"]}
    (subscription,) = http.get("/v1/subscriptions/", params=parameters).json()["items"]
    (grant,) = http.get("/v1/benefit-grants/", params=parameters).json()["items"]
    (meter,) = http.get("/v1/customer-meters/", params=parameters).json()["items"]
    assert subscription["status"] == "canceled"
    assert (grant["is_granted"], grant["is_revoked"]) == (False, True)
    assert meter["customer"]["deleted_at"] is not None


def test_the_state_has_what_counts_now(fake, http):
    """Active and trialing subscriptions, granted benefits, all meters."""
    row = fake.add_customer(external_id="x")
    for status in ("active", "trialing", "past_due", "canceled", "unpaid", "incomplete"):
        fake.add_subscription(row, status=status)
    granted = fake.add_grant(row, benefit_type="feature_flag", benefit_metadata={"a": 1})
    fake.revoke_grant(fake.add_grant(row))
    meter = fake.add_meter(row, archived=True, consumed_units=2.5, credited_units=10)

    state = http.get("/v1/customers/external/x/state").json()

    assert {item["status"] for item in state["active_subscriptions"]} == {"active", "trialing"}
    assert [item["id"] for item in state["granted_benefits"]] == [granted["id"]]
    assert state["granted_benefits"][0]["benefit_metadata"] == {"a": 1}
    assert [(item["id"], item["balance"]) for item in state["active_meters"]] == [
        (meter["id"], 7.5)
    ]


def test_the_state_may_be_cached_until_its_webhook_is_sent(fake, http):
    """Right after a change the old state is still answered."""
    fake.state_cache = True
    row = fake.add_customer(external_id="x")
    path = "/v1/customers/external/x/state"
    assert http.get(path).json()["granted_benefits"] == []

    fake.add_grant(row)
    assert http.get(path).json()["granted_benefits"] == []
    fake.deliver("http://127.0.0.1:1/", secret="s", attempts=1)

    assert len(http.get(path).json()["granted_benefits"]) == 1


def test_a_new_server_has_no_balance_and_an_old_one_adds_up_wallets():
    """The route is missing, which is not the customer's absence."""
    for fake, expected in ((FakePolar(), 404), (FakePolar(old_balance=True), 200)):
        row = fake.add_customer()
        fake.add_wallet(row, balance=1500)
        with httpx.Client(transport=fake.transport(), base_url=fake.base_url) as http:
            headers = {"Authorization": f"Bearer {fake.token}"}
            answered = http.get(f"/v1/customers/{row['id']}/balance", headers=headers)
        assert answered.status_code == expected
        body = answered.json()
        assert body == (
            {"detail": "Not Found"}
            if expected == 404
            else {
                "balance": 1500,
                "currency": "USD",
            }
        )


def test_an_old_server_ignores_versions_and_anonymize():
    """As of November 2025: no version header, fewer fields, a plain deletion."""
    fake = FakePolar.old_server()
    row = fake.add_customer(name="Ada")
    headers = {"Authorization": f"Bearer {fake.token}", "Polar-Version": "2099-01"}
    with httpx.Client(transport=fake.transport(), base_url=fake.base_url, headers=headers) as http:
        answered = http.get(f"/v1/customers/{row['id']}")
        http.delete(f"/v1/customers/{row['id']}", params={"anonymize": "true"})

    assert answered.status_code == 200
    assert "polar-version" not in answered.headers
    assert "billing_name" not in answered.json()
    assert fake.deleted_customers[row["id"]]["name"] == "Ada"


def test_the_export_has_every_customer_once(fake, http):
    """In no order, deleted ones left out, odd characters quoted."""
    fake.seed_world(300)

    rows = list(csv.reader(io.StringIO(http.get("/v1/customers/export").text, newline="")))

    assert rows[0][:5] == ["ID", "External ID", "Created At", "Email", "Name"]
    assert len(rows) == 301
    exported = {row[0]: row[1] or None for row in rows[1:]}
    assert exported == {row["id"]: row["external_id"] for row in fake.customers.values()}
    assert list(exported) != list(fake.customers)


def test_the_billing_name_follows_the_name_until_it_has_one_of_its_own(fake):
    """A customer sets it in the portal."""
    row = fake.add_customer(name="Ada")
    assert fake.update_customer(row, name="Countess")["billing_name"] == "Countess"

    fake.update_customer(row, billing_name="Ada L. GmbH")

    assert fake.update_customer(row, name="Ada")["billing_name"] == "Ada L. GmbH"


def test_customers_that_no_api_would_make_can_be_built(fake):
    """Two with one external id: deleting one leaves the other found."""
    first, second = (fake.add_customer(external_id="x") for _ in range(2))
    fake.delete_customer(first)

    assert fake.find_by_external_id("x") == second
