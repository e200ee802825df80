"""Signals about changes: noticed while the mirror is written, sent once it is committed.

A change is what is different in the database before and after, so the same news told twice, by an
event and a sync or by two workers at once, is one change. Costs nothing while nobody listens.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from django.db import transaction
from django.dispatch import Signal

from django_polar import signals
from django_polar.models import (
    ActiveMeter,
    ActiveSubscription,
    Customer,
    CustomerState,
    GrantedBenefit,
    StateItem,
)

from .upsert import database, retry_conflicts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from uuid import UUID

    from django.db import models

logger = logging.getLogger(__name__)

R = TypeVar("R")

PARTS: Final[dict[str, type[StateItem]]] = {
    "active_subscriptions": ActiveSubscription,
    "granted_benefits": GrantedBenefit,
    "active_meters": ActiveMeter,
}
STATE_SIGNALS: Final = (
    "customer_state_changed",
    "subscription_started",
    "subscription_ended",
    "benefit_granted",
    "benefit_revoked",
)
_BEGINS_AND_ENDS: Final = {
    "active_subscriptions": ("subscription", "subscription_started", "subscription_ended"),
    "granted_benefits": ("benefit", "benefit_granted", "benefit_revoked"),
}
_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
# A list and a state differ in fields that we do not know and in which of several prices they
# name, and when it was seen is no change at all.
_NO_CHANGE: Final = frozenset({"synced_at", "digest", "raw", "price_id"})


@dataclass(frozen=True, slots=True)
class CustomerStateSnapshot:
    """What a customer had at one time. The rows need not be in the database any more."""

    active_subscriptions: tuple[ActiveSubscription, ...] = ()
    granted_benefits: tuple[GrantedBenefit, ...] = ()
    active_meters: tuple[ActiveMeter, ...] = ()


@dataclass(frozen=True, slots=True)
class Notification:
    """One signal that is to be sent."""

    signal: str
    customer_id: UUID
    arguments: dict[str, Any] = field(default_factory=dict)
    identity: dict[str, Any] = field(default_factory=dict)
    """Of a deleted customer: what it was known by, which its row has forgotten."""
    receivers: frozenset[str] = frozenset()
    """Only these, where the others have it already."""


_collector: ContextVar[list[Notification] | None] = ContextVar("polar_notifications", default=None)


def is_heard(*names: str) -> bool:
    """Whether anybody listens to one of these signals."""
    return any(getattr(signals, name).has_listeners(Customer) for name in names)


@contextmanager
def collect() -> Iterator[list[Notification]]:
    """What is noticed in this block is the caller's to send."""
    collected: list[Notification] = []
    token = _collector.set(collected)
    try:
        yield collected
    finally:
        _collector.reset(token)


def publish(notifications: Sequence[Notification]) -> None:
    """Hand over to whoever collects, or send after the commit."""
    if not notifications:
        return
    collector = _collector.get()
    if collector is not None:
        collector.extend(notifications)
    else:
        transaction.on_commit(partial(send, notifications), using=database())


def watch_states(
    owners: Collection[UUID],
    work: Callable[[], R],
    *,
    parts: Collection[str] = tuple(PARTS),
    has_changed: Callable[[R], bool] = lambda _: True,
) -> R:
    """Do ``work`` and notice what it does to these customers' ``parts``."""
    if not owners or not is_heard(*STATE_SIGNALS):
        return work()

    def watch() -> R:
        alias = database()
        with transaction.atomic(using=alias):
            # Whoever else writes these waits, or both would notice the same change.
            states = CustomerState.objects.using(alias).filter(pk__in=owners).order_by("pk")
            list(states.select_for_update().values_list("pk", flat=True))
            before = _read_parts(owners, parts)
            result = work()
            if has_changed(result):
                publish(_compare_states(before, _read_parts(owners, parts), parts))
        return result

    watched: R = retry_conflicts(watch)
    return watched


def watch_profiles(ids: Collection[UUID], work: Callable[[], R]) -> R:
    """Do ``work`` and notice which of these customers are new or different after it."""
    if not ids or not is_heard("customer_synced"):
        return work()

    def watch() -> R:
        alias = database()
        with transaction.atomic(using=alias):
            customers = Customer.objects.using(alias).live().filter(pk__in=ids).order_by("pk")
            _lock_profiles(ids)
            before = {c.pk: _content(c) for c in customers.all()}
            result = work()
            publish(
                [
                    Notification("customer_synced", c.pk, {"created": c.pk not in before})
                    for c in customers.all()
                    if before.get(c.pk) != _content(c)
                ]
            )
        return result

    watched: R = retry_conflicts(watch)
    return watched


def note_deleted(identities: Mapping[UUID, dict[str, Any]]) -> None:
    """These customers were live until now. ``identities`` are what they were known by."""
    if is_heard("customer_deleted"):
        publish(
            [Notification("customer_deleted", pk, {}, known) for pk, known in identities.items()]
        )


def send(notifications: Sequence[Notification]) -> list[Notification]:
    """Send them in order. Returns those that receivers failed to take, for these receivers alone.

    A receiver that raises keeps no other from hearing.
    """
    alias = database()
    ids = {notification.customer_id for notification in notifications}
    customers = Customer.objects.using(alias).select_related("user").in_bulk(ids)
    unsent = []
    for notification in notifications:
        customer = customers.get(notification.customer_id)
        if customer is None:
            continue
        for name, value in notification.identity.items():
            setattr(customer, name, value)
        signal: Signal = getattr(signals, notification.signal)
        if notification.receivers:
            signal = _narrow(signal, notification.receivers)
        answers = signal.send_robust(Customer, customer=customer, **notification.arguments)
        failed = {_name(r): answer for r, answer in answers if isinstance(answer, Exception)}
        for name, error in failed.items():
            logger.warning(
                "%s of customer %s: receiver %s raised %s",
                notification.signal,
                notification.customer_id,
                name,
                type(error).__name__,
            )
        if failed:
            unsent.append(replace(notification, receivers=frozenset(failed)))
    return unsent


def to_json(notification: Notification) -> dict[str, Any]:
    """To be kept with the change until it is sent."""
    encoded: dict[str, Any] = msgspec.to_builtins(
        {
            "signal": notification.signal,
            "customer_id": notification.customer_id,
            "identity": notification.identity,
            "receivers": sorted(notification.receivers),
            "arguments": {n: _encode(value) for n, value in notification.arguments.items()},
        }
    )
    return encoded


def from_json(stored: Mapping[str, Any]) -> Notification:
    columns = {f.attname: f for f in Customer._meta.concrete_fields}
    return Notification(
        signal=stored["signal"],
        customer_id=Customer._meta.pk.to_python(stored["customer_id"]),
        arguments={name: _decode(value) for name, value in stored["arguments"].items()},
        identity={
            name: columns[name].to_python(value) for name, value in stored["identity"].items()
        },
        receivers=frozenset(stored["receivers"]),
    )


def _lock_profiles(ids: Collection[UUID]) -> None:
    """Whoever else writes these customers waits, also for those that are not there yet: a row in
    their place, gone again before anybody can see it, holds off whoever would create them.
    """
    customers = Customer.objects.using(database()).filter(pk__in=ids).order_by("pk")
    found = set(customers.select_for_update().values_list("pk", flat=True))
    absent = sorted(set(ids) - found)
    if absent:
        Customer.objects.using(database()).bulk_create(
            [
                Customer(id=pk, organization_id=pk, created_at=_NEVER, synced_at=_NEVER)
                for pk in absent
            ],
            ignore_conflicts=True,
        )
        customers.filter(pk__in=absent, synced_at=_NEVER).delete()


def _read_parts(
    owners: Collection[UUID], parts: Collection[str]
) -> dict[UUID, dict[str, dict[UUID, StateItem]]]:
    """By customer, part and id."""
    found: dict[UUID, dict[str, dict[UUID, StateItem]]] = {
        owner: {part: {} for part in parts} for owner in owners
    }
    for part in parts:
        rows: models.QuerySet[Any] = PARTS[part]._base_manager.using(database())
        rows = rows.filter(state_id__in=owners)
        for row in rows.order_by("created_at", "pk"):
            found[row.state_id][part][row.pk] = row
    return found


def _compare_states(
    before: dict[UUID, dict[str, dict[UUID, StateItem]]],
    after: dict[UUID, dict[str, dict[UUID, StateItem]]],
    parts: Collection[str],
) -> list[Notification]:
    changed = [pk for pk in before if _contents(before[pk]) != _contents(after[pk])]
    if not changed:
        return []
    others = _read_parts(changed, [part for part in PARTS if part not in parts])
    notifications = []
    for pk in changed:
        for part, (name, begins, ends) in _BEGINS_AND_ENDS.items():
            if part in parts:
                then, now = before[pk][part], after[pk][part]
                notifications += [
                    Notification(begins, pk, {name: now[id_]}) for id_ in now if id_ not in then
                ]
                notifications += [
                    Notification(ends, pk, {name: then[id_]}) for id_ in then if id_ not in now
                ]
        notifications.append(
            Notification(
                "customer_state_changed",
                pk,
                {
                    "before": _snapshot({**others[pk], **before[pk]}),
                    "after": _snapshot({**others[pk], **after[pk]}),
                },
            )
        )
    return [notification for notification in notifications if is_heard(notification.signal)]


def _snapshot(parts: Mapping[str, Mapping[UUID, StateItem]]) -> CustomerStateSnapshot:
    return CustomerStateSnapshot(
        **{name: tuple(rows.values()) for name, rows in parts.items()}  # type: ignore[arg-type]
    )


def _contents(parts: Mapping[str, Mapping[UUID, StateItem]]) -> dict[Any, dict[str, Any]]:
    return {id_: _content(row) for rows in parts.values() for id_, row in rows.items()}


def _content(row: models.Model) -> dict[str, Any]:
    return {
        f.attname: getattr(row, f.attname)
        for f in row._meta.concrete_fields
        if f.attname not in _NO_CHANGE
    }


def _narrow(signal: Signal, names: Collection[str]) -> Signal:
    """The same signal for some of its receivers."""
    narrow = Signal()
    for receiver in [r for kind in signal._live_receivers(Customer) for r in kind]:  # noqa: SLF001 - Django has no public way to ask
        if _name(receiver) in names:
            narrow.connect(receiver, weak=False)
    return narrow


def _name(receiver: Any) -> str:
    named = receiver if hasattr(receiver, "__qualname__") else type(receiver)
    return f"{named.__module__}.{named.__qualname__}"


def _encode(value: Any) -> Any:
    if isinstance(value, StateItem):
        fields = {f.attname: getattr(value, f.attname) for f in value._meta.concrete_fields}
        return {"model": type(value).__name__, "fields": fields}
    if isinstance(value, CustomerStateSnapshot):
        return {
            "snapshot": {part: [_encode(row) for row in getattr(value, part)] for part in PARTS}
        }
    return value


_MODELS: Final = {model.__name__: model for model in PARTS.values()}


def _decode(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if "snapshot" in value:
        parts = value["snapshot"]
        return CustomerStateSnapshot(
            **{part: tuple(_decode(row) for row in rows) for part, rows in parts.items()}
        )
    model = _MODELS[value["model"]]
    columns = {f.attname: f for f in model._meta.concrete_fields}
    return model(**{n: columns[n].to_python(v) for n, v in value["fields"].items()})
