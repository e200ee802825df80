"""The other three lists: subscriptions, benefit grants and customer meters.

Losing one would take a paying customer's access away, so a part of a state is removed only if its
list was read completely, see ``_is_proved``, or was read for that customer alone.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from django_polar.exceptions import PermissionDeniedError
from django_polar.payloads import decode_page

from .known_pages import PageMemory, TakenPages, summarize
from .pages import Walk
from .proof import Reading
from .seams import Seams
from .sync_by_customers import read_by_customers, read_parts_one_by_one, refresh_states
from .sync_items import STATE_LISTS, iter_ids, join, take_items
from .sync_walk import walk_list
from .targets import TABLES
from .upsert import database

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from django_polar.payloads import Page

    from .known_pages import Summary
    from .pages import FetchedPage
    from .seams import Window
    from .sync_items import StateList
    from .sync_session import Session

LIMITS: Final = (100, 91, 83)
"""One for each walk: equal rows are lost where a page ends, and with another limit pages end
elsewhere."""

ARCHIVED_METER_CHECKS: Final = 25
ARCHIVED_METER_RECHECK: Final = timedelta(days=1)


def read_state_lists(session: Session) -> None:
    """All three. What the token may not list is read from every customer's state instead."""
    refused: list[str] = []
    for state_list in STATE_LISTS:
        if session.is_done(state_list.name):
            continue
        try:
            _read_list(session, state_list)
        except PermissionDeniedError as error:
            scopes = " or ".join(error.scopes) or "its scope"
            session.report.note(
                f"The token may not list {state_list.name}, for which it needs {scopes}; every"
                " customer's state was fetched one by one instead."
            )
            refused.append(state_list.name)
        else:
            session.finish(state_list.name)
    if refused:
        read_parts_one_by_one(session, refused)
        for name in refused:
            session.finish(name)


def _read_list(session: Session, state_list: StateList) -> None:
    reading = Reading(session.client.server_time())
    first_page = session.start_list(state_list.name, reading.seen)
    seams = Seams(LIMITS[0])
    for attempt, (order, limit) in enumerate(zip(state_list.orders, LIMITS, strict=True)):
        walk = Walk(
            state_list.name,
            partial(state_list.open(session.client), **state_list.filters),
            order,
            limit=limit,
            next_page=first_page if attempt == 0 else 1,
        )
        walk_state_list(session, state_list, walk, reading, seams if attempt == 0 else None)
        if attempt == 0 and not reading.is_proved and not reading.something_went_away:
            _mend_seams(session, state_list, reading, seams, at_most=walk.max_page)
        if reading.is_proved:
            break
        if reading.something_went_away:
            reading = Reading(session.client.server_time())
        reading.nameless = 0
    session.settle(state_list.name, len(reading.seen))
    if not reading.is_proved:
        read_by_customers(session, state_list)
    elif session.delete:
        _remove_unseen(session, state_list, reading)


def walk_state_list(
    session: Session,
    state_list: StateList,
    walk: Walk,
    reading: Reading,
    seams: Seams | None,
) -> None:
    """All pages into the mirror. The first walk of a list watches its ``seams``."""

    def take(pages: Sequence[FetchedPage]) -> TakenPages:
        contents = [decode_page(page.body, state_list.payload_type) for page in pages]
        changes = take_items(session, state_list, join(contents), pages[0].observed_at)
        summaries = [_summarize(state_list, content, reading) for content in contents]
        return TakenPages(contents, summaries, changes)

    memory = None
    if seams is not None and not session.is_dry:
        memory = PageMemory(state_list.name, TABLES[state_list.name])
    walk_list(session, walk, reading, take, memory=memory, seams=seams, is_first=seams is not None)


def _summarize(state_list: StateList, content: Page[Any], reading: Reading) -> Summary:
    return summarize(
        content,
        reading.started_at,
        # A change may have brought it there.
        came_at=lambda item: max(item.modified_at or item.created_at, item.created_at),
        key=state_list.key,
        shared=state_list.shared,
    )


def _mend_seams(
    session: Session, state_list: StateList, reading: Reading, seams: Seams, *, at_most: int
) -> None:
    """Read the pages that show what was lost between two others, if that is less than all."""
    windows = seams.windows
    if windows is None or len(windows) > at_most:
        return

    def fetch(window: Window) -> tuple[bytes, datetime]:
        observed_at = session.client.server_time()
        answer = state_list.open(session.client)(
            page=window.page,
            limit=window.limit,
            sorting=state_list.orders[0],
            **state_list.filters,
        )
        return answer.read(), observed_at

    for outcome in session.reader.map(fetch, windows):
        body, observed_at = outcome.result()
        content = decode_page(body, state_list.payload_type)
        reading.note(_summarize(state_list, content, reading), content.total_count)
        take_items(session, state_list, content, observed_at)


def _remove_unseen(session: Session, state_list: StateList, reading: Reading) -> None:
    """What the complete list does not have."""
    rows = TABLES[state_list.name].model._base_manager.using(database())
    seen = len(reading.seen) - session.skipped_count(state_list.name)
    if not session.is_dry and rows.count() == seen:
        return  # all that was seen is in the mirror now, so nothing else is
    old = rows.filter(synced_at__lt=reading.started_at)
    for ids in iter_ids(old):
        gone = [id_ for id_ in ids if id_ not in reading.seen]
        if state_list.name == "meters":
            gone = _without_archived(session, gone, reading)
        session.report.counts[state_list.name].deleted += session.target.gone_items(
            state_list.name, gone, observed_at=reading.started_at
        )
        session.query_log.trim()


def _without_archived(session: Session, ids: list[UUID], reading: Reading) -> list[UUID]:
    """A meter that the merchant archived leaves the list, but stays in the states.

    A meter that nobody in the list has may be such a one: then the customer's own state decides,
    which is asked once a day for a few customers at a time.
    """
    rows = list(
        TABLES["meters"]
        .model._base_manager.using(database())
        .filter(pk__in=ids)
        .values_list("pk", "meter_id", "state_id", "state__as_of")
    )
    gone = [pk for pk, meter_id, _, _ in rows if meter_id in reading.shared]
    recently = session.client.server_time() - ARCHIVED_METER_RECHECK
    doubtful = {
        customer_id
        for _, meter_id, customer_id, as_of in rows
        if meter_id not in reading.shared and not (as_of and as_of > recently)
    }
    room = max(ARCHIVED_METER_CHECKS - session.archived_meter_checks, 0)
    chosen = sorted(doubtful)[:room]
    session.archived_meter_checks += len(chosen)
    refresh_states(session, chosen)
    return gone
