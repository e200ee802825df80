"""Bytes of a page of customers to payloads, beside other ways to read it."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from pydantic import BaseModel, TypeAdapter

from django_polar.payloads import (
    BenefitGrantPayload,
    CustomerMeterPayload,
    CustomerPayload,
    SubscriptionListPayload,
    decode_page,
)

from .pages import Pages, iter_pages
from .timing import Contender, medians, time_in_turns

CUSTOMERS = 2000


@dataclass(frozen=True, slots=True)
class DataclassCustomer:
    """What somebody would write who has the standard library alone."""

    id: UUID
    created_at: datetime
    modified_at: datetime | None
    metadata: dict[str, Any]
    external_id: str | None
    email: str | None
    email_verified: bool
    type: str | None
    name: str | None
    billing_name: str | None
    billing_address: dict[str, Any] | None
    tax_id: list[Any] | None
    locale: str | None
    organization_id: UUID
    default_payment_method_id: UUID | None
    deleted_at: datetime | None
    first_user_event_at: datetime | None
    avatar_url: str | None

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> DataclassCustomer:
        def moment(name: str) -> datetime | None:
            return datetime.fromisoformat(data[name]) if data[name] else None

        payment_method = data["default_payment_method_id"]
        return cls(
            **{
                **data,
                "id": UUID(data["id"]),
                "created_at": datetime.fromisoformat(data["created_at"]),
                "modified_at": moment("modified_at"),
                "organization_id": UUID(data["organization_id"]),
                "default_payment_method_id": UUID(payment_method) if payment_method else None,
                "deleted_at": moment("deleted_at"),
                "first_user_event_at": moment("first_user_event_at"),
            }
        )


class PydanticCustomer(BaseModel):
    """The same for pydantic, which Polar's own SDK is built on."""

    id: UUID
    created_at: datetime
    modified_at: datetime | None
    metadata: dict[str, Any]
    external_id: str | None
    email: str | None
    email_verified: bool
    type: str | None
    name: str | None
    billing_name: str | None
    billing_address: dict[str, Any] | None
    tax_id: list[Any] | None
    locale: str | None
    organization_id: UUID
    default_payment_method_id: UUID | None
    deleted_at: datetime | None
    first_user_event_at: datetime | None
    avatar_url: str | None


class PydanticPage(BaseModel):
    items: list[PydanticCustomer]
    pagination: dict[str, int]


def _read_ours(pages: list[Pages]) -> None:
    for page in pages:
        decode_page(page.customers, CustomerPayload)


def _read_ours_with_state(pages: list[Pages]) -> None:
    for page in pages:
        decode_page(page.customers, CustomerPayload)
        decode_page(page.subscriptions, SubscriptionListPayload)
        for grants in page.grants:
            decode_page(grants, BenefitGrantPayload)
        decode_page(page.meters, CustomerMeterPayload)


def _read_dataclasses(pages: list[Pages]) -> None:
    for page in pages:
        for item in json.loads(page.customers)["items"]:
            DataclassCustomer.from_json(item)


def _read_pydantic(pages: list[Pages]) -> None:
    adapter = TypeAdapter(PydanticPage)
    for page in pages:
        adapter.validate_json(page.customers)


def main() -> None:
    pages = list(iter_pages(CUSTOMERS))
    readers = {
        "ours": _read_ours,
        "ours_with_state": _read_ours_with_state,
        "dataclasses": _read_dataclasses,
        "pydantic": _read_pydantic,
    }
    contenders = {
        name: Contender(partial(read, pages), CUSTOMERS) for name, read in readers.items()
    }
    us = medians(time_in_turns(contenders))
    result = {
        "decode_us": us["ours"],
        "decode_us_of": us,
        "bytes_per_customer": {
            "customer": sum(len(page.customers) for page in pages) / CUSTOMERS,
            "with_state": sum(page.count_bytes() for page in pages) / CUSTOMERS,
        },
    }
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main()
