"""What signals never saw: users that went, came or changed behind Django's back.

Raw SQL, ``QuerySet.update()``, cascades in the database and restored backups send no signals. The
mirror and the users tell what they left behind; nothing here makes a request.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.contrib.auth import get_user_model
from django.db import transaction

from django_polar.conf import settings
from django_polar.models import Customer, CustomerDeletion, CustomerPush

from .customers import customer_fields_of
from .nudge import nudge
from .outbox import Target, request_deletions
from .pushes import differs
from .upsert import database

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from uuid import UUID

_CHUNK: Final = 500


class Orphan(NamedTuple):
    """A customer whose external id belongs to no user."""

    id: UUID
    external_id: str


class Difference(NamedTuple):
    """Fields in which a customer is not what its user is; names, never values."""

    id: UUID
    external_id: str | None
    user_pk: Any
    fields: tuple[str, ...]


def iter_orphans() -> Iterator[Orphan]:
    """Live customers of the mirror whose external id belongs to no user, a chunk at a time.

    Customers without an external id, as after a checkout without an account, are none.
    """
    named = Customer.objects.using(database()).live().exclude(external_id=None)
    for chunk in _by_pk(named.values_list("pk", "external_id")):
        users = settings.user_from_external_id([external_id for _, external_id in chunk])
        yield from (Orphan(*row) for row in chunk if row[1] not in users)


def iter_differences() -> Iterator[Difference]:
    """Live customers that Polar knows by other values than their users have."""
    linked = Customer.objects.using(database()).live().linked().order_by("pk")
    for chunk in _by_pk(linked, pk_of=lambda customer: customer.pk):
        users = get_user_model()._base_manager.in_bulk([customer.user_id for customer in chunk])
        for customer in chunk:
            if (user := users.get(customer.user_id)) is None:
                continue
            fields = customer_fields_of(user)
            names = tuple(sorted(n for n, value in fields.items() if differs(customer, n, value)))
            if names:
                yield Difference(customer.pk, customer.external_id, user.pk, names)


def request_orphan_deletions(orphans: Iterable[Orphan]) -> int:
    """Queue their deletion at Polar and forget them here; how many. Ask a person first."""
    targets = [Target(orphan.external_id, orphan.id) for orphan in orphans]
    if not targets:
        return 0
    return len(request_deletions(targets, reason=CustomerDeletion.Reason.ORPHAN))


def request_updates(differences: Iterable[Difference]) -> int:
    """Queue that Polar be told what the users have; how many are new in the queue."""
    return _request_pushes(
        CustomerPush(
            user_id=difference.user_pk,
            kind=CustomerPush.Kind.UPDATE,
            fields=list(difference.fields),
        )
        for difference in differences
    )


def _request_pushes(pushes: Iterable[CustomerPush]) -> int:
    alias = database()
    waiting = CustomerPush.objects.using(alias).filter(done_at=None)
    iterator = iter(pushes)
    requested = 0
    while chunk := list(islice(iterator, _CHUNK)):
        with transaction.atomic(using=alias):
            users = [push.user_id for push in chunk]
            busy = set(waiting.filter(user__in=users).values_list("user_id", flat=True))
            new = [push for push in chunk if push.user_id not in busy]
            CustomerPush.objects.using(alias).bulk_create(new)
        nudge("send_due_pushes", using=alias)
        requested += len(new)
    return requested


def _by_pk(rows: Any, pk_of: Any = lambda row: row[0]) -> Iterator[list[Any]]:
    """By key, not by a cursor: what is done with a chunk may take its time and write."""
    ordered = rows.order_by("pk")
    chunk = list(ordered[:_CHUNK])
    while chunk:
        yield chunk
        chunk = list(ordered.filter(pk__gt=pk_of(chunk[-1]))[:_CHUNK])
