"""Customers as CSV, for spreadsheets: from the mirror, or Polar's own export passed through.

A spreadsheet takes a cell that starts with ``=`` and the like for a formula, and a customer
chooses their own name. Such cells get an apostrophe in front, which spreadsheets do not show.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections import defaultdict
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Q

from django_polar.models import (
    ActiveMeter,
    ActiveSubscription,
    Customer,
    CustomerBalance,
    CustomerState,
    GrantedBenefit,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime
    from uuid import UUID

    from django.db.models import QuerySet

    from django_polar.client import PolarClient

PAGE_SIZE: Final = 1000
_CHUNK_CHARACTERS: Final = 32 * 1024

# The last four are full-width forms, which some spreadsheets take for the same.
_FORMULA_STARTS: Final = (*"=+-@\t\r\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")

_PROFILE: Final = (
    "id",
    "external_id",
    "user_id",
    "type",
    "email",
    "email_verified",
    "name",
    "billing_name",
    "billing_address",
    "tax_id",
    "locale",
    "metadata",
    "created_at",
    "modified_at",
    "deleted_at",
    "synced_at",
)
_STATE: Final = ("active_subscriptions", "granted_benefits", "active_meters", "state_as_of")
_BALANCE: Final = ("balances", "balances_as_of")
COLUMNS: Final = (*_PROFILE, *_STATE, *_BALANCE)
"""Several values in one cell are separated by ``; ``. Balances are in the currency's smallest
unit."""


def export_customers(
    customers: QuerySet[Customer] | None = None, *, page_size: int = PAGE_SIZE
) -> Iterator[bytes]:
    """The mirror as UTF-8 CSV in chunks, oldest customers first, with their state and balances.

    Makes no request. Every page is read by itself, so that neither a result set that the
    database's driver keeps in memory nor a cursor that is open for minutes grows with the
    mirror; a customer that arrives meanwhile may or may not be in it.
    """
    queryset = Customer.objects.all() if customers is None else customers
    rows = (row for page in _pages(queryset, page_size) for row in _rows_of(page))
    return _write(chain([COLUMNS], rows))


def export_from_polar(client: PolarClient) -> Iterator[bytes]:
    """Polar's own export, ``GET /v1/customers/export``, as it arrives, with formulas defused.

    Raises:
        APIError: on the first chunk, when Polar refuses; later, when the connection breaks.
    """
    return defuse_csv(client.customers.export())


def defuse_csv(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same CSV with its formulas defused; chunks may end within a character."""
    return _write(csv.reader(_lines(codecs.iterdecode(chunks, "utf-8"))))


def defuse(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell


def _write(rows: Iterable[Iterable[Any]]) -> Iterator[bytes]:
    buffer = io.StringIO()
    write = csv.writer(buffer).writerow
    for row in rows:
        write([defuse(cell) if isinstance(cell, str) else cell for cell in row])
        if buffer.tell() >= _CHUNK_CHARACTERS:
            yield buffer.getvalue().encode()
            buffer.seek(0)
            buffer.truncate()
    if buffer.tell():
        yield buffer.getvalue().encode()


def _lines(texts: Iterable[str]) -> Iterator[str]:
    """Whole lines with their ends, as ``csv.reader`` wants them to find a quoted line break."""
    rest = ""
    for text in texts:
        *lines, rest = (rest + text).split("\n")
        for line in lines:
            yield f"{line}\n"
    if rest:
        yield rest


def _pages(queryset: QuerySet[Customer], page_size: int) -> Iterator[list[tuple[Any, ...]]]:
    """By the place in the order instead of an offset, which would be counted again each time."""
    rows = queryset.select_related(None).prefetch_related(None).order_by("created_at", "pk")
    created_at = _PROFILE.index("created_at")
    page = list(rows.values_list(*_PROFILE)[:page_size])
    while page:
        yield page
        if len(page) < page_size:
            return
        last_pk, last = page[-1][0], page[-1][created_at]
        # The first condition alone says nothing new, but lets databases use the index.
        after = Q(created_at__gte=last) & ~Q(created_at=last, pk__lte=last_pk)
        page = list(rows.filter(after).values_list(*_PROFILE)[:page_size])


def _rows_of(page: Sequence[tuple[Any, ...]]) -> Iterator[list[Any]]:
    pks = [values[0] for values in page]
    subscriptions = _texts(
        ActiveSubscription.objects.filter(state_id__in=pks).values_list(
            "state_id", "product_id", "status"
        )
    )
    benefits = _texts(
        GrantedBenefit.objects.filter(state_id__in=pks).values_list(
            "state_id", "benefit_id", "benefit_type"
        )
    )
    meters = _texts(
        ActiveMeter.objects.filter(state_id__in=pks).values_list("state_id", "meter_id", "balance")
    )
    seen = dict(CustomerState.objects.filter(pk__in=pks).values_list("pk", "as_of"))
    balances: dict[UUID, list[str]] = defaultdict(list)
    fetched: dict[UUID, datetime] = {}
    for pk, amount, currency, as_of in (
        CustomerBalance.objects.filter(customer_id__in=pks)
        .order_by("currency")
        .values_list("customer_id", "amount", "currency", "as_of")
    ):
        balances[pk].append(f"{amount} {currency}")
        fetched[pk] = min(as_of, fetched.get(pk, as_of))
    for values in page:
        pk = values[0]
        yield [
            *map(_cell, values),
            *("; ".join(texts.get(pk, ())) for texts in (subscriptions, benefits, meters)),
            _cell(seen.get(pk)),
            # Ours, and a debt starts with a minus: nothing that a customer could have chosen.
            _Plain("; ".join(balances.get(pk, ()))),
            _cell(fetched.get(pk)),
        ]


class _Plain:
    """A cell to be written as it is."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


def _texts(rows: Iterable[tuple[Any, ...]]) -> dict[UUID, list[str]]:
    """``what (how)``, sorted: Polar gives them in no order."""
    texts: dict[UUID, list[str]] = defaultdict(list)
    for owner, what, how in rows:
        texts[owner].append(f"{what} ({how})")
    for found in texts.values():
        found.sort()
    return texts


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False) if value else ""
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value
