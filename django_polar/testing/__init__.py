"""The test kit: a fake Polar that keeps the real one's rules, and payloads in its shape.

Importing this costs nothing: what you use is loaded when you use it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_polar.testing.builders import (
        benefit_payload,
        customer_payload,
        grant_payload,
        meter_payload,
        product_payload,
        state_payload,
        subscription_payload,
    )
    from django_polar.testing.polar import FakePolar

__all__ = [
    "FakePolar",
    "benefit_payload",
    "customer_payload",
    "grant_payload",
    "meter_payload",
    "product_payload",
    "state_payload",
    "subscription_payload",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "FakePolar":
        from django_polar.testing import polar as module  # noqa: PLC0415  # loaded on use
    else:
        from django_polar.testing import builders as module  # noqa: PLC0415  # loaded on use
    return getattr(module, name)
