"""Events that Polar could not deliver, fetched from it and put into the inbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django_polar.exceptions import PayloadError
from django_polar.models import WebhookEvent

from .webhooks import store_event

if TYPE_CHECKING:
    from datetime import datetime

    from django_polar.client import PolarClient
    from django_polar.payloads import WebhookDeliveredEventPayload


@dataclass(slots=True)
class Replay:
    """What came of it, in numbers of events."""

    stored: int = 0
    """New here; to be applied like any other."""
    known: int = 0
    """Arrived some other time."""
    lost: int = 0
    """Polar does not keep the body any more, or it cannot be read: a sync makes up for these."""


def replay_events(client: PolarClient, *, since: datetime) -> Replay:
    """Put into the inbox what Polar failed to deliver since then. Needs ``webhooks:read``.

    Polar makes no events at all while an endpoint is disabled; for that time a sync is needed.
    """
    replay = Replay()
    seen: set[str] = set()
    page, pages = 0, 1
    while page < pages:
        page += 1
        # Latest first, so rows that come meanwhile show some a second time and hide none.
        deliveries = client.webhook_deliveries.list(page=page, succeeded=False)
        pages = deliveries.max_page
        for delivery in deliveries.items:
            event = delivery.webhook_event
            if delivery.created_at < since:
                return replay
            if str(event.id) not in seen:
                seen.add(str(event.id))
                _take(event, replay)
        replay.lost += sum(problem.id is not None for problem in deliveries.problems)
    return replay


def _take(event: WebhookDeliveredEventPayload, replay: Replay) -> None:
    stored = WebhookEvent.objects.filter(pk=str(event.id)).first()
    if stored is not None:
        replay.known += 1
        if stored.failed_at is not None:
            stored.retry()
    elif event.payload is None:
        replay.lost += 1
    else:
        try:
            store_event(str(event.id), event.payload.encode())
        except PayloadError:
            replay.lost += 1
        else:
            replay.stored += 1
