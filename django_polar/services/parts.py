"""The parts of customers' states: how they come, change and go. See ``mirror`` for the rules."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import models, transaction

from django_polar.models import Customer, CustomerState, StateItem, SyncRun

from . import notifications
from .statements import statements_for
from .tables import BENEFITS, METERS, SUBSCRIPTIONS, make_rows
from .upsert import Changes, database, retry_conflicts, upsert

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from uuid import UUID

    from .tables import Row, Table

STATE_TABLES: Final = {
    "active_subscriptions": SUBSCRIPTIONS,
    "granted_benefits": BENEFITS,
    "active_meters": METERS,
}
"""The tables of a state's parts, by the name that Polar and ``CustomerState`` give them."""

PARTS: Final = {table: name for name, table in STATE_TABLES.items()}

OLD_NEWS: Final = timedelta(days=1)
"""For so long Polar may still tell what is no longer true: it keeps states in a cache for an hour,
and an event is repeated for some hours. Removals are remembered until then.
"""

RECENT: Final = timedelta(hours=1)
"""What was heard of so shortly before, and is said to be gone, may have been left out by a state
out of Polar's cache.
"""


def known_since() -> datetime | None:
    """When the last sync that read every state completely began: what we had heard before it was
    held against the truth then.
    """
    runs = SyncRun.objects.using(database()).filter(
        outcome=SyncRun.Outcome.COMPLETE, state_complete=True
    )
    return runs.order_by("-started_at").values_list("started_at", flat=True).first()


def rows_of(table: Table) -> models.QuerySet[Any]:
    """All rows of one kind of part, or of customers, on the mirror's database."""
    return table.model._base_manager.using(database())


def note_seen(table: Table, ids: Sequence[UUID], observed_at: datetime) -> None:
    """Of two versions that Polar modified at one time, the one seen last is right, so when it was
    seen last has to be known.
    """
    if ids:
        rows = rows_of(table).filter(pk__in=ids)
        rows.filter(synced_at__lt=observed_at).update(synced_at=observed_at)


def upsert_items(
    table: Table,
    payloads: Sequence[Any],
    owners: Sequence[UUID],
    *,
    observed_at: datetime,
    floor: datetime | None = None,
    touch: bool = False,
) -> tuple[Changes, set[UUID]]:
    """Parts of states, with the customer of each. Returns also the customers we do not have.

    A part that is new here is taken in only if nothing later said that it is gone, and only for
    a customer that is in the mirror and not deleted. ``floor`` is ``known_since()`` where the
    news may be older than that; ``touch`` as above.
    """

    def upsert_and_touch() -> tuple[Changes, set[UUID]]:
        changes, missing = write_items(
            table, payloads, owners, observed_at=observed_at, floor=floor
        )
        if touch:
            note_seen(table, changes.unchanged, observed_at)
        return changes, missing

    return notifications.watch_states(
        owners,
        upsert_and_touch,
        parts=[PARTS[table]],
        has_changed=lambda result: bool(result[0].written),
    )


def write_items(
    table: Table,
    payloads: Sequence[Any],
    owners: Sequence[UUID],
    *,
    observed_at: datetime,
    floor: datetime | None,
) -> tuple[Changes, set[UUID]]:
    missing: set[UUID] = set()
    statements = statements_for(table, database())

    def admit(rows: list[Row]) -> list[Row]:
        # Locked, or a part could end between this look and the write.
        customers = {row.values[0] for row in rows}
        special = customers
        if floor is None or floor <= observed_at:
            special = set(statements.lock_states(list(customers), observed_at))
        if not special:
            return rows
        states = {state.pk: state for state in lock_states(special)}
        missing.update(special - states.keys())
        return [
            row
            for row in rows
            if row.values[0] not in special
            or ((state := states.get(row.values[0])) and _is_news(row, state, observed_at, floor))
        ]

    rows = make_rows(table, payloads, owners)
    changes = upsert(table, rows, observed_at=observed_at, admit=admit)
    if missing:
        # Deleted customers have no state either, but these we do know.
        known = Customer.objects.using(database()).filter(pk__in=missing)
        missing.difference_update(known.values_list("pk", flat=True))
    return changes, missing


def _is_news(row: Row, state: CustomerState, observed_at: datetime, floor: datetime | None) -> bool:
    """Whether a part that is not there may have come since it was last known not to be."""
    known = latest(state.as_of, floor)
    if known and observed_at < known:
        return False
    removal = state.removals.get(str(row.id))
    return not removal or (row.modified_at, observed_at) > _removal_age(removal)


def latest(*moments: datetime | None) -> datetime | None:
    return max((moment for moment in moments if moment is not None), default=None)


def _removal_age(removal: Sequence[str]) -> tuple[datetime, datetime]:
    modified_at, observed_at = removal
    return datetime.fromisoformat(modified_at), datetime.fromisoformat(observed_at)


def remember_removal(state: CustomerState, id_: UUID, age: tuple[datetime, datetime]) -> None:
    """For the caller to save."""
    removal = state.removals.get(str(id_))
    if not removal or _removal_age(removal) < age:
        state.removals[str(id_)] = [moment.isoformat() for moment in age]


def end_item(
    table: Table,
    payload: Any,
    owner: UUID,
    *,
    observed_at: datetime,
    floor: datetime | None = None,
) -> bool:
    """A subscription that is no longer active, a grant that was revoked: not in the state.

    Remembered, so that an older event which arrives later does not bring the part back. Returns
    whether a row went away.
    """
    row = make_rows(table, [payload], [owner])[0]
    alias = database()
    age = (row.modified_at, observed_at)

    def end() -> bool:
        with transaction.atomic(using=alias):
            state = lock_states([owner]).first()
            if state is None:
                return False
            stored = rows_of(table).filter(pk=row.id).first()
            if isinstance(stored, StateItem):
                seen_at = latest(stored.synced_at, state.as_of, floor)
                if (stored.modified_at or stored.created_at, seen_at) > age:
                    return False
                stored.delete()
            remember_removal(state, row.id, age)
            state.save(update_fields=["removals"])
            return stored is not None

    return notifications.watch_states(
        [owner], lambda: bool(retry_conflicts(end)), parts=[PARTS[table]], has_changed=bool
    )


def lock_states(ids: Collection[UUID]) -> models.QuerySet[CustomerState]:
    """In one order, so that two workers cannot wait for each other."""
    states = CustomerState.objects.using(database()).filter(pk__in=ids).order_by("pk")
    return states.select_for_update()


def record_seen(state: CustomerState, observed_at: datetime) -> None:
    state.as_of = observed_at
    state.removals = {
        id_: removal
        for id_, removal in state.removals.items()
        if _removal_age(removal)[1] > observed_at - OLD_NEWS
    }
    state.save(update_fields=["as_of", "removals"])


def remove_items(table: Table, ids: Sequence[UUID], *, observed_at: datetime) -> list[UUID]:
    """Parts that were not in a complete answer given at ``observed_at``.

    Those that we heard of since then stay. Returns what went away.
    """
    if not ids:
        return []
    alias = database()
    gone = rows_of(table).filter(pk__in=ids, synced_at__lte=observed_at)
    owners = list(gone.order_by().values_list("state_id", flat=True).distinct())

    def remove() -> list[UUID]:
        with transaction.atomic(using=alias):
            states = {state.pk: state for state in lock_states(owners)}
            rows = [row for row in gone if row.state_id in states]
            for row in rows:
                age = (row.modified_at or row.created_at, row.synced_at)
                remember_removal(states[row.state_id], row.pk, age)
            CustomerState.objects.using(alias).bulk_update(states.values(), ["removals"])
            removed = [row.pk for row in rows]
            rows_of(table).filter(pk__in=removed).delete()
        return removed

    return notifications.watch_states(
        owners, lambda: list(retry_conflicts(remove)), parts=[PARTS[table]], has_changed=bool
    )
