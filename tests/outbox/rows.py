"""Rows for these tests, as a sync would have left them."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from uuid import uuid4

from django.contrib.auth.models import User

from django_polar.models import Customer, CustomerState

MADE_AT = datetime(2026, 1, 1, tzinfo=UTC)
_numbers = count(1)


def make_user(**fields):
    number = next(_numbers)
    given = {
        "username": f"user{number}",
        "email": f"user{number}@ada.dev",
        "first_name": "Ada",
        "last_name": f"Lovelace {number}",
    }
    return User.objects.create(**(given | fields))


def make_customer(user=None, *, save=True, **fields):
    given = {
        "id": uuid4(),
        "organization_id": uuid4(),
        "external_id": None if user is None else str(user.pk),
        "user": user,
        "type": "individual",
        "email": getattr(user, "email", None) or "somebody@ada.dev",
        "name": "Ada Lovelace",
        "created_at": MADE_AT,
        "synced_at": MADE_AT,
        "digest": 1,
    }
    customer = Customer(**(given | fields))
    if save:
        customer.save(force_insert=True)
        customer.refresh_from_db()
        CustomerState.objects.create(customer=customer, as_of=MADE_AT)
    return customer
