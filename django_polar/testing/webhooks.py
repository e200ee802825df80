"""The fake Polar's webhooks: events queued by changes, signed deliveries sent on request."""

from __future__ import annotations

import http.client
import json
import random
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from django_polar.signatures import sign
from django_polar.testing.builders import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager
    from datetime import datetime

    from django_polar.signatures import Scheme
    from django_polar.testing.builders import JSON
    from django_polar.testing.world import World

ATTEMPTS = 10
FAILED_EVENTS_BEFORE_DISABLING = 10
DELIVERY_TIMEOUT_SECONDS = 10
_KEPT_DELIVERIES = 10_000
_KEPT_EVENTS = 10_000
_SUCCESS = range(200, 300)


class Poster(Protocol):
    """What a delivery needs of Django's test client."""

    def post(
        self, path: str, data: Any = ..., content_type: str = ..., *, headers: Any = ...
    ) -> Any: ...


@dataclass(slots=True)
class Event:
    """One webhook event. Its ``id`` is the ``webhook-id`` of every delivery of it."""

    id: str
    type: str
    created_at: str
    body: bytes
    #: The customer, subscription or grant that it is about.
    subject_id: str
    modified_at: str | None = None
    succeeded: bool | None = None
    last_http_code: int | None = None

    @property
    def payload(self) -> JSON:
        payload: JSON = json.loads(self.body)
        return payload


@dataclass(slots=True, frozen=True)
class Delivery:
    """One attempt to deliver an event; ``status`` is ``None`` when nobody answered."""

    id: str
    created_at: str
    event: Event = field(repr=False)
    status: int | None
    response: str | None = field(repr=False)

    @property
    def succeeded(self) -> bool:
        return self.status in _SUCCESS


class Webhooks:
    """The queue of one organization, its endpoints and the log of what was sent."""

    def __init__(self, world: World) -> None:
        self._world = world
        #: Events that nobody was sent yet, oldest first.
        self.pending: list[Event] = []
        #: Events by id, so that they can be delivered again.
        self.events: dict[str, Event] = {}
        self.endpoints: dict[str, JSON] = {}
        self.log: deque[Delivery] = deque(maxlen=_KEPT_DELIVERIES)
        #: False when a change queues nothing: a benchmark wants no history, and after ten
        #: failed events in a row the real server stops too.
        self.recording = True
        self.failed_in_a_row = 0
        self._paused = 0

    def pause(self) -> AbstractContextManager[None]:
        """No events for what changes in this block."""
        return _Paused(self)

    @property
    def listening(self) -> bool:
        return self.recording and not self._paused

    def enable(self) -> None:
        """What the merchant does in Polar's dashboard after the endpoint was disabled."""
        self.recording = True
        self.failed_in_a_row = 0
        for endpoint in self.endpoints.values():
            endpoint["enabled"] = True

    def queue(self, kind: str, data: JSON) -> None:
        if not self.listening or not self._subscribed(kind):
            return
        moment = self._world.clock.stamp()
        body = _event_body(kind, moment, data)
        event = Event(self._world.new_id(), kind, moment, body, subject_id=data["id"])
        self.events[event.id] = event
        self.pending.append(event)

    def queue_state(self, customer_id: str) -> None:
        if self.listening:
            self.queue("customer.state_changed", self._world.state(customer_id))

    def redeliver(self, event_id: str) -> None:
        self.pending.append(self.events[event_id])

    def deliver(  # noqa: PLR0913  # all by name, all optional
        self,
        target: str | Poster,
        *,
        secret: str,
        scheme: Scheme = "legacy",
        path: str = "/polar/webhook/",
        shuffle: bool | int | None = None,
        repeat: int = 0,
        lose: float = 0.0,
        late: bool = False,
        attempts: int = ATTEMPTS,
    ) -> list[Delivery]:
        """Send what is pending to a URL or, under ``path``, to a Django test client.

        ``shuffle`` is true, or a seed for an order of its own; ``repeat`` sends every event so
        many times more; ``lose`` is the share that never arrives. ``late`` builds the payloads
        only now, as a busy server does: what happened in between collapses, and
        ``customer.created`` may show a deleted customer.

        Anything but a 2xx is tried again, at once and up to ``attempts`` times, with the same
        ``webhook-id`` and a new timestamp and signature. After ten failed events in a row the
        endpoint is disabled: the rest is dropped and changes queue nothing until ``enable()``.
        """
        # True is an int: it must not become the seed 1.
        seed = self._world.random.random() if shuffle is True or shuffle is None else shuffle
        chance = random.Random(seed)  # noqa: S311  # repeatable, not secret
        events, self.pending = self.pending, []
        if late:
            for event in events:
                self._render_again(event)
        schedule = [event for event in events if chance.random() >= lose] * (1 + repeat)
        if shuffle is not None and shuffle is not False:
            chance.shuffle(schedule)
        sent: list[Delivery] = []
        for event in schedule:
            if not self.recording:
                break
            sent.extend(self._deliver_event(event, target, path, secret, scheme, attempts))
        for event_id in list(self.events)[:-_KEPT_EVENTS]:
            del self.events[event_id]
        return sent

    def signed_headers(
        self, event: Event, *, secret: str, scheme: Scheme = "legacy", at: datetime | None = None
    ) -> dict[str, str]:
        """The headers of a delivery of ``event``, sent now or ``at`` another time."""
        moment = at or self._world.clock.now()
        signature = sign(
            event.body, message_id=event.id, timestamp=moment, secret=secret, scheme=scheme
        )
        return {
            "user-agent": "polar.sh webhooks",
            "content-type": "application/json",
            "webhook-id": event.id,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": signature,
        }

    def _deliver_event(
        self,
        event: Event,
        target: str | Poster,
        path: str,
        secret: str,
        scheme: Scheme,
        attempts: int,
    ) -> Iterator[Delivery]:
        for _ in range(attempts):
            headers = self.signed_headers(event, secret=secret, scheme=scheme)
            if isinstance(target, str):
                status, text = _post(target, event.body, headers)
            else:
                status, text = _post_to_client(target, path, event.body, headers)
            delivery = self._record(event, status, text)
            yield delivery
            if delivery.succeeded:
                self.failed_in_a_row = 0
                return
        self.failed_in_a_row += 1
        if self.failed_in_a_row >= FAILED_EVENTS_BEFORE_DISABLING:
            self.recording = False
            for endpoint in self.endpoints.values():
                endpoint["enabled"] = False

    def _render_again(self, event: Event) -> None:
        moment = self._world.clock.stamp()
        data = self._world.event_data(event.type, event.subject_id)
        event.body = _event_body(event.type, moment, data)

    def _record(self, event: Event, status: int | None, text: str | None) -> Delivery:
        moment = timestamp(self._world.clock())
        delivery = Delivery(self._world.new_id(), moment, event, status, text)
        event.modified_at = moment
        event.succeeded = delivery.succeeded
        event.last_http_code = status
        self.log.append(delivery)
        return delivery

    def _subscribed(self, kind: str) -> bool:
        """Without any endpoint every event is kept, so that tests need not make one."""
        return not self.endpoints or any(
            endpoint["enabled"] and kind in endpoint["events"]
            for endpoint in self.endpoints.values()
        )


def _event_body(kind: str, moment: str, data: JSON) -> bytes:
    return json.dumps(
        {"type": kind, "timestamp": moment, "data": data},
        ensure_ascii=False,
        separators=(",", ":"),
    ).encode("utf-8", "surrogatepass")


class _Paused:
    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks

    def __enter__(self) -> None:
        self._webhooks._paused += 1  # noqa: SLF001  # its own other half

    def __exit__(self, *_: object) -> None:
        self._webhooks._paused -= 1  # noqa: SLF001


def _post(url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int | None, str | None]:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=DELIVERY_TIMEOUT_SECONDS)
    path = parts.path or "/"
    try:
        connection.request(
            "POST", f"{path}?{parts.query}" if parts.query else path, body, dict(headers)
        )
        response = connection.getresponse()
        return response.status, response.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return None, None
    finally:
        connection.close()


def _post_to_client(
    client: Poster, path: str, body: bytes, headers: Mapping[str, str]
) -> tuple[int, str]:
    sent = {name: value for name, value in headers.items() if name != "content-type"}
    response = client.post(path, data=body, content_type=headers["content-type"], headers=sent)
    return response.status_code, response.content.decode("utf-8", "replace")


def delivery_payload(delivery: Delivery) -> JSON:
    """One item of ``GET /v1/webhooks/deliveries``"""
    event = delivery.event
    return {
        "created_at": delivery.created_at,
        "modified_at": None,
        "id": delivery.id,
        "succeeded": delivery.succeeded,
        "http_code": delivery.status,
        "response": delivery.response,
        "webhook_event": {
            "created_at": event.created_at,
            "modified_at": event.modified_at,
            "id": event.id,
            "last_http_code": event.last_http_code,
            "succeeded": event.succeeded,
            "skipped": False,
            "payload": event.body.decode("utf-8", "surrogatepass"),
            "type": event.type,
            "is_archived": False,
        },
    }
