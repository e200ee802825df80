"""Pages that are as they were the last time, which need not be read again.

Most pages of most syncs are. What a page held is kept beside a fingerprint of its bytes: the ids
and digests of its rows, and what the proof of its list needs to know. A page with the same bytes
has the same rows, so one comparison inside the database takes the place of decoding it. It is the
mirror that decides: where a row is missing or not as it was, the page is read like any other.
Losing what is kept costs time and nothing else.

A page is kept once it was read and nothing in it was new. One that changes with every sync is
never written down.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import UUID

import msgspec
from django.db import transaction

from django_polar import __version__
from django_polar.models import SyncedPage

from .pages import batches
from .seams import Edges, find_edges
from .seen import pack
from .statements import statements_for
from .sync_session import ids_of
from .tables import DIGEST_VERSION
from .upsert import database, retry_conflicts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django_polar.payloads import Page

    from .pages import FetchedPage
    from .tables import Row, Table
    from .upsert import Changes

READ_AHEAD: Final = 50
"""Pages that are looked up with one query."""

WRITE_AFTER: Final = 20
"""Pages that are written down together."""

DELETE_BATCH: Final = 500

_EDITION: Final = f"{__version__}/{DIGEST_VERSION}/".encode()
"""Another release may make other rows of the same bytes."""


class Summary(msgspec.Struct, frozen=True, gc=False):
    """What the proof of a list needs to know of a page."""

    keys: bytes = b""
    """Of all ids that could be read, see ``seen.pack``."""
    newest: datetime | None = None
    """When the youngest item came to be on the list."""
    edges: Edges | None = None
    shared: frozenset[UUID] = frozenset()
    """The customers' organizations, or the meters."""
    added: int = 0
    """Items that came to be on it after the walk had begun."""
    nameless: int = 0
    """Items so broken that not even their id could be read."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Summary).decode


def summarize(
    content: Page[Any],
    began_at: datetime,
    *,
    came_at: Callable[[Any], datetime],
    key: Callable[[Any], Any] | None = None,
    shared: Callable[[Any], UUID] | None = None,
) -> Summary:
    """Of a page that was read. ``key`` is what equal rows have in common."""
    came = [came_at(item) for item in content.items]
    return Summary(
        keys=pack(ids_of(content.items, content.problems)).tobytes(),
        newest=max(came, default=None),
        edges=find_edges([key(item) for item in content.items]) if key else None,
        shared=frozenset(map(shared, content.items)) if shared else frozenset(),
        added=sum(1 for moment in came if moment > began_at),
        nameless=sum(1 for problem in content.problems if problem.id is None),
    )


class TakenPages(NamedTuple):
    """Pages that were read and written to the mirror."""

    contents: Sequence[Page[Any]]
    summaries: Sequence[Summary]
    changes: Changes


class PageMemory:
    """The pages of one list. ``table`` is what its items become."""

    def __init__(self, list_name: str, table: Table) -> None:
        self._list_name = list_name
        self._table = table
        self._stored: dict[int, tuple[bytes, str, bytes]] = {}
        self._looked_up = 0
        """As far as pages are in ``_stored``, unless they were asked for already."""
        self._unsaved: list[SyncedPage] = []
        self._outdated: set[int] = set()
        """Pages that are not as they were, and were not kept as they are."""

    def recall(self, pages: Sequence[FetchedPage], began_at: datetime) -> dict[int, Summary]:
        """What is known of those that are as they were, by number, if the mirror is, too.

        One read, and another for every fifty pages. ``began_at`` is when the walk began: items
        younger than that have to be counted.
        """
        self._look_up(pages[0].number, pages[-1].number)
        rows: list[str] = []
        known: dict[int, Summary] = {}
        for page in pages:
            stored = self._stored.pop(page.number, None)
            if stored is None:
                continue
            if stored[0] != _fingerprint(page.body):
                self._outdated.add(page.number)
                continue
            summary = _decode(stored[2])
            if summary.newest is None or summary.newest <= began_at:
                known[page.number] = summary
                rows.append(stored[1])
        if known and not statements_for(self._table, database()).are_stored(rows):
            return {}
        return known

    def keep(self, pages: Sequence[FetchedPage], taken: TakenPages) -> None:
        """Of pages that were read and are in the mirror now, those in which nothing was new."""
        changes = taken.changes
        if not changes.unchanged:
            return
        rows = {row.id: row for row in changes.rows}
        if len(rows) < len(changes.rows):
            return  # one is on two pages, perhaps in two versions
        unchanged = set(changes.unchanged)
        for page, content, summary in zip(pages, taken.contents, taken.summaries, strict=True):
            own = [rows[item.id] for item in content.items if item.id in unchanged]
            is_whole = len(own) == len(content.items) and not content.problems
            if own and is_whole and not summary.added:
                self._keep(page, summary, own)

    def finish(self, last_page: int) -> None:
        """The list was walked to its end: what is not as it was kept is forgotten."""
        self._save()
        # What was looked up reaches further than that.
        if any(number > last_page for number in self._stored):
            self._pages().filter(number__gt=last_page).delete()
        for numbers in batches(sorted(self._outdated), DELETE_BATCH):
            self._pages().filter(number__in=numbers).delete()

    def _keep(self, page: FetchedPage, summary: Summary, rows: Sequence[Row]) -> None:
        self._unsaved.append(
            SyncedPage(
                list_name=self._list_name,
                number=page.number,
                fingerprint=_fingerprint(page.body),
                rows=statements_for(self._table, database()).pack(rows),
                summary=_encode(summary),
            )
        )
        if len(self._unsaved) >= WRITE_AFTER:
            self._save()

    def _pages(self) -> Any:
        return SyncedPage.objects.using(database()).filter(list_name=self._list_name)

    def _look_up(self, first: int, last: int) -> None:
        if last <= self._looked_up:
            return
        first = max(first, self._looked_up + 1)
        self._looked_up = last + READ_AHEAD
        wanted = self._pages().filter(number__range=(first, self._looked_up))
        for found, fingerprint, rows, summary in wanted.values_list(
            "number", "fingerprint", "rows", "summary"
        ):
            self._stored[found] = (bytes(fingerprint), rows, bytes(summary))

    def _save(self) -> None:
        def save() -> None:
            with transaction.atomic(using=database()):
                self._pages().filter(number__in=[page.number for page in self._unsaved]).delete()
                SyncedPage.objects.using(database()).bulk_create(self._unsaved)

        if self._unsaved:
            retry_conflicts(save)
            self._outdated.difference_update(page.number for page in self._unsaved)
            self._unsaved = []


def _fingerprint(body: bytes) -> bytes:
    # Customers write into their pages, so it has to be one that nobody can forge.
    digest = sha256(_EDITION)
    digest.update(body)
    return digest.digest()
