"""FakePolar: a WSGI application that keeps Polar's rules, for tests and demos."""

from __future__ import annotations

import random
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django_polar.testing import builders, http
from django_polar.testing import validation as check
from django_polar.testing.access import RATE_WINDOW_SECONDS, Access
from django_polar.testing.faults import ConnectionLostError, Faults, garbled
from django_polar.testing.lists import Orders
from django_polar.testing.records import CUSTOMER_STATE_KEYS
from django_polar.testing.routes import ROUTES
from django_polar.testing.webhooks import Webhooks
from django_polar.testing.world import World
from django_polar.testing.wsgi import MAX_BODY, absolute_location, httpx_error, read_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager
    from wsgiref.types import StartResponse, WSGIEnvironment

    import httpx

    from django_polar.client import PolarClient
    from django_polar.signatures import Scheme
    from django_polar.testing.builders import JSON
    from django_polar.testing.http import Header, Request, Response
    from django_polar.testing.routes import Route
    from django_polar.testing.webhooks import Delivery, Event, Poster

VERSIONS = ("2026-04", "2026-10", "2027-01")
#: Nothing listens there; requests reach the fake in-process.
BASE_URL = "https://polar.invalid"
_KEPT_REQUESTS = 100_000
#: Fields that customers did not have on the servers that still had a balance.
_NEWER_FIELDS = frozenset(
    (
        "type",
        "billing_name",
        "locale",
        "default_payment_method_id",
        "first_user_event_at",
    )
)


@dataclass(slots=True, frozen=True)
class RequestRecord:
    """One request that was made; ``status`` is 0 where the connection was lost."""

    method: str
    path: str
    query: str
    status: int
    body: bytes | None = None


class FakePolar(World, Faults, Access):
    """One organization's Polar.

    The same ``seed`` gives the same ids and the same disorder. What a test may set at any time:
    ``stable`` (lists get a tie-breaker), ``latency`` (seconds per request), ``rate_limit``
    (requests per minute), ``state_cache`` (states stay old until their webhook is delivered),
    ``keep_bodies`` (of requests), ``unknown_domains`` (of email addresses).

    ``old_balance`` brings back ``GET /v1/customers/{id}/balance``; ``old_server()`` makes one
    that is altogether of November 2025.
    """

    def __init__(  # noqa: PLR0913  # all by name, all optional
        self,
        *,
        organization_id: str = builders.ORGANIZATION_ID,
        seed: int = 1,
        old_balance: bool = False,
        old_shapes: bool = False,
        ignores_version: bool = False,
        ignores_anonymize: bool = False,
        rate_limit: int | None = None,
        latency: float = 0.0,
        sandbox: bool = True,
    ) -> None:
        World.__init__(self, organization_id=organization_id, seed=seed)
        Faults.__init__(self)
        Access.__init__(self, rate_limit=rate_limit)
        self.webhooks = Webhooks(self)
        # Apart from the ids' randomness: reading must not change what is made next.
        self.disorder = random.Random(seed)  # noqa: S311  # repeatable, not secret
        if old_shapes:
            self.session_prefix = "polar_cst_"
        self.orders = Orders(seed)
        self.base_url = BASE_URL
        self.portal_url = "https://polar.invalid/acme/portal"
        self.old_balance = old_balance
        self.old_shapes = old_shapes
        self.ignores_version = ignores_version
        self.ignores_anonymize = ignores_anonymize
        self.latency = latency
        self.sandbox = sandbox
        self.stable = False
        self.state_cache = False
        self.keep_bodies = False
        self.allow_local_webhooks = False
        self.unknown_domains: set[str] = set()
        self.request_count = 0
        self._requests: deque[RequestRecord] = deque(maxlen=_KEPT_REQUESTS)
        self._cached_states: dict[str, JSON] = {}
        self._on_request: list[Callable[[Request], object]] = []
        self._between_pages: list[Callable[[str, int], object]] = []

    @classmethod
    def old_server(cls, **options: Any) -> FakePolar:
        """As of November 2025: a balance, fewer fields, no versions, no anonymization."""
        return cls(
            old_balance=True,
            old_shapes=True,
            ignores_version=True,
            ignores_anonymize=True,
            **options,
        )

    def is_live(self, customer_id: str) -> bool:
        return customer_id in self.customers

    # Looking on, and stepping in

    @property
    def requests(self) -> list[RequestRecord]:
        """The requests made so far (the last 100,000 of them)."""
        return list(self._requests)

    def reset_requests(self) -> None:
        self._requests.clear()
        self.request_count = 0

    def on_request(self, callback: Callable[[Request], object]) -> None:
        """Call before every request is handled. Nobody else is served meanwhile, so a callback
        changes this object and makes no request over HTTP.
        """
        self._on_request.append(callback)

    def between_pages(self, callback: Callable[[str, int], object]) -> None:
        """Call with the list's name and the page after every page that is not the last.

        For what other people do during a walk; as in ``on_request``, without HTTP.
        """
        self._between_pages.append(callback)

    def page_was_served(self, list_name: str, page: int, max_page: int) -> None:
        if page < max_page:
            for callback in self._between_pages:
                callback(list_name, page)

    # Webhooks

    @property
    def deliveries(self) -> list[Event]:
        """The events that were queued and not delivered yet."""
        return self.webhooks.pending

    def deliver(
        self, target: str | Poster, *, secret: str, scheme: Scheme = "legacy", **options: Any
    ) -> list[Delivery]:
        """Send the queued events; the options are those of ``Webhooks.deliver``."""
        # The job that sends state_changed is the one that refreshes the state.
        self._cached_states.clear()
        return self.webhooks.deliver(target, secret=secret, scheme=scheme, **options)

    def add_webhook_endpoint(
        self,
        url: str,
        *,
        events: Iterable[str] = (),
        kind: str = "raw",
        name: str | None = None,
        secret: str | None = None,
        enabled: bool = True,
    ) -> JSON:
        with self.lock:
            endpoint: JSON = {
                "created_at": self.clock.stamp(),
                "modified_at": None,
                "id": self.new_id(),
                "url": url,
                "name": name,
                "format": kind,
                "secret": secret or f"whsec_{self.random.getrandbits(128):032x}",
                "organization_id": self.organization_id,
                "events": list(events),
                "enabled": enabled,
            }
            self.webhooks.endpoints[endpoint["id"]] = endpoint
            return endpoint

    # What is shown

    def customer_payload(self, row: JSON) -> JSON:
        if not self.old_shapes:
            return row
        shown = {key: value for key, value in row.items() if key not in _NEWER_FIELDS}
        avatar_url = shown.pop("avatar_url")
        return shown | {"members": [], "avatar_url": avatar_url}

    def served_state(self, row: JSON) -> JSON:
        """The state as answered: its lists in any order and, with ``state_cache``, maybe old."""
        state = self._cached_states.get(row["id"]) if self.state_cache else None
        if state is None:
            state = self.state(row)
            if self.state_cache:
                self._cached_states[row["id"]] = state
        state = dict(state)
        if not self.stable:
            for key in CUSTOMER_STATE_KEYS:
                state[key] = self.disorder.sample(state[key], len(state[key]))
        if self.old_shapes:
            state = {key: value for key, value in state.items() if key not in _NEWER_FIELDS}
            state["avatar_url"] = state.pop("avatar_url")
        return state

    # Ways in

    def client(self, token: str | None = None, **options: Any) -> PolarClient:
        """A client that talks to this Polar in-process and waits for nothing between attempts."""
        from django_polar.client import PolarClient  # noqa: PLC0415  # keeps this module light

        connected: dict[str, Any] = {
            "transport": self.transport(),
            "sleep": lambda _: None,
        } | options
        return PolarClient(token or self.token, base_url=self.base_url, **connected)

    def transport(self) -> httpx.BaseTransport:
        import httpx  # noqa: PLC0415  # keeps this module light

        return httpx.WSGITransport(app=self)

    def serve(self, *, port: int = 0) -> AbstractContextManager[str]:
        """Serve over HTTP on 127.0.0.1; gives the base URL."""
        from django_polar.testing.server import serve  # noqa: PLC0415  # few need it

        return serve(self, port=port)

    def seed_world(self, customers: int = 2500, **options: Any) -> None:
        """Fill this Polar with the kinds of customers that real ones have; see ``seeding``."""
        from django_polar.testing.seeding import seed_world  # noqa: PLC0415  # few need it

        seed_world(self, customers, **options)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = read_request(environ)
        try:
            response = self.respond(request)
        except ConnectionLostError as lost:
            self._record(request, 0)
            if environ.get("fake_polar.can_hang_up"):
                raise
            raise httpx_error(timeout=lost.timeout) from lost
        self._record(request, response.status)
        start_response(response.status_line, self._headers(request, response))
        if request.method == "HEAD":
            return []
        return [response.body] if isinstance(response.body, bytes) else response.body

    def respond(self, request: Request) -> Response:
        if self.latency:
            time.sleep(self.latency)
        with self.lock:
            for callback in self._on_request:
                callback(request)
            fault = self.take_fault(request)
            if fault is None:
                return self._handle(request)
            if fault.answer is not None:
                return fault.answer()
            if fault.kind == "garble":
                return garbled(self._handle(request))
            if fault.after_apply:
                self._handle(request)
        raise ConnectionLostError(timeout=fault.kind == "timeout")

    # Handling

    def _handle(self, request: Request) -> Response:
        try:
            return self._dispatch(request)
        except http.Refused as refused:
            return refused.response
        except (OverflowError, RecursionError):
            return http.internal_server_error()

    def _dispatch(self, request: Request) -> Response:
        if not self.within_rate_limit():
            return http.too_many_requests(RATE_WINDOW_SECONDS)
        if len(request.body) > MAX_BODY:
            return http.too_large()
        version = request.headers.get("polar-version")
        if version and not self.ignores_version and version not in VERSIONS:
            return http.version_not_found()
        route, parameters = self._find_route(request)
        if route.reads_body:
            self._read_body(request)
        self.authenticate(request, route.scopes)
        response = route.handler(self, request, **parameters)
        if request.headers.get("x-fake-polar-old-prefix"):
            notice = "The API root has moved from /api/v1 to /v1. Please update your integration."
            response.headers.append(("x-polar-deprecation-notice", notice))
        return response

    def _find_route(self, request: Request) -> tuple[Route, dict[str, str]]:
        other_method = None
        for route in self._routes():
            if match := route.pattern.fullmatch(request.path):
                if route.method == request.method:
                    return route, match.groupdict()
                other_method = other_method or route
        if other_method is not None:
            raise http.Refused(http.method_not_allowed(other_method.method))
        path = request.path
        toggled = path.removesuffix("/") if path.endswith("/") else f"{path}/"
        if any(route.pattern.fullmatch(toggled) for route in self._routes()):
            raise http.Refused(http.redirect(absolute_location(request, toggled)))
        raise http.Refused(http.route_not_found())

    def _routes(self) -> Iterable[Route]:
        return (route for route in ROUTES if self.old_balance or not route.old_balance)

    def _read_body(self, request: Request) -> None:
        """Done before authentication: broken JSON is a 422 even without a token."""
        if not request.body:
            return
        if "json" in request.headers.get("content-type", "application/json"):
            request.data, errors = check.check_json(request.body)
            http.refuse_schema(errors)
        else:
            request.data = request.body.decode("utf-8", "replace")

    def _headers(self, request: Request, response: Response) -> list[Header]:
        headers = list(response.headers)
        if response.sandbox and self.sandbox:
            headers.append(("x-polar-sandbox", "1"))
        if not self.old_shapes and response.cache_control:
            headers.append(("cache-control", "private, no-store"))
        if response.version and not self.ignores_version:
            version = request.headers.get("polar-version") or VERSIONS[0]
            headers.append(("polar-version", version))
        if isinstance(response.body, bytes) and response.status not in {204, 429}:
            headers.append(("content-length", str(len(response.body))))
        return headers

    def _record(self, request: Request, status: int) -> None:
        with self.lock:
            body = request.body if self.keep_bodies else None
            self._requests.append(
                RequestRecord(request.method, request.path, request.query_string, status, body)
            )
            self.request_count += 1
