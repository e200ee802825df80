"""What a sync does with the bytes it gets, without the requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_polar.payloads import (
    BenefitGrantPayload,
    CustomerMeterPayload,
    CustomerPayload,
    SubscriptionListPayload,
    decode_page,
)
from django_polar.services.mirror import upsert_customers, upsert_items
from django_polar.services.tables import BENEFITS, METERS, SUBSCRIPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django_polar.services.tables import Table

    from .pages import Pages


def mirror(pages: Iterable[Pages], observed_at: datetime) -> None:
    """Bytes of list pages in, rows out."""
    for page in pages:
        customers = decode_page(page.customers, CustomerPayload).items
        upsert_customers(customers, observed_at=observed_at)
        _items(SUBSCRIPTIONS, page.subscriptions, SubscriptionListPayload, observed_at)
        for grants in page.grants:
            _items(BENEFITS, grants, BenefitGrantPayload, observed_at)
        _items(METERS, page.meters, CustomerMeterPayload, observed_at)


def _items(
    table: Table,
    body: bytes,
    payload_type: type[SubscriptionListPayload | BenefitGrantPayload | CustomerMeterPayload],
    observed_at: datetime,
) -> None:
    items = decode_page(body, payload_type).items
    upsert_items(table, items, [item.customer_id for item in items], observed_at=observed_at)
