"""The parts of a sync that can be looked at by themselves."""

from __future__ import annotations

import csv
import io
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_polar.exceptions import UnexpectedResponseError
from django_polar.services.pages import MAX_IN_FLIGHT, requests_in_flight
from django_polar.services.seams import Seams, find_edges, find_window
from django_polar.services.seen import ListedIds, SeenIds, pack
from django_polar.services.sync_customers_list import iter_exported_ids

UUIDS = st.lists(st.uuids(), max_size=300)


@given(UUIDS, UUIDS)
def test_seen_ids_are_a_set(added, others):
    """Adding twice counts once; what was added is in it, and nothing else."""
    seen = SeenIds()
    seen.add(added)
    seen.add(added)

    assert len(seen) == len(set(added))
    assert all(id_ in seen for id_ in added)
    assert [id_ for id_ in others if id_ in seen] == [id_ for id_ in others if id_ in set(added)]


@given(UUIDS, UUIDS)
def test_packed_ids_can_be_loaded(first, second):
    """A checkpoint brings back what was seen."""
    seen = SeenIds()
    seen.load(pack(first).tobytes())
    seen.add(second)

    assert len(seen) == len({*first, *second})
    assert all(id_ in seen for id_ in [*first, *second])


@given(UUIDS, UUIDS, UUIDS)
def test_listed_ids_are_a_set_beside_what_was_seen(both, seen_only, listed_only):
    """Whether or not they were seen; new ones are named."""
    seen = SeenIds()
    seen.add([*both, *seen_only])
    listed = ListedIds(seen)

    new = listed.add([*both, *listed_only])

    assert len(listed) == len({*both, *listed_only})
    assert all(id_ in listed for id_ in [*both, *listed_only])
    assert not [id_ for id_ in seen_only if id_ in listed and id_ not in {*both, *listed_only}]
    assert new == [id_ for id_ in listed_only if id_ not in {*both, *seen_only}]


def test_seen_ids_take_about_eight_bytes_each():
    """So that a hundred thousand customers cost less than a megabyte."""
    seen = SeenIds()
    seen.add(uuid4() for _ in range(50_000))
    seen.settle()

    size = seen._keys.buffer_info()[1] * seen._keys.itemsize
    assert len(seen) == 50_000
    assert size <= 50_000 * 8


@given(st.integers(0, 100_000), st.integers(1, 40))
def test_a_window_shows_the_whole_group(start, size):
    """Where a page can be found it holds all of the group."""
    window = find_window(start, start + size)

    assert window is not None
    first = (window.page - 1) * window.limit
    assert first <= start
    assert start + size <= first + window.limit
    assert window.limit <= 100


def test_seams_are_where_equal_rows_meet():
    """Only a page's end between equal rows is worth another look."""
    seams = Seams(5)
    seams.note(1, find_edges([1, 2, 3, 4, 4]))
    seams.note(2, find_edges([4, 5, 6, 7, 8]))
    seams.note(3, find_edges([9, 9]))

    assert seams.windows is not None
    [window] = seams.windows
    assert (window.page - 1) * window.limit <= 3
    assert window.page * window.limit >= 6


def test_a_group_that_no_page_can_show():
    """More than a hundred equal rows need another order altogether."""
    seams = Seams(100)
    seams.note(1, find_edges([1] * 100))
    seams.note(2, find_edges([1] * 100))

    assert seams.windows is None


ROWS = st.lists(st.tuples(st.uuids(), st.text(max_size=30)), max_size=30)


@given(ROWS, st.integers(1, 50))
def test_the_export_is_read_wherever_its_chunks_end(rows, size):
    """Quotes, line breaks and characters of several bytes may be cut anywhere."""
    rows = [(id_, text.encode("utf-8", "ignore").decode()) for id_, text in rows]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["ID", "Name"])
    writer.writerows(rows)
    body = text.getvalue().encode()
    chunks = [body[i : i + size] for i in range(0, len(body), size)]

    assert list(iter_exported_ids(chunks)) == [id_ for id_, _ in rows]


@pytest.mark.parametrize(
    "body", [b"<html>", b"External ID\nx\n", b"ID,Name\nnot-an-id,x\n", b"ID\n\xff\xfe\n"]
)
def test_an_export_that_is_none(body):
    """Anything else than the export is said to be so."""
    with pytest.raises(UnexpectedResponseError):
        list(iter_exported_ids([body]))


@pytest.mark.parametrize(
    ("requests_per_minute", "expected"), [(100, 2), (500, 4), (2000, 15), (100_000, MAX_IN_FLIGHT)]
)
def test_requests_in_flight(requests_per_minute, expected):
    """Enough to use the budget up, and no more."""
    assert requests_in_flight(requests_per_minute) == expected


def test_an_empty_export():
    """Nobody is a valid answer."""
    assert list(iter_exported_ids([b"ID,External ID\r\n"])) == []
    assert UUID(int=1) not in SeenIds()
