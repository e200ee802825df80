"""Where a client takes from what it was not told."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from django_polar.exceptions import ConfigurationError

from .budget import RequestBudget, shared_budget

if TYPE_CHECKING:
    from datetime import timedelta

    from django_polar.conf import Settings

API_VERSION: Final = "2026-04"
PRODUCTION: Final = "https://api.polar.sh"
REQUESTS_PER_MINUTE: Final = {PRODUCTION: 500, "https://sandbox-api.polar.sh": 100}
"""What Polar gives an organization; other servers are taken to have no limit."""


@dataclass(frozen=True, slots=True)
class Defaults:
    token: str = field(repr=False)
    base_url: str = PRODUCTION
    api_version: str = API_VERSION
    organization_id: str | None = None
    timeout: timedelta | None = None
    requests_per_minute: int | None = None
    rate_limit_storage: str = "memory://"

    def budget_for(self, base_url: str) -> RequestBudget | None:
        """The one that all clients with this token on this server share."""
        base_url = base_url.rstrip("/")
        limit = self.requests_per_minute or REQUESTS_PER_MINUTE.get(base_url)
        if limit is None:
            return None
        return shared_budget(limit, self.rate_limit_storage, self.token, base_url)


def find_defaults(token: str | None) -> Defaults:
    """Polar's own for somebody who has a token; else Django's settings or the environment's.

    Raises:
        ConfigurationError: there is no token anywhere.
    """
    if token is not None:
        return Defaults(token)
    if _is_django_configured():
        # On use: the client has to be importable where Django is not.
        from django_polar.conf import settings  # noqa: PLC0415

        return defaults_from(settings)
    if token := os.environ.get("POLAR_ACCESS_TOKEN"):
        return Defaults(token)
    raise ConfigurationError(
        "no access token: pass one, set POLAR_ACCESS_TOKEN in Django's settings, or set the"
        " environment variable POLAR_ACCESS_TOKEN"
    )


def defaults_from(settings: Settings) -> Defaults:
    return Defaults(
        token=settings.access_token,
        base_url=settings.base_url,
        api_version=settings.api_version,
        organization_id=settings.organization_id,
        timeout=settings.timeout,
        requests_per_minute=settings.requests_per_minute,
        rate_limit_storage=settings.rate_limit_storage,
    )


def _is_django_configured() -> bool:
    """Whether settings were configured, or name a module to be configured from on first use."""
    conf = sys.modules.get("django.conf")
    if conf is not None and conf.settings.configured:
        return True
    return bool(os.environ.get("DJANGO_SETTINGS_MODULE")) and find_spec("django") is not None
