"""The life of a full sync: one at a time, never blocked by a dead one, resumable."""

from __future__ import annotations

import os
import socket
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import IntegrityError, router, transaction
from django.utils import timezone

from django_polar.exceptions import SyncInProgressError
from django_polar.models import SyncCheckpoint, SyncRun

from .seen import SeenIds, pack

_LOCK: Final = "sync"
SAVE_EVERY: Final = timedelta(seconds=5)
"""A killed sync loses no more than this, and no page has to pay for a bookmark."""
MOST_UNSAVED: Final = 10_000
"""Ids. What is saved together is in memory several times over, and the driver keeps a copy."""


def holder() -> str:
    """The one at work, as a person would look for it."""
    return f"{socket.gethostname()}:{os.getpid()}"[:255]


def latest_complete_run() -> SyncRun | None:
    """The last full sync that read everything there is, states included."""
    return (
        SyncRun.objects.filter(outcome=SyncRun.Outcome.COMPLETE, state_complete=True)
        .order_by("-started_at")
        .first()
    )


def begin_run(*, with_state: bool) -> SyncRun:
    """A new run that holds the lock.

    Raises:
        SyncInProgressError: another one holds it and is alive.
    """
    _release_dead_run()
    try:
        with transaction.atomic(using=router.db_for_write(SyncRun)):
            return SyncRun.objects.create(lock=_LOCK, holder=holder(), with_state=with_state)
    except IntegrityError as error:
        raise _in_progress() from error


def resume_run() -> SyncRun | None:
    """The last run, if it did not get to its end, with the lock; ``None`` if there is none.

    Raises:
        SyncInProgressError: another one is running.
    """
    _release_dead_run()
    run = SyncRun.objects.order_by("-started_at", "-pk").first()
    if run is None or run.outcome == SyncRun.Outcome.COMPLETE or not run.cursor:
        if run is not None and run.lock:
            raise _in_progress()
        return None
    try:
        with transaction.atomic(using=router.db_for_write(SyncRun)):
            taken = SyncRun.objects.filter(pk=run.pk, lock=None).update(
                lock=_LOCK,
                holder=holder(),
                heartbeat_at=timezone.now(),
                outcome=SyncRun.Outcome.RUNNING,
                finished_at=None,
            )
    except IntegrityError as error:
        raise _in_progress() from error
    if not taken:
        raise _in_progress()
    run.refresh_from_db()
    return run


def _release_dead_run() -> None:
    run = SyncRun.objects.filter(lock=_LOCK).first()
    if run is not None and run.is_silent(timezone.now()):
        # Only if it is still as silent as it was when we looked.
        SyncRun.objects.filter(pk=run.pk, heartbeat_at=run.heartbeat_at).update(
            lock=None, outcome=SyncRun.Outcome.INTERRUPTED, finished_at=timezone.now()
        )


def _in_progress() -> SyncInProgressError:
    run = SyncRun.objects.filter(lock=_LOCK).first()
    if run is None:
        return SyncInProgressError("Another sync just ended; try again.")
    return SyncInProgressError(
        f"Sync run {run.pk} is going on since {run.started_at:%Y-%m-%d %H:%M:%S} in"
        f" {run.holder}. Wait for it; if it was killed, it stops counting two minutes after"
        f" its last sign of life ({run.heartbeat_at:%H:%M:%S})."
    )


class Bookmark:
    """Where a run is: written now and then, so that a killed one can go on from there."""

    def __init__(self, run: SyncRun) -> None:
        self._run = run
        self._saved_at = timezone.now()
        self._unsaved = pack(())
        self._list_name = ""
        self._began: dict[str, Any] = {}

    def load(self, list_name: str, seen: SeenIds) -> int:
        """The page to go on with, and into ``seen`` what was seen before it."""
        self._list_name = list_name
        cursor = self._run.cursor
        if cursor.get("list") != list_name:
            return 1
        for keys in self._run.checkpoints.filter(list_name=list_name).values_list(
            "keys", flat=True
        ):
            seen.load(bytes(keys))
        return int(cursor.get("page", 1))

    @property
    def walk_began(self) -> tuple[datetime, int] | None:
        """When the walk that is gone on with began, and how many rows there were then."""
        cursor = self._run.cursor
        if cursor.get("list") != self._list_name or "began_at" not in cursor:
            return None
        return datetime.fromisoformat(cursor["began_at"]), int(cursor["total"])

    def note_walk(self, began_at: datetime, total: int) -> None:
        """Written down with the next page."""
        self._began = {"began_at": began_at.isoformat(), "total": total}

    def is_done(self, list_name: str) -> bool:
        return list_name in self._run.cursor.get("done", [])

    def note(self, page: int, keys: bytes) -> None:
        """``page`` is in the mirror; ``keys`` are of the ids that were seen since the last one."""
        self._unsaved.frombytes(keys)
        is_much = len(self._unsaved) >= MOST_UNSAVED
        if is_much or timezone.now() - self._saved_at >= SAVE_EVERY:
            self.save(page + 1)

    def save(self, page: int) -> None:
        """Write down that ``page`` of the current list comes next.

        Raises:
            SyncInProgressError: this run was taken for dead and another one has the lock.
        """
        self._run.cursor = {
            **self._run.cursor,
            **self._began,
            "list": self._list_name,
            "page": page,
        }
        with transaction.atomic(using=router.db_for_write(SyncRun)):
            if self._unsaved:
                SyncCheckpoint.objects.create(
                    run=self._run, list_name=self._list_name, keys=self._unsaved.tobytes()
                )
            self._update(cursor=self._run.cursor)
        self._unsaved = pack(())
        self._saved_at = timezone.now()

    def finish_list(self, list_name: str) -> None:
        """Everything of this list is in the mirror, and what is gone is gone."""
        done = [*self._run.cursor.get("done", []), list_name]
        self._run.cursor = {"done": done}
        self._began = {}
        with transaction.atomic(using=router.db_for_write(SyncRun)):
            self._run.checkpoints.all().delete()
            self._update(cursor=self._run.cursor)
        self._unsaved = pack(())
        self._saved_at = timezone.now()

    def beat(self) -> None:
        """A sign of life."""
        self._update()

    def _update(self, **fields: Any) -> None:
        self._run.heartbeat_at = timezone.now()
        alive = SyncRun.objects.filter(pk=self._run.pk, lock=_LOCK, holder=holder()).update(
            heartbeat_at=self._run.heartbeat_at,
            counts=self._run.counts,
            requests=self._run.requests,
            problems=self._run.problems,
            **fields,
        )
        if not alive:
            raise SyncInProgressError(
                f"Sync run {self._run.pk} was silent for too long and another one took over."
            )


def end_run(run: SyncRun, outcome: SyncRun.Outcome) -> None:
    """Give the lock back. A run that is complete needs no checkpoints any more."""
    run.outcome = outcome
    run.finished_at = timezone.now()
    run.heartbeat_at = run.finished_at
    run.lock = None
    held = SyncRun.objects.filter(pk=run.pk, holder=run.holder)
    held.update(
        outcome=run.outcome,
        finished_at=run.finished_at,
        heartbeat_at=run.heartbeat_at,
        lock=None,
        organization_id=run.organization_id,
        state_complete=run.state_complete,
        counts=run.counts,
        linked=run.linked,
        requests=run.requests,
        problems=run.problems,
    )
    if outcome == SyncRun.Outcome.COMPLETE:
        run.checkpoints.all().delete()
