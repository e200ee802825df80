"""``polar_client()``: the client that services, tasks and views use, from Django's settings."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from .customers import servers_without_balance
from .defaults import find_defaults
from .polar import DEFAULT_MAX_ATTEMPTS, DEFAULT_MAX_WAIT, PolarClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

    from .budget import RequestBudget

BULK_MAX_ATTEMPTS: Final = 8
BULK_MAX_WAIT: Final = timedelta(minutes=5)
"""Nobody waits in front of a screen: Polar's minute may pass several times."""


class _Override(NamedTuple):
    transport: httpx.BaseTransport
    budget: RequestBudget | None
    sleep: Callable[[float], None]


# Not a context variable: the sync makes its requests in threads, which have contexts of their own.
_overrides: list[_Override] = []


def polar_client(*, bulk: bool = False) -> PolarClient:
    """A client from Django's settings, to be closed by whoever asked for it.

    Those with one token share one budget per process. ``bulk=True`` is for long jobs: patient,
    and content with the share of the budget that leaves room for everyone else.

    Raises:
        ConfigurationError: a setting is missing or wrong.
    """
    max_attempts = BULK_MAX_ATTEMPTS if bulk else DEFAULT_MAX_ATTEMPTS
    max_wait = BULK_MAX_WAIT if bulk else DEFAULT_MAX_WAIT
    if _overrides:
        transport, budget, sleep = _overrides[-1]
        return PolarClient(
            transport=transport,
            budget=budget.bulk() if budget and bulk else budget,
            max_attempts=max_attempts,
            max_wait=max_wait,
            sleep=sleep,
        )
    defaults = find_defaults(None)
    whole = defaults.budget_for(defaults.base_url)
    return PolarClient(
        budget=whole.bulk() if whole and bulk else whole,
        max_attempts=max_attempts,
        max_wait=max_wait,
    )


@contextmanager
def override_transport(
    transport: httpx.BaseTransport,
    *,
    budget: RequestBudget | None = None,
    sleep: Callable[[float], None] = lambda _: None,
) -> Iterator[None]:
    """Lead every client of ``polar_client()`` through ``transport``, in all threads.

    For tests: by default there is no budget, and nobody waits between attempts. What was learned
    of a server is forgotten, because the next test has another one at the same address.
    """
    override = _Override(transport, budget, sleep)
    _overrides.append(override)
    servers_without_balance.clear()
    try:
        yield
    finally:
        _overrides.remove(override)
        servers_without_balance.clear()
