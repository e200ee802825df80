"""Signals: one for each change, whether it came by a webhook, a sync or a refresh."""

from contextlib import contextmanager

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction
from django.test import Client

from django_polar import signals
from django_polar.models import Customer
from django_polar.services import mirror, states, webhooks
from django_polar.services.sync import sync_customers

SECRET = "polar_whs_made_up_for_tests"
NAMES = (
    "customer_synced",
    "customer_state_changed",
    "subscription_started",
    "subscription_ended",
    "benefit_granted",
    "benefit_revoked",
    "customer_deleted",
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def heard():
    """Every signal that is sent: its name and its arguments."""
    calls = []
    receivers = {}
    for name in NAMES:

        def receive(signal, sender, name=name, **kwargs):
            assert sender is Customer
            calls.append((name, kwargs))

        receivers[name] = receive
        getattr(signals, name).connect(receive)
    yield calls
    for name, receive in receivers.items():
        getattr(signals, name).disconnect(receive)


@contextmanager
def only(heard):
    """What is heard in this block alone."""
    heard.clear()
    yield


def by_webhook(polar):
    polar.deliver(Client(), secret=SECRET)
    webhooks.apply_due_events()


def by_shuffled_webhooks(polar):
    polar.deliver(Client(), secret=SECRET, shuffle=5, repeat=2)
    webhooks.apply_due_events()


def by_sync(polar):
    sync_customers()


def by_refresh(polar):
    with polar.client() as client:
        for customer in Customer.objects.live():
            states.fetch_state(client, customer.pk)


WAYS = [by_webhook, by_shuffled_webhooks, by_sync, by_refresh]


def names(heard):
    return sorted(name for name, _ in heard)


@pytest.mark.parametrize("learn", [by_webhook, by_shuffled_webhooks, by_sync])
def test_a_new_customer_is_told_of_once(polar, heard, learn):
    """With its user, if there is one."""
    user = get_user_model().objects.create(username="a")
    polar.add_customer(external_id=str(user.pk))

    learn(polar)

    assert names(heard) == ["customer_synced"]
    assert heard[0][1]["created"] is True
    assert heard[0][1]["customer"].user == user


@pytest.mark.parametrize("learn", WAYS)
def test_what_a_customer_gets_is_told_of_once(polar, heard, learn):
    """Each subscription and each benefit, and that the state changed."""
    row = polar.add_customer()
    by_sync(polar)
    polar.add_subscription(row)
    polar.add_grant(row)

    with only(heard):
        learn(polar)

    told = names(heard)
    assert told.count("subscription_started") == 1
    assert told.count("benefit_granted") == 1
    assert set(told) == {"subscription_started", "benefit_granted", "customer_state_changed"}


@pytest.mark.parametrize("learn", WAYS)
def test_what_a_customer_loses_is_told_of_once(polar, heard, learn):
    """With the rows as they were."""
    row = polar.add_customer()
    subscription, grant = polar.add_subscription(row), polar.add_grant(row)
    by_webhook(polar)
    polar.end_subscription(subscription)
    polar.revoke_grant(grant)

    with only(heard):
        learn(polar)

    told = dict(heard)
    assert names(heard).count("subscription_ended") == 1
    assert names(heard).count("benefit_revoked") == 1
    assert str(told["subscription_ended"]["subscription"].pk) == subscription["id"]
    assert str(told["benefit_revoked"]["benefit"].pk) == grant["id"]


@pytest.mark.parametrize("learn", WAYS)
def test_a_changed_state_is_told_with_before_and_after(polar, heard, learn):
    """The states chain: what one signal calls after is what the next calls before."""
    row = polar.add_customer()
    polar.add_grant(row)
    by_webhook(polar)
    meter = polar.add_meter(row, consumed_units=1)
    subscription = polar.add_subscription(row, amount=100)
    by_webhook(polar)
    polar.update_meter(meter, consumed_units=2)
    polar.update_subscription(subscription, amount=200)

    with only(heard):
        learn(polar)

    changes = [kwargs for name, kwargs in heard if name == "customer_state_changed"]
    first, last = changes[0]["before"], changes[-1]["after"]
    assert [s.amount for s in first.active_subscriptions] == [100]
    assert [s.amount for s in last.active_subscriptions] == [200]
    assert [m.consumed_units for m in first.active_meters] == [1]
    assert [m.consumed_units for m in last.active_meters] == [2]
    assert len(first.granted_benefits) == len(last.granted_benefits) == 1
    assert names(heard) == ["customer_state_changed"] * len(changes)


@pytest.mark.parametrize("learn", [by_webhook, by_shuffled_webhooks, by_sync, by_refresh])
def test_a_deletion_is_told_of_once_with_all_that_ended(polar, heard, learn, settings):
    """A receiver can still tell whose customer it was; the row cannot."""
    settings.POLAR_MAX_DELETED_SHARE = 1
    user = get_user_model().objects.create(username="a")
    row = polar.add_customer(external_id=str(user.pk))
    polar.add_subscription(row)
    polar.add_grant(row)
    by_webhook(polar)
    polar.delete_customer(row)

    with only(heard):
        learn(polar)

    told = dict(heard)
    assert names(heard).count("customer_deleted") == 1
    assert names(heard).count("subscription_ended") == 1
    assert names(heard).count("benefit_revoked") == 1
    assert told["customer_deleted"]["customer"].user == user
    assert told["customer_deleted"]["customer"].external_id == str(user.pk)
    assert told["customer_deleted"]["customer"].email is None
    assert Customer.objects.get().user is None


@pytest.mark.parametrize("first", WAYS)
@pytest.mark.parametrize("second", WAYS)
def test_what_is_known_already_is_told_of_by_nobody(polar, heard, first, second):
    """A sync after an outage repeats no signal, nor does an event that comes after the sync."""
    row = polar.add_customer()
    by_sync(polar)
    subscription, grant = polar.add_subscription(row), polar.add_grant(row)
    polar.add_meter(row)
    polar.revoke_grant(grant)
    polar.update_subscription(subscription, amount=5)
    polar.update_customer(row, name="B")
    first(polar)

    with only(heard):
        second(polar)

    assert names(heard) == []


def test_signals_come_after_the_commit(polar, heard):
    """A receiver may rely on what it is told, and may take its time."""
    row = polar.add_customer()
    with polar.client() as client:
        payload = client.customers.get(row["id"])

    with transaction.atomic():
        mirror.upsert_customers([payload], observed_at=mirror.utc_now())
        assert heard == []

    assert names(heard) == ["customer_synced"]


def test_a_change_that_is_rolled_back_is_told_to_nobody(polar, heard):
    """It did not happen."""
    row = polar.add_customer()
    with polar.client() as client:
        payload = client.customers.get(row["id"])

    with transaction.atomic():
        mirror.upsert_customers([payload], observed_at=mirror.utc_now())
        transaction.set_rollback(True)

    assert heard == []


def test_a_receiver_that_raises_stops_no_sync(polar, heard, caplog):
    """It is logged, and the other receivers hear of it all the same."""
    polar.add_customer()

    def fails(**kwargs):
        raise ValueError("secret")

    signals.customer_synced.connect(fails)
    try:
        report = sync_customers()
    finally:
        signals.customer_synced.disconnect(fails)

    assert report.outcome == "complete"
    assert names(heard) == ["customer_synced"]
    assert "fails raised ValueError" in caplog.text


def test_signals_that_nobody_hears_cost_no_query(polar, django_assert_num_queries):
    """A bulk sync comes through here with every page."""
    row = polar.add_customer()
    polar.add_grant(row)
    with polar.client() as client:
        payload = client.customers.get(row["id"])
        grants = client.benefit_grants.list().items
    observed_at = mirror.utc_now()
    mirror.upsert_customers([payload], observed_at=observed_at)
    table = mirror.STATE_TABLES["granted_benefits"]
    mirror.upsert_items(table, grants, [payload.id], observed_at=observed_at)

    with django_assert_num_queries(1):
        mirror.upsert_customers([payload], observed_at=mirror.utc_now())
    with django_assert_num_queries(1):
        mirror.upsert_items(table, grants, [payload.id], observed_at=mirror.utc_now())
