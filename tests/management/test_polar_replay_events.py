"""``manage.py polar_replay_events``: what Polar could not deliver."""

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils.timezone import get_default_timezone

from django_polar.management.commands.polar_replay_events import parse_since
from django_polar.models import Customer, WebhookEvent
from django_polar.services import webhooks

SECRET = "polar_whs_made_up_for_tests"

pytestmark = pytest.mark.django_db


def replay(since="1d"):
    out = StringIO()
    call_command("polar_replay_events", since=since, stdout=out)
    return out.getvalue()


def fail(polar):
    polar.deliver(Client(), secret="a secret we do not have", attempts=2)


def test_events_that_failed_are_fetched_and_applied(polar):
    """Each once, however often Polar tried."""
    polar.add_customer(external_id="42")
    fail(polar)
    assert not WebhookEvent.objects.exists()

    assert "2 new events, 0 known already; 2 applied" in replay()

    assert Customer.objects.get().external_id == "42"
    assert "0 new events, 2 known already; 0 applied" in replay()


def test_what_arrived_another_time_is_known(polar):
    """The second attempt succeeded."""
    polar.add_customer()
    events = list(polar.deliveries)
    fail(polar)
    polar.webhooks.pending.extend(events)
    polar.deliver(Client(), secret=SECRET)

    assert "0 new events, 2 known already" in replay()


def test_an_event_that_needs_a_person_is_tried_again(polar):
    """Replaying is asking for it."""
    polar.add_customer()
    events = list(polar.deliveries)
    fail(polar)
    for event in events:
        webhooks.store_event(event.id, event.body)
        WebhookEvent.objects.get(pk=event.id).mark_failed("something")

    assert "2 applied" in replay()
    assert Customer.objects.count() == 1


def test_only_what_was_tried_since_then_is_fetched(polar):
    """Latest first, so the reading stops there."""
    polar.clock.now = lambda: datetime.now(UTC) - timedelta(days=3)
    polar.add_customer()
    fail(polar)

    assert "0 new events" in replay("1d")
    assert "2 new events" in replay("4d")


def test_many_pages_are_read(polar):
    """More than one request's worth."""
    for _ in range(4):
        row = polar.add_customer()
        for number in range(20):
            polar.update_customer(row, name=str(number))
        polar.deliver(Client(), secret="a secret we do not have", attempts=1)
        polar.webhooks.enable()
    failed = len({delivery.event.id for delivery in polar.webhooks.log})

    assert f"{failed} new events" in replay()


def test_a_body_that_polar_no_longer_keeps_asks_for_a_sync(polar):
    """Archived events have none."""
    polar.add_customer()
    fail(polar)
    payload = polar.webhooks.log[0].event
    payload.body = b""

    assert "1 events cannot be had any more: run polar_sync_customers" in replay()


@pytest.mark.parametrize("text", ["yesterday", "", "d", "2026-13-45", "3w"])
def test_a_time_that_is_none_is_refused(text):
    """With examples of what would do."""
    with pytest.raises(CommandError, match="--since"):
        parse_since(text)


def test_times_may_be_given_in_several_ways():
    """Absolute ones are in the project's time zone unless they say otherwise."""
    now = datetime.now(UTC)

    assert parse_since("2026-11-20") == datetime(2026, 11, 20, tzinfo=get_default_timezone())
    assert parse_since("2026-11-20T10:00+02:00") == datetime(2026, 11, 20, 8, tzinfo=UTC)
    assert now - parse_since("2h") == pytest.approx(timedelta(hours=2), abs=timedelta(minutes=1))


def test_polar_being_away_is_one_line(polar):
    """No traceback."""
    polar.fail_next(503, times=20)

    with pytest.raises(CommandError, match="webhook_deliveries"):
        replay()
