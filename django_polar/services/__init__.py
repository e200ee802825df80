"""The verbs, keyed by user or by external id.

Importing this loads neither the HTTP client nor the payloads; using one of the names does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .balances import get_balance
    from .compare import compare_customer
    from .customers import (
        adopt_customer,
        delete_customer,
        dismiss_conflict,
        get_or_create_customer,
        refresh_customer,
        refresh_state,
        sync_customer,
        update_customer,
    )
    from .deletions import send_due_deletions
    from .exports import export_customers, export_from_polar
    from .fetching import fetch_customers
    from .portal import create_portal_session
    from .portal_customers import (
        add_payment_method,
        confirm_payment_method,
        delete_payment_method,
        get_portal_customer,
        list_payment_methods,
        update_portal_customer,
    )
    from .pushes import send_due_pushes
    from .sync import sync_customers
    from .webhooks import apply_due_events, prune_events, receive_event

__all__ = [
    "add_payment_method",
    "adopt_customer",
    "apply_due_events",
    "compare_customer",
    "confirm_payment_method",
    "create_portal_session",
    "delete_customer",
    "delete_payment_method",
    "dismiss_conflict",
    "export_customers",
    "export_from_polar",
    "fetch_customers",
    "get_balance",
    "get_or_create_customer",
    "get_portal_customer",
    "list_payment_methods",
    "prune_events",
    "receive_event",
    "refresh_customer",
    "refresh_state",
    "send_due_deletions",
    "send_due_pushes",
    "sync_customer",
    "sync_customers",
    "update_customer",
    "update_portal_customer",
]

_MODULES: Final = {
    "balances": ["get_balance"],
    "compare": ["compare_customer"],
    "customers": [
        "adopt_customer",
        "delete_customer",
        "dismiss_conflict",
        "get_or_create_customer",
        "refresh_customer",
        "refresh_state",
        "sync_customer",
        "update_customer",
    ],
    "deletions": ["send_due_deletions"],
    "exports": ["export_customers", "export_from_polar"],
    "fetching": ["fetch_customers"],
    "portal": ["create_portal_session"],
    "portal_customers": [
        "add_payment_method",
        "confirm_payment_method",
        "delete_payment_method",
        "get_portal_customer",
        "list_payment_methods",
        "update_portal_customer",
    ],
    "pushes": ["send_due_pushes"],
    "sync": ["sync_customers"],
    "webhooks": ["apply_due_events", "prune_events", "receive_event"],
}
_HOMES: Final = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
