"""Users who have no customer yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.contrib.auth import get_user_model

from django_polar.models import CustomerPush

from .customers import customer_fields_of
from .nudge import nudge
from .upsert import database

if TYPE_CHECKING:
    from collections.abc import Iterator

BATCH: Final = 500


def iter_users_without_customer() -> Iterator[list[Any]]:
    """Users with no customer in the mirror, of whom Polar could be told: those with an email.

    Meaningful right after a full sync.
    """
    users = get_user_model()._default_manager.using(database())
    without = users.filter(polar_customer__isnull=True).order_by("pk")
    after: Any = None
    while True:
        batch = list((without if after is None else without.filter(pk__gt=after))[:BATCH])
        if not batch:
            return
        after = batch[-1].pk
        yield [user for user in batch if customer_fields_of(user).get("email")]


def request_missing_creations() -> int:
    """Queue the creation of a customer for each of them; how many that are.

    Asking again before they are sent queues nothing twice.
    """
    alias = database()
    pushes = CustomerPush.objects.using(alias)
    requested = 0
    for users in iter_users_without_customer():
        waiting = set(
            pushes.open()
            .filter(user__in=users, kind=CustomerPush.Kind.CREATE)
            .values_list("user_id", flat=True)
        )
        created = pushes.bulk_create(
            CustomerPush(user=user, kind=CustomerPush.Kind.CREATE)
            for user in users
            if user.pk not in waiting
        )
        requested += len(created)
    if requested:
        nudge("send_due_pushes", using=alias)
    return requested
