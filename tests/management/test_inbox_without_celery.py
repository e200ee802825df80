"""``manage.py polar_process_queues``: the inbox's half of it."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from django_polar.models import Customer, WebhookEvent
from django_polar.services import webhooks
from django_polar.tasks import apply_due_events, prune_events

pytestmark = pytest.mark.django_db


def receive(polar):
    polar.add_customer()
    for event in polar.deliveries:
        webhooks.store_event(event.id, event.body)


def test_stored_events_are_applied(polar):
    """And counted with the rest."""
    receive(polar)
    out = StringIO()

    call_command("polar_process_queues", stdout=out)

    assert "2 events" in out.getvalue()
    assert Customer.objects.count() == 1


def test_events_are_applied_without_a_token(polar, settings):
    """Only what goes out needs one."""
    receive(polar)
    settings.POLAR_ACCESS_TOKEN = None

    with pytest.raises(CommandError, match="POLAR_ACCESS_TOKEN"):
        call_command("polar_process_queues")

    assert Customer.objects.count() == 1


def test_old_bodies_are_pruned(polar):
    """Nobody else would, where there is no beat."""
    receive(polar)
    WebhookEvent.objects.update(received_at=timezone.now() - timedelta(days=91))

    call_command("polar_process_queues", stdout=StringIO())

    assert not WebhookEvent.objects.filter(body__isnull=False).exists()


def test_the_tasks_do_the_same(polar):
    """They are a way in to the same services."""
    receive(polar)

    assert apply_due_events() == 2
    WebhookEvent.objects.update(received_at=timezone.now() - timedelta(days=91))
    assert prune_events() == 2
