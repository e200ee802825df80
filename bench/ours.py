"""What a sync does with the bytes it gets, without the requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django_polar.models import SyncRun
from django_polar.services.pages import FetchedPage, is_enough
from django_polar.services.pages import Walk as ListWalk
from django_polar.services.proof import Reading
from django_polar.services.query_log import without_query_log
from django_polar.services.seams import Seams
from django_polar.services.sync_customers_list import walk_customers
from django_polar.services.sync_items import STATE_LISTS
from django_polar.services.sync_report import SyncReport
from django_polar.services.sync_session import Session
from django_polar.services.sync_state_lists import walk_state_list
from django_polar.services.targets import Mirror
from django_polar.services.upsert import database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from .pages import Pages

_BODIES: dict[str, Callable[[Pages], Sequence[bytes]]] = {
    "customers": lambda page: (page.customers,),
    "subscriptions": lambda page: (page.subscriptions,),
    "benefits": lambda page: page.grants,
    "meters": lambda page: (page.meters,),
}


class _CannedReader:
    """Hands out pages as a ``Reader`` does that has them already."""

    def __init__(self, pages: Sequence[Pages], observed_at: datetime) -> None:
        self._pages = pages
        self._observed_at = observed_at

    def pages(self, walk: ListWalk) -> Iterator[list[FetchedPage]]:
        bodies = [body for page in self._pages for body in _BODIES[walk.name](page)]
        walk.max_page = walk.next_page + len(bodies) - 1
        fetched = (
            FetchedPage(walk, number, body, self._observed_at, len(bodies) * walk.limit)
            for number, body in enumerate(bodies, start=walk.next_page)
        )
        together: list[FetchedPage] = []
        for page in fetched:
            together.append(page)
            if is_enough(together):
                yield together
                together = []
        if together:
            yield together


def mirror(pages: Sequence[Pages], observed_at: datetime, *, before: int = 0) -> None:
    """Bytes of list pages in, rows out: the walk over each list, as a sync does it.

    ``before`` is how many of these pages of a hundred customers came earlier.
    """
    client: Any = None  # nothing is asked of it
    reader: Any = _CannedReader(pages, observed_at)
    session = Session(
        client=client,
        report=SyncReport(),
        target=Mirror(),
        run=SyncRun(),
        bookmark=None,
        delete=True,
        replace_organization=False,
        progress=lambda *_: None,
        erased=frozenset(),
        requests_before=0,
    )
    with without_query_log(database()) as query_log:
        session.attach(reader, query_log)
        walk = ListWalk("customers", bytes, (), next_page=before + 1)
        walk_customers(session, walk, Reading(observed_at), is_first=True)
        for state_list in STATE_LISTS:
            first = before * len(_BODIES[state_list.name](pages[0])) + 1
            walk = ListWalk(state_list.name, bytes, (), next_page=first)
            walk_state_list(session, state_list, walk, Reading(observed_at), Seams(walk.limit))
