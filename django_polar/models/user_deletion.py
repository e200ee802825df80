"""What happens to a customer's link when its user goes, and how the rest of us hears of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models
from django.dispatch import Signal

if TYPE_CHECKING:
    from django.db.models.deletion import Collector

users_deleted = Signal()
"""``users: list``, ``using: str``: sent once per deletion, inside its transaction, while the
users and everything that hangs on them are still there. Also for users without a customer.
"""


def set_null_and_tell(
    collector: Collector, field: models.ForeignKey[Any, Any], sub_objs: Any, using: str
) -> None:
    """``SET_NULL``, and ``users_deleted`` for all the users that this deletion takes.

    Not ``pre_delete``: that comes once per user, does not say which is the last, and so leaves
    the choice between a query per user and a buffer that a rolled back savepoint turns stale.
    Django collects first, the same for instances, querysets and cascades, and the admin's
    confirmation page goes no further; only a deletion that happens runs its ``fast_deletes``, in
    its transaction and before any row is gone.
    """
    if not any(isinstance(entry, _Announcement) for entry in collector.fast_deletes):
        announcement = _Announcement(model=field.model, using=using)
        announcement.collector = collector
        announcement.user_model = field.related_model
        # First, because what the users' external ids are made of may be deleted fast as well.
        collector.fast_deletes.insert(0, announcement)
    models.SET_NULL(collector, field, sub_objs, using)


# Also for users that have no customer here: Polar may have one that the mirror does not know.
set_null_and_tell.lazy_sub_objs = True  # type: ignore[attr-defined]


class _Announcement(models.QuerySet[Any]):
    """Takes a queryset's place among the ``fast_deletes``; deletes nothing."""

    collector: Collector
    user_model: Any

    def _raw_delete(self, using: str | None) -> int:
        users = {
            user.pk: user
            for model, instances in self.collector.data.items()
            if model._meta.concrete_model is self.user_model._meta.concrete_model  # proxies too
            for user in instances
        }
        users_deleted.send(sender=self.user_model, users=list(users.values()), using=using)
        return 0
