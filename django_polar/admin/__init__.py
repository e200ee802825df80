"""The mirror and its queues in Django's admin: look, and act through services.

Rendering makes no request to Polar. ``CustomerInline`` shows the customer on the project's own
user page: ``inlines = [CustomerInline]``.
"""

from .customers import CustomerAdmin
from .queues import CustomerDeletionAdmin, CustomerPushAdmin, LinkConflictAdmin, WebhookEventAdmin
from .sync_runs import SyncRunAdmin
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
