"""Several deliveries and several workers at once, on real servers."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.test import Client

from django_polar import signals
from django_polar.models import Customer, GrantedBenefit, WebhookEvent
from django_polar.services import webhooks
from django_polar.testing import FakePolar

SECRET = "polar_whs_made_up_for_tests"

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.services("PostgreSQL", "MariaDB"),
    pytest.mark.skipif(
        "connection.vendor == 'sqlite'", reason="one writer at a time, and in this process"
    ),
]


def at_once(work, times):
    """Begin together, in threads with connections of their own."""
    barrier = threading.Barrier(times)

    def run(number):
        barrier.wait()
        try:
            return work(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(run, range(times)))


@pytest.mark.parametrize("attempt", range(5))
def test_simultaneous_deliveries_of_one_event_become_one_row(attempt):
    """Polar repeats what it was not answered in time; nobody gets a 500."""
    polar = FakePolar()
    polar.add_customer()
    event = polar.deliveries[0]
    headers = polar.webhooks.signed_headers(event, secret=SECRET)
    del headers["content-type"]

    def deliver(_):
        return (
            Client()
            .post(
                "/polar/webhook/",
                event.body,
                content_type="application/json",
                headers=headers,
            )
            .status_code
        )

    assert at_once(deliver, 6) == [202] * 6
    assert WebhookEvent.objects.count() == 1


def test_several_workers_apply_each_event_once_and_tell_of_each_change_once():
    """The rows are the truth, and every signal is sent by one of them."""
    polar = FakePolar()
    for number in range(4):
        row = polar.add_customer(external_id=f"x{number}")
        for _ in range(3):
            grant = polar.add_grant(row)
            polar.add_subscription(row)
        polar.revoke_grant(grant)
    for event in polar.deliveries:
        webhooks.store_event(event.id, event.body)
    heard = []

    def hears(signal, **kwargs):
        thing = kwargs.get("benefit") or kwargs.get("subscription") or kwargs["customer"]
        heard.append((signal, thing.pk))

    listened = (
        signals.customer_synced,
        signals.subscription_started,
        signals.benefit_granted,
    )
    for signal in listened:
        signal.connect(hears)
    try:
        at_once(lambda _: webhooks.apply_due_events(), 4)
        WebhookEvent.objects.filter(done_at=None).update(due_at="2020-01-01T00:00Z")
        webhooks.apply_due_events()
    finally:
        for signal in listened:
            signal.disconnect(hears)

    assert not WebhookEvent.objects.filter(done_at=None).exists()
    assert Customer.objects.count() == 4
    assert GrantedBenefit.objects.count() == 8
    starts = [pk for signal, pk in heard if signal is signals.subscription_started]
    assert len(starts) == len(set(starts)) == 12
    assert len([1 for signal, _ in heard if signal is signals.customer_synced]) == 4


def test_deliveries_are_stored_while_events_are_applied():
    """The door does not wait for the inbox."""
    polar = FakePolar()
    for number in range(20):
        polar.add_customer(external_id=f"x{number}", name=json.dumps(number))
    events = list(polar.deliveries)

    def work(number):
        if number == 0:
            return [webhooks.apply_due_events() for _ in range(10)]
        return [webhooks.store_event(e.id, e.body)[1] for e in events[number::3]]

    at_once(work, 4)
    webhooks.apply_due_events()

    assert Customer.objects.count() == 20
    assert WebhookEvent.objects.filter(done_at=None).count() == 0
