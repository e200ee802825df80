from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client


@pytest.fixture
def sign_in(client, db) -> Callable[..., Client]:
    """A browser in which somebody with exactly these permissions is signed in."""

    def sign_in_with(*codenames):
        user = get_user_model().objects.create_user("staff", "staff@example.com", is_staff=True)
        permissions = Permission.objects.filter(
            content_type__app_label__in=("django_polar", "auth"), codename__in=codenames
        )
        assert permissions.count() == len(codenames)
        user.user_permissions.set(permissions)
        client.force_login(user)
        return client

    return sign_in_with


@pytest.fixture
def ada(polar):
    """A customer who has one of everything."""
    customer = polar.add_customer(
        email="ada@acme-mail.dev",
        name="Ada Lovelace",
        external_id="u-1",
        billing_address={"line1": "12 Analytical St", "city": "Paris", "country": "FR"},
        metadata={"plan": "pro"},
    )
    polar.add_subscription(customer, amount=1500, currency="usd")
    polar.add_grant(customer, benefit_type="license_keys")
    polar.add_meter(customer, consumed_units=3.0, credited_units=10.0, balance=7.0)
    polar.add_wallet(customer, balance=-250, currency="usd")
    return customer
