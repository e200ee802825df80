"""Customers fetched anew because a person asked, by Polar's id and any number of them.

By id, because not every customer has an external id.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from django_polar.exceptions import (
    AuthenticationError,
    ConfigurationError,
    EndpointNotFoundError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    PolarError,
    UnavailableError,
)
from django_polar.models import Customer

from . import mirror
from .balances import get_balance
from .customers import refresh_customer, use_client

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from django_polar.client import PolarClient

# With these the next customer would fare no better.
_HOPELESS: Final = (
    AuthenticationError,
    ConfigurationError,
    EndpointNotFoundError,
    PermissionDeniedError,
    UnavailableError,
)


class Fetch(StrEnum):
    SYNC = "sync"
    """Everything: profile, state and balance."""
    STATE = "state"
    BALANCE = "balance"


@dataclass(slots=True)
class Fetched:
    """What became of each customer."""

    done: int = 0
    gone: int = 0
    """Polar no longer has them; they count as deleted here now."""
    errors: Counter[str] = field(default_factory=Counter)
    """Messages, and how many customers each is about."""
    left: int = 0
    """Not tried, because an error would have met them all."""


def fetch_customers(
    ids: Iterable[UUID | str], what: Fetch, *, client: PolarClient | None = None
) -> Fetched:
    """Ask Polar about each; errors are collected. Customers that are deleted are left alone."""
    fetched = Fetched()
    customers = list(Customer.objects.live().filter(pk__in=list(ids)).order_by("pk"))
    try:
        with use_client(client) as polar:
            for number, customer in enumerate(customers):
                fetched.left = len(customers) - number - 1
                try:
                    if _fetch(polar, customer, what):
                        fetched.done += 1
                    else:
                        fetched.gone += 1
                except NotFoundError:
                    mirror.mark_deleted([customer.pk], deleted_at=mirror.utc_now())
                    fetched.gone += 1
                except _HOPELESS:
                    raise
                except PolarError as error:
                    fetched.errors[str(error)] += 1
    except PolarError as error:
        fetched.errors[str(error)] += 1
    return fetched


def _fetch(client: PolarClient, customer: Customer, what: Fetch) -> bool:
    """Whether Polar still has the customer."""
    is_there: Customer | None = customer
    if what in (Fetch.SYNC, Fetch.STATE):
        is_there = refresh_customer(customer, client=client)
    if what in (Fetch.SYNC, Fetch.BALANCE) and is_there:
        try:
            get_balance(is_there, client=client)
        except InvalidRequestError as error:
            # Polar shows a team's balance to its members alone; everything else is up to date.
            if what is Fetch.BALANCE or not error.has("member_id"):
                raise
    return is_there is not None
