"""Django's query log, which under ``DEBUG`` keeps the text of nine thousand statements."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db import connections

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.backends.utils import CursorWrapper


class QueryLog:
    """What is logged while a job runs in ``without_query_log``."""

    def __init__(self, connection: BaseDatabaseWrapper, entries: deque[dict[str, str]]) -> None:
        self._connection = connection
        self._entries = entries

    def trim(self) -> None:
        """Forget it: where transactions begin and end. Nothing is taken from somebody who is
        counting queries.
        """
        if not self._connection.force_debug_cursor:
            self._entries.clear()


@contextmanager
def without_query_log(alias: str) -> Iterator[QueryLog]:
    """For the body of a job; call ``trim`` after each step.

    Under ``DEBUG`` Django writes the values into the text of a statement, keeps it in the log and
    tells the logger ``django.db.backends``: all rows of a page, with the email addresses in them.
    The statements of this connection are not logged meanwhile, unless somebody counts them
    (``force_debug_cursor``, as in ``assertNumQueries``). Afterwards the log has what it had before.
    """
    connection = connections[alias]
    if connection.force_debug_cursor:
        yield QueryLog(connection, deque())
        return
    before = connection.queries_log
    connection.queries_log = deque(maxlen=before.maxlen)
    make_debug_cursor = connection.make_debug_cursor
    was_replaced = "make_debug_cursor" in vars(connection)

    def make_cursor(cursor: Any) -> CursorWrapper:
        if connection.force_debug_cursor:
            return make_debug_cursor(cursor)
        return connection.make_cursor(cursor)

    connection.make_debug_cursor = make_cursor  # type: ignore[method-assign, assignment]
    try:
        yield QueryLog(connection, connection.queries_log)
    finally:
        connection.queries_log = before
        if was_replaced:
            connection.make_debug_cursor = make_debug_cursor  # type: ignore[method-assign]
        else:
            del connection.make_debug_cursor
