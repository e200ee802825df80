"""Reading Polar's lists page by page, with enough requests in flight to hide their latency."""

from __future__ import annotations

import math
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from django_polar.client import PolarClient

T = TypeVar("T")
R = TypeVar("R")

ASSUMED_LATENCY: Final = timedelta(milliseconds=450)
"""Of one request, on a bad day. Too many in flight only wait for the budget; too few waste it."""

MAX_LIMIT: Final = 100
"""Polar gives no more per page, whatever is asked for."""

MAX_IN_FLIGHT: Final = 16
FEWEST_IN_FLIGHT: Final = 4
AT_ONCE: Final = 3
"""Pages in one write. A commit waits for the disk about as long as a page takes to be written."""

ATTEMPTS_TO_READ: Final = 3
"""A page that was cut off, or a proxy's own, comes whole the next time."""

BEAT: Final = timedelta(seconds=10)
"""How often a waiting job shows that it is alive."""


class _Numbers(msgspec.Struct):
    total_count: int = 0
    max_page: int = 0


class _PaginationOnly(msgspec.Struct):
    pagination: _Numbers


_TAIL: Final = 200
"""Bytes at the end of a page in which its numbers are looked for."""


@dataclass(slots=True)
class Walk:
    """One pass over the pages of one list."""

    name: str
    fetch: Callable[..., bytes]
    """``fetch(page=..., limit=..., sorting=...)``"""
    sorting: tuple[str, ...]
    limit: int = MAX_LIMIT
    next_page: int = 1
    max_page: int = 0
    """As far as the answers so far have said."""


class FetchedPage(NamedTuple):
    walk: Walk
    number: int
    body: bytes
    observed_at: datetime
    """When Polar was asked, by Polar's clock."""
    total_count: int
    """How many items the list has, as this page says."""


class Reader:
    """Makes requests in threads, and hands the answers out in order in the caller's thread.

    ``on_wait`` is called while an answer is being waited for.
    """

    def __init__(
        self,
        client: PolarClient,
        *,
        in_flight: int,
        on_wait: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._in_flight = in_flight
        self._window = min(FEWEST_IN_FLIGHT, in_flight)
        """How many are wanted on their way now: more while we wait for Polar, fewer while Polar
        waits for us, so that pages do not pile up in memory."""
        self._pool = ThreadPoolExecutor(in_flight, thread_name_prefix="polar-sync")
        self._on_wait = on_wait

    def close(self, *, wait: bool = True) -> None:
        """Let go of what is still in flight."""
        self._pool.shutdown(wait=wait, cancel_futures=True)

    def pages(self, walk: Walk) -> Iterator[list[FetchedPage]]:
        """Every page of a walk, from ``next_page`` on, in order, a few at a time.

        Those that have arrived are handed out together, so that they can be written together.
        The first page says how many there are; then as many are on their way as are useful.
        Pages that come to be meanwhile are read too. An error is raised at its page's turn.
        """
        pending: deque[tuple[int, Future[FetchedPage]]] = deque()
        self._ask(walk, pending)
        try:
            while pending:
                if all(future.done() for _, future in pending):
                    self._window = max(self._window // 2, min(FEWEST_IN_FLIGHT, self._in_flight))
                arrived = [self._next(walk, pending)]
                while len(arrived) < AT_ONCE and pending and pending[0][1].done():
                    if pending[0][1].exception() is not None:
                        break  # what came before it is not lost
                    arrived.append(self._next(walk, pending))
                yield arrived
        finally:
            for _, future in pending:
                future.cancel()

    def _next(self, walk: Walk, pending: deque[tuple[int, Future[FetchedPage]]]) -> FetchedPage:
        _, future = pending.popleft()
        if not future.done():
            self._window = min(self._window * 2, self._in_flight)
        fetched = self._result(future)
        while len(pending) < self._window and walk.next_page <= walk.max_page:
            self._ask(walk, pending)
        return fetched

    def _ask(self, walk: Walk, pending: deque[tuple[int, Future[FetchedPage]]]) -> None:
        number = walk.next_page
        walk.next_page += 1
        pending.append((number, self._pool.submit(self._fetch, walk, number)))

    def _fetch(self, walk: Walk, number: int, *, attempts: int = ATTEMPTS_TO_READ) -> FetchedPage:
        observed_at = self._client.server_time()
        body = walk.fetch(page=number, limit=walk.limit, sorting=walk.sorting)
        try:
            numbers = _read_numbers(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            if attempts > 1:
                return self._fetch(walk, number, attempts=attempts - 1)
            # The reader of the page will say what is wrong with it.
            numbers = _Numbers()
        walk.max_page = max(walk.max_page, numbers.max_page)
        return FetchedPage(walk, number, body, observed_at, numbers.total_count)

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[Outcome[T, R]]:
        """``function`` for each item, in order, as many at a time as pages; errors are kept."""
        pending: deque[tuple[T, Future[R]]] = deque()
        source = iter(items)
        try:
            while True:
                for item in source:
                    pending.append((item, self._pool.submit(function, item)))
                    if len(pending) >= self._in_flight:
                        break
                if not pending:
                    return
                item, future = pending.popleft()
                yield Outcome(item, lambda future=future: self._result(future))  # type: ignore[misc]
        finally:
            for _, future in pending:
                future.cancel()

    def _result(self, future: Future[R]) -> R:
        while True:
            try:
                return future.result(timeout=BEAT.total_seconds())
            except FutureTimeoutError:
                if future.done():
                    return future.result()
                self._on_wait()


def _read_numbers(body: bytes) -> _Numbers:
    """From the end of the page, where Polar puts them, without reading all that comes before."""
    start = body.rfind(b'"pagination"', -_TAIL)
    if start >= 0:
        try:
            return msgspec.json.decode(b"{" + body[start:], type=_PaginationOnly).pagination
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass  # something else of that name
    return msgspec.json.decode(body, type=_PaginationOnly).pagination


class Outcome(NamedTuple, Generic[T, R]):
    """An item, and its result: a call that returns it or raises what it ended with."""

    item: T
    result: Callable[[], R]


def requests_in_flight(requests_per_minute: int) -> int:
    """Enough to use the budget up at the assumed latency, and no more."""
    needed = math.ceil(requests_per_minute * ASSUMED_LATENCY / timedelta(minutes=1))
    return max(2, min(MAX_IN_FLIGHT, needed))


@contextmanager
def reading(
    client: PolarClient, *, in_flight: int, on_wait: Callable[[], None]
) -> Iterator[Reader]:
    reader = Reader(client, in_flight=in_flight, on_wait=on_wait)
    wait = True
    try:
        yield reader
    except (KeyboardInterrupt, SystemExit):
        # A request may be waiting for Polar's next minute; whoever stops us does not.
        wait = False
        raise
    finally:
        reader.close(wait=wait)


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of up to ``size`` items."""
    batch: list[Any] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
