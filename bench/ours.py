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
from django_polar.services.pages import AT_ONCE, batches
from django_polar.services.tables import BENEFITS, METERS, SUBSCRIPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django_polar.services.tables import Table

    from .pages import Pages


def mirror(pages: Iterable[Pages], observed_at: datetime) -> None:
    """Bytes of list pages in, rows out; a few pages at a time, as a sync does that has them."""
    for together in batches(pages, AT_ONCE):
        customers = [
            item for page in together for item in decode_page(page.customers, CustomerPayload).items
        ]
        upsert_customers(customers, observed_at=observed_at)
        _items(
            SUBSCRIPTIONS,
            [page.subscriptions for page in together],
            SubscriptionListPayload,
            observed_at,
        )
        grants = [body for page in together for body in page.grants]
        for bodies in batches(grants, AT_ONCE):
            _items(BENEFITS, bodies, BenefitGrantPayload, observed_at)
        _items(METERS, [page.meters for page in together], CustomerMeterPayload, observed_at)


def _items(
    table: Table,
    bodies: Iterable[bytes],
    payload_type: type[SubscriptionListPayload | BenefitGrantPayload | CustomerMeterPayload],
    observed_at: datetime,
) -> None:
    items = [item for body in bodies for item in decode_page(body, payload_type).items]
    upsert_items(table, items, [item.customer_id for item in items], observed_at=observed_at)
