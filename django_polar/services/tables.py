"""How each table of the mirror is filled from payloads, and what tells versions apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from operator import attrgetter
from struct import unpack
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from django_polar.models import (
    ActiveMeter,
    ActiveSubscription,
    Customer,
    GrantedBenefit,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from django.db import models

Values = tuple[Any, ...]

DIGEST_VERSION: Final = 1
"""Raised with every new column, so that the next sync writes every row once more."""

_DIGEST_SALT: Final = DIGEST_VERSION.to_bytes(2, "big")

_encode = msgspec.json.Encoder(order="deterministic").encode


@dataclass(frozen=True, slots=True)
class Table:
    """How one model is filled from payloads."""

    model: type[models.Model]
    paths: tuple[str, ...]
    """Attributes of the payload, in the order of ``columns`` without the last two."""
    owner: str | None = None
    """The column with the customer's id, where the payload itself may not know it."""
    deletable: bool = False
    values: Callable[[Any], Values] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", attrgetter(*self.paths))

    @property
    def columns(self) -> tuple[str, ...]:
        owner = (self.owner,) if self.owner else ()
        return (*owner, *self.paths, "synced_at", "digest")


CUSTOMERS: Final = Table(
    Customer,
    (
        "id",
        "created_at",
        "modified_at",
        "organization_id",
        "external_id",
        "type",
        "email",
        "email_verified",
        "name",
        "billing_name",
        "billing_address",
        "tax_id",
        "locale",
        "avatar_url",
        "metadata",
        "default_payment_method_id",
        "first_user_event_at",
        "raw",
    ),
    deletable=True,
)
SUBSCRIPTIONS: Final = Table(
    ActiveSubscription,
    (
        "id",
        "created_at",
        "modified_at",
        "status",
        "amount",
        "currency",
        "recurring_interval",
        "current_period_start",
        "current_period_end",
        "trial_start",
        "trial_end",
        "cancel_at_period_end",
        "canceled_at",
        "started_at",
        "ends_at",
        "product_id",
        "discount_id",
        "price_id",
        "seats",
        "units",
        "metadata",
        "custom_field_data",
        "meters",
        "raw",
    ),
    owner="customer_id",
)
BENEFITS: Final = Table(
    GrantedBenefit,
    (
        "id",
        "created_at",
        "modified_at",
        "granted_at",
        "benefit_id",
        "benefit_type",
        "benefit_metadata",
        "properties",
        "raw",
    ),
    owner="customer_id",
)
METERS: Final = Table(
    ActiveMeter,
    (
        "id",
        "created_at",
        "modified_at",
        "meter_id",
        "consumed_units",
        "credited_units",
        "balance",
        "raw",
    ),
    owner="customer_id",
)


class Row(msgspec.Struct, frozen=True, gc=False):
    """A payload's values, ready to be compared and written."""

    id: UUID
    values: Values
    """In the order of the table's columns, without the last two."""
    digest: int
    modified_at: datetime
    """When Polar last modified it, or created it."""

    def age(self, observed_at: datetime) -> tuple[datetime, datetime, int]:
        """Two versions of a row are ordered by this, see ``upsert``."""
        return (self.modified_at, observed_at, self.digest)


def make_rows(table: Table, payloads: Iterable[Any], owners: Iterable[UUID] = ()) -> list[Row]:
    """Rows from payloads; ``owners`` are the customers' ids, one for each payload."""
    own = [table.values(payload) for payload in payloads]
    complete = own
    if table.owner:
        complete = [(owner, *values) for owner, values in zip(owners, own, strict=True)]
    return [
        Row(values[0], row, digest, values[2] or values[1])
        for values, row, digest in zip(own, complete, _digests(complete), strict=True)
    ]


def _digests(rows: Sequence[Values]) -> Sequence[int]:
    digests = [
        blake2b(_encode(values), digest_size=8, salt=_DIGEST_SALT).digest() for values in rows
    ]
    return unpack(f">{len(digests)}q", b"".join(digests))
