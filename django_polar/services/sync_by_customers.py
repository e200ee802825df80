"""Reading for a few customers at a time, where a whole list cannot be read or believed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from django_polar.exceptions import NotFoundError, PayloadError, PermissionDeniedError, PolarError
from django_polar.models import Customer
from django_polar.payloads import CustomerStatePayload, Page, decode_page

from .pages import MAX_LIMIT, batches
from .sync_items import iter_ids, take_items
from .sync_session import ids_of
from .targets import STATE_NAMES, TABLES
from .upsert import database

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from django_polar.client import PolarClient

    from .sync_items import StateList
    from .sync_session import Session

CUSTOMERS_PER_REQUEST: Final = 40
"""Keeps the address below two and a half thousand characters."""

STATE_BATCH: Final = 50


def read_by_customers(session: Session, state_list: StateList) -> None:
    """The same list for a few customers at a time: few enough for one page, so no page is missed.

    For a list that changes faster than it can be read.
    """
    session.report.note(
        f"{state_list.name}: too much of the list changed while it was read, or has no order, so"
        " it was read again by customers"
    )
    counts = session.report.counts[state_list.name]
    groups = (
        group
        for ids in iter_ids(Customer.objects.using(database()).live())
        for group in batches(ids, CUSTOMERS_PER_REQUEST)
    )
    seen = session.skipped_ids(state_list.name)
    fetch = partial(_fetch_of, session.client, state_list)
    for outcome in session.reader.map(fetch, groups):
        for customer_ids, content, observed_at in outcome.result():
            take_items(session, state_list, content, observed_at)
            seen.add(ids_of(content.items, content.problems))
            if session.delete:
                counts.deleted += _remove_of(
                    session, state_list, customer_ids, content, observed_at
                )
        session.query_log.trim()
    session.settle(state_list.name, len(seen))


def _fetch_of(
    client: PolarClient, state_list: StateList, customer_ids: Sequence[UUID]
) -> list[tuple[Sequence[UUID], Page[Any], datetime]]:
    """One answer, or several where these customers have more than fits into one."""
    observed_at = client.server_time()
    answer = state_list.open(client)(
        limit=MAX_LIMIT, customer_id=[str(id_) for id_ in customer_ids], **state_list.filters
    )
    content = decode_page(answer.read(), state_list.payload_type)
    if content.total_count <= MAX_LIMIT:
        return [(customer_ids, content, observed_at)]
    if len(customer_ids) == 1:
        return [(customer_ids, _fetch_all_of(client, state_list, customer_ids[0]), observed_at)]
    half = len(customer_ids) // 2
    return [
        *_fetch_of(client, state_list, customer_ids[:half]),
        *_fetch_of(client, state_list, customer_ids[half:]),
    ]


def _fetch_all_of(client: PolarClient, state_list: StateList, customer_id: UUID) -> Page[Any]:
    """All pages of a customer with more items than fit on one, from its own state's words."""
    pages: list[Page[Any]] = []
    number = 1
    while not pages or number <= pages[-1].max_page:
        answer = state_list.open(client)(
            page=number,
            limit=MAX_LIMIT,
            customer_id=[str(customer_id)],
            sorting=state_list.orders[0],
            **state_list.filters,
        )
        pages.append(decode_page(answer.read(), state_list.payload_type))
        number += 1
    items = {item.id: item for page in pages for item in page.items}
    problems = [problem for page in pages for problem in page.problems]
    return Page(list(items.values()), problems, total_count=pages[-1].total_count, max_page=1)


def _remove_of(
    session: Session,
    state_list: StateList,
    customer_ids: Sequence[UUID],
    content: Page[Any],
    observed_at: datetime,
) -> int:
    listed = set(ids_of(content.items, content.problems))
    if len(listed) < content.total_count:
        return 0  # a customer with hundreds of items, and they moved
    return _remove_unlisted(session, state_list.name, customer_ids, listed, observed_at)


def _remove_unlisted(
    session: Session,
    list_name: str,
    customer_ids: Sequence[UUID],
    listed: set[UUID],
    observed_at: datetime,
) -> int:
    rows = TABLES[list_name].model._base_manager.using(database())
    there = rows.filter(state_id__in=customer_ids, synced_at__lt=observed_at)
    gone = [pk for pk in there.values_list("pk", flat=True) if pk not in listed]
    return session.target.gone_items(list_name, gone, observed_at=observed_at)


def read_parts_one_by_one(session: Session, list_names: Sequence[str]) -> None:
    """These parts of every customer's state, from the states themselves."""
    done = 0
    total = Customer.objects.using(database()).live().count()
    for ids in iter_ids(Customer.objects.using(database()).live()):
        for batch in batches(ids, STATE_BATCH):
            observed_at = session.client.server_time()
            states = _fetch_states(session, batch)
            for name in list_names:
                _take_parts(session, name, states, observed_at)
            done += len(batch)
            session.progress("states", done, total)
            session.query_log.trim()
            session.beat_now_and_then()
    for name in list_names:
        session.settle(name, session.report.counts[name].seen)


def _take_parts(
    session: Session, list_name: str, states: Sequence[CustomerStatePayload], observed_at: datetime
) -> None:
    pairs = [(item, s.id) for s in states for item in getattr(s, STATE_NAMES[list_name])]
    items = [item for item, _ in pairs]
    changes, _ = session.target.items(
        list_name, items, [owner for _, owner in pairs], observed_at=observed_at
    )
    session.count(list_name, changes)
    counts = session.report.counts[list_name]
    counts.seen += len(items)
    if session.delete:
        listed = {item.id for item in items}
        customer_ids = [state.id for state in states]
        counts.deleted += _remove_unlisted(session, list_name, customer_ids, listed, observed_at)


def refresh_states(session: Session, customer_ids: Sequence[UUID]) -> None:
    """The whole states of these customers, and that they were seen now."""
    observed_at = session.client.server_time()
    states = _fetch_states(session, customer_ids)
    if not states:
        return
    changes, removed = session.target.states(states, observed_at=observed_at, touch=True)
    for name in STATE_NAMES:
        session.count(name, changes[name])
        session.report.counts[name].deleted += removed[name]
    session.query_log.trim()


def _fetch_states(session: Session, customer_ids: Sequence[UUID]) -> list[CustomerStatePayload]:
    states: list[CustomerStatePayload] = []
    for outcome in session.reader.map(session.client.customers.get_state, customer_ids):
        try:
            states.append(outcome.result())
        except NotFoundError:
            continue  # deleted meanwhile; the next sync will see it
        except PayloadError as error:
            session.report.problem(f"customers: the state of {outcome.item} was skipped: {error}")
        except PermissionDeniedError:
            raise
        except PolarError as error:
            session.report.problem(
                f"customers: the state of {outcome.item} could not be read: {error}"
            )
    return states
