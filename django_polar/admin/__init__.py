"""The mirror and its queues in Django's admin: look, and act through services.

Rendering makes no request to Polar. ``CustomerInline`` shows the customer on the project's own
user page: ``inlines = [CustomerInline]``. It is loaded for those that have it there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .customers import CustomerAdmin
from .queues import CustomerDeletionAdmin, CustomerPushAdmin, LinkConflictAdmin, WebhookEventAdmin
from .sync_runs import SyncRunAdmin

if TYPE_CHECKING:
    from .users import CustomerInline

__all__ = [
    "CustomerAdmin",
    "CustomerDeletionAdmin",
    "CustomerInline",
    "CustomerPushAdmin",
    "LinkConflictAdmin",
    "SyncRunAdmin",
    "WebhookEventAdmin",
]


def __getattr__(name: str) -> Any:
    if name != "CustomerInline":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .users import CustomerInline  # noqa: PLC0415 - on use

    return CustomerInline
