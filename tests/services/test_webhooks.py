"""The inbox: what events do to the mirror, and what happens when they cannot."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from django_polar import signals
from django_polar.models import (
    ActiveSubscription,
    Customer,
    CustomerState,
    GrantedBenefit,
    WebhookEvent,
)
from django_polar.services import mirror, webhooks
from django_polar.services.sync import sync_customers
from django_polar.testing import builders

SECRET = "polar_whs_made_up_for_tests"

pytestmark = pytest.mark.django_db


@pytest.fixture
def deliver(polar, django_capture_on_commit_callbacks):
    """Deliver everything that FakePolar has to tell, and apply it."""

    def deliver(**options):
        with django_capture_on_commit_callbacks(execute=True):
            sent = polar.deliver(Client(), secret=SECRET, **options)
        assert all(delivery.succeeded for delivery in sent)
        return webhooks.apply_due_events()

    return deliver


def store(kind, data, *, event_id="event", timestamp="2026-11-20T10:00:00Z"):
    body = json.dumps({"type": kind, "timestamp": timestamp, "data": data}).encode()
    event, _ = webhooks.store_event(event_id, body)
    return event


@pytest.mark.parametrize("scheme", ["legacy", "standard"])
def test_what_happens_at_polar_happens_here(polar, deliver, settings, scheme):
    """Profile and state, through the door and the inbox, with either kind of key."""
    settings.POLAR_WEBHOOK_SECRET = secret = "whsec_b2xkIHNlY3JldCBvZiBvdXJz"
    row = polar.add_customer(external_id="42", name="A")
    polar.update_customer(row, name="B")
    subscription = polar.add_subscription(row)
    polar.add_grant(row)
    polar.end_subscription(subscription)

    polar.deliver(Client(), secret=secret, scheme=scheme)
    webhooks.apply_due_events()

    customer = Customer.objects.get()
    assert (customer.external_id, customer.name) == ("42", "B")
    assert customer.state.granted_benefits.count() == 1
    assert customer.state.active_subscriptions.count() == 0
    assert not WebhookEvent.objects.open().exists()


def test_unknown_events_are_kept_and_done():
    """Polar adds types between releases, and disables endpoints that refuse them."""
    store("checkout.created", {"customer_id": builders.new_id(), "id": "c"})
    store("nonsense", ["not", "an", "object"], event_id="event-2")

    assert webhooks.apply_due_events() == 2
    assert WebhookEvent.objects.filter(done_at__isnull=False).count() == 2


def test_any_event_of_a_subscription_or_a_grant_is_understood(polar):
    """Also of types that come after this release: they all carry the whole object."""
    row = polar.add_customer()
    store("customer.created", row)
    subscription = polar.subscription_payload(polar.add_subscription(row))
    grant = polar.grant_payload(polar.add_grant(row))
    store("subscription.thought_about", subscription, event_id="s")
    store("benefit_grant.thought_about", grant, event_id="g")
    webhooks.apply_due_events()

    assert ActiveSubscription.objects.count() == GrantedBenefit.objects.count() == 1


@pytest.mark.parametrize("status", ["past_due", "canceled", "unpaid", "incomplete", "a new one"])
def test_a_subscription_that_is_not_active_leaves_the_state(polar, deliver, status):
    """As in Polar's own: active and trialing only."""
    row = polar.add_customer()
    subscription = polar.add_subscription(row, status="trialing")
    deliver()
    assert ActiveSubscription.objects.count() == 1

    polar.update_subscription(subscription, status=status)
    deliver()

    assert ActiveSubscription.objects.count() == 0


def test_a_customers_first_event_need_not_be_its_creation(polar):
    """Every event of a subscription or a grant carries its customer."""
    row = polar.add_customer(external_id="42", name="A")
    store("subscription.active", polar.subscription_payload(polar.add_subscription(row)))
    webhooks.apply_due_events()

    customer = Customer.objects.get()
    assert (customer.external_id, customer.name) == ("42", "A")
    assert customer.state.active_subscriptions.count() == 1


def test_what_is_said_of_the_customer_itself_wins_over_what_comes_along(polar):
    """With one time of modification, whatever the order."""
    created_at = timezone.now() - timedelta(hours=2)
    polar.clock.now = lambda: created_at
    row = polar.add_customer(name="A")
    subscription = polar.subscription_payload(polar.add_subscription(row))
    subscription["customer"] = row | {"locale": None}
    store("subscription.active", subscription, timestamp=timezone.now().isoformat())
    webhooks.apply_due_events()
    store(
        "customer.created",
        row | {"locale": "fr"},
        event_id="event-2",
        timestamp=(timezone.now() - timedelta(hours=1)).isoformat(),
    )
    webhooks.apply_due_events()

    assert Customer.objects.get().locale == "fr"


def test_a_deletion_without_an_external_id_finds_its_customer(polar, deliver):
    """After a plain deletion Polar's event has none, and the real email and name."""
    row = polar.add_customer(external_id="42", name="A")
    polar.add_subscription(row)
    deliver()
    polar.delete_customer(row)
    deliver()

    customer = Customer.objects.get()
    assert customer.deleted_at is not None
    assert (customer.email, customer.name, customer.external_id) == (None, None, None)
    assert not CustomerState.objects.exists()


def test_nothing_is_kept_of_what_events_said_of_a_deleted_customer(polar, deliver):
    """Neither from before the deletion nor from after it."""
    row = polar.add_customer(external_id="42", name="A")
    polar.add_subscription(row)
    deliver()
    polar.delete_customer(row)
    deliver(repeat=1)

    assert WebhookEvent.objects.filter(customer_id=row["id"]).count() > 5
    assert not WebhookEvent.objects.filter(body__isnull=False).exists()


def test_an_event_of_any_type_about_a_deleted_customer_loses_its_body(polar, deliver):
    """An order names the person too."""
    row = polar.add_customer()
    polar.delete_customer(row)
    deliver()
    event = store("order.paid", {"customer_id": row["id"], "name": "A"})
    webhooks.apply_due_events()

    event.refresh_from_db()
    assert (event.status, event.body) == ("done", None)


def test_a_customer_made_again_with_the_same_external_id_is_another_one(polar, deliver):
    """The old one stays deleted and the user goes to the new one."""
    old = polar.add_customer(external_id="42")
    polar.delete_customer(old)
    new = polar.add_customer(external_id="42")
    deliver(shuffle=3, repeat=1)

    assert str(Customer.objects.live().get().pk) == new["id"]
    assert Customer.objects.exclude(deleted_at=None).count() == 1


def test_an_event_that_cannot_be_read_waits_and_keeps_no_other(polar, deliver):
    """Its error is kept, and names the field and not its value."""
    bad = store("customer.updated", {"id": "x", "email": "a@acme-mail.dev"})
    polar.add_customer()

    deliver()

    bad.refresh_from_db()
    assert bad.status == "waiting"
    assert bad.due_at > timezone.now()
    assert "customer" in bad.last_error
    assert "acme" not in bad.last_error
    assert Customer.objects.count() == 1


def test_after_its_attempts_an_event_needs_a_person_who_may_try_again(settings):
    """Nothing is dropped."""
    settings.POLAR_QUEUE_MAX_ATTEMPTS = 2
    event = store("customer.updated", {"id": "x"})
    for _ in range(2):
        WebhookEvent.objects.update(due_at=timezone.now())
        webhooks.apply_due_events()
    assert list(WebhookEvent.objects.needs_attention()) == [event]
    assert webhooks.apply_due_events() == 0

    WebhookEvent.objects.get().retry()

    assert WebhookEvent.objects.due().count() == 1


def test_a_receiver_that_raises_leaves_the_event_due_and_is_called_again_alone(polar, deliver):
    """The mirror is right at once; whoever took the signal does not get it twice."""
    polar.add_customer(name="A")
    calls = []

    def works(customer, **kwargs):
        calls.append(("works", customer.name))

    def fails_once(customer, created, **kwargs):
        calls.append(("fails", created))
        if calls.count(("fails", True)) == 1:
            raise ValueError("a@acme-mail.dev")

    signals.customer_synced.connect(works)
    signals.customer_synced.connect(fails_once)
    try:
        deliver()
        event = WebhookEvent.objects.open().get()
        assert Customer.objects.count() == 1
        assert "fails_once" in event.last_error
        assert "acme" not in event.last_error

        WebhookEvent.objects.update(due_at=timezone.now())
        assert webhooks.apply_due_events() == 1
    finally:
        signals.customer_synced.disconnect(works)
        signals.customer_synced.disconnect(fails_once)

    assert calls == [("works", "A"), ("fails", True), ("fails", True)]
    event.refresh_from_db()
    assert (event.status, event.unsent) == ("done", [])


def test_a_receiver_that_failed_gets_rows_that_are_gone_since(polar, deliver):
    """As they were: times to the microsecond, and what the state was before and after."""
    row = polar.add_customer()
    grant = polar.add_grant(row, benefit_metadata={"a": 1})
    deliver()
    stored = GrantedBenefit.objects.get()
    polar.revoke_grant(grant)
    heard = []

    def fails_once(**kwargs):
        heard.append(kwargs)
        if len(heard) == 1:
            raise ValueError

    signals.benefit_revoked.connect(fails_once)
    try:
        deliver()
        WebhookEvent.objects.update(due_at=timezone.now())
        webhooks.apply_due_events()
    finally:
        signals.benefit_revoked.disconnect(fails_once)

    assert len(heard) == 2
    benefit = heard[1]["benefit"]
    assert isinstance(benefit, GrantedBenefit)
    assert benefit.created_at == stored.created_at
    assert benefit.benefit_id == stored.benefit_id
    assert benefit.benefit_metadata == {"a": 1}


def test_signals_survive_a_worker_that_dies_after_the_commit(polar, deliver):
    """They are committed with the change and sent by whoever takes the event next."""
    polar.add_customer()
    heard = []

    def dies(**kwargs):
        raise KeyboardInterrupt

    def hears(created, **kwargs):
        heard.append(created)

    signals.customer_synced.connect(dies)
    try:
        with pytest.raises(KeyboardInterrupt):
            deliver()
    finally:
        signals.customer_synced.disconnect(dies)
    assert Customer.objects.count() == 1

    signals.customer_synced.connect(hears)
    try:
        WebhookEvent.objects.update(leased_until=timezone.now())
        webhooks.apply_due_events()
    finally:
        signals.customer_synced.disconnect(hears)

    assert heard == [True]


def test_applying_an_event_twice_changes_nothing(polar, deliver):
    """A worker may die before it says that it is done."""
    row = polar.add_customer()
    polar.add_grant(row)
    deliver()
    before = list(GrantedBenefit.objects.values())
    WebhookEvent.objects.update(done_at=None, leased_until=None)

    webhooks.apply_due_events()

    assert list(GrantedBenefit.objects.values()) == before


def test_webhook_received_is_sent_once_for_a_stored_event(
    polar, django_capture_on_commit_callbacks
):
    """Not again for its repetitions, and a receiver that raises costs no delivery."""
    polar.add_customer()
    heard = []

    def hears(event, **kwargs):
        heard.append(event.type)
        raise ValueError

    signals.webhook_received.connect(hears)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            sent = polar.deliver(Client(), secret=SECRET, repeat=1)
    finally:
        signals.webhook_received.disconnect(hears)

    assert sorted(heard) == ["customer.created", "customer.state_changed"]
    assert [delivery.status for delivery in sent] == [202] * 4


def test_bodies_are_pruned_after_the_retention(settings):
    """The rows stay, so that a late repetition is recognised."""
    settings.POLAR_EVENT_RETENTION = 1
    store("order.paid", {}, event_id="old")
    store("order.paid", {}, event_id="new")
    WebhookEvent.objects.filter(pk="old").update(received_at=timezone.now() - timedelta(days=2))

    assert webhooks.prune_events() == 1
    assert WebhookEvent.objects.get(pk="old").body is None
    assert WebhookEvent.objects.get(pk="new").body is not None


def test_errors_are_logged_without_what_was_in_them(polar, deliver, caplog):
    """A receiver's exception may carry anything."""
    polar.add_customer(email="someone@acme-mail.dev", name="Some One")

    def fails(**kwargs):
        raise ValueError("Some One")

    signals.customer_synced.connect(fails)
    try:
        deliver()
    finally:
        signals.customer_synced.disconnect(fails)

    ours = [record for record in caplog.records if record.name.startswith("django_polar")]
    assert any("fails raised ValueError" in record.getMessage() for record in ours)
    for record in ours:
        assert "Some One" not in record.getMessage()
        assert "someone" not in record.getMessage()
        assert record.exc_info is None


def test_a_late_event_about_what_a_sync_saw_gone_changes_nothing(polar):
    """The sync wrote no row that said so, its run does."""
    row = polar.add_customer()
    grant = polar.add_grant(row)
    late = polar.deliveries[:]
    polar.revoke_grant(grant)
    sync_customers()

    for event in late:
        webhooks.store_event(event.id, event.body)
    webhooks.apply_due_events()

    assert not GrantedBenefit.objects.exists()


def test_timestamps_are_polars(polar):
    """However long a delivery took."""
    polar.clock.now = lambda: datetime(2026, 1, 1, tzinfo=UTC)
    row = polar.add_customer()
    polar.add_grant(row)
    for event in polar.deliveries:
        webhooks.store_event(event.id, event.body)
    webhooks.apply_due_events()

    assert GrantedBenefit.objects.get().synced_at < datetime(2026, 1, 2, tzinfo=UTC)
    assert mirror.utc_now() > datetime(2026, 1, 2, tzinfo=UTC)
