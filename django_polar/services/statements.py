"""The SQL of the mirror: the only SQL in this package. ``upsert`` hides it.

Built once for each table and database, because building is what the ORM spends its time on.
Every statement writes a row only over an older one, see ``upsert``. What is put into the text of
a statement are names of tables and columns; every value is a parameter.
"""

from __future__ import annotations

from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec
from django.conf import settings as django_settings
from django.db import connections, models
from django.utils import timezone

from django_polar.models import Customer, CustomerState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from uuid import UUID

    from django.db.backends.base.base import BaseDatabaseWrapper

    from .tables import Row, Table, Values

_encode = msgspec.json.Encoder(order="deterministic").encode


class Statements:
    """The SQL for one table on one database."""

    def __init__(self, table: Table, connection: BaseDatabaseWrapper) -> None:
        self.alias = connection.alias
        self.table = table
        quote = connection.ops.quote_name
        fields = {f.column: f for f in table.model._meta.concrete_fields}
        self.columns = table.columns
        self.fields = [fields[column] for column in self.columns]
        self.name = quote(table.model._meta.db_table)
        self.quoted = [quote(column) for column in self.columns]
        self.key: Callable[[UUID], Any] = str
        self.states = quote(CustomerState._meta.db_table)
        self.customers = quote(Customer._meta.db_table)
        user = Customer._meta.get_field("user")
        self.user_column = quote(user.column)
        self.user_field = user

    @property
    def connection(self) -> BaseDatabaseWrapper:
        return connections[self.alias]

    def read_digests(self, ids: Sequence[UUID]) -> dict[Any, int]:
        """The digest of each row that is there, by ``key(id)``."""
        places = ", ".join(["%s"] * len(ids))
        with self.connection.cursor() as cursor:
            cursor.execute(
                f"SELECT id, digest FROM {self.name} WHERE id IN ({places})",
                [self.key(id_) for id_ in ids],
            )
            return dict(cursor.fetchall())

    def write(self, rows: Sequence[Row], observed_at: datetime) -> None:
        """Insert, or update where not older."""
        raise NotImplementedError

    def write_states(self, ids: Sequence[UUID], as_of: datetime | None) -> None:
        """An empty state for each of these customers that has none."""
        raise NotImplementedError

    def write_links(self, links: Sequence[tuple[UUID, Any]]) -> None:
        """Give each customer its user, if it has none yet. ``links`` are (customer, user pk)."""
        raise NotImplementedError

    def _user_parameter(self, pk: Any) -> Any:
        return self.user_field.get_db_prep_save(pk, self.connection)

    def _guard(self, new: str) -> str:
        """Whether the new row, whose columns are named ``new.format(column)``, wins."""

        def age(of: str) -> str:
            return (
                f"(COALESCE({of.format('modified_at')}, {of.format('created_at')}),"
                f" {of.format('synced_at')}, {of.format('digest')})"
            )

        guard = f"{age(new)} >= {age(self.name + '.{}')}"
        if self.table.deletable:
            guard += f" AND {self.name}.deleted_at IS NULL"
        return guard


class SQLiteStatements(Statements):
    """One prepared statement, run with every row's values."""

    ignore_existing = "ON CONFLICT DO NOTHING"

    def __init__(self, table: Table, connection: BaseDatabaseWrapper) -> None:
        super().__init__(table, connection)
        kinds = [_kind(f) for f in self.fields]
        self.uuids = [i for i, kind in enumerate(kinds) if kind == "uuid"]
        self.times = [i for i, kind in enumerate(kinds) if kind == "time"]
        self.jsons = [i for i, kind in enumerate(kinds) if kind == "json"]
        if not connection.features.has_native_uuid_field:
            self.key = attrgetter("hex")
        places = ", ".join(["%s"] * len(self.columns))
        self.insert = (
            f"INSERT INTO {self.name} ({', '.join(self.quoted)}) VALUES ({places})"
            f" {self._on_conflict()}"
        )
        self.insert_state = (
            f"INSERT INTO {self.states} (customer_id, as_of, removals) VALUES (%s, %s, %s)"
            f" {self.ignore_existing}"
        )
        self.update_link = (
            f"UPDATE {self.customers} SET {self.user_column} = %s"
            f" WHERE id = %s AND {self.user_column} IS NULL AND deleted_at IS NULL"
        )

    def _on_conflict(self) -> str:
        assignments = ", ".join(f"{c} = excluded.{c}" for c in self.quoted)
        return f"ON CONFLICT (id) DO UPDATE SET {assignments} WHERE {self._guard('excluded.{}')}"

    def write(self, rows: Sequence[Row], observed_at: datetime) -> None:
        zone = self._zone()
        with self.connection.cursor() as cursor:
            cursor.executemany(
                self.insert,
                [
                    self._parameters((*row.values, observed_at, row.digest), zone)
                    for row in sorted(rows, key=attrgetter("id"))
                ],
            )

    def write_states(self, ids: Sequence[UUID], as_of: datetime | None) -> None:
        time = None if as_of is None else _naive(as_of, self._zone())
        with self.connection.cursor() as cursor:
            cursor.executemany(self.insert_state, [(self.key(id_), time, "{}") for id_ in ids])

    def write_links(self, links: Sequence[tuple[UUID, Any]]) -> None:
        with self.connection.cursor() as cursor:
            cursor.executemany(
                self.update_link,
                [(self._user_parameter(user), self.key(id_)) for id_, user in links],
            )

    def _zone(self) -> Any:
        """Where Django takes times of this database to be."""
        if django_settings.USE_TZ:
            return self.connection.timezone
        return timezone.get_default_timezone()

    def _parameters(self, values: Values, zone: Any) -> list[Any]:
        result = list(values)
        key = self.key
        for i in self.uuids:
            if (value := result[i]) is not None:
                result[i] = key(value)
        for i in self.times:
            if (value := result[i]) is not None:
                result[i] = _naive(value, zone)
        for i in self.jsons:
            if (value := result[i]) is not None:
                result[i] = _encode(value).decode()
        return result


class MariaDBStatements(SQLiteStatements):
    """MariaDB has no WHERE there, so each column is assigned only if the row wins.

    Assignments see the ones before them, so the decision is made once, in a variable. No other
    unique column is ever written here: the clause would take it for the same row.
    """

    ignore_existing = "ON DUPLICATE KEY UPDATE customer_id = customer_id"

    def _on_conflict(self) -> str:
        wins = f"@polar_wins := ({self._guard('VALUES({})')})"
        id_ = self.connection.ops.quote_name("id")
        assignments = ", ".join(
            f"{c} = IF(@polar_wins, VALUES({c}), {c})" for c in self.quoted if c != id_
        )
        return f"ON DUPLICATE KEY UPDATE {id_} = IF(({wins}), {id_}, {id_}), {assignments}"


class PostgreSQLStatements(Statements):
    """All rows as one JSON parameter, which costs the driver nothing per value."""

    def __init__(self, table: Table, connection: BaseDatabaseWrapper) -> None:
        super().__init__(table, connection)
        self.key = _identity
        columns = ", ".join(self.quoted)
        types = [
            f.rel_db_type(connection) if f.is_relation else f.db_type(connection)
            for f in self.fields
        ]
        record = ", ".join(f"{c} {kind}" for c, kind in zip(self.quoted, types, strict=True))
        assignments = ", ".join(f"{c} = excluded.{c}" for c in self.quoted)
        self.insert = (
            f"INSERT INTO {self.name} ({columns})"
            f" SELECT {columns} FROM json_to_recordset(%s::json) AS new({record})"
            f" ON CONFLICT (id) DO UPDATE SET {assignments} WHERE {self._guard('excluded.{}')}"
        )
        self.insert_state = (
            f"INSERT INTO {self.states} (customer_id, as_of, removals)"
            " SELECT id, %s, '{}' FROM unnest(%s::uuid[]) AS new(id) ON CONFLICT DO NOTHING"
        )
        self.update_link = (
            f"UPDATE {self.customers} SET {self.user_column} = new.user_id"
            " FROM json_to_recordset(%s::json) AS"
            f" new(id uuid, user_id {self.user_field.db_type(connection)})"
            f" WHERE {self.customers}.id = new.id AND {self.customers}.{self.user_column} IS NULL"
            f" AND {self.customers}.deleted_at IS NULL"
        )

    def read_digests(self, ids: Sequence[UUID]) -> dict[Any, int]:
        with self.connection.cursor() as cursor:
            cursor.execute(
                f"SELECT id, digest FROM {self.name} WHERE id = ANY(%s::uuid[])",
                [[str(id_) for id_ in ids]],
            )
            return dict(cursor.fetchall())

    def write(self, rows: Sequence[Row], observed_at: datetime) -> None:
        columns = self.columns
        objects = [
            dict(zip(columns, (*row.values, observed_at, row.digest), strict=True))
            for row in sorted(rows, key=attrgetter("id"))
        ]
        self._execute(self.insert, [_encode(objects).decode()])

    def write_states(self, ids: Sequence[UUID], as_of: datetime | None) -> None:
        self._execute(self.insert_state, [as_of, [str(id_) for id_ in ids]])

    def write_links(self, links: Sequence[tuple[UUID, Any]]) -> None:
        objects = [{"id": id_, "user_id": self._user_parameter(user)} for id_, user in links]
        self._execute(self.update_link, [_encode(objects).decode()])

    def _execute(self, sql: str, parameters: list[Any]) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, parameters)


def _identity(value: UUID) -> UUID:
    return value


def _naive(value: datetime, zone: Any) -> str:
    """As Django writes it to a database that knows no offsets."""
    if value.tzinfo is not zone:
        value = value.astimezone(zone)
    return str(value.replace(tzinfo=None))


def _kind(model_field: models.Field[Any, Any]) -> str:
    # A key to a state is a key to its customer, in two steps.
    while isinstance(model_field, models.ForeignKey):
        model_field = model_field.target_field
    if isinstance(model_field, models.UUIDField):
        return "uuid"
    if isinstance(model_field, models.DateTimeField):
        return "time"
    if isinstance(model_field, models.JSONField):
        return "json"
    return "plain"


_CLASSES: dict[str, type[Statements]] = {
    "sqlite": SQLiteStatements,
    "mysql": MariaDBStatements,
    "postgresql": PostgreSQLStatements,
}


@lru_cache(maxsize=64)
def _build(table: Table, alias: str, vendor: str) -> Statements:
    return _CLASSES[vendor](table, connections[alias])


def statements_for(table: Table, alias: str) -> Statements:
    """The statements of ``table`` on the database ``alias``.

    Raises:
        NotImplementedError: this kind of database is not supported.
    """
    vendor = connections[alias].vendor
    if vendor not in _CLASSES:
        raise NotImplementedError(
            f"The database {alias!r} is {vendor}; the mirror can live in PostgreSQL, MariaDB,"
            " MySQL or SQLite."
        )
    return _build(table, alias, vendor)
