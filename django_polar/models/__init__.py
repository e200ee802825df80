"""The mirror and its queues."""

from .customer import Customer, CustomerBalance, CustomerQuerySet
from .queues import (
    CustomerDeletion,
    CustomerPush,
    LinkConflict,
    QueuedWork,
    WebhookEvent,
    queues,
    work_queued,
)
from .state import ActiveMeter, ActiveSubscription, CustomerState, GrantedBenefit, StateItem
from .sync_run import SyncCheckpoint, SyncedPage, SyncRun
from .user_deletion import users_deleted

__all__ = [
    "ActiveMeter",
    "ActiveSubscription",
    "Customer",
    "CustomerBalance",
    "CustomerDeletion",
    "CustomerPush",
    "CustomerQuerySet",
    "CustomerState",
    "GrantedBenefit",
    "LinkConflict",
    "QueuedWork",
    "StateItem",
    "SyncCheckpoint",
    "SyncRun",
    "SyncedPage",
    "WebhookEvent",
    "queues",
    "users_deleted",
    "work_queued",
]
