"""The other three lists: subscriptions, benefit grants and customer meters.

Losing one would take a paying customer's access away, so a part of a state is removed only if its
list was read completely, see ``_is_proved``, or was read for that customer alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from django_polar.exceptions import PermissionDeniedError
from django_polar.payloads import (
    CustomerMeterPayload,
    Page,
    decode_page,
)

from . import proof
from .pages import Walk
from .seams import Seams
from .sync_by_customers import read_by_customers, read_parts_one_by_one, refresh_states
from .sync_items import STATE_LISTS, iter_ids, join, take_items
from .sync_session import ids_of
from .targets import TABLES
from .upsert import database

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from .seams import Window
    from .sync_items import StateList
    from .sync_session import Session

LIMITS: Final = (100, 91, 83)
"""One for each walk: equal rows are lost where a page ends, and with another limit pages end
elsewhere."""

ARCHIVED_METER_CHECKS: Final = 25
ARCHIVED_METER_RECHECK: Final = timedelta(days=1)


@dataclass(slots=True)
class Reading(proof.Reading):
    """And which meters were met at all."""

    meter_ids: set[UUID] = field(default_factory=set)


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
    seams = Seams(state_list.key, LIMITS[0])
    for attempt, (order, limit) in enumerate(zip(state_list.orders, LIMITS, strict=True)):
        walk = Walk(
            state_list.name,
            partial(state_list.fetch(session.client), **state_list.filters),
            order,
            limit=limit,
            next_page=first_page if attempt == 0 else 1,
        )
        for pages in session.reader.pages(walk):
            contents = [decode_page(page.body, state_list.payload_type) for page in pages]
            for page, content in zip(pages, contents, strict=True):
                if attempt == 0:
                    _begin(session, reading, content.total_count)
                    seams.note(page.number, content.items)
                _note_page(reading, content)
            together = join(contents)
            take_items(session, state_list, together, pages[0].observed_at)
            session.note_page(pages[-1].number, ids_of(together.items, together.problems))
            total = together.total_count
            session.progress(state_list.name, min(pages[-1].number * limit, total), total)
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


def _begin(session: Session, reading: Reading, total_count: int) -> None:
    if reading.first_total is None:
        reading.started_at, reading.first_total = session.begin_walk(
            reading.started_at, total_count
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
        body = state_list.fetch(session.client)(
            page=window.page,
            limit=window.limit,
            sorting=state_list.orders[0],
            **state_list.filters,
        )
        return body, observed_at

    for outcome in session.reader.map(fetch, windows):
        body, observed_at = outcome.result()
        content = decode_page(body, state_list.payload_type)
        _note_page(reading, content)
        take_items(session, state_list, content, observed_at)


def _note_page(reading: Reading, content: Page[Any]) -> None:
    began_at = reading.started_at
    reading.note(
        content,
        added=sum(
            1
            for item in content.items
            if (item.modified_at or item.created_at) > began_at or item.created_at > began_at
        ),
    )
    if content.items and isinstance(content.items[0], CustomerMeterPayload):
        reading.meter_ids.update(item.meter_id for item in content.items)


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
    gone = [pk for pk, meter_id, _, _ in rows if meter_id in reading.meter_ids]
    recently = session.client.server_time() - ARCHIVED_METER_RECHECK
    doubtful = {
        customer_id
        for _, meter_id, customer_id, as_of in rows
        if meter_id not in reading.meter_ids and not (as_of and as_of > recently)
    }
    room = max(ARCHIVED_METER_CHECKS - session.archived_meter_checks, 0)
    chosen = sorted(doubtful)[:room]
    session.archived_meter_checks += len(chosen)
    refresh_states(session, chosen)
    return gone
