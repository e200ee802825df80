"""Webhooks: stored as they come, applied later, in any order and any number of times."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec
from django.db import IntegrityError, connections, router, transaction
from django.utils import timezone

from django_polar import signals
from django_polar.conf import settings
from django_polar.exceptions import PayloadError
from django_polar.models import Customer, CustomerDeletion, WebhookEvent
from django_polar.models.customer import EXTERNAL_ID_MAX_LENGTH
from django_polar.payloads import (
    BenefitGrantPayload,
    CustomerPayload,
    CustomerStatePayload,
    SubscriptionListPayload,
    WebhookEnvelope,
    decode,
)
from django_polar.signatures import verify

from . import mirror, notifications, states
from .nudge import nudge
from .tables import BENEFITS, SUBSCRIPTIONS, Table
from .upsert import database, retry_conflicts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from django_polar.client import PolarClient

    Handler = Callable[[WebhookEnvelope], None]

logger = logging.getLogger(__name__)

SKEW: Final = timedelta(minutes=5)
"""By how much the clocks of Polar and of this machine may differ, as in signatures."""

QUEUE: Final = "apply_due_events"

_CLAIMED_AT_ONCE: Final = 20
_MAX_TEXT: Final = 255


def receive_event(
    body: bytes, headers: Mapping[str, str], *, now: datetime | None = None
) -> WebhookEvent:
    """Verify and store one delivery. Receiving it again returns the stored one.

    One that needs a person is due again when Polar delivers it again.

    Raises:
        SignatureError: Polar did not sign this with one of our secrets.
        PayloadError: it did, but the envelope is not one we can read.
        ConfigurationError: ``POLAR_WEBHOOK_SECRET`` is not set.
    """
    event_id = verify(body, headers, secrets=settings.webhook_secrets, now=now or timezone.now())
    event, _ = store_event(event_id, body)
    return event


def store_event(event_id: str, body: bytes) -> tuple[WebhookEvent, bool]:
    """What Polar itself said happened. Returns the stored event, and whether it is new.

    Raises:
        PayloadError: the envelope cannot be read.
    """
    envelope = decode(body, WebhookEnvelope)
    if not 0 < len(event_id) <= _MAX_TEXT:
        raise PayloadError("webhook-id: too long")
    if len(envelope.type) > _MAX_TEXT or "\0" in envelope.type:
        raise PayloadError("webhook.type: no event type")
    event = WebhookEvent(
        id=event_id,
        type=envelope.type,
        timestamp=_in_utc(envelope.timestamp),
        body=body,
    )
    event.customer_id, event.external_id = _whom(envelope)
    alias = router.db_for_write(WebhookEvent)
    # A transaction of its own would double the round trips of the one insert.
    in_transaction = connections[alias].in_atomic_block
    try:
        with transaction.atomic(using=alias) if in_transaction else nullcontext():
            event.save(force_insert=True, using=alias)
    except IntegrityError:
        stored = WebhookEvent.objects.using(alias).get(pk=event_id)
        _revive(stored, body)
        return stored, False
    transaction.on_commit(lambda: _tell_received(event), using=alias)
    nudge(QUEUE, using=alias)
    return event, True


def apply_due_events(
    client: PolarClient | None = None, *, should_stop: Callable[[], bool] = lambda: False
) -> int:
    """Apply what is due, and ask Polar where events left doubts. Returns how many were applied.

    Any number of workers may do this at once. An event that cannot be applied is due again
    later, and keeps no other from being applied.
    """
    applied = 0
    while not should_stop() and (events := WebhookEvent.objects.claim(_CLAIMED_AT_ONCE)):
        applied += sum(apply_event(event) for event in events)
    if not should_stop():
        states.confirm_due_states(client=client)
    return applied


def apply_event(event: WebhookEvent) -> bool:
    """Bring what a claimed event says into the mirror and tell the receivers. Whether all of
    that is done.
    """
    try:
        if not event.unsent:
            retry_conflicts(lambda: _apply(event))
        failed = notifications.send([notifications.from_json(stored) for stored in event.unsent])
    except Exception as error:  # noqa: BLE001 - a database's or a project's: the event stays
        # Not the traceback: what a database says of a row may be personal.
        logger.warning("Webhook event %s was not applied (%s)", event.pk, type(error).__name__)
        event.postpone(error, max_attempts=settings.queue_max_attempts)
        return False
    if failed:
        event.unsent = [notifications.to_json(notification) for notification in failed]
        event.save(update_fields=["unsent"])
        names = sorted({name for notification in failed for name in notification.receivers})
        event.postpone(
            f"receivers raised: {', '.join(names)}", max_attempts=settings.queue_max_attempts
        )
        return False
    forgotten = {"body": None, "external_id": None} if _is_forgotten(event) else {}
    event.mark_done(unsent=[], **forgotten)
    return True


def prune_events(*, now: datetime | None = None) -> int:
    """Forget the bodies of events older than ``POLAR_EVENT_RETENTION``; how many."""
    before = (now or timezone.now()) - settings.event_retention
    old = WebhookEvent.objects.filter(received_at__lt=before, body__isnull=False)
    return old.update(body=None, unsent=[])


def _apply(event: WebhookEvent) -> None:
    """The change and the signals that are to be sent about it are committed together."""
    event.unsent = []
    with (
        transaction.atomic(using=database()),
        notifications.collect() as collected,
    ):
        handler = _handler_of(event.type)
        # Bodies go with their customer; what they said of it is void then.
        if handler is not None and event.body is not None:
            handler(decode(bytes(event.body), WebhookEnvelope))
        if collected:
            event.unsent = [notifications.to_json(notification) for notification in collected]
            event.save(update_fields=["unsent"])


def _take_customer(envelope: WebhookEnvelope) -> None:
    payload = decode(envelope.data, CustomerPayload)
    if _is_being_erased(payload.id, payload.external_id):
        return
    states.note_profile(payload)
    mirror.upsert_customers([payload], observed_at=envelope.timestamp, touch=True)


def _take_deletion(envelope: WebhookEnvelope) -> None:
    payload = decode(envelope.data, CustomerPayload)
    mirror.record_deleted([payload], observed_at=envelope.timestamp)


def _take_state(envelope: WebhookEnvelope) -> None:
    payload = decode(envelope.data, CustomerStatePayload)
    if _is_being_erased(payload.id, payload.external_id):
        return
    states.take_state_event(payload, observed_at=envelope.timestamp)


def _take_subscription(envelope: WebhookEnvelope) -> None:
    payload = decode(envelope.data, SubscriptionListPayload)
    _take_part(SUBSCRIPTIONS, payload, envelope.timestamp)


def _take_grant(envelope: WebhookEnvelope) -> None:
    payload = decode(envelope.data, BenefitGrantPayload)
    _take_part(BENEFITS, payload, envelope.timestamp)


HANDLERS: Final[dict[str, Handler]] = {
    "customer.created": _take_customer,
    "customer.updated": _take_customer,
    "customer.deleted": _take_deletion,
    "customer.state_changed": _take_state,
    "subscription.*": _take_subscription,
    "benefit_grant.*": _take_grant,
}
"""What each type of event means. Events of other types are kept and mean nothing here."""


def _handler_of(event_type: str) -> Handler | None:
    family = event_type.partition(".")[0]
    return HANDLERS.get(event_type) or HANDLERS.get(f"{family}.*")


def _take_part(
    table: Table, payload: SubscriptionListPayload | BenefitGrantPayload, observed_at: datetime
) -> None:
    owner = payload.customer_id
    _take_unknown_customer(payload)
    floor = mirror.known_since()
    if not payload.is_active:
        mirror.end_item(table, payload, owner, observed_at=observed_at, floor=floor)
        return
    changes, _ = mirror.upsert_items(
        table, [payload], [owner], observed_at=observed_at, floor=floor, touch=True
    )
    if changes.barred:
        states.note_barred(owner, observed_at=observed_at, floor=floor, tolerance=SKEW)


def _take_unknown_customer(payload: SubscriptionListPayload | BenefitGrantPayload) -> None:
    """A customer's first event need not be about itself; but every event carries it."""
    owner = payload.customer_id
    if Customer.objects.using(database()).filter(pk=owner).exists():
        return
    if not bytes(payload.customer):
        raise PayloadError(f"{payload.kind}.customer: missing")
    customer = decode(payload.customer, CustomerPayload)
    if customer.id != owner:
        raise PayloadError(f"{payload.kind}.customer.id: another customer")
    if _is_being_erased(owner, customer.external_id):
        return
    # As if seen when it was created: whatever is said of the customer itself wins.
    mirror.upsert_customers([customer], observed_at=customer.created_at)
    states.request_confirmation([owner])


def _revive(stored: WebhookEvent, body: bytes) -> None:
    if stored.failed_at is None or stored.done_at is not None:
        return
    if stored.body is None and not _is_forgotten(stored):
        stored.body = body
        stored.save(update_fields=["body"])
    stored.retry()
    nudge(QUEUE, using=router.db_for_write(WebhookEvent))


def _is_forgotten(event: WebhookEvent) -> bool:
    """Whether it is about somebody who was deleted, of whom nothing may be kept."""
    if event.customer_id is None:
        return False
    customers = Customer.objects.using(database()).filter(pk=event.customer_id)
    is_deleted = customers.exclude(deleted_at=None).exists()
    return is_deleted or _is_being_erased(event.customer_id, event.external_id)


def _is_being_erased(customer_id: UUID, external_id: str | None) -> bool:
    """Whether its deletion waits to be sent, and the mirror never knew it: a row that is marked
    as deleted would be guard enough.
    """
    if external_id is None:
        return False
    waiting = CustomerDeletion.objects.using(database()).open()
    waiting = waiting.filter(external_id=external_id, customer_id=None)
    known = Customer.objects.using(database()).filter(pk=customer_id)
    return waiting.exists() and not known.exists()


def _tell_received(event: WebhookEvent) -> None:
    for receiver, answer in signals.webhook_received.send_robust(Customer, event=event):
        if isinstance(answer, Exception):
            logger.warning(
                "webhook_received of event %s: receiver %s raised %s",
                event.pk,
                getattr(receiver, "__qualname__", type(receiver).__name__),
                type(answer).__name__,
            )


class _About(msgspec.Struct):
    """Whom an event is about, whatever else it says."""

    id: Any = None
    customer_id: Any = None
    external_id: Any = None
    customer: Any = None


def _whom(envelope: WebhookEnvelope) -> tuple[UUID | None, str | None]:
    """The customer's id and external id, as far as the event tells."""
    try:
        about = msgspec.json.decode(envelope.data, type=_About)
        if envelope.type.startswith("customer."):
            id_, external_id = about.id, about.external_id
        else:
            customer = about.customer if isinstance(about.customer, dict) else {}
            id_ = about.customer_id or customer.get("id")
            external_id = customer.get("external_id")
        is_usable = isinstance(external_id, str) and len(external_id) <= EXTERNAL_ID_MAX_LENGTH
        return UUID(id_), external_id if is_usable and "\0" not in external_id else None
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, TypeError, AttributeError):
        return None, None


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise PayloadError("webhook.timestamp: out of range") from error
