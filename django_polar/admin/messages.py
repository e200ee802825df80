"""What an action has done, in one sentence or two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.contrib import messages

if TYPE_CHECKING:
    from django.http import HttpRequest

    from django_polar.services.fetching import Fetch, Fetched

_DONE: Final = {
    "sync": "Synced {}.",
    "state": "Refreshed the state of {}.",
    "balance": "Fetched the balance of {}.",
}


def customers(count: int) -> str:
    return "1 customer" if count == 1 else f"{count:,} customers"


def tell_fetched(request: HttpRequest, what: Fetch, fetched: Fetched) -> None:
    if fetched.done:
        messages.success(request, _DONE[what].format(customers(fetched.done)))
    if fetched.gone:
        messages.warning(
            request,
            f"Polar no longer has {customers(fetched.gone)}: recorded as deleted, and what was"
            " known about them here is erased.",
        )
    for error, count in fetched.errors.items():
        messages.error(request, f"{customers(count).capitalize()}: {error}")
    if fetched.left:
        messages.warning(request, f"Left as they were: {customers(fetched.left)}.")
