"""The test kit: a fake Polar that keeps the real one's rules, and payloads in its shape.

Importing this costs nothing: what you use is loaded when you use it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_polar.testing.builders import customer_payload, state_payload
    from django_polar.testing.catalog import (
        benefit_payload,
        grant_payload,
        meter_payload,
        product_payload,
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
_MODULES = {"FakePolar": "polar", "customer_payload": "builders", "state_payload": "builders"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_MODULES.get(name, 'catalog')}")
    return getattr(module, name)
