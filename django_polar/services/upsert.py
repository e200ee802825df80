"""The one place that writes the parts of the mirror.

``upsert`` is one plain function: rows in, what happened to them out. It reads the digests of the
rows that are there with one statement and writes with one statement, or none where nothing
changed. The ORM's ``bulk_create(update_conflicts=True)`` does the same in several times the
time, nearly all of it spent on compiling SQL that is the same for every page (``make bench``).

A row is written only over an older one. The age of a row is when Polar last modified it, then
when we saw it, then its digest, so that any two versions have an order and the result does not
depend on which came first. The same comparison stands in the statement itself, which closes the
gap between reading and writing without a lock.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from django.db import (
    DataError,
    IntegrityError,
    OperationalError,
    connections,
    router,
    transaction,
)
from django.utils import timezone

from django_polar.models import Customer

from .statements import statements_for
from .tables import CUSTOMERS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from uuid import UUID

    from .statements import Statements
    from .tables import Row, Table

_ATTEMPTS: Final = 4


@dataclass(slots=True)
class Changes:
    """What an upsert did, by id."""

    created: list[UUID] = field(default_factory=list)
    updated: list[UUID] = field(default_factory=list)
    unchanged: list[UUID] = field(default_factory=list)
    stale: list[UUID] = field(default_factory=list)
    """Older than what is there."""
    barred: list[UUID] = field(default_factory=list)
    """About a customer that is deleted or unknown, or gone since."""
    refused: dict[UUID, str] = field(default_factory=dict)
    """What the database would not take, and why."""
    rows: Sequence[Row] = ()
    """All that were given."""

    @property
    def written(self) -> list[UUID]:
        """Those that are different now."""
        return self.created + self.updated


def database() -> str:
    """The alias of the database that the mirror is written to."""
    return router.db_for_write(Customer)


def upsert(
    table: Table,
    rows: Sequence[Row],
    *,
    observed_at: datetime,
    admit: Callable[[list[Row]], list[Row]] | None = None,
) -> Changes:
    """Make the rows that are in the database match, where these are not older.

    One read; one write, or none where nothing changed; a second read where something did, to
    tell what is newer. New customers get an empty state along with them. ``observed_at`` is when
    Polar was asked, or the event's time. A row given twice counts once. What the database
    refuses is reported in ``refused`` and stops nothing. ``admit`` chooses among the new rows;
    the others are barred.
    """
    unique = _one_each(rows, observed_at)
    if not unique:
        return Changes()
    changes: Changes = retry_conflicts(lambda: _upsert(table, unique, observed_at, admit))
    changes.rows = rows
    return changes


def compare(table: Table, rows: Sequence[Row], *, observed_at: datetime) -> Changes:
    """What ``upsert`` would do, without doing it."""
    unique = _one_each(rows, observed_at)
    changes = Changes()
    if unique:
        created, updated = _sort(table, unique, observed_at, changes)
        changes.created = [row.id for row in created]
        changes.updated = [row.id for row in updated]
    return changes


def retry_conflicts(work: Callable[[], Any]) -> Any:
    """Deadlocks, busy databases and rows deleted meanwhile: look again and repeat.

    Inside a transaction of the caller's there is nothing to repeat: the database has already
    given it up.
    """
    for attempt in range(1, _ATTEMPTS):
        try:
            return work()
        except (IntegrityError, OperationalError):
            if connections[database()].in_atomic_block:
                raise
            time.sleep(0.02 * 4**attempt)
    return work()


def _one_each(rows: Sequence[Row], observed_at: datetime) -> Sequence[Row]:
    unique = {row.id.int: row for row in rows}
    if len(unique) == len(rows):
        return rows
    for row in rows:
        if row.age(observed_at) > unique[row.id.int].age(observed_at):
            unique[row.id.int] = row
    return list(unique.values())


def _upsert(
    table: Table,
    rows: Sequence[Row],
    observed_at: datetime,
    admit: Callable[[list[Row]], list[Row]] | None,
) -> Changes:
    changes = Changes()
    created, updated = _sort(table, rows, observed_at, changes)
    if not created and not updated:
        return changes
    statements = statements_for(table, database())
    try:
        with transaction.atomic(using=statements.alias):
            if admit and created:
                # In the transaction of the write: what is read here may be locked until then.
                admitted = admit(created)
                if len(admitted) < len(created):
                    changes.barred += {row.id for row in created} - {row.id for row in admitted}
                created = admitted
            if created or updated:
                _write(statements, created, updated, observed_at)
    except DataError:
        changes.refused = _write_one_by_one(statements, created, updated, observed_at)
    changes.created = [row.id for row in created]
    changes.updated = [row.id for row in updated]
    if changes.refused:
        changes.created = [id_ for id_ in changes.created if id_ not in changes.refused]
        changes.updated = [id_ for id_ in changes.updated if id_ not in changes.refused]
    return changes


def _sort(
    table: Table, rows: Sequence[Row], observed_at: datetime, changes: Changes
) -> tuple[list[Row], list[Row]]:
    """New rows, and rows that are newer than what is there; the others are noted."""
    different = statements_for(table, database()).find_different(rows)
    if not different:
        changes.unchanged = [row.id for row in rows]
        return [], []
    if len(different) < len(rows):
        found = {row.id.int for row, _ in different}
        changes.unchanged = [row.id for row in rows if row.id.int not in found]
    created = [row for row, digest in different if digest is None]
    changed = [row for row, digest in different if digest is not None]
    return created, _newer(table, changed, observed_at, changes) if changed else []


def _newer(table: Table, rows: list[Row], observed_at: datetime, changes: Changes) -> list[Row]:
    """Those that are newer than what is there; the others are noted as stale."""
    fields = ["id", "created_at", "modified_at", "synced_at", "digest"]
    if table.deletable:
        fields.append("deleted_at")
    stored = {
        found[0]: found
        for found in table.model._base_manager.using(database())
        .filter(pk__in=[row.id for row in rows])
        .values_list(*fields)
    }
    newer = []
    for row in rows:
        found = stored.get(row.id)
        if found is None or _wins(row, found, observed_at):
            newer.append(row)
        elif table.deletable and found[5] is not None:
            changes.barred.append(row.id)
        else:
            changes.stale.append(row.id)
    return newer


def _wins(row: Row, stored: Sequence[Any], observed_at: datetime) -> bool:
    _, created_at, modified_at, synced_at, digest, *deleted_at = stored
    if deleted_at and deleted_at[0] is not None:
        return False
    age = (_aware(modified_at or created_at), _aware(synced_at), digest)
    return row.age(observed_at) >= age


def _aware(value: datetime) -> datetime:
    return value if value.tzinfo else timezone.make_aware(value)


def _write(
    statements: Statements, created: list[Row], updated: list[Row], observed_at: datetime
) -> None:
    statements.write([*created, *updated], observed_at)
    if statements.table is CUSTOMERS and created:
        # That there is a customer says nothing about what it has.
        statements.write_states([row.id for row in created], None)


def _write_one_by_one(
    statements: Statements, created: list[Row], updated: list[Row], observed_at: datetime
) -> dict[UUID, str]:
    """One bad value must not cost the other ninety-nine rows of its page."""
    refused: dict[UUID, str] = {}
    new = {row.id for row in created}
    for row in [*created, *updated]:
        try:
            with transaction.atomic(using=statements.alias):
                _write(statements, *(([row], []) if row.id in new else ([], [row])), observed_at)
        except DataError as error:
            refused[row.id] = f"the database refuses a value ({type(error).__name__})"
    return refused
