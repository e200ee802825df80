"""Our errors as answers that a client of the API can act on. Never a 500, never a secret."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import gettext_lazy as _
from rest_framework import status
from rest_framework.exceptions import APIException, NotFound, ValidationError

from django_polar.exceptions import (
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    PolarError,
    RateLimitError,
    UnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rest_framework.response import Response

    from django_polar.exceptions import FieldError

logger = logging.getLogger(__name__)

DEFAULT_WAIT_SECONDS: Final = 30


class PolarAPIException(APIException):
    """``wait`` becomes ``Retry-After``."""

    def __init__(self, *, wait: float | None = DEFAULT_WAIT_SECONDS) -> None:
        super().__init__()
        self.wait = wait


class PolarUnavailable(PolarAPIException):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = _("Polar cannot be reached at the moment. Try again later.")
    default_code = "polar_unavailable"


class PolarRateLimited(PolarAPIException):
    status_code = status.HTTP_429_TOO_MANY_REQUESTS
    default_detail = _("Polar is being asked too often. Try again later.")
    default_code = "polar_rate_limited"


class PolarFailed(PolarAPIException):
    """Ours to repair: a token, a setting, or an answer that cannot be read."""

    status_code = status.HTTP_502_BAD_GATEWAY
    default_detail = _("Polar did not do what was asked.")
    default_code = "polar_failed"


class PolarRefused(PolarAPIException):
    status_code = status.HTTP_409_CONFLICT
    default_detail = _("Polar does not allow this for this customer now.")
    default_code = "polar_refused"


def translate(error: PolarError) -> APIException:  # noqa: PLR0911 - one for each kind
    """Log what a person has to look at, by the error's own message: ids and operations only."""
    match error:
        case InvalidRequestError(errors=()):
            return PolarRefused(wait=None)
        case InvalidRequestError():
            return ValidationError(nest(error.errors))
        case NotFoundError():
            return NotFound(_("There is no such customer."), code="no_customer")
        case RateLimitError():
            return PolarRateLimited(wait=_seconds(error))
        case UnavailableError():
            logger.warning("%s", error)
            return PolarUnavailable(wait=_seconds(error))
        case PermissionDeniedError(scopes=()):
            return PolarRefused(wait=None)
    logger.error("%s: %s", type(error).__name__, error)
    return PolarFailed()


def nest(errors: Iterable[FieldError]) -> dict[str, Any]:
    """Field errors the way serializers give theirs: nested by name, a list of texts each."""
    nested: dict[str, Any] = {}
    for error in errors:
        names = [str(part) for part in error.loc if part != "body"] or ["non_field_errors"]
        place = nested
        for name in names[:-1]:
            inner = place.setdefault(name, {})
            if not isinstance(inner, dict):
                break  # the outer field has an error of its own
            place = inner
        else:
            texts = place.setdefault(names[-1], [])
            if isinstance(texts, list):
                texts.append(error.msg)
    return nested


class PolarErrorsMixin:
    """For views: our errors become API exceptions before the project's handler sees them."""

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, PolarError):
            exc = translate(exc)
        response: Response = super().handle_exception(exc)  # type: ignore[misc]
        return response


def _seconds(error: UnavailableError) -> float:
    if error.retry_after is None:
        return DEFAULT_WAIT_SECONDS
    return max(1.0, error.retry_after.total_seconds())
