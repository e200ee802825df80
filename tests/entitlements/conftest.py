"""One user who is a customer, with the parts of its state as a test wants them."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.utils import timezone

from django_polar.models import (
    ActiveMeter,
    ActiveSubscription,
    Customer,
    CustomerState,
    GrantedBenefit,
)

PRO = UUID("11111111-1111-4111-8111-111111111111")
TEAM = UUID("22222222-2222-4222-8222-222222222222")
DOWNLOADS = UUID("33333333-3333-4333-8333-333333333333")
CALLS = UUID("44444444-4444-4444-8444-444444444444")


@pytest.fixture(autouse=True)
def empty_cache():
    cache.clear()


def make_user(name="ada", **fields):
    return get_user_model().objects.create_user(name, f"{name}@example.com", "password", **fields)


def make_customer(user, *, as_of=None, **fields):
    now = timezone.now()
    customer = Customer.objects.create(
        id=uuid4(),
        organization_id=uuid4(),
        user=user,
        external_id=str(user.pk),
        created_at=now,
        synced_at=now,
        **fields,
    )
    CustomerState.objects.create(customer=customer, as_of=as_of or now)
    return customer


def times():
    now = timezone.now()
    return {"created_at": now, "synced_at": now}


def subscribe(customer, product_id=PRO, **fields):
    return ActiveSubscription.objects.create(
        **{
            "id": uuid4(),
            "state_id": customer.pk,
            "product_id": product_id,
            "status": "active",
            "amount": 900,
            "currency": "usd",
            **times(),
            **fields,
        }
    )


def grant(customer, benefit_id=DOWNLOADS, benefit_type="downloadables", **metadata):
    return GrantedBenefit.objects.create(
        id=uuid4(),
        state_id=customer.pk,
        benefit_id=benefit_id,
        benefit_type=benefit_type,
        benefit_metadata=metadata,
        **times(),
    )


def meter(customer, meter_id=CALLS, balance=12.5):
    return ActiveMeter.objects.create(
        id=uuid4(),
        state_id=customer.pk,
        meter_id=meter_id,
        balance=balance,
        consumed_units=1,
        credited_units=balance + 1,
        **times(),
    )


@pytest.fixture
def user(db):
    return make_user()


@pytest.fixture
def customer(user):
    return make_customer(user)
