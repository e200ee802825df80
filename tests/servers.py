"""Whether the servers that ``make test-services`` needs are there: one line for each that is not.

``python -m tests.servers [NAME...]`` exits 1 when one is missing: a test that was not run must
not look like one that passed.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from .settings import DATABASE_CONNECTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

REDIS_URL = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/0")
RABBITMQ_URL = os.environ.get("TEST_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672//")

TIMEOUT_SECONDS = 5


def connect_to_postgresql() -> None:
    import psycopg

    where = DATABASE_CONNECTIONS["postgresql"]
    psycopg.connect(
        dbname=where["NAME"],
        user=where["USER"],
        password=where["PASSWORD"],
        host=where["HOST"],
        port=where["PORT"],
        connect_timeout=TIMEOUT_SECONDS,
    ).close()


def connect_to_mariadb() -> None:
    import MySQLdb

    where = DATABASE_CONNECTIONS["mariadb"]
    MySQLdb.connect(
        user=where["USER"],
        password=where["PASSWORD"],
        host=where["HOST"],
        port=int(where["PORT"]),
        connect_timeout=TIMEOUT_SECONDS,
    ).close()


def connect_to_redis() -> None:
    import redis

    with redis.Redis.from_url(REDIS_URL, socket_timeout=TIMEOUT_SECONDS) as connection:
        connection.ping()


def connect_to_rabbitmq() -> None:
    import kombu

    with kombu.Connection(RABBITMQ_URL, connect_timeout=TIMEOUT_SECONDS) as connection:
        connection.ensure_connection(max_retries=1, interval_start=0.1)


SERVERS: dict[str, tuple[Callable[[], None], str]] = {
    "PostgreSQL": (connect_to_postgresql, "TEST_POSTGRES_HOST, _PORT, _USER, _PASSWORD"),
    "MariaDB": (connect_to_mariadb, "TEST_MARIADB_HOST, _PORT, _USER, _PASSWORD"),
    "Redis": (connect_to_redis, "TEST_REDIS_URL"),
    "RabbitMQ": (connect_to_rabbitmq, "TEST_RABBITMQ_URL"),
}


def missing_servers(names: Iterable[str] = SERVERS) -> list[str]:
    """One line for each server that does not answer, with the variable that moves it."""
    lines = []
    for name in names:
        connect, variables = SERVERS[name]
        try:
            connect()
        except Exception as error:  # noqa: BLE001 - four drivers, each with errors of its own
            reason = " ".join(str(error).split()) or type(error).__name__
            lines.append(f"{name} is missing ({variables}): {reason}")
    return lines


def main(names: list[str]) -> int:
    lines = missing_servers(names or SERVERS)
    for line in lines:
        sys.stderr.write(f"{line}\n")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
