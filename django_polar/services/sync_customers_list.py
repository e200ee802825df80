"""The first of the four lists: customers, proved by the export."""

from __future__ import annotations

import csv
import io
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django_polar.client.customers import STABLE_ORDER
from django_polar.conf import settings
from django_polar.exceptions import (
    NotFoundError,
    OrganizationMismatchError,
    PolarError,
    UnexpectedResponseError,
)
from django_polar.models import Customer
from django_polar.payloads import CustomerPayload, decode_page

from .known_pages import PageMemory, TakenPages, summarize
from .pages import Walk, batches
from .proof import Reading
from .seen import ListedIds, SeenIds
from .sync_walk import walk_list
from .tables import CUSTOMERS
from .upsert import database

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from .pages import FetchedPage
    from .sync_session import Session
    from .upsert import Changes

ORDERS: Final = (
    (*STABLE_ORDER, "name"),
    ("-email", "-created_at", "name"),
    ("name", "email", "created_at"),
)
"""The first sees new customers last; the others break its ties differently."""

FETCH_BATCH: Final = 100
ENOUGH_TO_FETCH: Final = 10
ID_BATCH: Final = 2000


def read_customers(session: Session) -> None:
    """Walk, prove, mark deleted."""
    seen = SeenIds()
    first_page = session.start_list("customers", seen)
    reading = Reading(session.client.server_time(), seen=seen)
    listed: ListedIds | None = None
    missing: list[UUID] | None = None
    for attempt, order in enumerate(ORDERS):
        walk = Walk(
            "customers",
            session.client.customers.open_page,
            order,
            next_page=first_page if attempt == 0 else 1,
        )
        if attempt:
            reading = Reading(session.client.server_time())
        walk_customers(session, walk, reading, is_first=attempt == 0)
        if attempt:
            seen.merge(reading.seen)
        exported_at = session.client.server_time()
        is_last = attempt == len(ORDERS) - 1
        # More than that, and another walk costs fewer requests.
        at_most = None if is_last else ENOUGH_TO_FETCH + walk.max_page
        listed, missing = _read_export(session, seen, at_most)
        if missing is not None or (listed is None and reading.is_proved):
            break
    if missing:
        _fetch_missing(session, missing)
    session.settle("customers", len(seen) + len(missing or ()))
    if listed is None and not reading.is_proved:
        session.report.problem(
            "customers: the list kept changing while it was read, and the export that would"
            " prove it complete could not be read; run the sync again"
        )
    elif session.delete:
        _mark_gone(
            session,
            reading.seen if listed is None else listed,
            reading.started_at if listed is None else exported_at,
        )


def walk_customers(session: Session, walk: Walk, reading: Reading, *, is_first: bool) -> None:
    """All pages into the mirror."""

    def take(pages: Sequence[FetchedPage]) -> TakenPages:
        contents = [decode_page(page.body, CustomerPayload) for page in pages]
        payloads = [payload for content in contents for payload in content.items]
        _check_organization(session, {payload.organization_id for payload in payloads})
        erased = [payload.id for payload in payloads if session.is_erased(payload)]
        session.skip("customers", erased)
        wanted = [payload for payload in payloads if payload.id not in erased]
        changes = take_customers(session, wanted, pages[0].observed_at)
        for content in contents:
            session.note_problems(content.problems, "customers")
        summaries = [
            summarize(
                content,
                reading.started_at,
                came_at=attrgetter("created_at"),
                shared=attrgetter("organization_id"),
            )
            for content in contents
        ]
        return TakenPages(contents, summaries, changes)

    # Who is on a known page is not looked at, so it is of no use where somebody is being erased.
    uses_memory = is_first and not session.is_dry and not session.erased
    memory = PageMemory("customers", CUSTOMERS) if uses_memory else None
    walk_list(session, walk, reading, take, memory=memory, is_first=is_first)
    _check_organization(session, reading.shared)


def take_customers(
    session: Session, payloads: list[CustomerPayload], observed_at: datetime
) -> Changes:
    """Into the target, and into the counts."""
    changes = session.target.customers(payloads, observed_at=observed_at)
    session.count("customers", changes)
    return changes


def _check_organization(session: Session, found: set[UUID]) -> None:
    """A mirror belongs to one organization, and so does the token."""
    if not found:
        return
    if len(found) > 1:
        raise OrganizationMismatchError(
            "The token sees the customers of several organizations; set POLAR_ORGANIZATION_ID"
            " to the one that this project sells through."
        )
    organization_id = next(iter(found))
    if session.organization_id is None:
        session.organization_id = _mirrored_organization() or organization_id
    if session.organization_id == organization_id:
        return
    if not session.replace_organization:
        raise OrganizationMismatchError(
            f"The mirror holds customers of organization {session.organization_id}, but the"
            f" token belongs to {organization_id}. Use the other organization's token, or start"
            " the mirror over with --replace-organization."
        )
    if not session.is_dry:
        Customer.objects.using(database()).all().delete()
    session.organization_id = organization_id


def _mirrored_organization() -> UUID | None:
    return (
        Customer.objects.using(database())
        .order_by()
        .values_list("organization_id", flat=True)
        .first()
    )


def _read_export(
    session: Session, seen: SeenIds, at_most: int | None
) -> tuple[ListedIds | None, list[UUID] | None]:
    """All ids that Polar exports, and those of them that were not seen.

    The first is ``None`` if there is no export, the second if there are more than ``at_most``.
    """
    listed = ListedIds(seen)
    missing: list[UUID] | None = []
    try:
        for ids in batches(iter_exported_ids(session.client.customers.export()), ID_BATCH):
            new = listed.add(ids)
            if missing is not None:
                missing += new
                if at_most is not None and len(missing) > at_most:
                    missing = None
            session.beat_now_and_then()
    except PolarError as error:
        session.report.note(f"customers: counts decide, not the export: {error}")
        return None, None
    return listed, missing


def iter_exported_ids(chunks: Iterable[bytes]) -> Iterator[UUID]:
    """The first column of Polar's export.

    Raises:
        UnexpectedResponseError: it is no such CSV.
    """
    text = io.TextIOWrapper(io.BufferedReader(_Chunks(chunks)), encoding="utf-8", newline="")
    rows = csv.reader(text)
    try:
        header = next(rows, [])
        if header[:1] != ["ID"]:
            raise UnexpectedResponseError("customers.export: the first column is not ID")
        for row in rows:
            if row:
                yield UUID(row[0])
    except (ValueError, csv.Error) as error:
        raise UnexpectedResponseError("customers.export: not the CSV it should be") from error


class _Chunks(io.RawIOBase):
    """Chunks of bytes as a file."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = chunk
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def _fetch_missing(session: Session, missing: list[UUID]) -> None:
    """Customers that the pages did not show, one by one; those deleted meanwhile are no loss."""
    for batch in batches(missing, FETCH_BATCH):
        observed_at = session.client.server_time()
        found: list[CustomerPayload] = []
        for outcome in session.reader.map(session.client.customers.get, batch):
            try:
                found.append(outcome.result())
            except NotFoundError:
                continue
            except PolarError as error:
                session.report.problem(f"customers: {outcome.item} could not be read: {error}")
                session.skip("customers", [outcome.item])
        take_customers(session, found, observed_at)
        session.query_log.trim()


def _mark_gone(session: Session, listed: SeenIds | ListedIds, asked_at: datetime) -> None:
    """Customers of the mirror that Polar did not list: each asked for, and deleted on a 404."""
    live = Customer.objects.using(database()).live()
    known = live.count()
    if not session.is_dry and known == len(listed) - session.skipped_count("customers"):
        return  # all that is listed is in the mirror now, so nothing else is
    gone: list[UUID] = []
    limit = settings.max_deleted_share * known
    for ids in _iter_live_ids(asked_at):
        gone += [id_ for id_ in ids if id_ not in listed]
        if len(gone) > limit:
            session.report.problem(
                f"customers: more than {settings.max_deleted_share:.0%} of the {known} mirrored"
                " customers are not at Polar any more, so none was marked deleted. If that is"
                " right, raise POLAR_MAX_DELETED_SHARE for one run."
            )
            return
        session.query_log.trim()
    for batch in batches(gone, FETCH_BATCH):
        _confirm_gone(session, batch)


def _iter_live_ids(asked_at: datetime) -> Iterator[list[UUID]]:
    """Of the mirrored customers that were known before Polar was asked, in chunks by key."""
    live = Customer.objects.using(database()).live().filter(synced_at__lt=asked_at)
    after: UUID | None = None
    while True:
        chunk = live if after is None else live.filter(pk__gt=after)
        ids = list(chunk.order_by("pk").values_list("pk", flat=True)[:ID_BATCH])
        if not ids:
            return
        yield ids
        after = ids[-1]


def _confirm_gone(session: Session, batch: list[UUID]) -> None:
    observed_at = session.client.server_time()
    gone: list[UUID] = []
    still_there: list[CustomerPayload] = []
    for outcome in session.reader.map(session.client.customers.get, batch):
        try:
            still_there.append(outcome.result())
        except NotFoundError:
            gone.append(outcome.item)
        except PolarError as error:
            session.report.problem(
                f"customers: whether {outcome.item} was deleted could not be learned: {error}"
            )
    session.report.counts["customers"].deleted += session.target.gone_customers(
        gone, observed_at=observed_at
    )
    if still_there:
        take_customers(session, still_there, observed_at)
    session.query_log.trim()
