"""Reading Polar's lists page by page, with enough requests in flight to hide their latency."""

from __future__ import annotations

import math
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

import msgspec

from django_polar.exceptions import PolarError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from django_polar.client import PolarClient
    from django_polar.client.connection import UnreadBody

    Answer = tuple[UnreadBody, datetime]
    """A page that has begun to arrive, and when Polar was asked for it."""

T = TypeVar("T")
R = TypeVar("R")

ASSUMED_LATENCY: Final = timedelta(milliseconds=450)
"""Of one request, on a bad day. Too many in flight only wait for the budget; too few waste it."""

MAX_LIMIT: Final = 100
"""Polar gives no more per page, whatever is asked for."""

MAX_IN_FLIGHT: Final = 16
AT_ONCE: Final = 4
"""Pages in one write. A commit waits for the disk about as long as a page takes to be written."""

ENOUGH_AT_ONCE: Final = 1_200_000
"""Bytes, after which a write takes no more pages. One of subscriptions has half as many."""

ATTEMPTS_TO_READ: Final = 3
"""A page that was cut off, or a proxy's own, comes whole the next time."""

PATIENCE: Final = timedelta(seconds=1)
"""A server with few workers may answer nobody before the bodies it has sent are taken."""

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
    open: Callable[..., UnreadBody]
    """``open(page=..., limit=..., sorting=...)``"""
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

    The bodies of pages stay in their sockets until it is their turn, so that however many are on
    their way, those of one write are in memory.
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
        self._pool = ThreadPoolExecutor(in_flight, thread_name_prefix="polar-sync")
        self._on_wait = on_wait

    def close(self, *, wait: bool = True) -> None:
        """Let go of what is still in flight."""
        self._pool.shutdown(wait=wait, cancel_futures=True)

    def pages(self, walk: Walk) -> Iterator[list[FetchedPage]]:
        """Every page of a walk, from ``next_page`` on, in order, a few at a time.

        Those that have arrived are handed out together, so that they can be written together,
        and are gone when the next ones are asked for.
        The first page says how many there are; then as many are on their way as are useful.
        Pages that come to be meanwhile are read too. An error is raised at its page's turn.
        """
        pending: deque[tuple[int, Future[Answer]]] = deque()
        self._ask(walk, pending)
        try:
            while pending:
                arrived = [self._next(walk, pending)]
                failure: PolarError | None = None
                while not is_enough(arrived) and pending and pending[0][1].done():
                    try:
                        arrived.append(self._next(walk, pending))
                    except PolarError as error:
                        failure = error  # what came before it is not lost
                        break
                yield arrived
                arrived.clear()  # or the next ones would be read beside these
                if failure is not None:
                    raise failure
        finally:
            _let_go(future for _, future in pending)

    def _next(self, walk: Walk, pending: deque[tuple[int, Future[Answer]]]) -> FetchedPage:
        number, future = pending.popleft()
        if not future.done():
            wait((future,), timeout=PATIENCE.total_seconds())
        if not future.done():
            for _, other in pending:
                if other.done() and other.exception() is None:
                    other.result()[0].load()
        page = self._read(walk, number, future)
        while len(pending) < self._in_flight and walk.next_page <= walk.max_page:
            self._ask(walk, pending)
        return page

    def _ask(self, walk: Walk, pending: deque[tuple[int, Future[Answer]]]) -> None:
        number = walk.next_page
        walk.next_page += 1
        pending.append((number, self._pool.submit(self._open, walk, number)))

    def _open(self, walk: Walk, number: int) -> Answer:
        observed_at = self._client.server_time()
        return walk.open(page=number, limit=walk.limit, sorting=walk.sorting), observed_at

    def _read(self, walk: Walk, number: int, future: Future[Answer]) -> FetchedPage:
        for attempt in range(1, ATTEMPTS_TO_READ + 1):
            answer, observed_at = self._result(future)
            body = answer.read()
            try:
                numbers = _read_numbers(body)
            except (msgspec.DecodeError, UnicodeDecodeError):
                # If none can be read, the reader of the page will say what is wrong with it.
                numbers = _Numbers()
                if attempt < ATTEMPTS_TO_READ:
                    future = self._pool.submit(self._open, walk, number)
            else:
                break
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


def is_enough(pages: Sequence[FetchedPage]) -> bool:
    """Whether these fill a write."""
    return len(pages) >= AT_ONCE or sum(len(page.body) for page in pages) >= ENOUGH_AT_ONCE


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


def _let_go(pending: Iterable[Future[Answer]]) -> None:
    """Of pages that nobody waits for any more: their connections would never be free again."""

    def close(future: Future[Answer]) -> None:
        if not future.cancelled() and future.exception() is None:
            future.result()[0].close()

    for future in pending:
        if not future.cancel():
            future.add_done_callback(close)


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
