"""Django's query log, which under ``DEBUG`` keeps the text of nine thousand statements."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.db import connections

if TYPE_CHECKING:
    from collections.abc import Iterator


class QueryLog:
    """Takes back out what a long job adds to the log, and leaves what was there before."""

    def __init__(self, alias: str) -> None:
        self._connection = connections[alias]
        self._length = len(self._connection.queries_log)

    def trim(self) -> None:
        """Nothing is taken from somebody who is counting queries."""
        if self._connection.force_debug_cursor:
            return
        log = self._connection.queries_log
        while len(log) > self._length:
            log.pop()


@contextmanager
def trimmed_query_log(alias: str) -> Iterator[QueryLog]:
    """For the body of a job; call ``trim`` after each step."""
    log = QueryLog(alias)
    try:
        yield log
    finally:
        log.trim()
