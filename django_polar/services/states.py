"""Whole states: asked for, told by events, and asked for again where events leave a doubt.

A doubt is a time on the state (``confirm_at``), so that none is lost, a burst of events costs one
request, and how many are made is bounded by the budget of requests alone.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db.models import Value
from django.db.models.functions import Coalesce, Least
from django.utils import timezone

from django_polar.client import polar_client
from django_polar.exceptions import (
    APIError,
    ConfigurationError,
    InvalidRequestError,
    NotFoundError,
    PayloadError,
    PolarError,
    UnavailableError,
)
from django_polar.models import Customer, CustomerState

from . import mirror
from .upsert import database

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from uuid import UUID

    from django_polar.client import PolarClient
    from django_polar.payloads import CustomerPayload, CustomerStatePayload

logger = logging.getLogger(__name__)

CONFIRMATION_DELAY: Final = timedelta(minutes=1)
"""Until then the events of one change have all come, and Polar's own cache is new again."""

_LEASE: Final = timedelta(minutes=5)
_ANSWERS_ABOUT_ONE: Final = (NotFoundError, InvalidRequestError, PayloadError)


def fetch_state(client: PolarClient, customer_id: UUID) -> bool:
    """Make the mirror match Polar's state of one customer. Whether Polar has it."""
    observed_at = client.server_time()
    try:
        payload = client.customers.get_state(customer_id)
    except NotFoundError:
        mirror.mark_deleted([customer_id], deleted_at=observed_at)
        return False
    take_answer(payload, observed_at=observed_at)
    return True


def take_answer(payload: CustomerStatePayload, *, observed_at: datetime) -> None:
    """What Polar answered when asked at ``observed_at``, which may come out of its cache."""
    changes = mirror.apply_states([payload], observed_at=observed_at)
    request_confirmation(changes.doubtful)


def take_state_event(payload: CustomerStatePayload, *, observed_at: datetime) -> None:
    """What an event told, which may be older than the event itself.

    Doubtful when it is older than what we have, and when it takes away what we had heard of
    shortly before.
    """
    current = _ages(payload.id)
    if current is not None and _age(payload) < current[0]:
        # Older than this profile, so built before it changed.
        observed_at = min(observed_at, current[0])
        request_confirmation([payload.id])
    changes = mirror.apply_states([payload], observed_at=observed_at, floor=mirror.known_since())
    if changes.doubtful or any(items.stale or items.barred for items in changes.items.values()):
        request_confirmation([payload.id])


def note_profile(payload: CustomerPayload) -> None:
    """Before a profile is taken in: does it show that a state was older than it seemed?"""
    current = _ages(payload.id)
    if current is None:
        return
    modified_at, as_of = current
    if as_of is not None and modified_at < _age(payload) < as_of:
        request_confirmation([payload.id])


def note_barred(
    customer_id: UUID, *, observed_at: datetime, floor: datetime | None, tolerance: timedelta
) -> None:
    """A part was not taken in because later news lacked it: doubtful if hardly later."""
    as_of = (_ages(customer_id) or (None, None))[1]
    known = max((moment for moment in (as_of, floor) if moment), default=None)
    if known is not None and observed_at < known < observed_at + tolerance:
        request_confirmation([customer_id])


def request_confirmation(ids: Collection[UUID], *, now: datetime | None = None) -> None:
    """Have Polar asked for these states soon; asked again meanwhile, it is asked once."""
    if ids:
        due = Value((now or timezone.now()) + CONFIRMATION_DELAY)
        states = CustomerState.objects.using(database()).filter(pk__in=ids)
        states.update(confirm_at=Least(Coalesce("confirm_at", due), due))


def confirm_due_states(
    *, client: PolarClient | None = None, now: datetime | None = None, limit: int = 100
) -> int:
    """Ask Polar about states in doubt. Returns about how many it answered.

    Stops early where Polar is away, asks to slow down or does not take the token; the rest stays
    due.
    """
    moment = now or timezone.now()
    due = CustomerState.objects.using(database()).filter(confirm_at__lte=moment)
    waiting = list(due.order_by("confirm_at").values_list("pk", "confirm_at")[:limit])
    if not waiting:
        return 0
    if client is not None:
        return _confirm(client, waiting, moment)
    try:
        with polar_client() as own:
            return _confirm(own, waiting, moment)
    except ConfigurationError as error:
        logger.warning("States in doubt are not asked for: %s", error)
        return 0


def _confirm(
    client: PolarClient, waiting: Collection[tuple[UUID, datetime | None]], now: datetime
) -> int:
    answered = 0
    states = CustomerState.objects.using(database())
    for pk, due_at in waiting:
        lease = now + _LEASE
        if not states.filter(pk=pk, confirm_at=due_at).update(confirm_at=lease):
            continue  # another worker's
        ours = states.filter(pk=pk, confirm_at=lease)
        try:
            fetch_state(client, pk)
        except PolarError as error:
            logger.warning("The state of customer %s was not confirmed: %s", pk, error)
            ours.update(confirm_at=now + _wait_after(error))
            if isinstance(error, APIError) and not isinstance(error, _ANSWERS_ABOUT_ONE):
                break
        else:
            # Unless there is a new doubt since.
            ours.update(confirm_at=None)
            answered += 1
    return answered


def _wait_after(error: PolarError) -> timedelta:
    asked = error.retry_after if isinstance(error, UnavailableError) else None
    return max(asked or CONFIRMATION_DELAY, CONFIRMATION_DELAY)


def _ages(customer_id: UUID) -> tuple[datetime, datetime | None] | None:
    """When the profile that we have was modified, and since when its whole state is known."""
    customers = Customer.objects.using(database()).filter(pk=customer_id)
    found = customers.values_list("modified_at", "created_at", "state__as_of").first()
    return found and (found[0] or found[1], found[2])


def _age(payload: CustomerPayload) -> datetime:
    return payload.modified_at or payload.created_at
