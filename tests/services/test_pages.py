"""How pages are read: in order, with many requests in flight and few bodies in memory."""

from __future__ import annotations

import threading
import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest

from django_polar.exceptions import UnavailableError
from django_polar.services import pages
from django_polar.services.pages import (
    AT_ONCE,
    ENOUGH_AT_ONCE,
    MAX_IN_FLIGHT,
    FetchedPage,
    Reader,
    Walk,
    is_enough,
)

BODY_SIZE = 300_000


class Body:
    """One page's body, as big as a page of subscriptions is."""

    def __init__(self, source, number):
        self.source = source
        self.number = number

    def load(self):
        self.source.loaded.append(self.number)

    def read(self):
        if self.number in self.source.broken:
            raise UnavailableError("gone")
        self.source.read.append(self.number)
        numbers = b'{"pagination": {"max_page": %d}' % self.source.max_page
        return numbers + b" " * BODY_SIZE + b"}"

    def close(self):
        self.source.closed.append(self.number)


class Source:
    """A list of so many pages."""

    def __init__(self, max_page, *, broken=(), hold=lambda _: None):
        self.max_page = max_page
        self.broken = broken
        self.hold = hold
        self.opened: list[int] = []
        self.loaded: list[int] = []
        self.read: list[int] = []
        self.closed: list[int] = []

    def open(self, *, page, limit, sorting):
        self.hold(page)
        self.opened.append(page)
        return Body(self, page)

    def server_time(self):
        return datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def walk():
    readers = []

    def walk(source, *, in_flight=MAX_IN_FLIGHT):
        readers.append(Reader(source, in_flight=in_flight))
        return readers[-1].pages(Walk("customers", source.open, ()))

    yield walk
    for reader in readers:
        reader.close()


def test_pages_come_in_order_and_none_is_read_before_its_turn(walk):
    """However many answers have arrived, the bodies in memory are those handed out."""
    source = Source(40)
    handed_out = []

    for batch in walk(source):
        assert 1 <= len(batch) <= AT_ONCE
        handed_out += [page.number for page in batch]
        assert source.read == handed_out

    assert handed_out == list(range(1, 41))


def test_big_pages_fill_a_write_sooner():
    """What is in memory at once is bounded by bytes, not by pages alone."""
    size = ENOUGH_AT_ONCE // 2 + 1
    fetched = [FetchedPage(None, number, b" " * size, None, 0) for number in (1, 2)]

    assert not is_enough(fetched[:1])
    assert is_enough(fetched)
    assert is_enough([page._replace(body=b"") for page in fetched * (AT_ONCE // 2)])


@pytest.mark.parametrize(
    "body",
    [
        b'{"items": [], "pagination": {"total_count": 250, "max_page": 3}}',
        (
            b'{"items": [{"pagination": {"max_page": 9}}],'
            b' "pagination": {"max_page": 3, "total_count": 250}}\n'
        ),
        b'{"pagination": {"total_count": 250, "max_page": 3}, "items": []}',
        (
            b'{"pagination": {"total_count": 250, "max_page": 3},'
            b' "items": [{"metadata": {"pagination": "x"}}]}'
        ),
        b'{"pagination": {"total_count": 250, "max_page": 3}, "items": ["%s"]}' % (b"x" * 500),
        b'{"items": ["%s"], "pagination": {"total_count": 250, "max_page": 3}}' % (b"x" * 500),
    ],
)
def test_how_long_the_list_is(walk, body):
    """It stands at the end, as a rule, but is found wherever it is."""

    class Whole(Body):
        def read(self):
            return body

    class Client(Source):
        def open(self, *, page, limit, sorting):
            return Whole(self, page)

    source = Client(3)
    read = [page for batch in walk(source) for page in batch]

    assert [page.number for page in read] == [1, 2, 3]
    assert {page.total_count for page in read} == {250}


def test_as_many_requests_as_allowed_are_in_flight(walk):
    """Sixteen are needed where each takes half a second: they are all sent before one returns."""
    barrier = threading.Barrier(MAX_IN_FLIGHT)

    def meet(page):
        if page > 1:
            barrier.wait(timeout=30)

    source = Source(1 + 2 * MAX_IN_FLIGHT, hold=meet)

    assert sum(len(batch) for batch in walk(source)) == source.max_page


def test_memory_does_not_grow_with_the_number_of_pages(walk):
    """Ten times the pages do not take another body's memory."""

    def peak(max_page):
        source = Source(max_page)
        tracemalloc.start()
        try:
            for _ in walk(source):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few, many = peak(20), peak(200)

    assert many < (AT_ONCE + 3) * BODY_SIZE
    assert many - few < BODY_SIZE


def test_an_error_is_raised_at_its_turn(walk):
    """What came before it is handed out."""
    answered = threading.Event()
    source = Source(9, broken={3}, hold=lambda page: answered.set() if page == 9 else None)
    handed_out = []

    def read_all():
        for batch in walk(source):
            assert answered.wait(timeout=30)
            handed_out.extend(page.number for page in batch)

    with pytest.raises(UnavailableError):
        read_all()

    assert handed_out == [1, 2]


def test_what_is_left_unread_is_closed(walk):
    """Or its connections would never be free again."""
    source = Source(30)
    batches = walk(source, in_flight=4)
    next(batches)
    batches.close()

    left = source.opened

    def all_closed():
        return sorted(source.closed) == sorted(set(left) - set(source.read))

    pool_is_idle = threading.Event()
    for _ in range(300):
        if all_closed() and len(left) > 1:
            break
        pool_is_idle.wait(0.1)
    assert all_closed()


def test_a_server_with_few_workers_is_not_waited_for_in_vain(walk, monkeypatch):
    """It answers for page 2 only once the bodies of the other pages were taken off its hands."""
    monkeypatch.setattr(pages, "PATIENCE", timedelta(milliseconds=50))
    taken = threading.Event()
    waited = []

    def hold(page):
        if page == 2:
            waited.append(taken.wait(timeout=30))

    source = Source(5, hold=hold)
    load = Body.load
    monkeypatch.setattr(Body, "load", lambda body: (load(body), taken.set()))

    assert sum(len(batch) for batch in walk(source)) == 5
    assert waited == [True]
    assert source.loaded
