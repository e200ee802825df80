"""One request at a time to Polar: addresses, timeouts, retries and the request budget.

It talks to an httpx transport directly. ``httpx.Client`` would log every address at level INFO,
and with it the email addresses that customers are searched by; it also keeps cookies and takes a
third longer per request.
"""

from __future__ import annotations

import io
import logging
import random
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote, urlencode
from urllib.request import getproxies, proxy_bypass

import httpx
import msgspec

from django_polar import __version__
from django_polar.exceptions import (
    ConfigurationError,
    InvalidRequestError,
    RateLimitError,
    UnavailableError,
    UnexpectedResponseError,
)

from .responses import error_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping

    from .budget import Budget

logger = logging.getLogger(__name__)

MAX_CONNECTIONS: Final = 64
"""At 300 ms a request, 64 in flight are 200 requests a second: twice what Polar gives anyone."""

BACKOFF_START: Final = 0.2
BACKOFF_MAX: Final = 5.0

# Raised before the request could have reached Polar, so that even a write may be sent again.
_NEVER_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
)

Query = list[tuple[str, str]]


class Operation(NamedTuple):
    """One endpoint: how we call it, its method, and its path with ``{placeholders}``."""

    name: str
    method: str
    path: str

    @property
    def writes(self) -> bool:
        return self.method != "GET"


class Connection:
    """What all resources of a client share. Threads may use it at the same time."""

    def __init__(  # noqa: PLR0913 - what a client is made of, by name
        self,
        *,
        token: str,
        base_url: str,
        api_version: str,
        timeout: timedelta,
        transport: httpx.BaseTransport | None,
        budget: Budget | None,
        max_attempts: int,
        max_wait: timedelta,
        sleep: Callable[[float], None],
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.api_version = api_version
        url = httpx.URL(self.base_url)
        if url.scheme not in ("http", "https") or not url.host or url.userinfo:
            raise ConfigurationError(
                "the base URL must be like 'https://api.polar.sh', without the /v1"
            )
        self._is_ours = transport is None
        self._transport = transport or _make_transport(url)
        self._headers = _make_headers(token, api_version)
        seconds = timeout.total_seconds()
        self._extensions = {
            "timeout": {"connect": seconds, "read": seconds, "write": seconds, "pool": seconds}
        }
        self._budget = budget
        self._max_attempts = max_attempts
        self._max_wait = max_wait.total_seconds()
        self._sleep = sleep
        self._lock = threading.Lock()
        self._requests_made = 0
        self._clock_lead = timedelta(0)
        self._last_date = ""

    @property
    def requests_made(self) -> int:
        """Requests sent so far, repeated ones included."""
        return self._requests_made

    def server_time(self) -> datetime:
        """Now by Polar's clock, as far as its answers tell, and never later than that."""
        return datetime.now(UTC) - self._clock_lead

    def _note_date(self, date: str) -> None:
        """Learn how far our clock is ahead. Polar's ``Date`` is whole seconds, rounded down."""
        if date == self._last_date:
            return
        self._last_date = date
        try:
            latest = parsedate_to_datetime(date) + timedelta(seconds=1)
        except (ValueError, OverflowError):
            return  # no date, so nothing to learn
        if latest.tzinfo is not None:
            self._clock_lead = max(self._clock_lead, datetime.now(UTC) - latest)

    def close(self) -> None:
        """Close the connections; a transport that was handed in stays as it is."""
        if self._is_ours:
            self._transport.close()

    def fetch(
        self,
        operation: Operation,
        *,
        path: Mapping[str, object] | None = None,
        query: Query | None = None,
        body: Mapping[str, Any] | None = None,
        token: str | None = None,
    ) -> bytes:
        """The body of a 2xx answer; anything else is raised as what the caller can do about it.

        ``token`` is a customer's session token, in place of the organization's.
        """
        request = self._build(operation, path, query, body, token)
        response = self._send(operation, request)
        content = response.content
        if operation.method == "DELETE" and response.status_code != httpx.codes.NO_CONTENT:
            # A proxy's own page may come with a 200: nothing says that anything was deleted.
            raise UnexpectedResponseError(
                f"{operation.name}: {response.status_code} where 204 was due",
                status=response.status_code,
                maybe_applied=True,
            )
        return content

    def open(self, operation: Operation, *, query: Query | None = None) -> UnreadBody:
        """A 2xx answer whose body waits in the socket until somebody, in any thread, reads it."""
        request = self._build(operation, None, query, None, None)
        response = self._send(operation, request, read=False)
        return UnreadBody(operation, response, partial(self.fetch, operation, query=query))

    def stream(self, operation: Operation, *, query: Query | None = None) -> Iterator[bytes]:
        """The body of a 2xx answer in chunks, as they arrive. Not repeated once it has begun."""
        request = self._build(operation, None, query, None, None)
        response = self._send(operation, request, read=False)
        try:
            yield from response.iter_bytes()
        except httpx.HTTPError as error:
            raise _unavailable(operation, error) from error
        finally:
            response.close()

    def _build(
        self,
        operation: Operation,
        path: Mapping[str, object] | None,
        query: Query | None,
        body: Mapping[str, Any] | None,
        token: str | None,
    ) -> httpx.Request:
        url = self.base_url + operation.path
        try:
            if path:
                url = self.base_url + operation.path.format_map(
                    {name: path_segment(name, value) for name, value in path.items()}
                )
            if query:
                url = f"{url}?{urlencode(query)}"
            content = None if body is None else msgspec.json.encode(body)
        except (UnicodeEncodeError, TypeError, OverflowError, RecursionError) as error:
            # `from None`: the original message quotes the value, which may be personal.
            raise InvalidRequestError(
                f"{operation.name}: a value cannot be written as JSON or in an address"
                f" ({type(error).__name__})"
            ) from None
        headers = self._headers
        if token is not None or content is not None:
            headers = headers.copy()
            if token is not None:
                headers["authorization"] = _authorization(token, "the customer session token")
            if content is not None:
                headers["content-type"] = "application/json"
        return httpx.Request(
            operation.method, url, headers=headers, content=content, extensions=self._extensions
        )

    def _send(
        self, operation: Operation, request: httpx.Request, *, read: bool = True
    ) -> httpx.Response:
        """Send, and send again what is safe to repeat.

        Reads are repeated after every failure that may pass. Writes are repeated when they
        cannot have been applied: they never left, or Polar answered 429.
        """
        deadline = time.monotonic() + self._max_wait
        attempt = 1
        while True:
            if self._budget is not None:
                self._budget.acquire(timedelta(seconds=max(deadline - time.monotonic(), 0)))
            try:
                return self._send_once(operation, request, read=read)
            except UnavailableError as error:
                if isinstance(error, RateLimitError) and error.retry_after and self._budget:
                    self._budget.pause(error.retry_after)
                wait = _wait_before_next(error, attempt)
                if (
                    attempt >= self._max_attempts
                    or (operation.writes and error.maybe_applied)
                    or wait > deadline - time.monotonic()
                ):
                    raise
                logger.warning(
                    "%s: attempt %d failed with %s, next in %.1f s",
                    operation.name,
                    attempt,
                    error.status or "no answer",
                    wait,
                )
            self._sleep(wait)
            attempt += 1

    def _send_once(
        self, operation: Operation, request: httpx.Request, *, read: bool
    ) -> httpx.Response:
        with self._lock:
            self._requests_made += 1
        try:
            response = self._transport.handle_request(request)
            if read or not response.is_success:
                try:
                    response.read()
                finally:
                    response.close()
        except httpx.DecodingError as error:
            raise UnexpectedResponseError(
                f"{operation.name}: the answer's compression is broken",
                maybe_applied=operation.writes,
            ) from error
        except httpx.HTTPError as error:
            raise _unavailable(operation, error) from error
        if date := response.headers.get("date"):
            self._note_date(date)
        if response.is_success:
            return response
        raise error_of(
            operation.name, response, writes=operation.writes, api_version=self.api_version
        )


class UnreadBody:
    """The body of an answer that has begun to arrive. Somebody has to read or to close it."""

    def __init__(
        self, operation: Operation, response: httpx.Response, fetch: Callable[[], bytes]
    ) -> None:
        self._operation = operation
        self._response: httpx.Response | None = response
        self._fetch = fetch
        self._body: bytes | None = None

    def load(self) -> None:
        """Take it off the connection, for ``read`` to return later."""
        response, self._response = self._response, None
        if response is None:
            return
        try:
            # Not ``response.read()``, which has it twice while it joins the chunks.
            body = io.BytesIO()
            for chunk in response.iter_bytes():
                body.write(chunk)
        except httpx.HTTPError as error:
            logger.warning("%s: broken off with %s", self._operation.name, type(error).__name__)
        else:
            self._body = body.getvalue()
        finally:
            response.close()

    def read(self) -> bytes:
        """The whole body, once; asked for again if the connection broke."""
        self.load()
        body, self._body = self._body, None
        return self._fetch() if body is None else body

    def close(self) -> None:
        """Let go of it unread."""
        if self._response is not None:
            self._response.close()


def path_segment(name: str, value: object) -> str:
    """Percent-encoded, so that it is one segment whatever it contains.

    Raises:
        InvalidRequestError: no encoding can make it one. Empty and dot segments would change
            the path, and servers take ``%2F`` for the slash that it stands for.
    """
    text = str(value)
    if text in ("", ".", ".."):
        raise InvalidRequestError(f"{name} is {text!r}, which cannot stand in a path")
    if "/" in text:
        raise InvalidRequestError(f"{name} contains a slash, which cannot stand in a path")
    return quote(text, safe="")


def _make_headers(token: str, api_version: str) -> httpx.Headers:
    if not api_version.isascii() or not api_version.isprintable():
        raise ConfigurationError("the API version must be like '2026-04'")
    return httpx.Headers(
        {
            "authorization": _authorization(token, "the access token"),
            "polar-version": api_version,
            "accept": "application/json",
            "accept-encoding": "gzip",
            "user-agent": f"django-polar/{__version__}",
        }
    )


def _authorization(token: str, what: str) -> str:
    # Checked here because the HTTP library would quote the whole header in its error.
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigurationError(
            f"{what} is empty or has characters in it that no token has; paste it again"
        )
    return f"Bearer {token}"


def _make_transport(url: httpx.URL) -> httpx.BaseTransport:
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if proxy and proxy_bypass(url.host):
        proxy = None
    if proxy and "://" not in proxy:
        proxy = f"http://{proxy}"
    return httpx.HTTPTransport(
        # Where nothing is encrypted, no time is spent on reading certificates.
        verify=_make_ssl_context() if url.scheme == "https" else False,
        limits=httpx.Limits(
            max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS
        ),
        proxy=proxy,
    )


@lru_cache(maxsize=1)
def _make_ssl_context() -> ssl.SSLContext:
    """Reading the certificates takes 20 ms, and a service makes a client per call."""
    return httpx.create_ssl_context()


def _wait_before_next(error: UnavailableError, attempt: int) -> float:
    """Twice as long each time, with jitter so that clients do not come back in step."""
    backoff: float = min(BACKOFF_START * 2 ** (attempt - 1), BACKOFF_MAX)
    backoff *= random.uniform(0.5, 1)  # noqa: S311 - nothing secret about it
    asked: float = error.retry_after.total_seconds() if error.retry_after else 0.0
    return max(asked, backoff)


def _unavailable(operation: Operation, error: httpx.HTTPError) -> UnavailableError:
    reached = not isinstance(error, _NEVER_SENT)
    return UnavailableError(
        f"{operation.name}: {'no answer' if reached else 'not reached'} ({type(error).__name__})",
        maybe_applied=operation.writes and reached,
    )
