"""What events say of a person who asked to be forgotten."""

import pytest

from django_polar.models import Customer, WebhookEvent
from django_polar.services import webhooks
from django_polar.services.outbox import request_deletion

pytestmark = pytest.mark.django_db


def test_an_event_about_somebody_who_is_being_deleted_mirrors_nobody(polar):
    """Polar has not heard of the deletion yet, and the mirror never knew the customer."""
    request_deletion(external_id="42")
    row = polar.add_customer(external_id="42", name="A")
    polar.add_subscription(row)
    for event in polar.deliveries:
        webhooks.store_event(event.id, event.body)

    webhooks.apply_due_events()

    assert not Customer.objects.exists()
    assert not WebhookEvent.objects.filter(body__isnull=False).exists()
    assert not WebhookEvent.objects.filter(external_id="42").exists()


def test_an_event_that_waits_when_its_customer_is_deleted_here_does_nothing(polar):
    """Its body went with the customer."""
    row = polar.add_customer(external_id="42", name="A")
    for event in polar.deliveries:
        webhooks.store_event(event.id, event.body)
    webhooks.apply_due_events()
    polar.webhooks.pending.clear()
    polar.update_customer(row, name="B")
    for event in polar.deliveries:
        webhooks.store_event(event.id, event.body)

    request_deletion(external_id="42")
    webhooks.apply_due_events()

    assert Customer.objects.get().name is None
    assert not WebhookEvent.objects.filter(body__isnull=False).exists()
    assert not WebhookEvent.objects.due().exists()


def test_another_customer_with_the_external_id_of_a_deleted_one_is_mirrored(polar):
    """Once Polar has done the deletion, the external id may be used again."""
    deletion = request_deletion(external_id="42")
    deletion.mark_done()
    polar.add_customer(external_id="42", name="B")
    for event in polar.deliveries:
        webhooks.store_event(event.id, event.body)

    webhooks.apply_due_events()

    assert Customer.objects.get().name == "B"
