"""Who may ask the fake Polar for what: tokens, scopes, customer sessions, the rate limit."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from django_polar.testing import http
from django_polar.testing.routes import ALL_SCOPES, PORTAL

if TYPE_CHECKING:
    from django_polar.testing.builders import JSON
    from django_polar.testing.http import Request

TOKEN = "polar_oat_fake_full"  # noqa: S105  # opens nothing but this fake
RATE_WINDOW_SECONDS = 60


@dataclass(slots=True, frozen=True)
class _Token:
    scopes: frozenset[str]
    expired: bool = False


@dataclass(slots=True, frozen=True)
class _Session:
    customer_id: str
    expires_at: datetime


class Access:
    session_prefix = "polar_mst_"

    def __init__(self, *, rate_limit: int | None) -> None:
        #: Opens everything but the portal.
        self.token = TOKEN
        self.rate_limit = rate_limit
        self._tokens = {TOKEN: _Token(ALL_SCOPES)}
        self._sessions: dict[str, _Session] = {}
        self._window = (0, 0)

    def now(self) -> datetime:
        return datetime.now(UTC)

    def is_live(self, customer_id: str) -> bool:
        raise NotImplementedError

    def add_token(self, *scopes: str, expired: bool = False) -> str:
        """Another organization token, with these scopes and no other."""
        token = f"polar_oat_fake_{len(self._tokens)}"
        self._tokens[token] = _Token(frozenset(scopes), expired)
        return token

    def revoke_token(self, token: str) -> None:
        del self._tokens[token]

    def add_session(self, customer: str | JSON, *, lifetime: timedelta = timedelta(hours=1)) -> str:
        """A customer session's token; a negative ``lifetime`` makes an expired one."""
        token = f"{self.session_prefix}{secrets.token_urlsafe(32)}"
        self._sessions[token] = _Session(
            customer if isinstance(customer, str) else customer["id"], self.now() + lifetime
        )
        return token

    def authenticate(self, request: Request, scopes: tuple[str, ...]) -> None:
        """Refuse whoever may not; any of ``scopes`` is enough, the portal is for sessions."""
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        value = value.strip()
        if scheme.lower() != "bearer" or not value:
            raise http.Refused(http.unauthorized())
        token, session = self._tokens.get(value), self._sessions.get(value)
        if session is not None and (
            session.expires_at <= self.now() or not self.is_live(session.customer_id)
        ):
            session = None
        elif token is not None and token.expired:
            token = None
        if token is None and session is None:
            raise http.Refused(http.invalid_token())
        for_portal = scopes == (PORTAL,)
        if for_portal != (session is not None):
            raise http.Refused(http.unauthorized())
        if session is not None:
            request.customer_id = session.customer_id
        elif token is not None and not token.scopes & set(scopes):
            raise http.Refused(http.insufficient_scope(scopes))

    def within_rate_limit(self) -> bool:
        """Whether one request more is within this minute's, all tokens' requests counted."""
        if self.rate_limit is None:
            return True
        window = int(time.monotonic() // RATE_WINDOW_SECONDS)
        current, count = self._window
        self._window = (window, count + 1 if current == window else 1)
        return self._window[1] <= self.rate_limit
