"""Everything that can go wrong between us and Polar, against a deletion."""

from __future__ import annotations

import socket
from datetime import timedelta

import pytest
from django.utils import timezone

from django_polar.client import PolarClient, polar_client
from django_polar.models import CustomerDeletion
from django_polar.services.deletions import send_due_deletions
from django_polar.services.outbox import request_deletion
from tests.outbox.rows import make_customer

pytestmark = pytest.mark.django_db

RESOURCE_NOT_FOUND = {"error": "ResourceNotFound", "detail": "Not found"}
ROUTE_NOT_FOUND = {"detail": "Not Found"}
UNAUTHORIZED = {"error": "invalid_token", "error_description": "..."}
FORBIDDEN = {"error": "insufficient_scope", "error_description": "..."}
BAD_GATEWAY = "<html><body>502 Bad Gateway</body></html>"

FAULTS = {
    "dropped before the answer": lambda polar: polar.drop_next(after_apply=False, method="DELETE"),
    "dropped after it was applied": lambda polar: polar.drop_next(
        after_apply=True, method="DELETE"
    ),
    "timeout before": lambda polar: polar.timeout_next(after_apply=False, method="DELETE"),
    "timeout after it was applied": lambda polar: polar.timeout_next(
        after_apply=True, method="DELETE"
    ),
    "429": lambda polar: polar.fail_next(429, method="DELETE"),
    "500": lambda polar: polar.fail_next(500, method="DELETE"),
    "502 with HTML": lambda polar: polar.fail_next(502, body=BAD_GATEWAY, method="DELETE"),
    "401": lambda polar: polar.fail_next(401, body=UNAUTHORIZED, method="DELETE"),
    "403": lambda polar: polar.fail_next(403, body=FORBIDDEN, method="DELETE"),
    "404 of a route": lambda polar: polar.fail_next(404, body=ROUTE_NOT_FOUND, method="DELETE"),
    "404 without JSON": lambda polar: polar.fail_next(404, body="not here", method="DELETE"),
    "307": lambda polar: polar.fail_next(
        307, headers={"Location": "https://polar.invalid/v1/customers/external/7"}, method="DELETE"
    ),
    "200 from a proxy": lambda polar: polar.fail_next(200, body=BAD_GATEWAY, method="DELETE"),
    "garbage": lambda polar: polar.garble_next(method="DELETE"),
    "garbage when looked up": lambda polar: polar.garble_next(method="GET", times=4),
    "timeout when looked up": lambda polar: polar.timeout_next(
        after_apply=False, method="GET", times=4
    ),
    "404 of a route when looked up": lambda polar: polar.fail_next(
        404, body=ROUTE_NOT_FOUND, method="GET"
    ),
}


def run(client):
    """Send what is due, the waits being over."""
    CustomerDeletion.objects.open().update(due_at=timezone.now())
    return send_due_deletions(client)


@pytest.fixture(params=["first", "third"])
def tries_before(request):
    return 0 if request.param == "first" else 2


@pytest.fixture(params=["id known", "only the external id known"])
def deletion(request, polar):
    """Of customer 42, among others that have every reason to be mistaken for it."""
    for external_id in ("7", "4", "42x", "042"):
        polar.add_customer(external_id=external_id)
    there = polar.add_customer(external_id="42")
    if request.param == "id known":
        make_customer(id=there["id"], external_id="42")
    return request_deletion(external_id="42")


@pytest.fixture(autouse=True)
def others(polar, deletion):
    """No other customer is touched, whatever happens."""
    before = {id_ for id_, row in polar.customers.items() if row["external_id"] != "42"}
    yield
    assert before == {id_ for id_, row in polar.customers.items() if row["external_id"] != "42"}


def is_at_polar(polar):
    return any(row["external_id"] == "42" for row in polar.customers.values())


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_loses_nothing(polar, deletion, tries_before, fault):
    """It ends as done, when Polar no longer has the customer and not before."""
    with polar_client() as client:
        for _ in range(tries_before):
            polar.fail_next(503, method="DELETE")
            assert run(client) == 0

        FAULTS[fault](polar)
        run(client)

        deletion.refresh_from_db()
        assert deletion.failed_at is None
        if deletion.done_at:
            assert not is_at_polar(polar)
        else:
            assert deletion.last_error
            assert deletion.due_at > timezone.now() + timedelta(seconds=10)
            polar.clear_faults()
            assert run(client) == 1

    deletion.refresh_from_db()
    assert deletion.status == "done"
    assert not is_at_polar(polar)
    applied = [r for r in polar.requests if r.method == "DELETE" and r.status == 204]
    lost = [r for r in polar.requests if r.method == "DELETE" and r.status == 0]
    assert len(applied) <= 1
    assert applied or lost


def test_refused_connection_loses_nothing(polar, deletion, tries_before):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    nobody_listens = PolarClient(
        polar.token, base_url=f"http://127.0.0.1:{port}", sleep=lambda _: None
    )
    with nobody_listens as client:
        for _ in range(tries_before + 1):
            assert run(client) == 0
    assert is_at_polar(polar)

    with polar_client() as client:
        assert run(client) == 1

    assert not is_at_polar(polar)


def test_customer_that_polar_does_not_have_any_more_is_done(polar, deletion, tries_before):
    with polar_client() as client:
        for _ in range(tries_before):
            polar.fail_next(503, method="DELETE")
            run(client)
        (id_,) = [id_ for id_, row in polar.customers.items() if row["external_id"] == "42"]
        polar.delete_customer(id_)

        assert run(client) == 1

    deletion.refresh_from_db()
    assert deletion.outcome == CustomerDeletion.Outcome.NOT_FOUND


@pytest.mark.parametrize("deletion", ["id known"], indirect=True)
def test_wrong_not_found_is_not_believed_on_the_first_try(polar, deletion):
    """A mirror may know an id that Polar has replaced, so Polar is asked by the external id."""
    polar.fail_next(404, body=RESOURCE_NOT_FOUND, method="DELETE")

    with polar_client() as client:
        run(client)

    assert not is_at_polar(polar)


def test_refused_request_is_shown_to_a_person_at_once(polar, deletion):
    polar.fail_next(422, body={"error": "RequestValidationError", "detail": []}, method="DELETE")

    with polar_client() as client:
        run(client)

    deletion.refresh_from_db()
    assert deletion.status == "needs attention"
    assert "422" in deletion.last_error
