"""What becomes of a queued deletion, answer by answer."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from django_polar.models import CustomerDeletion
from django_polar.services.deletions import send_due_deletions
from django_polar.services.outbox import request_deletion
from tests.outbox.rows import make_customer

pytestmark = pytest.mark.django_db


# By the clock of a server that is behind ours.
AN_HOUR_AGO = (timezone.now() - timedelta(hours=1)).isoformat()


def deletes(polar):
    return [request for request in polar.requests if request.method == "DELETE"]


def make_due():
    CustomerDeletion.objects.open().update(due_at=timezone.now(), leased_until=None)


def test_known_customer_takes_one_request(polar, client):
    there = polar.add_customer(external_id="42")
    make_customer(id=there["id"], external_id="42")
    request_deletion(external_id="42")

    assert send_due_deletions(client) == 1

    assert not polar.customers
    assert [(r.method, r.path, r.query) for r in polar.requests] == [
        ("DELETE", f"/v1/customers/{there['id']}", "anonymize=true")
    ]
    deletion = CustomerDeletion.objects.get()
    assert deletion.status == "done"
    assert deletion.outcome == CustomerDeletion.Outcome.DELETED


def test_customer_that_only_polar_knows_is_looked_up_and_deleted_by_id(polar, client):
    there = polar.add_customer(external_id="42")
    request_deletion(external_id="42")

    assert send_due_deletions(client) == 1

    assert not polar.customers
    assert str(CustomerDeletion.objects.get().customer_id) == there["id"]


def test_unknown_customer_ends_as_not_found(polar, client):
    request_deletion(external_id="42")

    assert send_due_deletions(client) == 1

    deletion = CustomerDeletion.objects.get()
    assert deletion.status == "done"
    assert deletion.outcome == CustomerDeletion.Outcome.NOT_FOUND
    assert not deletes(polar)


def test_plain_deletion_does_not_anonymize(polar, client):
    polar.add_customer(external_id="42")
    request_deletion(external_id="42", anonymize=False)

    send_due_deletions(client)

    assert [request.query for request in deletes(polar)] == [""]


@pytest.mark.parametrize("external_id", ["a/b", "abc/state", ".", "..", "ü ?#%2F", "+", "a b"])
def test_external_ids_of_any_kind_reach_their_customer_and_no_other(polar, client, external_id):
    polar.add_customer(external_id=external_id)
    others = {polar.add_customer(external_id=other)["id"] for other in ("abc", "a", "b")}
    request_deletion(external_id=external_id)

    assert send_due_deletions(client) == 1

    assert set(polar.customers) == others


def test_rate_limit_postpones_by_what_polar_asks_and_costs_no_attempt(polar, client):
    request_deletion(external_id="42", anonymize=True)
    polar.fail_next(429, headers={"Retry-After": "90"})

    assert send_due_deletions(client) == 0

    deletion = CustomerDeletion.objects.get()
    assert deletion.due_at - timezone.now() > timedelta(seconds=80)
    assert deletion.attempts == 0


def test_backoff_doubles(polar, client):
    polar.add_customer(external_id="42")
    request_deletion(external_id="42")
    waits = []
    for _ in range(4):
        polar.fail_next(500, method="DELETE")
        make_due()
        send_due_deletions(client)
        waits.append((CustomerDeletion.objects.get().due_at - timezone.now()).total_seconds())

    assert [round(wait) for wait in waits] == [15, 30, 60, 120]


def test_after_the_last_attempt_it_is_a_persons_who_can_have_it_tried_again(
    polar, client, settings
):
    settings.POLAR_QUEUE_MAX_ATTEMPTS = 2
    polar.add_customer(external_id="42")
    deletion = request_deletion(external_id="42")
    polar.fail_next(500, method="DELETE", times=2)
    for _ in range(2):
        make_due()
        send_due_deletions(client)

    deletion.refresh_from_db()
    assert deletion.status == "needs attention"
    assert "500" in deletion.last_error
    assert send_due_deletions(client) == 0
    CustomerDeletion.objects.needs_attention().retry()
    assert send_due_deletions(client) == 1
    assert not polar.customers


@pytest.mark.parametrize(
    ("scopes", "fix"),
    [
        (None, "Replace POLAR_ACCESS_TOKEN."),
        (["customers:read"], "Give the access token the scope customers:write."),
    ],
)
def test_refused_token_keeps_all_rows_and_says_what_to_fix(polar, settings, scopes, fix):
    for number in range(5):
        polar.add_customer(external_id=str(number))
        request_deletion(external_id=str(number))
    token = "polar_oat_wrong" if scopes is None else polar.add_token(*scopes)

    with polar.client(token) as client:
        assert send_due_deletions(client) == 0

    assert len(polar.customers) == 5
    assert CustomerDeletion.objects.open().count() == 5
    assert CustomerDeletion.objects.get(attempts=1).last_error.endswith(fix)
    assert CustomerDeletion.objects.filter(attempts=0).count() == 4


def test_polar_that_is_away_is_left_alone_after_three_failures(polar, client):
    for number in range(10):
        polar.add_customer(external_id=str(number))
        request_deletion(external_id=str(number))
    polar.fail_next(503, method="DELETE", times=10)

    send_due_deletions(client)

    assert len(deletes(polar)) == 3


def test_one_customer_that_fails_does_not_hold_up_the_others(polar, client):
    for number in range(5):
        polar.add_customer(external_id=str(number))
        request_deletion(external_id=str(number))
    polar.fail_next(500, method="DELETE")

    assert send_due_deletions(client) == 4

    assert len(polar.customers) == 1


def test_customer_made_again_after_a_lost_answer_is_left_alone(polar, client):
    there = polar.add_customer(external_id="42")
    make_customer(id=there["id"], external_id="42")
    request_deletion(external_id="42")
    polar.timeout_next(after_apply=True, method="DELETE")
    send_due_deletions(client)
    successor = polar.add_customer(external_id="42", created_at=AN_HOUR_AGO)

    make_due()
    assert send_due_deletions(client) == 1

    assert set(polar.customers) == {successor["id"]}


def test_customer_made_again_after_a_worker_was_killed_is_left_alone(polar, client):
    there = polar.add_customer(external_id="42")
    request_deletion(external_id="42")
    polar.drop_next(after_apply=True, method="DELETE")
    send_due_deletions(client)
    # As the row was when the worker had no time to say what it met.
    CustomerDeletion.objects.update(
        due_at=timezone.now(), leased_until=timezone.now(), maybe_sent=False
    )
    successor = polar.add_customer(external_id="42", created_at=AN_HOUR_AGO)

    assert send_due_deletions(client) == 1

    assert set(polar.customers) == {successor["id"]} != {there["id"]}


def test_customer_made_after_the_deletion_was_asked_for_is_somebody_elses(polar, client):
    request_deletion(external_id="42")
    stranger = polar.add_customer(
        external_id="42", created_at=(timezone.now() + timedelta(minutes=1)).isoformat()
    )

    assert send_due_deletions(client) == 1

    assert set(polar.customers) == {stranger["id"]}
    assert CustomerDeletion.objects.get().outcome == CustomerDeletion.Outcome.NOT_FOUND


def test_customer_of_a_clock_ahead_of_ours_is_deleted_all_the_same(polar, client):
    """Made and deleted within seconds, while Polar's clock is ahead: still the same person."""
    request_deletion(external_id="42")
    polar.add_customer(
        external_id="42", created_at=(timezone.now() + timedelta(seconds=10)).isoformat()
    )

    assert send_due_deletions(client) == 1

    assert not polar.customers


def test_customer_that_was_made_again_unseen_by_the_mirror_is_the_users_too(polar, client):
    old = polar.add_customer(external_id="42")
    make_customer(id=old["id"], external_id="42")
    polar.delete_customer(old["id"])
    polar.add_customer(external_id="42")
    request_deletion(external_id="42")

    assert send_due_deletions(client) == 1

    assert not polar.customers


def test_row_in_anothers_hands_is_left_alone_until_the_lease_runs_out(polar, client):
    polar.add_customer(external_id="42")
    request_deletion(external_id="42")
    CustomerDeletion.objects.claim(1)

    assert send_due_deletions(client) == 0
    CustomerDeletion.objects.update(leased_until=timezone.now())
    assert send_due_deletions(client) == 1


def test_late_worker_does_not_undo_what_its_successor_did(polar, client):
    request_deletion(external_id="42")
    late = CustomerDeletion.objects.claim(1)[0]
    CustomerDeletion.objects.update(leased_until=timezone.now())
    successor = CustomerDeletion.objects.claim(1)[0]

    late.postpone("too late")

    successor.refresh_from_db()
    assert successor.status == "in progress"


def test_external_id_that_is_an_address_is_hashed_when_it_is_no_longer_needed(polar, client):
    polar.add_customer(external_id="ada@example.com")
    request_deletion(external_id="ada@example.com")

    send_due_deletions(client)

    deletion = CustomerDeletion.objects.get()
    assert deletion.external_id.startswith("sha256:")
