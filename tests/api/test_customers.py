"""All customers, for staff."""

from __future__ import annotations

from uuid import uuid4

import pytest

from django_polar.models import Customer

from .conftest import make_person, make_staff, mirror

CUSTOMERS = "/polar/api/customers/"


def ids(answer):
    return [each["id"] for each in answer.json()["results"]]


def paths(customer_id):
    yield "get", CUSTOMERS
    yield "get", f"{CUSTOMERS}export/"
    yield "get", f"{CUSTOMERS}{customer_id}/"
    yield "get", f"{CUSTOMERS}{customer_id}/state/"
    yield "post", f"{CUSTOMERS}{customer_id}/refresh/"
    yield "get", f"{CUSTOMERS}{customer_id}/balance/"


@pytest.mark.parametrize(
    ("permissions", "fields"),
    [
        ((), {}),
        (("change_customer", "delete_customer"), {}),
        (("view_customer", "change_customer"), {"is_staff": False}),
        (("view_customer", "change_customer"), {"is_active": False}),
    ],
    ids=["no permission", "other permissions", "not staff", "inactive"],
)
def test_closed_to_others(polar, ada, permissions, fields):
    """Staff status and the permission to view are both needed, and nothing is asked before."""
    client = make_staff(*permissions, **fields)
    polar.reset_requests()

    statuses = {
        path: getattr(client, method)(path).status_code for method, path in paths(ada.customer.pk)
    }

    assert set(statuses.values()) == {403}
    assert polar.requests == []


def test_refresh_needs_the_permission_to_change(polar, ada):
    client = make_staff("view_customer")

    assert client.post(f"{CUSTOMERS}{ada.customer.pk}/refresh/").status_code == 403


def test_list(staff, ada, bob):
    """Oldest first, with counts and pages."""
    answer = staff.get(CUSTOMERS, {"page_size": 1})

    assert ids(answer) == [str(ada.customer.pk)]
    assert answer.json()["count"] == 2
    assert ids(staff.get(answer.json()["next"])) == [str(bob.customer.pk)]


def test_list_takes_a_constant_number_of_queries(staff, polar, db, django_assert_num_queries):
    for number in range(5):
        make_person(polar, f"user{number}")

    # Session, user, its permissions twice (own and groups'), count, page.
    with django_assert_num_queries(6):
        assert len(ids(staff.get(CUSTOMERS))) == 5


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"email": "ADA@example.com"}, ["ada"]),
        ({"search": "bob"}, ["bob"]),
        ({"search": "unlinked_"}, ["unlinked"]),
        ({"linked": "true"}, ["ada", "bob"]),
        ({"linked": "false"}, ["unlinked"]),
        ({"subscribed": "true"}, ["ada", "bob"]),
        ({"subscribed": "false"}, ["unlinked"]),
        ({"subscribed": "true", "search": "ada"}, ["ada"]),
        ({"external_id": "unlinked_1"}, ["unlinked"]),
        ({"external_id": "unlinked"}, []),
        ({"product_id": "product"}, ["ada"]),
        ({"benefit_id": "benefit"}, ["ada"]),
        ({"deleted": "true"}, ["gone"]),
    ],
    ids=str,
)
def test_filters(staff, polar, ada, bob, filters, expected):
    unlinked = mirror(
        polar,
        polar.add_customer(external_id="unlinked_1", email="nobody@example.org", name="Nobody"),
    )
    gone = make_person(polar, "gone").customer
    Customer.objects.filter(pk=gone.pk).update(deleted_at=gone.created_at)
    ada.customer.state.active_subscriptions.update(product_id=uuid4())
    ada.customer.state.granted_benefits.update(benefit_id=uuid4())
    values = {
        "product": ada.customer.state.active_subscriptions.get().product_id,
        "benefit": ada.customer.state.granted_benefits.get().benefit_id,
    }
    filters = {name: values.get(value, value) for name, value in filters.items()}
    names = {
        str(ada.customer.pk): "ada",
        str(bob.customer.pk): "bob",
        str(unlinked.pk): "unlinked",
        str(gone.pk): "gone",
    }

    assert [names[id_] for id_ in ids(staff.get(CUSTOMERS, filters))] == expected


@pytest.mark.parametrize(
    "filters",
    [
        {"product_id": "nonsense"},
        {"linked": "perhaps"},
        {"email": "a\0b"},
        {"search": "\0"},
        {"external_id": "\0"},
    ],
    ids=str,
)
def test_bad_filter_is_named(staff, filters):
    answer = staff.get(CUSTOMERS, filters)

    assert answer.status_code == 400
    assert list(answer.json()) == list(filters)


@pytest.mark.parametrize("page", ["0", "-1", "x", "9" * 40])
def test_bad_page_is_not_found(staff, page):
    assert staff.get(CUSTOMERS, {"page": page}).status_code == 404


def test_retrieve(staff, ada):
    data = staff.get(f"{CUSTOMERS}{ada.customer.pk}/").json()

    assert data["user"] == str(ada.user.pk)
    assert data["email"] == ada.remote["email"]
    assert data["metadata"] == ada.remote["metadata"]


def test_state(staff, ada):
    """With the metadata that customers do not see."""
    data = staff.get(f"{CUSTOMERS}{ada.customer.pk}/state/").json()

    assert data["active_subscriptions"][0]["metadata"] == {}
    assert "benefit_metadata" in data["granted_benefits"][0]
    assert len(data["active_meters"]) == 1


def test_refresh(staff, polar, ada):
    """What changed at Polar is in the mirror and in the answer."""
    polar.add_grant(ada.remote)

    answer = staff.post(f"{CUSTOMERS}{ada.customer.pk}/refresh/")

    assert answer.status_code == 200
    assert len(answer.json()["granted_benefits"]) == 2
    assert ada.customer.state.granted_benefits.count() == 2


def test_refresh_of_a_customer_that_is_gone(staff, polar, ada):
    polar.delete_customer(ada.remote["id"])

    assert staff.post(f"{CUSTOMERS}{ada.customer.pk}/refresh/").status_code == 404


def test_balance(staff, ada):
    data = staff.get(f"{CUSTOMERS}{ada.customer.pk}/balance/").json()

    assert [(each["currency"], each["amount"]) for each in data] == [("usd", 1500)]


def test_export(staff, ada, bob):
    answer = staff.get(f"{CUSTOMERS}export/", headers={"Accept": "text/csv"})

    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/csv")
    body = b"".join(answer.streaming_content).decode()
    assert str(ada.customer.pk) in body
    assert str(bob.customer.pk) in body


@pytest.mark.parametrize("path", ["", "state/", "balance/"])
def test_unknown_customer(staff, path):
    assert staff.get(f"{CUSTOMERS}{uuid4()}/{path}").status_code == 404


def test_outage_is_told(staff, polar, ada):
    polar.fail_next(503, headers={"Retry-After": "3"}, times=50)

    answer = staff.post(f"{CUSTOMERS}{ada.customer.pk}/refresh/")

    assert (answer.status_code, answer["Retry-After"]) == (503, "3")
