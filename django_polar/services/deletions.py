"""Telling Polar of the deletions in the outbox, until it no longer has the customer.

A customer is always deleted by Polar's id. Deleting frees the external id, so a deletion by
external id that has to be repeated could hit a new customer that took the id over.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from hashlib import sha256
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from django_polar.exceptions import NotFoundError, UnavailableError, UnexpectedResponseError
from django_polar.models import CustomerDeletion

from .mirror import record_deleted
from .worker import work_through

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from django_polar.client import PolarClient
    from django_polar.payloads import CustomerPayload

CLOCK_TOLERANCE: Final = timedelta(seconds=30)
"""How far Polar's clock may be ahead of ours without a deletion being taken for somebody else's."""

_SEARCH_ORDER: Final = ("created_at", "email")


def send_due_deletions(
    client: PolarClient,
    *,
    limit: int | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> int:
    """Send what is due, each row by one worker at a time. Returns how many are done now."""
    return work_through(
        CustomerDeletion, partial(_send, client), limit=limit, should_stop=should_stop
    )


def _send(client: PolarClient, deletion: CustomerDeletion) -> dict[str, Any]:
    if deletion.was_abandoned:
        deletion.maybe_sent = True
    outcome = _make_gone(client, deletion)
    return {"outcome": outcome, "external_id": _pseudonym(deletion.external_id)}


def _make_gone(client: PolarClient, deletion: CustomerDeletion) -> CustomerDeletion.Outcome:
    """Make Polar not have this customer. One request where its id is known."""
    if deletion.customer_id is not None:
        try:
            _delete(client, deletion, deletion.customer_id)
        except NotFoundError:
            if deletion.maybe_sent:
                return CustomerDeletion.Outcome.NOT_FOUND
        else:
            return CustomerDeletion.Outcome.DELETED
    # No id, or an old one: somebody deleted and made the customer again, unseen by the mirror.
    customer = _find(client, deletion)
    if customer is None:
        return CustomerDeletion.Outcome.NOT_FOUND
    # Before it is used: the next worker has to find it if this one does not come back, and a
    # sync must not mirror the person meanwhile.
    deletion.customer_id = customer.id
    deletion.save(update_fields=["customer_id"])
    record_deleted([customer], observed_at=deletion.created_at)
    try:
        _delete(client, deletion, customer.id)
    except NotFoundError:
        return CustomerDeletion.Outcome.NOT_FOUND
    return CustomerDeletion.Outcome.DELETED


def _delete(client: PolarClient, deletion: CustomerDeletion, customer_id: UUID) -> None:
    try:
        client.customers.delete(customer_id, anonymize=deletion.anonymize)
    except (UnavailableError, UnexpectedResponseError) as error:
        if error.maybe_applied or deletion.maybe_sent:
            deletion.maybe_sent = True
            deletion.save(update_fields=["maybe_sent"])
        raise


def _find(client: PolarClient, deletion: CustomerDeletion) -> CustomerPayload | None:
    """The customer that had the external id when the deletion was asked for."""
    if not deletion.external_id:
        return None
    try:
        customer = _get_external(client, deletion.external_id)
    except NotFoundError:
        return None
    # Made later, it is somebody else's: external ids are given out again.
    return customer if customer.created_at <= deletion.created_at + CLOCK_TOLERANCE else None


def _get_external(client: PolarClient, external_id: str) -> CustomerPayload:
    """Also by the two external ids that no path can carry as they are."""
    if external_id not in (".", ".."):
        return client.customers.get_external(external_id)
    seen: set[UUID] = set()
    for number in count(1):
        page = client.customers.list(page=number, query=external_id, sorting=_SEARCH_ORDER)
        for customer in page.items:
            if customer.external_id == external_id:
                return customer
            seen.add(customer.id)
        if number >= page.max_page:
            if len(seen) < page.total_count:
                break
            raise NotFoundError("customers.list: not found")
    raise UnavailableError("customers.list: the list changed while it was read")


def _pseudonym(external_id: str | None) -> str | None:
    """An external id that is an email address is personal data, and no longer needed.

    Its hash still proves the deletion to whoever knows the address.
    """
    if external_id is None or "@" not in external_id:
        return external_id
    return f"sha256:{sha256(external_id.encode()).hexdigest()}"
