"""Databases of our own for the measurements, made and dropped again."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from . import settings

if TYPE_CHECKING:
    from collections.abc import Iterator


def is_reachable(kind: str) -> bool:
    """Whether a server of this kind answers; SQLite always does."""
    if kind == "sqlite":
        return True
    try:
        _connect(kind).close()
    except Exception:  # noqa: BLE001 - whatever a driver raises, or that there is no driver
        return False
    return True


@contextmanager
def fresh_database(kind: str) -> Iterator[dict[str, str]]:
    """The environment that ``bench.settings`` finds an empty database of this kind by."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory(prefix="django-polar-bench-") as folder:
            yield {"BENCH_DATABASE": kind, "BENCH_NAME": str(Path(folder) / "bench.sqlite3")}
        return
    name = f"django_polar_bench_{os.getpid()}"
    _execute(kind, f"CREATE DATABASE {name}")
    try:
        yield {"BENCH_DATABASE": kind, "BENCH_NAME": name}
    finally:
        _execute(kind, f"DROP DATABASE {name}")


def _execute(kind: str, sql: str) -> None:
    connection = _connect(kind)
    try:
        connection.cursor().execute(sql)
    finally:
        connection.close()


def _connect(kind: str):  # noqa: ANN202 - two drivers, each with a class of its own
    where = settings.CONNECTIONS[kind]
    if kind == "postgresql":
        import psycopg

        return psycopg.connect(
            dbname=os.environ.get("TEST_POSTGRES_DB", "postgres"),
            user=where["USER"],
            password=where["PASSWORD"],
            host=where["HOST"],
            port=where["PORT"],
            connect_timeout=3,
            autocommit=True,
        )
    import MySQLdb

    return MySQLdb.connect(
        user=where["USER"],
        password=where["PASSWORD"],
        host=where["HOST"],
        port=int(where["PORT"]),
        connect_timeout=3,
    )


def set_up_django() -> None:
    """Django with the tables of every app in ``bench.settings``."""
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "bench.settings"
    django.setup()
    from django.core.management import call_command

    call_command("migrate", "auth", verbosity=0)  # dj-stripe's tables refer to it
    call_command("migrate", verbosity=0, run_syncdb=True)


def clear_tables(*models: type) -> None:
    """Empty these tables and no others, children first."""
    from django.db import connection

    names = [connection.ops.quote_name(model._meta.db_table) for model in models]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"TRUNCATE {', '.join(names)} CASCADE")
            return
        for name in names:
            cursor.execute(f"DELETE FROM {name}")  # noqa: S608 - our own tables
