"""The verbs on the mirror: what sync, webhooks and refresh have in common.

Everything takes payloads and the time at which Polar said so, and may be done in any order and
any number of times. Nothing here makes a request. Changes are noticed (see ``notifications``).

How a state keeps its parts apart when evidence arrives out of order: a part that is there carries
its own age (see ``upsert``); a part that went away is remembered in ``CustomerState.removals``
with its age; ``CustomerState.as_of`` says since when a part that was not listed is known to be
absent. A part is taken in if it is younger than all of that. A bulk sync writes nothing where
nothing changed, so what it proves is known from its run: ``known_since``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from django.db import IntegrityError, transaction
from django.db.models.functions import Coalesce, Least

from django_polar.conf import settings
from django_polar.models import (
    Customer,
    CustomerBalance,
    CustomerState,
    WebhookEvent,
)

from . import notifications
from .parts import (
    RECENT,
    STATE_TABLES,
    end_item,
    known_since,
    latest,
    lock_states,
    note_seen,
    record_seen,
    remember_removal,
    remove_items,
    rows_of,
    upsert_items,
    write_items,
)
from .statements import statements_for
from .tables import CUSTOMERS, make_rows
from .upsert import Changes, database, retry_conflicts, upsert

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from django_polar.payloads import CustomerPayload, CustomerStatePayload


__all__ = [
    "FORGOTTEN",
    "STATE_TABLES",
    "StateChanges",
    "apply_states",
    "end_item",
    "known_since",
    "link_users",
    "mark_deleted",
    "record_deleted",
    "remove_items",
    "upsert_customers",
    "upsert_items",
    "utc_now",
]


def upsert_customers(
    payloads: Sequence[CustomerPayload], *, observed_at: datetime, touch: bool = False
) -> Changes:
    """Customers as Polar has them. New or changed ones are linked to their users.

    ``touch`` records the time even where nothing changed; a bulk sync does without that write.
    """
    live = [payload for payload in payloads if payload.deleted_at is None]
    deleted = {p.id: p for p in payloads if p.deleted_at is not None}
    changes = notifications.watch_profiles(
        [payload.id for payload in live],
        lambda: _upsert_profiles(live, observed_at=observed_at, touch=touch),
    )
    if deleted:
        were_live = record_deleted(list(deleted.values()), observed_at=observed_at)
        changes.updated += were_live
        changes.barred += deleted.keys() - set(were_live)
    return changes


def _upsert_profiles(
    payloads: Sequence[CustomerPayload], *, observed_at: datetime, touch: bool
) -> Changes:
    changes = upsert(CUSTOMERS, make_rows(CUSTOMERS, payloads), observed_at=observed_at)
    if changes.written:
        news = payloads
        if len(changes.written) < len(payloads):
            written = set(changes.written)
            news = [payload for payload in payloads if payload.id in written]
        link_users({payload.id: payload.external_id for payload in news if payload.external_id})
    if touch:
        note_seen(CUSTOMERS, changes.unchanged, observed_at)
    return changes


def link_users(external_ids: Mapping[UUID, str]) -> int:
    """Give each of these customers the user that its external id names.

    Of two live customers that claim one user, which happens when one was deleted and created
    again and we have not heard of the deletion yet, the one created later gets the user.
    """
    if not external_ids:
        return 0
    users = settings.user_from_external_id(list(set(external_ids.values())))
    links = [(id_, users[ext]) for id_, ext in external_ids.items() if ext in users]
    if not links:
        return 0
    alias = database()

    def link() -> int:
        statements = statements_for(CUSTOMERS, alias)
        try:
            with transaction.atomic(using=alias):
                statements.write_links(links)
        except IntegrityError:
            # A user is claimed twice. To look first would cost every page another read.
            with transaction.atomic(using=alias):
                statements.write_links(_without_rivals(links))
        return len(links)

    linked: int = retry_conflicts(link)
    return linked


def _without_rivals(links: list[tuple[UUID, Any]]) -> list[tuple[UUID, Any]]:
    """Take the user from an older customer that has it; leave out links that lose."""
    customers = Customer.objects.using(database())
    ids = [id_ for id_, _ in links]
    users = [user for _, user in links]
    holders = dict(
        customers.filter(user__in=users).exclude(pk__in=ids).values_list("user_id", "pk")
    )
    if not holders and len(set(users)) == len(users):
        return links
    born = dict(customers.filter(pk__in=[*ids, *holders.values()]).values_list("pk", "created_at"))
    winners: dict[Any, UUID] = dict(holders)
    for id_, user in links:
        holder = winners.get(user)
        if id_ in born and (holder is None or (born[id_], id_) > (born[holder], holder)):
            winners[user] = id_
    losers = [holder for user, holder in holders.items() if winners[user] != holder]
    customers.filter(pk__in=losers).update(user=None)
    return [(id_, user) for id_, user in links if winners.get(user) == id_]


class StateChanges:
    """What ``apply_states`` did, by the name of the part."""

    __slots__ = ("customers", "doubtful", "items", "removed", "stale")

    def __init__(self) -> None:
        self.customers = Changes()
        self.items: dict[str, Changes] = {name: Changes() for name in STATE_TABLES}
        self.removed: dict[str, list[UUID]] = {name: [] for name in STATE_TABLES}
        self.stale: set[UUID] = set()
        """Customers whose whole state is known from a later time."""
        self.doubtful: set[UUID] = set()
        """Customers that lost a part which was heard of shortly before."""


def apply_states(
    payloads: Sequence[CustomerStatePayload],
    *,
    observed_at: datetime,
    touch: bool = True,
    floor: datetime | None = None,
) -> StateChanges:
    """Whole states as Polar has them: parts that are not listed are gone.

    ``touch`` and ``floor`` as above.
    """
    customers = upsert_customers(payloads, observed_at=observed_at, touch=touch)
    by_id = {payload.id: payload for payload in payloads if payload.deleted_at is None}
    result: StateChanges = notifications.watch_states(
        list(by_id),
        lambda: retry_conflicts(
            lambda: _apply_states(by_id, observed_at=observed_at, touch=touch, floor=floor)
        ),
    )
    result.customers = customers
    return result


def _apply_states(
    by_id: Mapping[UUID, CustomerStatePayload],
    *,
    observed_at: datetime,
    touch: bool,
    floor: datetime | None,
) -> StateChanges:
    result = StateChanges()
    with transaction.atomic(using=database()):
        states = {state.pk: state for state in lock_states(by_id)}
        for pk, state in states.items():
            known = latest(state.as_of, floor)
            if known and known > observed_at:
                result.stale.add(pk)
        for name, table in STATE_TABLES.items():
            items = [(item, pk) for pk in states for item in getattr(by_id[pk], name)]
            result.items[name], _ = write_items(
                table,
                [item for item, _ in items],
                [owner for _, owner in items],
                observed_at=observed_at,
                floor=floor,
            )
            if touch:
                note_seen(table, result.items[name].unchanged, observed_at)
            unlisted = rows_of(table).filter(
                state_id__in=states.keys() - result.stale, synced_at__lte=observed_at
            )
            listed = {item.id for item, _ in items}
            for row in [row for row in unlisted if row.pk not in listed]:
                state = states[row.state_id]
                remember_removal(state, row.pk, (row.modified_at or row.created_at, row.synced_at))
                result.removed[name].append(row.pk)
                if row.synced_at > observed_at - RECENT:
                    result.doubtful.add(row.state_id)
            unlisted.filter(pk__in=result.removed[name]).delete()
        for pk, state in states.items():
            if pk not in result.stale and (touch or state.removals):
                record_seen(state, observed_at)
    return result


def record_deleted(payloads: Sequence[CustomerPayload], *, observed_at: datetime) -> list[UUID]:
    """Customers that Polar says it deleted, known here or not. Returns those that were live.

    One that was never known is recorded too, or a late event would bring it to life.
    """
    Customer.objects.using(database()).bulk_create(
        [
            Customer(
                id=payload.id,
                organization_id=payload.organization_id,
                type=payload.type,
                created_at=payload.created_at,
                deleted_at=payload.deleted_at or observed_at,
                synced_at=payload.deleted_at or observed_at,
            )
            for payload in payloads
        ],
        ignore_conflicts=True,
    )
    deleted: list[UUID] = []
    for payload in payloads:
        deleted += mark_deleted([payload.id], deleted_at=payload.deleted_at or observed_at)
    return deleted


def mark_deleted(ids: Iterable[UUID], *, deleted_at: datetime) -> list[UUID]:
    """Customers that Polar no longer has, in a fixed number of queries.

    Ids and dates stay, so that late events cannot bring them back; everything about the person,
    the state and the balances goes. Of two times of deletion the earlier one is kept. Returns
    those that were live.
    """
    pks = list(ids)
    alias = database()
    customers = Customer.objects.using(alias).filter(pk__in=pks)

    def mark() -> list[UUID]:
        with transaction.atomic(using=alias):
            # Locked, or two workers would both find it live and tell of its deletion.
            live = customers.live().order_by("pk").select_for_update()
            identities = {c.pk: {"user_id": c.user_id, "external_id": c.external_id} for c in live}
            for table in STATE_TABLES.values():
                rows_of(table).filter(state_id__in=pks).delete()
            CustomerState.objects.using(alias).filter(pk__in=pks).delete()
            CustomerBalance.objects.using(alias).filter(customer_id__in=pks).delete()
            earliest = Least(Coalesce("deleted_at", deleted_at), deleted_at)
            customers.update(**FORGOTTEN, deleted_at=earliest, synced_at=earliest)
            # What they say of the person goes; that they came is no secret.
            events = WebhookEvent.objects.using(alias).filter(customer_id__in=pks)
            events.update(body=None, unsent=[], external_id=None)
            notifications.note_deleted(identities)
        return list(identities)

    return notifications.watch_states(pks, lambda: list(retry_conflicts(mark)), has_changed=bool)


FORGOTTEN: Final[dict[str, Any]] = {
    "user": None,
    "external_id": None,
    "email": None,
    "email_verified": False,
    "name": None,
    "billing_name": None,
    "billing_address": None,
    "tax_id": None,
    "locale": None,
    "avatar_url": None,
    "metadata": {},
    "default_payment_method_id": None,
    "first_user_event_at": None,
    "modified_at": None,
    "raw": {},
    "digest": 0,
}
"""What a deleted customer's row holds in place of a person."""


def utc_now() -> datetime:
    """Now, in the one time zone that Polar's payloads have."""
    return datetime.now(UTC)
