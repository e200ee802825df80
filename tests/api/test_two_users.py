"""Ada is signed in and wants what is Bob's. There is nothing she can send that gets it."""

from __future__ import annotations

import itertools
import json
from urllib.parse import quote

import pytest
from django.urls import get_resolver

from django_polar.api.urls import urlpatterns

from .conftest import make_staff

API = "/polar/api/"
METHODS = f"{API}me/payment-methods/"


def everything_of(person):
    return (
        person.remote["id"],
        person.remote["external_id"],
        person.remote["email"],
        person.payment_method["id"],
    )


@pytest.fixture
def untouched(polar, bob):
    """Bob's things are afterwards what they were before."""
    before = (polar.customer(bob.remote["id"]).copy(), polar.state(bob.remote["id"]))
    yield
    assert (polar.customer(bob.remote["id"]), polar.state(bob.remote["id"])) == before
    assert bob.payment_method["id"] in polar.payment_methods
    bob.customer.refresh_from_db()
    assert bob.customer.email == bob.remote["email"]
    assert bob.customer.user_id == bob.user.pk


def test_every_endpoint_with_every_id_of_the_other(polar, ada, bob, untouched):
    """In the path, in the query and in the body, with every method: nothing of Bob's comes out."""
    guesses = everything_of(bob)
    shapes = [
        "me/",
        "me/state/",
        "me/balance/",
        "me/portal-session/",
        "me/payment-methods/",
        "me/payment-methods/confirm/",
        "me/payment-methods/{}/",
        "me/{}/",
        "me/state/{}/",
        "customers/",
        "customers/export/",
        "customers/{}/",
        "customers/{}/state/",
        "customers/{}/refresh/",
        "customers/{}/balance/",
    ]
    assert len(urlpatterns) <= len(shapes)
    for shape, guess, method in itertools.product(
        shapes, guesses, ("get", "post", "put", "patch", "delete")
    ):
        path = f"{API}{shape.format(quote(str(guess), safe=''))}"
        query = f"?id={guess}&external_id={guess}&user={bob.user.pk}&customer_id={guess}"
        body = {"id": guess, "external_id": guess, "customer_id": guess, "user": bob.user.pk}
        answer = getattr(ada.client, method)(path + query, body, format="json")

        text = b"".join(answer) if answer.streaming else answer.content
        assert answer.status_code < 500, (method, path)
        for secret in bob.secrets:
            # What she sent herself may come back, as in the text of an error.
            if secret not in path:
                assert secret.encode() not in text, (method, path, secret)


def test_stolen_payment_method_cannot_be_deleted(ada, bob, untouched):
    assert ada.client.delete(f"{METHODS}{bob.payment_method['id']}/").status_code == 404


def test_stolen_payment_method_cannot_be_made_the_default(polar, ada, bob, untouched):
    """Our own check: this one decides whose card is charged."""
    answer = ada.client.patch(
        f"{API}me/", {"default_payment_method_id": bob.payment_method["id"]}, format="json"
    )

    assert answer.status_code == 400
    assert list(answer.json()) == ["default_payment_method_id"]
    mine = polar.customer(ada.remote["id"])["default_payment_method_id"]
    assert mine == ada.payment_method["id"]


def test_own_payment_method_can_be_made_the_default(polar, ada):
    spare = polar.add_payment_method(ada.remote)

    answer = ada.client.patch(
        f"{API}me/", {"default_payment_method_id": spare["id"]}, format="json"
    )

    assert answer.json()["default_payment_method_id"] == spare["id"]


def test_portal_session_is_the_own_one(polar, ada, bob):
    """Whatever is sent along, the session belongs to who is signed in."""
    answer = ada.client.post(f"{API}me/portal-session/", {}, format="json")
    token = answer.json()["customer_portal_url"].split("customer_session_token=")[1].split("&")[0]

    assert polar._sessions[token].customer_id == ada.remote["id"]
    refused = ada.client.post(
        f"{API}me/portal-session/", {"customer_id": bob.remote["id"]}, format="json"
    )
    assert refused.status_code == 400


def test_session_of_another_customer_is_not_used(polar, ada, bob):
    """Whatever Polar, or somebody in between, answers."""
    session = polar.client().customer_sessions.create(customer_id=bob.customer.pk)
    foreign = {
        "id": str(session.id),
        "token": session.token,
        "expires_at": session.expires_at.isoformat(),
        "customer_portal_url": session.customer_portal_url,
        "customer_id": str(session.customer_id),
    }
    polar.fail_next(201, body=json.dumps(foreign).encode(), path="/v1/customer-sessions/")

    answer = ada.client.get(METHODS)

    assert answer.status_code == 404
    assert bob.payment_method["id"] not in answer.content.decode()


def test_changing_hands(polar, ada, bob):
    """When a customer is linked to another user, the session kept for the first is of no use."""
    ada.client.get(METHODS)
    bob.customer.user = None
    bob.customer.save()
    ada.customer.user = None
    ada.customer.save()
    bob.customer.user = ada.user
    bob.customer.save()

    assert [m["id"] for m in ada.client.get(METHODS).json()] == [bob.payment_method["id"]]


def test_staff_sees_only_customers_not_their_sessions(polar, ada):
    """Staff may look at customers, and has no way to their payment methods."""
    staff = make_staff("view_customer", "change_customer")

    assert staff.get(METHODS).status_code == 404


def test_no_endpoint_is_forgotten_here():
    """Every pattern of the API is in the list of shapes above, or takes no id at all."""
    assert all("<uuid:id>" in str(p.pattern) or "<" not in str(p.pattern) for p in urlpatterns)
    assert get_resolver().resolve(f"{API}me/")
