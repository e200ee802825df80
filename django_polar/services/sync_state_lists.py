"""The other three lists: subscriptions, benefit grants and customer meters.

Losing one would take a paying customer's access away, so a part of a state is removed only if its
list was read completely, see ``_is_proved``, or was read for that customer alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from django_polar.exceptions import NotFoundError, PayloadError, PermissionDeniedError, PolarError
from django_polar.models import Customer
from django_polar.payloads import (
    ACTIVE_SUBSCRIPTION_STATUSES,
    BenefitGrantPayload,
    CustomerMeterPayload,
    CustomerPayload,
    CustomerStatePayload,
    Page,
    SubscriptionListPayload,
    decode,
    decode_page,
)

from .pages import MAX_LIMIT, Walk, batches
from .seams import Seams
from .seen import SeenIds
from .sync_customers_list import take_customers
from .sync_session import ids_of
from .targets import STATE_NAMES, TABLES
from .upsert import database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from uuid import UUID

    from django_polar.client import PolarClient

    from .seams import Window
    from .sync_session import Session

LIMITS: Final = (100, 91, 83)
"""One for each walk: equal rows are lost where a page ends, and with another limit pages end
elsewhere."""

CUSTOMERS_PER_REQUEST: Final = 40
"""Keeps the address below two and a half thousand characters."""

ID_BATCH: Final = 2000
STATE_BATCH: Final = 50

ARCHIVED_METER_CHECKS: Final = 25
ARCHIVED_METER_RECHECK: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class StateList:
    """One of the three lists: how it is asked for, and in which orders."""

    name: str
    payload_type: Any
    fetch: Callable[[PolarClient], Callable[..., bytes]]
    filters: dict[str, Any]
    orders: tuple[tuple[str, ...], ...]
    key: Callable[[Any], Any]
    """What rows have in common that the first order does not tell apart, or more rows than that."""


STATE_LISTS: Final = (
    StateList(
        "subscriptions",
        SubscriptionListPayload,
        lambda client: client.subscriptions.fetch_page,
        {"status": ACTIVE_SUBSCRIPTION_STATUSES},
        (
            ("started_at", "customer", "product", "current_period_end"),
            ("customer", "product", "started_at", "amount"),
            ("-current_period_end", "-customer", "product"),
        ),
        lambda item: item.started_at,
    ),
    StateList(
        "benefits",
        BenefitGrantPayload,
        lambda client: client.benefit_grants.fetch_page,
        {"is_granted": True},
        (
            ("created_at", "granted_at"),
            ("granted_at", "-created_at"),
            ("-created_at", "-granted_at"),
        ),
        lambda item: (item.created_at, item.granted_at),
    ),
    StateList(
        "meters",
        CustomerMeterPayload,
        lambda client: client.customer_meters.fetch_page,
        {},
        (
            # A customer has a meter once, so the last two break every tie.
            ("created_at", "customer_id", "meter_id"),
            ("customer_id", "meter_id", "created_at"),
            ("-created_at", "-customer_id", "-meter_id"),
        ),
        lambda item: (item.created_at, item.customer_id, item.meter_id),
    ),
)


@dataclass(slots=True)
class Reading:
    """What is known of one list so far."""

    started_at: datetime
    seen: SeenIds = field(default_factory=SeenIds)
    first_total: int | None = None
    last_total: int = 0
    added: int = 0
    """Rows that were seen and are younger than the walk."""
    meter_ids: set[UUID] = field(default_factory=set)
    nameless: int = 0
    """Items so broken that not even their id could be read."""

    @property
    def something_went_away(self) -> bool:
        """Rows were deleted while the list was read, so others may have moved out of sight."""
        return (self.first_total or 0) + self.added > self.last_total

    @property
    def is_proved(self) -> bool:
        return len(self.seen) + self.nameless == self.last_total and not self.something_went_away


def read_state_lists(session: Session) -> None:
    """All three, or a state per customer where the token may not read one of them."""
    for state_list in STATE_LISTS:
        if session.is_done(state_list.name):
            continue
        try:
            _read_list(session, state_list)
        except PermissionDeniedError as error:
            scopes = " or ".join(error.scopes) or "its scope"
            session.report.notes.append(
                f"The token may not list {state_list.name}, for which it needs {scopes}; every"
                " customer's state was fetched one by one instead."
            )
            _read_states_one_by_one(session)
            return
        session.finish(state_list.name)


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
        for page in session.reader.pages(walk):
            content = decode_page(page.body, state_list.payload_type)
            _note_page(reading, content)
            if attempt == 0:
                seams.note(page.number, content.items)
            _take_items(session, state_list, content, reading.seen, page.observed_at)
            session.note_page(page.number, ids_of(content.items, content.problems))
            session.progress(
                state_list.name, min(page.number * limit, content.total_count), content.total_count
            )
        if attempt == 0 and not reading.is_proved and not reading.something_went_away:
            _mend_seams(session, state_list, reading, seams, at_most=walk.max_page)
        if reading.is_proved:
            break
        if reading.something_went_away:
            reading = Reading(session.client.server_time())
        reading.nameless = 0
    session.settle(state_list.name, len(reading.seen))
    if not reading.is_proved:
        _read_by_customers(session, state_list)
    elif session.delete:
        _remove_unseen(session, state_list, reading)


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
        _take_items(session, state_list, content, reading.seen, observed_at)


def _note_page(reading: Reading, content: Page[Any]) -> None:
    if reading.first_total is None:
        reading.first_total = content.total_count
    reading.last_total = content.total_count
    reading.seen.add(ids_of(content.items, content.problems))
    reading.nameless += sum(1 for problem in content.problems if problem.id is None)
    reading.added += sum(
        1
        for item in content.items
        if (item.modified_at or item.created_at) > reading.started_at
        or item.created_at > reading.started_at
    )
    if content.items and isinstance(content.items[0], CustomerMeterPayload):
        reading.meter_ids.update(item.meter_id for item in content.items)


def _take_items(
    session: Session,
    state_list: StateList,
    content: Page[Any],
    seen: SeenIds,
    observed_at: datetime,
) -> None:
    items = [item for item in content.items if item.is_active]
    changes, unknown = session.target.items(
        state_list.name, items, [item.customer_id for item in items], observed_at=observed_at
    )
    if unknown:
        newcomers = _read_embedded_customers(
            session, [item for item in items if item.customer_id in unknown]
        )
        take_customers(session, newcomers, observed_at)
        arrived = {customer.id for customer in newcomers}
        late = [item for item in items if item.customer_id in arrived]
        more, _ = session.target.items(
            state_list.name, late, [item.customer_id for item in late], observed_at=observed_at
        )
        changes.barred = [id_ for id_ in changes.barred if id_ not in {i.id for i in late}]
        changes.created += more.created
    session.count(state_list.name, changes)
    session.note_problems(content.problems, seen, state_list.name)


def _read_embedded_customers(session: Session, items: Iterable[Any]) -> list[CustomerPayload]:
    """Customers that came after their list was read: each item carries its own."""
    found: dict[UUID, CustomerPayload] = {}
    for item in items:
        if item.customer_id in found or not bytes(item.customer):
            continue
        try:
            customer = decode(item.customer, CustomerPayload)
        except PayloadError as error:
            session.report.problem(f"customers: {item.customer_id} was skipped: {error}")
            continue
        is_ours = session.organization_id in (None, customer.organization_id)
        if customer.deleted_at is None and is_ours and not session.is_erased(customer):
            found[customer.id] = customer
    return list(found.values())


def _remove_unseen(session: Session, state_list: StateList, reading: Reading) -> None:
    """What the complete list does not have."""
    rows = TABLES[state_list.name].model._base_manager.using(database())
    seen = len(reading.seen) - session.skipped_count(state_list.name)
    if not session.is_dry and rows.count() == seen:
        return  # all that was seen is in the mirror now, so nothing else is
    old = rows.filter(synced_at__lt=reading.started_at)
    for ids in _iter_ids(old):
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
    _read_states(session, chosen, touch=True)
    return gone


def _read_by_customers(session: Session, state_list: StateList) -> None:
    """The same list for a few customers at a time: few enough for one page, so no page is missed.

    For a list that changes faster than it can be read.
    """
    session.report.notes.append(
        f"{state_list.name}: the list kept changing while it was read, so it was read again by"
        " customers"
    )
    counts = session.report.counts[state_list.name]
    groups = (
        group
        for ids in _iter_ids(Customer.objects.using(database()).live())
        for group in batches(ids, CUSTOMERS_PER_REQUEST)
    )
    seen = SeenIds()
    fetch = partial(_fetch_of, session.client, state_list)
    for outcome in session.reader.map(fetch, groups):
        for customer_ids, content, observed_at in outcome.result():
            _take_items(session, state_list, content, seen, observed_at)
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
    body = state_list.fetch(client)(
        limit=MAX_LIMIT, customer_id=[str(id_) for id_ in customer_ids], **state_list.filters
    )
    content = decode_page(body, state_list.payload_type)
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
        body = state_list.fetch(client)(
            page=number,
            limit=MAX_LIMIT,
            customer_id=[str(customer_id)],
            sorting=state_list.orders[0],
            **state_list.filters,
        )
        pages.append(decode_page(body, state_list.payload_type))
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
    rows = TABLES[state_list.name].model._base_manager.using(database())
    there = rows.filter(state_id__in=customer_ids, synced_at__lt=observed_at)
    gone = [pk for pk in there.values_list("pk", flat=True) if pk not in listed]
    return session.target.gone_items(state_list.name, gone, observed_at=observed_at)


def _read_states_one_by_one(session: Session) -> None:
    done = 0
    total = Customer.objects.using(database()).live().count()
    for ids in _iter_ids(Customer.objects.using(database()).live()):
        for batch in batches(ids, STATE_BATCH):
            _read_states(session, batch, touch=False)
            done += len(batch)
            session.progress("states", done, total)
            session.beat_now_and_then()


def _read_states(session: Session, customer_ids: Sequence[UUID], *, touch: bool) -> None:
    observed_at = session.client.server_time()
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
    if not states:
        return
    changes, removed = session.target.states(states, observed_at=observed_at, touch=touch)
    for name, state_name in STATE_NAMES.items():
        counts = session.report.counts[name]
        seen = sum(len(getattr(state, state_name)) for state in states)
        session.count(name, changes[name])
        counts.deleted += removed[name]
        counts.seen += seen
        counts.unchanged += len(changes[name].unchanged) + len(changes[name].stale)
    session.query_log.trim()


def _iter_ids(rows: Any) -> Iterator[list[UUID]]:
    """Primary keys in chunks, each read by key so that nothing is held open."""
    after: UUID | None = None
    while True:
        chunk = rows if after is None else rows.filter(pk__gt=after)
        ids = list(chunk.order_by("pk").values_list("pk", flat=True)[:ID_BATCH])
        if not ids:
            return
        yield ids
        after = ids[-1]
