"""Polar's answers that are not a success, as errors grouped by what the caller can do next.

Nothing of a body gets into a message but names of errors and of fields: Polar repeats in its
answers what it was sent.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from django_polar.exceptions import (
    APIError,
    AuthenticationError,
    EndpointNotFoundError,
    FieldError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    UnavailableError,
    UnexpectedResponseError,
)

if TYPE_CHECKING:
    import httpx

LONGEST_WAIT: Final = timedelta(days=1)
"""A longer ``Retry-After`` is taken for this."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)
_SCOPE = re.compile(r'\bscope="([^"]*)"')


def error_of(
    operation: str, response: httpx.Response, *, writes: bool, api_version: str
) -> APIError:
    """The error that an answer outside 2xx means. Its body has to be read already."""
    status = response.status_code
    if status == 429:
        return RateLimitError(
            f"{operation}: 429, too many requests",
            status=status,
            retry_after=_retry_after(response),
        )
    if status >= 500 or status == 408:
        return UnavailableError(
            f"{operation}: {status}, Polar is not available",
            status=status,
            retry_after=_retry_after(response),
            maybe_applied=writes,
        )
    if 400 <= status < 500:
        return _refusal(operation, response, api_version)
    return UnexpectedResponseError(f"{operation}: {status} is no answer of Polar's", status=status)


def _refusal(operation: str, response: httpx.Response, api_version: str) -> APIError:
    status = response.status_code
    data = _json_object(response)
    found = _name(data.get("error"), default="no reason given")
    if status == 401:
        return AuthenticationError(
            f"{operation}: 401 {found}, the token is missing, wrong, expired or revoked",
            status=status,
        )
    if status == 403:
        return _permission_denied(operation, response, found)
    if status == 404:
        if found == "ResourceNotFound":
            return NotFoundError(f"{operation}: 404, not found", status=status)
        return _endpoint_not_found(operation, response, api_version)
    errors = _field_errors(data)
    fields = ", ".join(f"{_name(e.field, default='body')} ({e.type})" for e in errors)
    return InvalidRequestError(
        f"{operation}: {status} {found}{': ' if fields else ''}{fields}",
        status=status,
        errors=errors,
    )


def _permission_denied(operation: str, response: httpx.Response, found: str) -> APIError:
    match = _SCOPE.search(response.headers.get("www-authenticate", ""))
    scopes = tuple(match.group(1).split()) if match else ()
    needed = f", needs one of the scopes {', '.join(scopes)}" if scopes else ""
    return PermissionDeniedError(
        f"{operation}: 403 {found}{needed}", status=response.status_code, scopes=scopes
    )


def _endpoint_not_found(operation: str, response: httpx.Response, api_version: str) -> APIError:
    # Servers that know the version say so in every answer of theirs, 404s included; those of
    # 2025 never do.
    what = "no such endpoint on this server"
    if "polar-version" not in response.headers:
        what += f", or no API version {api_version}"
    return EndpointNotFoundError(f"{operation}: 404, {what}", status=response.status_code)


def _retry_after(response: httpx.Response) -> timedelta | None:
    """Polar sends whole seconds; what stands in front of it may send a date."""
    value = response.headers.get("retry-after")
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except (ValueError, OverflowError):
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = (moment - datetime.now(UTC)).total_seconds()
    if math.isnan(seconds):
        return None
    return timedelta(seconds=min(max(seconds, 0.0), LONGEST_WAIT.total_seconds()))


def _json_object(response: httpx.Response) -> dict[str, Any]:
    try:
        data = msgspec.json.decode(response.content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return data if isinstance(data, dict) else {}


def _field_errors(data: dict[str, Any]) -> tuple[FieldError, ...]:
    """Both shapes of 422: ``RequestValidationError`` and ``PolarRequestValidationError``."""
    detail = data.get("detail")
    if not isinstance(detail, list):
        return ()
    return tuple(
        FieldError(
            loc=tuple(part for part in _list(entry.get("loc")) if isinstance(part, str | int)),
            type=_name(entry.get("type")),
            msg=str(entry.get("msg", "")),
        )
        for entry in detail
        if isinstance(entry, dict)
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _name(value: Any, *, default: str = "unknown") -> str:
    return value if isinstance(value, str) and _NAME.fullmatch(value) else default
