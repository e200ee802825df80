"""What the parts of one full sync share."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from .pages import BEAT
from .seen import SeenIds
from .sync_report import LISTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from uuid import UUID

    from django_polar.client import PolarClient
    from django_polar.models import SyncRun
    from django_polar.payloads import CustomerPayload, ItemProblem

    from .known_pages import Summary
    from .pages import FetchedPage, Reader
    from .query_log import QueryLog
    from .runs import Bookmark
    from .sync_report import SyncReport
    from .targets import Target
    from .upsert import Changes


class Session:
    """One full sync while it runs."""

    reader: Reader
    query_log: QueryLog

    def __init__(  # noqa: PLR0913 - made in one place, by name
        self,
        *,
        client: PolarClient,
        report: SyncReport,
        target: Target,
        run: SyncRun | None,
        bookmark: Bookmark | None,
        delete: bool,
        replace_organization: bool,
        progress: Callable[[str, int, int], None],
        erased: frozenset[str],
        requests_before: int,
    ) -> None:
        self.client = client
        self.report = report
        self.target = target
        self.run = run
        self.delete = delete
        self.replace_organization = replace_organization
        self.progress = progress
        self.erased = erased
        self.organization_id: UUID | None = None
        self.archived_meter_checks = 0
        self._skipped = {name: SeenIds() for name in LISTS}
        self._skipped_before = {name: report.counts[name].skipped for name in LISTS}
        self._beaten_at = time.monotonic()
        self._bookmark = bookmark
        self._requests_before = requests_before

    def attach(self, reader: Reader, query_log: QueryLog) -> None:
        self.reader = reader
        self.query_log = query_log

    @property
    def is_dry(self) -> bool:
        return self.run is None

    def is_done(self, list_name: str) -> bool:
        """Whether the run that this one goes on with had finished the list."""
        return self._bookmark is not None and self._bookmark.is_done(list_name)

    def start_list(self, list_name: str, seen: SeenIds) -> int:
        """The page to begin with; ``seen`` is filled with what a killed run had seen."""
        return self._bookmark.load(list_name, seen) if self._bookmark else 1

    def begin_walk(self, began_at: datetime, total: int) -> tuple[datetime, int]:
        """When the walk began and how many rows there were: now, or before the sync was killed."""
        if self._bookmark is None:
            return began_at, total
        if (known := self._bookmark.walk_began) is not None:
            began_at, total = known
        self._bookmark.note_walk(began_at, total)
        return began_at, total

    def note_pages(self, pages: Sequence[FetchedPage], summaries: Sequence[Summary]) -> None:
        """These pages are in the mirror."""
        self.query_log.trim()
        last = pages[-1]
        if self._bookmark:
            self._store_counts()
            self._bookmark.note(last.number, b"".join(summary.keys for summary in summaries))
        done = min(last.number * last.walk.limit, last.total_count)
        self.progress(last.walk.name, done, last.total_count)

    def finish(self, list_name: str) -> None:
        if self._bookmark:
            self._store_counts()
            self._bookmark.finish_list(list_name)

    def beat(self) -> None:
        """Called while waiting, so that nobody takes this run for dead."""
        if self._bookmark:
            self._bookmark.beat()

    def beat_now_and_then(self) -> None:
        """For steps that take long without a page being read."""
        if time.monotonic() - self._beaten_at >= BEAT.total_seconds():
            self._beaten_at = time.monotonic()
            self.beat()

    def is_erased(self, payload: CustomerPayload) -> bool:
        """Whether this person's deletion is on its way to Polar, so must not come back here."""
        return payload.external_id is not None and payload.external_id in self.erased

    def count_requests(self) -> None:
        self.report.requests = self._requests_before + self.client.requests_made

    def count(self, list_name: str, changes: Changes) -> None:
        """What an upsert did, into the report."""
        counts = self.report.counts[list_name]
        counts.created += len(changes.created)
        counts.updated += len(changes.updated)
        for id_, reason in changes.refused.items():
            self.report.problem(f"{list_name}: {id_} was skipped: {reason}")
        self.skip(list_name, [*changes.barred, *changes.refused])

    def skip(self, list_name: str, ids: list[UUID]) -> None:
        """These are at Polar and not in the mirror. Saying it twice counts once."""
        self._skipped[list_name].add(ids)

    def skipped_ids(self, list_name: str) -> SeenIds:
        """A copy."""
        skipped = SeenIds()
        skipped.merge(self._skipped[list_name])
        return skipped

    def skipped_count(self, list_name: str) -> int:
        return self._skipped_before[list_name] + len(self._skipped[list_name])

    def settle(self, list_name: str, seen: int) -> None:
        """The list was read: ``seen`` distinct items in all."""
        counts = self.report.counts[list_name]
        counts.skipped = self.skipped_count(list_name)
        counts.settle(seen)

    def note_problems(self, problems: list[ItemProblem], list_name: str) -> None:
        """Items that could not be read: reported and skipped."""
        for problem in problems:
            of = f" of {problem.id}" if problem.id else ""
            self.report.problem(f"{list_name}: an item{of} was skipped: {problem.error}")
        self.skip(list_name, [problem.id for problem in problems if problem.id])

    def _store_counts(self) -> None:
        self.count_requests()
        if self.run is not None:
            self.report.save_to(self.run)


def ids_of(items: list[Any], problems: list[ItemProblem]) -> list[UUID]:
    """Every id of a page that could be read, so that a broken item is not taken for gone."""
    return [item.id for item in items] + [p.id for p in problems if p.id]
