"""How many requests a minute we may make, so that Polar need not refuse any.

The count is of the ``limits`` package: in the memory of one process, or in Redis for all of them.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

from limits import RateLimitItemPerSecond
from limits.errors import StorageError
from limits.storage import Storage, storage_from_string
from limits.strategies import MovingWindowRateLimiter

from django_polar.exceptions import ConfigurationError, RateLimitError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

logger = logging.getLogger(__name__)

WINDOW: Final = timedelta(seconds=61)
"""Polar's minute and a second: requests do not take equally long to get there, so sixty seconds
between ours may be fewer between their arrivals."""

BULK_SHARE: Final = 0.8
"""What bulk callers may use. The rest is there for somebody who waits in front of a screen."""

# Bounds how often a thread looks whose turn another one took.
_SHORTEST_SLEEP: Final = 0.02


class Budget(Protocol):
    """What a client needs of a budget."""

    def acquire(self, timeout: timedelta) -> None:
        """Wait for a request's turn.

        Raises:
            RateLimitError: it will not come within ``timeout``.
        """

    def pause(self, duration: timedelta) -> None:
        """Let nobody pass for so long, because Polar said so."""


class RequestBudget:
    """At most ``requests_per_minute`` in any minute, shared by threads.

    With a ``storage_url`` such as ``redis://host:6379/0`` it is shared by all processes that
    give the same ``name``. The window moves: bursts are fine as long as the minute before them
    was quiet, and no minute, wherever Polar begins to count it, holds more than the limit.
    """

    def __init__(
        self,
        requests_per_minute: int,
        storage_url: str = "memory://",
        *,
        name: str = "default",
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if requests_per_minute < 1:
            raise ConfigurationError("requests per minute must be at least 1")
        self.requests_per_minute = requests_per_minute
        self._storage = _open_storage(storage_url)
        self._limiter = MovingWindowRateLimiter(self._storage)
        self._window = RateLimitItemPerSecond(
            requests_per_minute, int(WINDOW.total_seconds()), namespace="django_polar"
        )
        self._name = name
        self._pause_key = f"django_polar/{name}/pause"
        self._sleep = sleep
        # The memory storage of `limits` may lose a count when two threads come at once.
        self._lock = threading.Lock()
        self._is_out = False

    def bulk(self) -> Budget:
        """The same budget for bulk callers, who leave a share of it to the others."""
        return _BulkBudget(self)

    def acquire(self, timeout: timedelta) -> None:
        """Wait for a request's turn.

        Raises:
            RateLimitError: it will not come within ``timeout``.
        """
        self.acquire_from(self._window, self._name, timeout)

    def acquire_from(self, window: RateLimitItemPerSecond, key: str, timeout: timedelta) -> None:
        """Wait until no pause is left and ``window`` has room, then take it."""
        deadline = time.monotonic() + timeout.total_seconds()
        while True:
            wait = self._try(window, key)
            if wait <= 0:
                return
            if wait > deadline - time.monotonic():
                raise RateLimitError(
                    "our own request budget is used up", retry_after=timedelta(seconds=wait)
                )
            self._sleep(max(wait, _SHORTEST_SLEEP))

    def _try(self, window: RateLimitItemPerSecond, key: str) -> float:
        """Take a turn and return 0, or return the seconds until it is worth trying again."""
        with self._lock, self._tolerating_outages():
            wait = self._pause_left()
            if wait > 0:
                return wait
            if not self._limiter.hit(window, key):
                reset_time = self._limiter.get_window_stats(window, key).reset_time
                return max(reset_time - time.time(), _SHORTEST_SLEEP)
        return 0

    @contextmanager
    def _tolerating_outages(self) -> Iterator[None]:
        """Polar counts as well, so nothing has to stop because our count cannot be reached."""
        try:
            yield
        except StorageError as error:
            if not self._is_out:
                logger.warning(
                    "the rate limit storage cannot be reached (%s); not counting until it can",
                    type(error.storage_error).__name__,
                )
            self._is_out = True
        else:
            self._is_out = False

    def bulk_window(self) -> RateLimitItemPerSecond:
        """What bulk callers share among themselves; at least one request."""
        return RateLimitItemPerSecond(
            max(int(self.requests_per_minute * BULK_SHARE), 1),
            int(WINDOW.total_seconds()),
            namespace="django_polar",
        )

    @property
    def name(self) -> str:
        return self._name

    def pause(self, duration: timedelta) -> None:
        """Let nobody pass for so long, because Polar said so. A longer pause is kept."""
        seconds = round(duration.total_seconds() + 0.5)
        with self._lock, self._tolerating_outages():
            if seconds > self._pause_left():
                self._storage.clear(self._pause_key)
                self._storage.incr(self._pause_key, seconds)

    def _pause_left(self) -> float:
        return self._storage.get_expiry(self._pause_key) - time.time()


class _BulkBudget:
    def __init__(self, whole: RequestBudget) -> None:
        self._whole = whole
        self._window = whole.bulk_window()
        self._key = f"{whole.name}/bulk"

    def acquire(self, timeout: timedelta) -> None:
        deadline = time.monotonic() + timeout.total_seconds()
        self._whole.acquire_from(self._window, self._key, timeout)
        self._whole.acquire(timedelta(seconds=max(deadline - time.monotonic(), 0)))

    def pause(self, duration: timedelta) -> None:
        self._whole.pause(duration)


@lru_cache(maxsize=32)
def shared_budget(
    requests_per_minute: int, storage_url: str, token: str, base_url: str
) -> RequestBudget:
    """The one budget of this process for a token on a server.

    Redis sees a digest of both, never the token.
    """
    name = hashlib.sha256(f"{base_url}\0{token}".encode()).hexdigest()[:16]
    return RequestBudget(requests_per_minute, storage_url, name=name)


def _open_storage(url: str) -> Storage:
    try:
        storage = storage_from_string(url, wrap_exceptions=True)
    except Exception as error:  # noqa: BLE001 - whatever the storage's own library raises
        # Not the address itself, which the original message quotes: it may carry a password.
        raise ConfigurationError(
            f"the rate limit storage {url.split('://', 1)[0]}:// cannot be used"
            f" ({type(error).__name__}); is its library installed?"
        ) from None
    if not isinstance(storage, Storage):
        raise ConfigurationError("the rate limit storage must not be an async one")
    return storage
