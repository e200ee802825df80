"""FakePolar: a WSGI application that keeps Polar's rules, for tests and demos."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from django_polar.testing import builders, http
from django_polar.testing import validation as check
from django_polar.testing.faults import ConnectionLostError, Faults, garbled
from django_polar.testing.lists import Orders
from django_polar.testing.routes import ALL_SCOPES, PORTAL, ROUTES
from django_polar.testing.webhooks import Webhooks
from django_polar.testing.world import CUSTOMER_STATE_KEYS, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager
    from datetime import datetime
    from wsgiref.types import StartResponse, WSGIEnvironment

    import httpx

    from django_polar.client import PolarClient
    from django_polar.signatures import Scheme
    from django_polar.testing.builders import JSON
    from django_polar.testing.http import Header, Request, Response
    from django_polar.testing.routes import Route
    from django_polar.testing.webhooks import Delivery, Event, Poster

VERSIONS = ("2026-04", "2026-10", "2027-01")
TOKEN = "polar_oat_fake_full"  # noqa: S105  # opens nothing but this fake
#: Nothing listens there; requests reach the fake in-process.
BASE_URL = "https://polar.invalid"
MAX_BODY = 10 * 1024 * 1024
RATE_WINDOW_SECONDS = 60
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


@dataclass(slots=True, frozen=True)
class _Token:
    scopes: frozenset[str]
    expired: bool = False


@dataclass(slots=True, frozen=True)
class _Session:
    customer_id: str
    expires_at: datetime


class FakePolar(World, Faults):
    """One organization's Polar.

    The same ``seed`` gives the same ids and the same disorder. What a test may set at any time:
    ``stable`` (lists get a tie-breaker), ``latency`` (seconds per request), ``rate_limit``
    (requests per minute), ``state_cache`` (states stay old until their webhook is delivered),
    ``keep_bodies`` (of requests), ``unknown_domains`` (of email addresses).

    ``old_balance`` brings back ``GET /v1/customers/{id}/balance``; ``old_server()`` makes one
    that is altogether of November 2025.
    """

    def __init__(
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
        self.webhooks = Webhooks(self)
        self.orders = Orders(seed)
        self.token = TOKEN
        self.base_url = BASE_URL
        self.portal_url = "https://polar.invalid/acme/portal"
        self.old_balance = old_balance
        self.old_shapes = old_shapes
        self.ignores_version = ignores_version
        self.ignores_anonymize = ignores_anonymize
        self.rate_limit = rate_limit
        self.latency = latency
        self.sandbox = sandbox
        self.stable = False
        self.state_cache = False
        self.keep_bodies = False
        self.allow_local_webhooks = False
        self.unknown_domains: set[str] = set()
        self.request_count = 0
        self._requests: deque[RequestRecord] = deque(maxlen=_KEPT_REQUESTS)
        self._tokens = {self.token: _Token(ALL_SCOPES)}
        self._sessions: dict[str, _Session] = {}
        self._cached_states: dict[str, JSON] = {}
        self._window = (0, 0)
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

    # Tokens

    def add_token(self, *scopes: str, expired: bool = False) -> str:
        """Another organization token, with these scopes and no other."""
        token = f"polar_oat_fake_{len(self._tokens)}"
        self._tokens[token] = _Token(frozenset(scopes), expired)
        return token

    def revoke_token(self, token: str) -> None:
        del self._tokens[token]

    def add_session(self, customer: str | JSON, *, lifetime: timedelta = timedelta(hours=1)) -> str:
        """A customer session's token; a negative ``lifetime`` makes an expired one."""
        prefix = "polar_cst_" if self.old_shapes else "polar_mst_"
        token = f"{prefix}fake{self.random.getrandbits(200):050x}"[: len(prefix) + 43]
        self._sessions[token] = _Session(self._id(customer), self.clock.now() + lifetime)
        return token

    # Looking on, and stepping in

    @property
    def requests(self) -> list[RequestRecord]:
        """The requests made so far (the last 100,000 of them)."""
        return list(self._requests)

    def reset_requests(self) -> None:
        self._requests.clear()
        self.request_count = 0

    def on_request(self, callback: Callable[[Request], object]) -> None:
        """Call before every request is handled."""
        self._on_request.append(callback)

    def between_pages(self, callback: Callable[[str, int], object]) -> None:
        """Call with the list's name and the page after every page that is not the last."""
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
                state[key] = self.random.sample(state[key], len(state[key]))
        if self.old_shapes:
            state = {key: value for key, value in state.items() if key not in _NEWER_FIELDS}
            state["avatar_url"] = state.pop("avatar_url")
        return state

    # Ways in

    def client(self, token: str | None = None, **options: Any) -> PolarClient:
        """A client that talks to this Polar in-process."""
        from django_polar.client import PolarClient  # noqa: PLC0415  # keeps this module light

        return PolarClient(
            token or self.token, base_url=self.base_url, transport=self.transport(), **options
        )

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
        request = _read_request(environ)
        try:
            response = self.respond(request)
        except ConnectionLostError as lost:
            self._record(request, 0)
            if environ.get("fake_polar.can_hang_up"):
                raise
            raise _httpx_error(timeout=lost.timeout) from lost
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
        if self.rate_limit is not None and not self._within_rate_limit(self.rate_limit):
            return http.too_many_requests(RATE_WINDOW_SECONDS)
        if len(request.body) > MAX_BODY:
            return http.too_large()
        version = request.headers.get("polar-version")
        if version and not self.ignores_version and version not in VERSIONS:
            return http.version_not_found()
        route, parameters = self._find_route(request)
        if route.reads_body:
            self._read_body(request)
        self._authenticate(request, route)
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
            raise http.Refused(http.redirect(_location(request, toggled)))
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

    def _authenticate(self, request: Request, route: Route) -> None:
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        value = value.strip()
        if scheme.lower() != "bearer" or not value:
            raise http.Refused(http.unauthorized())
        token, session = self._tokens.get(value), self._sessions.get(value)
        if session is not None and (
            session.expires_at <= self.clock.now() or session.customer_id not in self.customers
        ):
            session = None
        elif token is not None and token.expired:
            token = None
        if token is None and session is None:
            raise http.Refused(http.invalid_token())
        for_portal = route.scopes == (PORTAL,)
        if for_portal != (session is not None):
            raise http.Refused(http.unauthorized())
        if session is not None:
            request.customer_id = session.customer_id
        elif token is not None and not token.scopes & set(route.scopes):
            raise http.Refused(http.insufficient_scope(route.scopes))

    def _within_rate_limit(self, limit: int) -> bool:
        window = int(time.monotonic() // RATE_WINDOW_SECONDS)
        current, count = self._window
        self._window = (window, count + 1 if current == window else 1)
        return self._window[1] <= limit

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


def _read_request(environ: WSGIEnvironment) -> Request:
    path = environ["PATH_INFO"]
    try:
        # WSGI gives a path's bytes as latin-1; some callers give the text itself.
        path = path.encode("latin-1").decode()
    except UnicodeError:
        path = environ["PATH_INFO"]
    headers = {
        key[5:].replace("_", "-").lower(): value
        for key, value in environ.items()
        if key.startswith("HTTP_")
    }
    if environ.get("CONTENT_TYPE"):
        headers["content-type"] = environ["CONTENT_TYPE"]
    length = environ.get("CONTENT_LENGTH")
    # Without a length only an in-process caller's whole body can be meant.
    body = environ["wsgi.input"].read(min(int(length), MAX_BODY + 1) if length else MAX_BODY + 1)
    if path.startswith("/api/v1/"):
        path = path.removeprefix("/api")
        headers["x-fake-polar-old-prefix"] = "1"
    scheme = headers.get("x-forwarded-proto", environ["wsgi.url_scheme"])
    host = headers.get("host") or f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
    return http.Request(
        method=environ["REQUEST_METHOD"],
        path=path,
        query_string=environ.get("QUERY_STRING", ""),
        headers=headers,
        body=body,
        base_url=f"{scheme}://{host}",
    )


def _location(request: Request, path: str) -> str:
    query = f"?{request.query_string}" if request.query_string else ""
    return f"{request.base_url}{quote(path, safe='/:@!$&*+,;=~-._()')}{query}"


def _httpx_error(*, timeout: bool) -> Exception:
    """What httpx raises where a real connection is lost; in-process there is none to lose."""
    import httpx  # noqa: PLC0415  # keeps this module light

    if timeout:
        return httpx.ReadTimeout("The fake Polar never answered")
    return httpx.RemoteProtocolError("Server disconnected without sending a response.")
