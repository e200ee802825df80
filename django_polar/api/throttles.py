"""How often the API may be asked, so that no client uses up the project's budget with Polar."""

from __future__ import annotations

from typing import Any, Final

from rest_framework.settings import api_settings
from rest_framework.throttling import ScopedRateThrottle

RATES: Final = {
    "polar_read": "300/min",
    "polar_remote": "30/min",
    "polar_export": "10/hour",
}
"""Per user: answers from the mirror, answers that need Polar, and whole exports."""


class PolarThrottle(ScopedRateThrottle):
    """Scopes may be set in ``REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]``; ``None`` lifts one."""

    def get_rate(self) -> str | None:
        rates: dict[Any, Any] = dict(api_settings.DEFAULT_THROTTLE_RATES or {})
        rate: str | None = rates.get(self.scope, RATES.get(str(self.scope)))
        return rate
