"""The SQL of the mirror: the only SQL in this package. ``upsert`` hides it.

Built once for each table and database, because building is what the ORM spends its time on.
Every statement writes a row only over an older one, see ``upsert``. What is put into the text of
a statement are names of tables and columns; every value is a parameter.

Values are converted a column at a time: for most columns that is nothing at all, and what the
rest costs is the greatest part of a first sync.
"""

from __future__ import annotations

from datetime import UTC
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec
from django.conf import settings as django_settings
from django.db import connections, models
from django.utils import timezone

from django_polar.models import Customer, CustomerState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from datetime import datetime

    from django.db.backends.base.base import BaseDatabaseWrapper

    from .tables import Row, Table

_encode = msgspec.json.Encoder(order="deterministic").encode
_encode_hex = msgspec.json.Encoder(uuid_format="hex").encode
_decode_texts = msgspec.json.Decoder(list[str | None]).decode
_decode_digests = msgspec.json.Decoder(dict[str, int]).decode

_by_id = attrgetter("id.int")
"""Rows are written in one order, so that two writers cannot wait for each other."""


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
        self.states = quote(CustomerState._meta.db_table)
        self.customers = quote(Customer._meta.db_table)
        user = Customer._meta.get_field("user")
        self.user_column = quote(user.column)
        self.user_field = user

    @property
    def connection(self) -> BaseDatabaseWrapper:
        return connections[self.alias]

    def find_different(self, rows: Sequence[Row]) -> list[tuple[Row, int | None]]:
        """Those whose digest is not the stored one, with the stored one if there is any."""
        raise NotImplementedError

    def pack(self, rows: Sequence[Row]) -> str:
        """Ids and digests, for ``are_stored``."""
        raise NotImplementedError

    def are_stored(self, packed: Sequence[str]) -> bool:
        """Whether each of these rows is there, with that digest."""
        raise NotImplementedError

    def lock_states(self, ids: Sequence[UUID], observed_at: datetime) -> list[UUID]:
        """Lock the states of these customers, in one order, where the database has such locks.

        Returns those that have none, and those whose state knows of parts that went away or was
        seen as a whole after ``observed_at``: nearly none, and the others need not be read.
        """
        raise NotImplementedError

    def write(self, rows: Sequence[Row], observed_at: datetime) -> None:
        """Insert, or update where not older."""
        raise NotImplementedError

    def write_states(self, ids: Sequence[UUID], as_of: datetime | None) -> None:
        """An empty state for each of these customers that has none."""
        raise NotImplementedError

    def write_links(self, links: Sequence[tuple[UUID, Any]]) -> None:
        """Give each customer its user, if it has none yet. ``links`` are (customer, user pk)."""
        raise NotImplementedError

    def _fetch(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows

    def _execute(self, sql: str, parameters: Sequence[Any]) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, parameters)

    def _execute_many(self, sql: str, parameters: Iterable[Sequence[Any]]) -> None:
        with self.connection.cursor() as cursor:
            cursor.executemany(sql, list(parameters))

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
        native = connection.features.has_native_uuid_field
        self.encode_keys = _encode if native else _encode_hex
        converters: dict[str, Callable[[Sequence[Any]], list[str | None]]] = {
            "uuid": self._keys,
            "time": self._times,
            "json": _texts,
        }
        self.converters = [
            (i, converters[kind])
            for i, kind in enumerate(map(_kind, self.fields))
            if kind in converters
        ]
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
        self.select_different = (
            f"SELECT new.key, stored.digest FROM json_each(%s) AS new"
            f" LEFT JOIN {self.name} AS stored ON stored.id = new.key"
            " WHERE stored.digest IS NOT new.value"
        )
        self.select_special_states = (
            "SELECT new.key FROM json_each(%s) AS new"
            f" LEFT JOIN {self.states} AS state ON state.customer_id = new.value"
            " WHERE state.removals IS NOT '{}' OR state.as_of > %s"
        )

    def find_different(self, rows: Sequence[Row]) -> list[tuple[Row, int | None]]:
        keys = _decode_texts(_encode_hex([row.id for row in rows]))
        digests = dict(zip(keys, [row.digest for row in rows], strict=True))
        found = self._fetch(self.select_different, [_encode_hex(digests).decode()])
        if not found:
            return []
        by_key = dict(zip(keys, rows, strict=True))
        return [(by_key[key], digest) for key, digest in found]

    def pack(self, rows: Sequence[Row]) -> str:
        return _encode_hex({row.id: row.digest for row in rows})[1:-1].decode()

    def are_stored(self, packed: Sequence[str]) -> bool:
        return not self._fetch(self.select_different, [f"{{{','.join(packed)}}}"])

    def lock_states(self, ids: Sequence[UUID], observed_at: datetime) -> list[UUID]:
        parameters = [_encode_hex(ids).decode(), *self._times([observed_at])]
        return [
            ids[position] for (position,) in self._fetch(self.select_special_states, parameters)
        ]

    def _on_conflict(self) -> str:
        assignments = ", ".join(f"{c} = excluded.{c}" for c in self.quoted)
        return f"ON CONFLICT (id) DO UPDATE SET {assignments} WHERE {self._guard('excluded.{}')}"

    def write(self, rows: Sequence[Row], observed_at: datetime) -> None:
        in_order = sorted(rows, key=_by_id)
        columns: list[Sequence[Any]] = [
            *zip(*(row.values for row in in_order), strict=True),
            [observed_at] * len(in_order),
            [row.digest for row in in_order],
        ]
        for i, convert in self.converters:
            columns[i] = convert(columns[i])
        self._execute_many(self.insert, zip(*columns, strict=True))

    def write_states(self, ids: Sequence[UUID], as_of: datetime | None) -> None:
        (time,) = self._times([as_of])
        self._execute_many(self.insert_state, [(key, time, "{}") for key in self._keys(ids)])

    def write_links(self, links: Sequence[tuple[UUID, Any]]) -> None:
        keys = self._keys([id_ for id_, _ in links])
        users = [self._user_parameter(user) for _, user in links]
        self._execute_many(self.update_link, zip(users, keys, strict=True))

    def _keys(self, column: Sequence[UUID | None]) -> list[str | None]:
        return _decode_texts(self.encode_keys(column))

    def _times(self, column: Sequence[datetime | None]) -> list[str | None]:
        """As Django writes them to a database that knows no offsets."""
        zone: Any = (
            self.connection.timezone if django_settings.USE_TZ else timezone.get_default_timezone()
        )
        # A JSON encoder writes a column of times twenty times as fast as str() does.
        text = _encode(column)
        if zone is not UTC or text.count(b'Z"') + column.count(None) < len(column):
            text = _encode([v and v.astimezone(zone).replace(tzinfo=None) for v in column])
        return _decode_texts(text.replace(b"T", b" ").replace(b"Z", b""))


class MariaDBStatements(SQLiteStatements):
    """MariaDB has no WHERE there, so each column is assigned only if the row wins.

    Assignments see the ones before them, so the decision is made once, in a variable. No other
    unique column is ever written here: the clause would take it for the same row.
    """

    ignore_existing = "ON DUPLICATE KEY UPDATE customer_id = customer_id"

    def find_different(self, rows: Sequence[Row]) -> list[tuple[Row, int | None]]:
        found = self._fetch(
            f"SELECT id, digest FROM {self.name} WHERE id IN ({_places(rows)})",
            self._keys([row.id for row in rows]),
        )
        digests = {_as_key(id_): digest for id_, digest in found}
        different = [(row, digests.get(row.id.hex)) for row in rows]
        return [(row, digest) for row, digest in different if digest != row.digest]

    def are_stored(self, packed: Sequence[str]) -> bool:
        wanted = _decode_digests(f"{{{','.join(packed)}}}")
        found = self._fetch(
            f"SELECT id, digest FROM {self.name} WHERE id IN ({_places(wanted)})",
            self._keys([UUID(key) for key in wanted]),
        )
        return {_as_key(id_): digest for id_, digest in found} == wanted

    def lock_states(self, ids: Sequence[UUID], observed_at: datetime) -> list[UUID]:
        found = self._fetch(
            "SELECT customer_id, removals = '{}' AND (as_of IS NULL OR as_of <= %s)"
            f" FROM {self.states} WHERE customer_id IN ({_places(ids)})"
            " ORDER BY customer_id FOR UPDATE",
            [*self._times([observed_at]), *self._keys(ids)],
        )
        plain = {_as_key(id_) for id_, is_plain in found if is_plain}
        return [id_ for id_ in ids if id_.hex not in plain]

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
        # A class for the rows of this table writes their JSON three times as fast as a dict.
        self.record: Callable[..., msgspec.Struct] = msgspec.defstruct(
            "Record", self.columns, gc=False
        )
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
            f"UPDATE {self.customers} SET {self.user_column} = new.pk"
            " FROM json_to_recordset(%s::json) AS"
            f" new(id uuid, pk {self.user_field.db_type(connection)})"
            f" WHERE {self.customers}.id = new.id AND {self.customers}.{self.user_column} IS NULL"
            f" AND {self.customers}.deleted_at IS NULL"
        )
        self.select_different = (
            "SELECT new.position - 1, stored.digest"
            " FROM unnest(%s::uuid[], %s::bigint[]) WITH ORDINALITY AS new(id, digest, position)"
            f" LEFT JOIN {self.name} AS stored ON stored.id = new.id"
            " WHERE stored.digest IS DISTINCT FROM new.digest"
        )
        # With EXISTS the planner looks each row up, which it does not to find all that differ.
        self.select_any_different = (
            "SELECT EXISTS (SELECT FROM unnest(%s::uuid[], %s::bigint[]) AS new(id, digest)"
            f" WHERE NOT EXISTS (SELECT FROM {self.name} AS stored"
            " WHERE stored.id = new.id AND stored.digest = new.digest))"
        )
        self.select_special_states = (
            "WITH locked AS (SELECT customer_id, as_of, removals"
            f" FROM {self.states} WHERE customer_id = ANY(%s::uuid[])"
            " ORDER BY customer_id FOR UPDATE)"
            " SELECT new.position - 1"
            " FROM unnest(%s::uuid[]) WITH ORDINALITY AS new(id, position)"
            " LEFT JOIN locked ON locked.customer_id = new.id"
            " WHERE locked.removals IS DISTINCT FROM '{}' OR locked.as_of > %s"
        )

    def find_different(self, rows: Sequence[Row]) -> list[tuple[Row, int | None]]:
        found = self._fetch(
            self.select_different,
            [_array([row.id for row in rows]), _array([row.digest for row in rows])],
        )
        return [(rows[position], digest) for position, digest in found]

    def pack(self, rows: Sequence[Row]) -> str:
        return f"{_elements([row.id for row in rows])};{_elements([row.digest for row in rows])}"

    def are_stored(self, packed: Sequence[str]) -> bool:
        columns = zip(*(text.split(";") for text in packed), strict=True)
        [(is_different,)] = self._fetch(
            self.select_any_different, [f"{{{','.join(column)}}}" for column in columns]
        )
        return not is_different

    def lock_states(self, ids: Sequence[UUID], observed_at: datetime) -> list[UUID]:
        array = _array(ids)
        found = self._fetch(self.select_special_states, [array, array, observed_at])
        return [ids[position] for (position,) in found]

    def write(self, rows: Sequence[Row], observed_at: datetime) -> None:
        record = self.record
        records = [record(*row.values, observed_at, row.digest) for row in sorted(rows, key=_by_id)]
        self._execute(self.insert, [_encode(records).decode()])

    def write_states(self, ids: Sequence[UUID], as_of: datetime | None) -> None:
        self._execute(self.insert_state, [as_of, _array(ids)])

    def write_links(self, links: Sequence[tuple[UUID, Any]]) -> None:
        objects = [{"id": id_, "pk": self._user_parameter(user)} for id_, user in links]
        self._execute(self.update_link, [_encode(objects).decode()])


def _array(values: Sequence[UUID] | Sequence[int]) -> str:
    """As PostgreSQL reads an array, where each value is one that needs no escaping."""
    return f"{{{_elements(values)}}}"


def _elements(values: Sequence[UUID] | Sequence[int]) -> str:
    return _encode(values)[1:-1].decode()


def _places(values: Collection[Any]) -> str:
    return ", ".join(["%s"] * len(values))


def _as_key(id_: Any) -> str:
    """MariaDB has a type of its own for UUIDs and writes them with dashes."""
    return str(id_).replace("-", "")


_EMPTY: Final[dict[type, str]] = {dict: "{}", list: "[]"}


def _texts(column: Sequence[Any]) -> list[str | None]:
    """JSON, as Django keeps it in a database that has no type for it. Most of it is empty."""
    return [
        None
        if value is None
        else (not value and _EMPTY.get(type(value))) or _encode(value).decode()
        for value in column
    ]


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
