"""Every error this package raises, grouped by what the caller can do next."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import timedelta


class PolarError(Exception):
    """The base of every error raised by this package."""


class ConfigurationError(PolarError):
    """A setting is missing or wrong. A person has to change it; repeating cannot help."""


class PayloadError(PolarError):
    """Polar sent something that cannot be read. Names the field, never its value."""


class SignatureError(PolarError):
    """A webhook delivery was not signed by Polar with one of our secrets."""


class MirrorError(PolarError):
    """The mirror refuses to go on, because going on could lose data."""


class OrganizationMismatchError(MirrorError):
    """The token belongs to another Polar organization than the mirror."""


class SyncInProgressError(MirrorError):
    """Another full sync is running. Wait for it, or for its lease to run out."""


class CustomerConflictError(MirrorError):
    """A customer with the user's email exists and is not the user's. A person has to decide."""


class DeletionPendingError(MirrorError):
    """The customer is being deleted at Polar. Try again when that is done."""


class APIError(PolarError):
    """Polar did not do what was asked.

    ``status`` is the HTTP status, or ``None`` when no answer came. The message names the
    operation and what was found; it never contains a token, an email address or a body.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class UnavailableError(APIError):
    """Polar could not be reached, is overloaded, or asks to slow down. Try again later.

    ``retry_after`` is how long Polar asked to wait, where it said so.
    ``maybe_applied`` is true when the request may have reached Polar before the answer was
    lost, so a write may have happened.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry_after: timedelta | None = None,
        maybe_applied: bool = False,
    ) -> None:
        super().__init__(message, status=status)
        self.retry_after = retry_after
        self.maybe_applied = maybe_applied


class RateLimitError(UnavailableError):
    """Polar answered 429, or our own request budget is used up. Wait ``retry_after``."""


class AuthenticationError(APIError):
    """401: the token is missing, wrong, expired or revoked. A person has to replace it."""


class PermissionDeniedError(APIError):
    """403: the token may not do this. ``scopes`` names what it would need, if Polar said so."""

    def __init__(
        self, message: str, *, status: int | None = None, scopes: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message, status=status)
        self.scopes = scopes


class NotFoundError(APIError):
    """404 ``ResourceNotFound``: unknown, deleted, or another organization's."""


class EndpointNotFoundError(APIError):
    """404 without ``ResourceNotFound``: this server has no such endpoint or API version.

    Says nothing about whether the customer exists.
    """


class FieldError(NamedTuple):
    """One entry of a 422 answer. Polar's ``input`` is left out: it echoes personal data."""

    loc: tuple[str | int, ...]
    type: str
    msg: str

    @property
    def field(self) -> str:
        """The last named part of ``loc``, e.g. ``email``."""
        return next((str(part) for part in reversed(self.loc) if isinstance(part, str)), "")


class InvalidRequestError(APIError):
    """422 (or another 4xx): Polar refuses the values. ``errors`` tells which and why."""

    def __init__(
        self, message: str, *, status: int | None = None, errors: tuple[FieldError, ...] = ()
    ) -> None:
        super().__init__(message, status=status)
        self.errors = errors

    def has(self, field: str, text: str = "") -> bool:
        """Whether Polar complained about ``field`` with ``text`` in its message."""
        return any(e.field == field and text in e.msg for e in self.errors)


class UnexpectedResponseError(APIError):
    """Polar, or something between us and Polar, answered what its API never answers.

    A redirect, an HTML page, or JSON that is not JSON. ``maybe_applied`` as above.
    """

    def __init__(
        self, message: str, *, status: int | None = None, maybe_applied: bool = False
    ) -> None:
        super().__init__(message, status=status)
        self.maybe_applied = maybe_applied
