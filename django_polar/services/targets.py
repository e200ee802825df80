"""Where a full sync puts what it reads: into the mirror, or beside it to see the difference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from django_polar.conf import settings
from django_polar.models import Customer

from . import mirror
from .sync_report import Drift
from .tables import BENEFITS, CUSTOMERS, METERS, SUBSCRIPTIONS, make_rows
from .upsert import Changes, compare, database

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from django.db import models

    from django_polar.payloads import CustomerPayload, CustomerStatePayload

    from .sync_report import SyncReport
    from .tables import Row, Table

TABLES: dict[str, Table] = {
    "customers": CUSTOMERS,
    "subscriptions": SUBSCRIPTIONS,
    "benefits": BENEFITS,
    "meters": METERS,
}
STATE_NAMES: dict[str, str] = {
    "subscriptions": "active_subscriptions",
    "benefits": "granted_benefits",
    "meters": "active_meters",
}
"""What the lists are called in a customer's state."""


class Target(Protocol):
    """What a sync does with what it found out."""

    def customers(
        self, payloads: Sequence[CustomerPayload], *, observed_at: datetime
    ) -> Changes: ...

    def items(
        self,
        list_name: str,
        payloads: Sequence[Any],
        owners: Sequence[UUID],
        *,
        observed_at: datetime,
    ) -> tuple[Changes, set[UUID]]: ...

    def states(
        self, payloads: Sequence[CustomerStatePayload], *, observed_at: datetime, touch: bool
    ) -> tuple[dict[str, Changes], dict[str, int]]: ...

    def gone_customers(self, ids: Sequence[UUID], *, observed_at: datetime) -> int: ...

    def gone_items(self, list_name: str, ids: Sequence[UUID], *, observed_at: datetime) -> int: ...

    def link(self, external_ids: dict[UUID, str]) -> None: ...


class Mirror:
    """Writes."""

    def customers(self, payloads: Sequence[CustomerPayload], *, observed_at: datetime) -> Changes:
        return mirror.upsert_customers(payloads, observed_at=observed_at)

    def items(
        self,
        list_name: str,
        payloads: Sequence[Any],
        owners: Sequence[UUID],
        *,
        observed_at: datetime,
    ) -> tuple[Changes, set[UUID]]:
        return mirror.upsert_items(TABLES[list_name], payloads, owners, observed_at=observed_at)

    def states(
        self, payloads: Sequence[CustomerStatePayload], *, observed_at: datetime, touch: bool
    ) -> tuple[dict[str, Changes], dict[str, int]]:
        changes = mirror.apply_states(payloads, observed_at=observed_at, touch=touch)
        return (
            {name: changes.items[STATE_NAMES[name]] for name in STATE_NAMES},
            {name: len(changes.removed[STATE_NAMES[name]]) for name in STATE_NAMES},
        )

    def gone_customers(self, ids: Sequence[UUID], *, observed_at: datetime) -> int:
        return len(mirror.mark_deleted(ids, deleted_at=observed_at))

    def gone_items(self, list_name: str, ids: Sequence[UUID], *, observed_at: datetime) -> int:
        return len(mirror.remove_items(TABLES[list_name], ids, observed_at=observed_at))

    def link(self, external_ids: dict[UUID, str]) -> None:
        mirror.link_users(external_ids)


class DriftFinder:
    """Writes nothing, and reports what ``Mirror`` would change."""

    def __init__(self, report: SyncReport) -> None:
        self._report = report
        self._new: set[UUID] = set()
        """Customers that the mirror would have by now."""

    def customers(self, payloads: Sequence[CustomerPayload], *, observed_at: datetime) -> Changes:
        rows = make_rows(CUSTOMERS, payloads)
        external_ids = {payload.id: payload.external_id for payload in payloads}
        changes = self._compare("customers", rows, external_ids, observed_at)
        self._new.update(changes.created)
        return changes

    def items(
        self,
        list_name: str,
        payloads: Sequence[Any],
        owners: Sequence[UUID],
        *,
        observed_at: datetime,
    ) -> tuple[Changes, set[UUID]]:
        customers = Customer.objects.using(database())
        known = dict(customers.filter(pk__in=owners).values_list("pk", "deleted_at"))
        live = {owner for owner in owners if known.get(owner, self) is None} | self._new
        pairs = [pair for pair in zip(payloads, owners, strict=True) if pair[1] in live]
        rows = make_rows(
            TABLES[list_name], [item for item, _ in pairs], [owner for _, owner in pairs]
        )
        changes = self._compare(list_name, rows, {}, observed_at)
        changes.barred = [
            item.id for item, owner in zip(payloads, owners, strict=True) if owner not in live
        ]
        return changes, {owner for owner in owners if owner not in known} - self._new

    def states(
        self, payloads: Sequence[CustomerStatePayload], *, observed_at: datetime, touch: bool
    ) -> tuple[dict[str, Changes], dict[str, int]]:
        changes: dict[str, Changes] = {}
        removed: dict[str, int] = {}
        for list_name, state_name in STATE_NAMES.items():
            items = [(item, p.id) for p in payloads for item in getattr(p, state_name)]
            changes[list_name], _ = self.items(
                list_name,
                [item for item, _ in items],
                [owner for _, owner in items],
                observed_at=observed_at,
            )
            there = (
                TABLES[list_name]
                .model._base_manager.using(database())
                .filter(state_id__in=[payload.id for payload in payloads])
            )
            listed = {item.id for item, _ in items}
            gone = [pk for pk in there.values_list("pk", flat=True) if pk not in listed]
            removed[list_name] = self.gone_items(list_name, gone, observed_at=observed_at)
        return changes, removed

    def gone_customers(self, ids: Sequence[UUID], *, observed_at: datetime) -> int:
        return self._local_only("customers", ids)

    def gone_items(self, list_name: str, ids: Sequence[UUID], *, observed_at: datetime) -> int:
        return self._local_only(list_name, ids)

    def link(self, external_ids: dict[UUID, str]) -> None:
        users = settings.user_from_external_id(list(set(external_ids.values())))
        for id_, external_id in external_ids.items():
            if external_id in users:
                self._report.add_drift(Drift("unlinked", "customers", str(id_), external_id))

    def _local_only(self, list_name: str, ids: Iterable[UUID]) -> int:
        ids = list(ids)
        for id_ in ids:
            self._report.add_drift(Drift("local_only", list_name, str(id_)))
        return len(ids)

    def _compare(
        self,
        list_name: str,
        rows: Sequence[Row],
        external_ids: dict[UUID, str | None],
        observed_at: datetime,
    ) -> Changes:
        changes = compare(TABLES[list_name], rows, observed_at=observed_at)
        for id_ in changes.created:
            self._report.add_drift(Drift("remote_only", list_name, str(id_), external_ids.get(id_)))
        if changes.updated:
            fields = changed_fields(TABLES[list_name], rows, changes.updated)
            for id_ in changes.updated:
                self._report.add_drift(
                    Drift("changed", list_name, str(id_), external_ids.get(id_), fields[id_])
                )
        return changes


def changed_fields(
    table: Table, rows: Sequence[Row], ids: Sequence[UUID]
) -> dict[UUID, tuple[str, ...]]:
    """The names of the columns in which these rows differ from what is stored."""
    columns = table.columns[:-2]
    attributes = [_attribute(table.model, column) for column in columns]
    stored = {
        values[0]: values[1:]
        for values in table.model._base_manager.using(database())
        .filter(pk__in=ids)
        .values_list("pk", *attributes)
    }
    wanted = set(ids)
    return {
        row.id: tuple(
            name
            for name, new, old in zip(columns, row.values, stored.get(row.id, ()), strict=False)
            if new != old
        )
        for row in rows
        if row.id in wanted
    }


def _attribute(model: type[models.Model], column: str) -> str:
    return next(f.attname for f in model._meta.concrete_fields if f.column == column)
