"""Doubts about states: when one is raised, and what becomes of it."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from django_polar.models import Customer, CustomerState, GrantedBenefit
from django_polar.services import states, webhooks
from django_polar.services.sync import sync_customers

pytestmark = pytest.mark.django_db


def later(**kwargs):
    return timezone.now() + timedelta(**kwargs)


def ten_minutes_ago():
    return datetime.now(UTC) - timedelta(minutes=10)


def tell(kind, data, *, seconds=0):
    """An event about something, so many seconds after it happened ten minutes ago."""
    moment = ten_minutes_ago() + timedelta(seconds=seconds)
    body = json.dumps({"type": kind, "timestamp": moment.isoformat(), "data": data}).encode()
    webhooks.store_event(f"{kind} {moment.isoformat()}", body)
    webhooks.apply_due_events()


def in_doubt():
    return CustomerState.objects.filter(confirm_at__isnull=False).count()


@pytest.fixture
def row(polar):
    """A customer that the mirror knows, as of some hours ago."""
    polar.clock.now = lambda: datetime.now(UTC) - timedelta(hours=5)
    row = polar.add_customer(external_id="42")
    for event in polar.deliveries:
        webhooks.store_event(event.id, event.body)
    webhooks.apply_due_events()
    polar.webhooks.pending.clear()
    polar.clock.now = ten_minutes_ago
    polar.reset_requests()
    return row


def test_events_in_their_order_leave_no_doubt(polar, row):
    """What usually happens costs no request."""
    subscription, grant = polar.add_subscription(row), polar.add_grant(row)
    polar.update_customer(row, name="B")
    polar.end_subscription(subscription)
    polar.revoke_grant(grant)
    for event in polar.deliveries:
        webhooks.store_event(event.id, event.body)
        webhooks.apply_due_events()

    assert in_doubt() == 0


def test_a_state_older_than_the_profile_takes_nothing_away_for_good(polar, row):
    """Polar sends older states with later timestamps: the grant is confirmed and stays."""
    old_state = polar.state(row)
    profile = polar.update_customer(row, name="B")
    grant = polar.grant_payload(polar.add_grant(row))
    tell("customer.updated", profile)
    tell("benefit_grant.created", grant)

    tell("customer.state_changed", old_state, seconds=1)
    assert GrantedBenefit.objects.count() == 1
    assert in_doubt() == 1

    states.confirm_due_states(now=later(minutes=2))
    assert GrantedBenefit.objects.count() == 1
    assert in_doubt() == 0


def test_a_state_that_turns_out_to_be_old_is_confirmed(polar, row):
    """It came first, and took away a grant that nobody had spoken of for hours."""
    old_state = polar.state(row)
    with polar.webhooks.pause():
        grant = polar.add_grant(row)
        profile = polar.update_customer(row, name="B")
    tell("benefit_grant.created", polar.grant_payload(grant), seconds=-4 * 3600)
    tell("customer.state_changed", old_state, seconds=1)
    assert GrantedBenefit.objects.count() == 0
    assert in_doubt() == 0

    tell("customer.updated", profile)
    states.confirm_due_states(now=later(minutes=2))

    assert GrantedBenefit.objects.count() == 1


def test_a_grant_lost_shortly_after_it_came_is_confirmed(polar, row):
    """Though nothing proves that the state is old."""
    old_state = polar.state(row)
    tell("benefit_grant.created", polar.grant_payload(polar.add_grant(row)))
    tell("customer.state_changed", old_state, seconds=1)
    assert GrantedBenefit.objects.count() == 0

    states.confirm_due_states(now=later(minutes=2))

    assert GrantedBenefit.objects.count() == 1


def test_a_grant_barred_by_hardly_later_news_is_confirmed(polar, row):
    """The clocks of Polar and of this machine may differ by that much."""
    tell("customer.state_changed", polar.state(row), seconds=60)
    tell("benefit_grant.created", polar.grant_payload(polar.add_grant(row)))
    assert GrantedBenefit.objects.count() == 0
    assert in_doubt() == 1

    states.confirm_due_states(now=later(minutes=2))

    assert GrantedBenefit.objects.count() == 1


def test_a_grant_barred_by_a_hardly_later_sync_is_confirmed(polar, row):
    """The run's time is ours, the event's is Polar's."""
    sync_customers()
    grant = polar.grant_payload(polar.add_grant(row))

    tell("benefit_grant.created", grant, seconds=540)

    assert in_doubt() == 1


def test_an_old_event_barred_by_much_later_news_is_just_old(polar, row):
    """A redelivery of yesterday's is no reason to ask."""
    tell("customer.state_changed", polar.state(row))
    tell("benefit_grant.created", polar.grant_payload(polar.add_grant(row)), seconds=-86400)

    assert in_doubt() == 0


def test_a_burst_of_doubts_costs_one_request(polar, row):
    """And none before the burst is over."""
    old_state = polar.state(row)
    polar.update_customer(row, name="B")
    tell("customer.updated", polar.customers[row["id"]])
    for second in range(5):
        tell("customer.state_changed", old_state, seconds=second)
    assert polar.requests == []

    states.confirm_due_states(now=later(minutes=2))
    states.confirm_due_states(now=later(minutes=9))

    assert len(polar.requests) == 1


def test_a_doubt_raised_while_polar_is_asked_is_not_lost(polar, row):
    """The answer may be from before it."""
    states.request_confirmation([row["id"]])
    polar.on_request(lambda _: states.request_confirmation([row["id"]]))

    assert states.confirm_due_states(now=later(minutes=2)) == 1

    assert in_doubt() == 1


def test_a_doubt_outlives_polar_being_away(polar, row):
    """One failure, and the rest is not even tried."""
    other = polar.add_customer()
    sync_customers()
    polar.reset_requests()
    states.request_confirmation([row["id"], other["id"]])
    polar.fail_next(503, times=4)

    assert states.confirm_due_states(now=later(minutes=2)) == 0
    assert len(polar.requests) == 4
    assert in_doubt() == 2

    assert states.confirm_due_states(now=later(minutes=20)) == 2
    assert in_doubt() == 0


def test_a_doubt_waits_as_long_as_polar_asks_for(polar, row):
    """Retry-After."""
    states.request_confirmation([row["id"]])
    polar.fail_next(429, times=9, headers={"Retry-After": "600"})

    states.confirm_due_states(now=later(minutes=2))

    assert CustomerState.objects.get().confirm_at > later(minutes=11)


def test_without_a_token_doubts_wait(polar, row, settings):
    """Applying events does not need one."""
    states.request_confirmation([row["id"]], now=later(minutes=-5))
    settings.POLAR_ACCESS_TOKEN = None

    assert webhooks.apply_due_events() == 0
    assert in_doubt() == 1


def test_a_customer_that_polar_does_not_have_is_deleted(polar, row):
    """A 404 about one customer is certain."""
    states.request_confirmation([row["id"]])
    polar.delete_customer(row)

    states.confirm_due_states(now=later(minutes=2))

    assert Customer.objects.get().deleted_at is not None


def test_an_answer_out_of_polars_cache_is_asked_for_again(polar, row):
    """It took away what an event had brought a moment before."""
    polar.state_cache = True
    with polar.client() as client:
        client.customers.get_state(row["id"])
    tell("benefit_grant.created", polar.grant_payload(polar.add_grant(row)))
    with polar.client() as client:
        states.fetch_state(client, Customer.objects.get().pk)
    assert GrantedBenefit.objects.count() == 0

    polar.state_cache = False
    states.confirm_due_states(now=later(minutes=2))

    assert GrantedBenefit.objects.count() == 1


def test_due_doubts_are_settled_where_events_are_applied(polar, row):
    """The task, and the command for those without Celery, need nothing else."""
    states.request_confirmation([row["id"]], now=later(minutes=-5))

    webhooks.apply_due_events()

    assert in_doubt() == 0
    assert [request.path for request in polar.requests] == [f"/v1/customers/{row['id']}/state"]
