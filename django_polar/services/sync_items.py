"""What the three lists of the state have in common: how they are asked for and taken in."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from django_polar.exceptions import PayloadError
from django_polar.payloads import (
    ACTIVE_SUBSCRIPTION_STATUSES,
    BenefitGrantPayload,
    CustomerMeterPayload,
    CustomerPayload,
    Page,
    SubscriptionListPayload,
    decode,
)

from .sync_customers_list import take_customers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime
    from uuid import UUID

    from django_polar.client import PolarClient
    from django_polar.client.connection import UnreadBody

    from .sync_session import Session
    from .upsert import Changes

ID_BATCH: Final = 2000


@dataclass(frozen=True, slots=True)
class StateList:
    """One of the three lists: how it is asked for, and in which orders."""

    name: str
    payload_type: Any
    open: Callable[[PolarClient], Callable[..., UnreadBody]]
    filters: dict[str, Any]
    orders: tuple[tuple[str, ...], ...]
    key: Callable[[Any], Any]
    """What rows have in common that the first order does not tell apart, or more rows than that."""
    shared: Callable[[Any], UUID] | None = None
    """What to collect of all items, see ``Reading.shared``."""


STATE_LISTS: Final = (
    StateList(
        "subscriptions",
        SubscriptionListPayload,
        lambda client: client.subscriptions.open_page,
        {"status": ACTIVE_SUBSCRIPTION_STATUSES},
        (
            ("started_at", "customer", "product", "current_period_end"),
            ("customer", "product", "started_at", "amount"),
            ("-current_period_end", "-customer", "product"),
        ),
        attrgetter("started_at"),
    ),
    StateList(
        "benefits",
        BenefitGrantPayload,
        lambda client: client.benefit_grants.open_page,
        {"is_granted": True},
        (
            ("created_at", "granted_at"),
            ("granted_at", "-created_at"),
            ("-created_at", "-granted_at"),
        ),
        attrgetter("created_at", "granted_at"),
    ),
    StateList(
        "meters",
        CustomerMeterPayload,
        lambda client: client.customer_meters.open_page,
        {},
        (
            # A customer has a meter once, so the last two break every tie.
            ("created_at", "customer_id", "meter_id"),
            ("customer_id", "meter_id", "created_at"),
            ("-created_at", "-customer_id", "-meter_id"),
        ),
        attrgetter("created_at", "customer_id", "meter_id"),
        attrgetter("meter_id"),
    ),
)


def join(pages: Sequence[Page[Any]]) -> Page[Any]:
    """Several pages as one, as long as the last of them says that the list is."""
    return Page(
        [item for page in pages for item in page.items],
        [problem for page in pages for problem in page.problems],
        total_count=pages[-1].total_count,
        max_page=pages[-1].max_page,
    )


def take_items(
    session: Session,
    state_list: StateList,
    content: Page[Any],
    observed_at: datetime,
) -> Changes:
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
    session.note_problems(content.problems, state_list.name)
    return changes


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


def iter_ids(rows: Any) -> Iterator[list[UUID]]:
    """Primary keys in chunks, each read by key so that nothing is held open."""
    after: UUID | None = None
    while True:
        chunk = rows if after is None else rows.filter(pk__gt=after)
        ids = list(chunk.order_by("pk").values_list("pk", flat=True)[:ID_BATCH])
        if not ids:
            return
        yield ids
        after = ids[-1]
