"""Two users who are customers of a fake Polar, each with things the other must not reach."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.cache import cache
from rest_framework.test import APIClient

from django_polar.models import Customer
from django_polar.services.mirror import apply_states


@pytest.fixture(autouse=True)
def empty_cache():
    """Throttles and sessions of one test are not those of the next."""
    cache.clear()


@dataclass
class Person:
    user: Any
    customer: Customer
    remote: dict[str, Any]
    client: APIClient
    payment_method: dict[str, Any]

    @property
    def secrets(self) -> list[str]:
        """What must not be in an answer to anybody else."""
        return [
            str(self.customer.pk),
            self.remote["email"],
            self.remote["name"],
            self.payment_method["id"],
        ]


def mirror(polar, remote):
    """Take a customer of the fake Polar into the mirror."""
    state = polar.client().customers.get_state(remote["id"])
    apply_states([state], observed_at=datetime.now(UTC))
    return Customer.objects.get(pk=remote["id"])


def make_person(polar, name) -> Person:
    user = get_user_model().objects.create_user(name, f"{name}@example.com", "password")
    remote = polar.add_customer(
        external_id=str(user.pk), email=f"{name}@example.com", name=f"{name.title()} Example"
    )
    polar.add_subscription(remote, amount=900)
    polar.add_grant(remote)
    polar.add_meter(remote)
    polar.add_wallet(remote, balance=1500, currency="usd")
    method = polar.add_payment_method(remote, default=True)
    customer = mirror(polar, remote)
    client = APIClient()
    client.force_login(user)
    return Person(user, customer, polar.customer(remote["id"]), client, method)


@pytest.fixture
def ada(polar, db):
    return make_person(polar, "ada")


@pytest.fixture
def bob(polar, db):
    return make_person(polar, "bob")


@pytest.fixture
def stranger(db):
    """Signed in, and no customer."""
    client = APIClient()
    client.force_login(get_user_model().objects.create_user("stranger"))
    return client


def make_staff(*permissions, **fields):
    user = get_user_model().objects.create_user("staff", **{"is_staff": True, **fields})
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = APIClient()
    client.force_login(user)
    return client


@pytest.fixture
def staff(db):
    return make_staff("view_customer", "change_customer")
