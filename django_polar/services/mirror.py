"""The verbs on the mirror: what sync, webhooks and refresh have in common.

Everything takes payloads and the time at which Polar said so, and may be done in any order and
any number of times. Nothing here makes a request.

How a state keeps its parts apart when evidence arrives out of order: a part that is there carries
its own age (see ``upsert``); ``CustomerState.as_of`` says since when a part that is not there is
known to be absent; a part that went away by an event of its own after that is remembered in
``CustomerState.removals`` with its age. A part is taken in if it is younger than all of that.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from django.db import models, transaction
from django.db.models.functions import Coalesce, Least

from django_polar.conf import settings
from django_polar.models import Customer, CustomerBalance, CustomerState, StateItem

from .statements import statements_for
from .tables import BENEFITS, CUSTOMERS, METERS, SUBSCRIPTIONS, make_rows
from .upsert import Changes, database, retry_conflicts, upsert

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from uuid import UUID

    from django_polar.payloads import CustomerPayload, CustomerStatePayload

    from .tables import Row, Table

STATE_TABLES: Final = {
    "active_subscriptions": SUBSCRIPTIONS,
    "granted_benefits": BENEFITS,
    "active_meters": METERS,
}
"""The tables of a state's parts, by the name that Polar and ``CustomerState`` give them."""


def upsert_customers(payloads: Sequence[CustomerPayload], *, observed_at: datetime) -> Changes:
    """Customers as Polar has them. New or changed ones are linked to their users."""
    live = [payload for payload in payloads if payload.deleted_at is None]
    deleted = {p.id: p for p in payloads if p.deleted_at is not None}
    changes = upsert(CUSTOMERS, make_rows(CUSTOMERS, live), observed_at=observed_at)
    if written := set(changes.written):
        link_users({p.id: p.external_id for p in live if p.id in written and p.external_id})
    if deleted:
        record_deleted(list(deleted.values()), observed_at=observed_at)
        changes.updated += deleted
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
        with transaction.atomic(using=alias):
            statements_for(CUSTOMERS, alias).write_links(_without_rivals(links))
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


def upsert_items(
    table: Table,
    payloads: Sequence[Any],
    owners: Sequence[UUID],
    *,
    observed_at: datetime,
) -> tuple[Changes, set[UUID]]:
    """Parts of states, with the customer of each. Returns also the customers we do not have.

    A part that is new here is taken in only if nothing later said that it is gone, and only for
    a customer that is in the mirror and not deleted.
    """
    missing: set[UUID] = set()

    def admit(rows: list[Row]) -> list[Row]:
        states = {
            state.pk: state
            for state in CustomerState.objects.using(database()).filter(
                pk__in={row.values[0] for row in rows}
            )
        }
        missing.update(row.values[0] for row in rows if row.values[0] not in states)
        return [
            row
            for row in rows
            if (state := states.get(row.values[0])) and _is_news(row, state, observed_at)
        ]

    rows = make_rows(table, payloads, owners)
    changes = upsert(table, rows, observed_at=observed_at, admit=admit)
    if missing:
        # Deleted customers have no state either, but these we do know.
        known = Customer.objects.using(database()).filter(pk__in=missing)
        missing.difference_update(known.values_list("pk", flat=True))
    return changes, missing


def _is_news(row: Row, state: CustomerState, observed_at: datetime) -> bool:
    """Whether a part that is not there may have come since it was last known not to be."""
    if state.as_of and observed_at < state.as_of:
        return False
    removal = state.removals.get(str(row.id))
    return not removal or (row.modified_at, observed_at) > _removal_age(removal)


def _removal_age(removal: Sequence[str]) -> tuple[datetime, datetime]:
    modified_at, observed_at = removal
    return datetime.fromisoformat(modified_at), datetime.fromisoformat(observed_at)


def end_item(table: Table, payload: Any, owner: UUID, *, observed_at: datetime) -> bool:
    """A subscription that is no longer active, a grant that was revoked: not in the state.

    Remembered until the whole state has been seen at a later time, so that an older event which
    arrives later does not bring the part back. Returns whether a row went away.
    """
    row = make_rows(table, [payload], [owner])[0]
    alias = database()

    def end() -> bool:
        with transaction.atomic(using=alias):
            state = _lock_states([owner]).first()
            if state is None:
                return False
            age = (row.modified_at, observed_at)
            stored = table.model._base_manager.using(alias).filter(pk=row.id).first()
            if isinstance(stored, StateItem):
                if (stored.modified_at or stored.created_at, stored.synced_at) > age:
                    return False
                stored.delete()
            removal = state.removals.get(str(row.id))
            is_covered = state.as_of is not None and observed_at <= state.as_of
            if not is_covered and (not removal or _removal_age(removal) < age):
                state.removals[str(row.id)] = [moment.isoformat() for moment in age]
                state.save(update_fields=["removals"])
            return stored is not None

    ended: bool = retry_conflicts(end)
    return ended


def _lock_states(ids: Collection[UUID]) -> models.QuerySet[CustomerState]:
    """In one order, so that two workers cannot wait for each other."""
    states = CustomerState.objects.using(database()).filter(pk__in=ids).order_by("pk")
    return states.select_for_update()


class StateChanges:
    """What ``apply_states`` did, by the name of the part."""

    __slots__ = ("customers", "items", "removed", "stale")

    def __init__(self) -> None:
        self.customers = Changes()
        self.items: dict[str, Changes] = {name: Changes() for name in STATE_TABLES}
        self.removed: dict[str, list[UUID]] = {name: [] for name in STATE_TABLES}
        self.stale: set[UUID] = set()
        """Customers whose whole state is known from a later time."""


def apply_states(
    payloads: Sequence[CustomerStatePayload], *, observed_at: datetime, touch: bool = True
) -> StateChanges:
    """Whole states as Polar has them: parts that are not listed are gone.

    ``touch`` records the time even where nothing changed; a bulk sync does without that write.
    """
    result = StateChanges()
    result.customers = upsert_customers(payloads, observed_at=observed_at)
    by_id = {payload.id: payload for payload in payloads}
    alias = database()

    def apply() -> None:
        with transaction.atomic(using=alias):
            states = {state.pk: state for state in _lock_states(by_id)}
            result.stale = {
                pk for pk, state in states.items() if state.as_of and state.as_of > observed_at
            }
            current = [by_id[pk] for pk in states if pk not in result.stale]
            for name, table in STATE_TABLES.items():
                items = [(item, p.id) for p in current for item in getattr(p, name)]
                result.items[name], _ = upsert_items(
                    table,
                    [item for item, _ in items],
                    [owner for _, owner in items],
                    observed_at=observed_at,
                )
                result.removed[name] = _remove_unlisted(
                    table, current, {item.id for item, _ in items}, observed_at
                )
            for payload in current:
                state = states[payload.id]
                if touch or state.removals:
                    _record_seen(state, observed_at)

    retry_conflicts(apply)
    return result


def _remove_unlisted(
    table: Table,
    payloads: Sequence[CustomerStatePayload],
    listed: set[UUID],
    observed_at: datetime,
) -> list[UUID]:
    there = table.model._base_manager.using(database()).filter(
        state_id__in=[payload.id for payload in payloads], synced_at__lte=observed_at
    )
    gone = [pk for pk in there.values_list("pk", flat=True) if pk not in listed]
    return remove_items(table, gone, observed_at=observed_at)


def _record_seen(state: CustomerState, observed_at: datetime) -> None:
    state.as_of = observed_at
    state.removals = {
        id_: removal
        for id_, removal in state.removals.items()
        if _removal_age(removal)[1] > observed_at
    }
    state.save(update_fields=["as_of", "removals"])


def remove_items(table: Table, ids: Sequence[UUID], *, observed_at: datetime) -> list[UUID]:
    """Parts that were not in a complete answer given at ``observed_at``.

    Those that we heard of since then stay. Returns what went away.
    """
    if not ids:
        return []
    rows = table.model._base_manager.using(database()).filter(
        pk__in=ids, synced_at__lte=observed_at
    )
    removed = list(rows.values_list("pk", flat=True))
    rows.filter(pk__in=removed).delete()
    return removed


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
            live = list(customers.live().values_list("pk", flat=True))
            for table in STATE_TABLES.values():
                table.model._base_manager.using(alias).filter(state_id__in=pks).delete()
            CustomerState.objects.using(alias).filter(pk__in=pks).delete()
            CustomerBalance.objects.using(alias).filter(customer_id__in=pks).delete()
            earliest = Least(Coalesce("deleted_at", deleted_at), deleted_at)
            customers.update(**FORGOTTEN, deleted_at=earliest, synced_at=earliest)
        return live

    marked: list[UUID] = retry_conflicts(mark)
    return marked


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
