"""Nothing of a person stays here when the user is deleted."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.apps import apps
from django.db import connection
from django.utils import timezone

from django_polar.client import polar_client
from django_polar.models import Customer, CustomerDeletion, LinkConflict, WebhookEvent
from django_polar.services import (
    delete_customer,
    get_balance,
    send_due_deletions,
    sync_customers,
)
from tests.outbox.rows import make_user

pytestmark = pytest.mark.django_db

PERSONAL = ("grace@navy.dev", "Grace", "Hopper", "Arlington", "Courthouse Road", "22201", "EU123")


def everything():
    """Every column of every row of every table of the app, as one text."""
    found = []
    with connection.cursor() as cursor:
        for model in apps.get_app_config("django_polar").get_models(include_auto_created=True):
            table = connection.ops.quote_name(model._meta.db_table)
            cursor.execute(f"SELECT * FROM {table}")
            for row in cursor.fetchall():
                for value in row:
                    raw = bytes(value) if isinstance(value, memoryview | bytes) else None
                    found.append(repr(value) if raw is None else raw.decode(errors="replace"))
    return "\n".join(found)


def traces():
    text = everything().casefold()
    return [word for word in PERSONAL if word.casefold() in text]


def store_event(id_, **fields):
    body = json.dumps({"data": {"email": "grace@navy.dev", "name": "Grace Hopper"}}).encode()
    now = timezone.now()
    return WebhookEvent.objects.create(
        id=id_, type="customer.updated", timestamp=now, body=body, **fields
    )


@pytest.fixture
def grace(polar):
    """A user about whom all is known that can be."""
    user = make_user(email="grace@navy.dev", first_name="Grace", last_name="Hopper")
    there = polar.add_customer(
        external_id=str(user.pk),
        email="grace@navy.dev",
        name="Grace Hopper",
        billing_name="Grace Hopper",
        billing_address={
            "line1": "Courthouse Road 1",
            "line2": None,
            "postal_code": "22201",
            "city": "Arlington",
            "state": "US-VA",
            "country": "US",
        },
        tax_id=["EU123", "eu_vat"],
        metadata={"nickname": "Amazing Grace"},
        avatar_url="https://www.gravatar.com/avatar/grace@navy.dev",
    )
    polar.add_subscription(there, custom_field_data={"city": "Arlington"})
    polar.add_grant(there, properties={"account": "grace@navy.dev"})
    polar.add_meter(there)
    polar.add_wallet(there, balance=100, currency="usd")
    sync_customers()
    Customer.objects.filter(pk=there["id"]).update(raw={"nickname": "Hopper"})
    get_balance(str(user.pk))
    store_event("applied", customer_id=there["id"], done_at=timezone.now())
    store_event("waiting", customer_id=there["id"])
    store_event("failed", customer_id=there["id"], failed_at=timezone.now())
    store_event("known by the external id alone", external_id=str(user.pk))
    LinkConflict.objects.create(user=user, customer_id=there["id"], reason="same email")
    assert traces() == list(PERSONAL)
    return user


@pytest.mark.parametrize("way", ["user deleted", "deletion asked for"])
def test_no_column_of_any_table_holds_anything(polar, grace, way):
    if way == "user deleted":
        grace.delete()
    else:
        delete_customer(str(grace.pk))

    assert traces() == []
    assert polar.customers
    with polar_client() as client:
        send_due_deletions(client)
    assert not polar.customers
    assert traces() == []


def test_what_proves_the_erasure_stays(polar, grace):
    external_id = str(grace.pk)
    (id_,) = polar.customers
    grace.delete()
    with polar_client() as client:
        send_due_deletions(client)

    deletion = CustomerDeletion.objects.get()
    assert (deletion.external_id, str(deletion.customer_id)) == (external_id, id_)
    assert deletion.outcome == CustomerDeletion.Outcome.DELETED
    assert deletion.done_at - deletion.created_at < timedelta(minutes=1)
    customer = Customer.objects.get()
    assert (str(customer.pk), customer.external_id, customer.raw) == (id_, None, {})


def test_sync_that_runs_before_polar_was_told_brings_nothing_back(polar, grace):
    grace.delete()

    sync_customers()

    assert polar.customers
    assert traces() == []


def test_sync_brings_nobody_back_that_the_mirror_never_knew(polar):
    user = make_user(email="grace@navy.dev", first_name="Grace", last_name="Hopper")
    polar.add_customer(external_id=str(user.pk), email="grace@navy.dev", name="Grace Hopper")
    user.delete()
    sync_customers()
    assert traces() == []

    CustomerDeletion.objects.get().mark_failed("given to a person")
    sync_customers()
    assert traces() == []

    CustomerDeletion.objects.get().retry()
    polar.fail_next(500, method="DELETE")
    with polar_client() as client:
        send_due_deletions(client)
    sync_customers()
    assert traces() == []


def test_events_about_others_stay(grace):
    other = store_event("about somebody else", external_id="somebody else")

    grace.delete()

    other.refresh_from_db()
    assert other.body
    assert WebhookEvent.objects.get(pk="waiting").status == "done"
