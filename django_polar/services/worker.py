"""Working through a queue of things to tell Polar: what each kind of failure means for a row."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, TypeVar

from django_polar.conf import settings
from django_polar.exceptions import (
    APIError,
    AuthenticationError,
    ConfigurationError,
    EndpointNotFoundError,
    InvalidRequestError,
    PermissionDeniedError,
    PolarError,
    RateLimitError,
    UnavailableError,
)
from django_polar.models import QueuedWork

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

PATIENCE: Final = 3
"""Failures in a row after which a run leaves Polar alone; the next run goes on."""

W = TypeVar("W", bound=QueuedWork)


def work_through(
    queue: type[W],
    do: Callable[[W], dict[str, Any]],
    *,
    limit: int | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> int:
    """Do what is due, each row by one worker at a time. Returns how many are done now.

    ``do`` returns what to save along with a row that is done. Rows are taken one by one, so a
    worker that is killed leaves one behind, whose lease runs out. Stops early where going on
    cannot help: when Polar is away, asks to slow down, or does not take the token. ``should_stop``
    is asked between rows.
    """
    done = failures = worked_on = 0
    while failures < PATIENCE and (limit is None or worked_on < limit) and not should_stop():
        claimed: list[W] = queue.objects.claim(1)
        if not claimed:
            break
        row = claimed[0]
        worked_on += 1
        try:
            result = do(row)
        except PolarError as error:
            logger.warning("%s %s failed: %s", queue._meta.verbose_name, row.pk, error)
            failures += keep(row, error)
        else:
            row.mark_done(**result)
            logger.info("%s %s is done", queue._meta.verbose_name, row.pk)
            done += 1
            failures = 0
    return done


def keep(row: QueuedWork, error: PolarError) -> int:
    """For later or for a person, never dropped. Returns how much of the patience it costs."""
    attempts = settings.queue_max_attempts
    match error:
        case RateLimitError():
            # Nobody's fault, so not one of the attempts.
            row.postpone(error, after=error.retry_after, counts=False)
            return PATIENCE
        case UnavailableError():
            row.postpone(error, after=error.retry_after, max_attempts=attempts)
            return 1
        case AuthenticationError() | PermissionDeniedError() | EndpointNotFoundError():
            row.postpone(f"{error}. {fix_for(error)}", max_attempts=attempts)
            return PATIENCE
        case InvalidRequestError() | ConfigurationError():
            # It would be refused again.
            row.mark_failed(error)
            return 0
        case _:
            row.postpone(error, max_attempts=attempts)
            return 1


def fix_for(error: APIError) -> str:
    """What a person can do about it."""
    match error:
        case AuthenticationError():
            return "Replace POLAR_ACCESS_TOKEN."
        case PermissionDeniedError():
            scopes = " or ".join(error.scopes) or "customers:write"
            return f"Give the access token the scope {scopes}."
        case EndpointNotFoundError():
            return "Check POLAR_BASE_URL and POLAR_API_VERSION."
        case _:
            return ""
