"""The outbox: deletions that Polar still has to be told of, and what they leave behind here.

Touches nothing but the database, so that deleting a user never depends on Polar.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.db import router, transaction
from django.db.models import Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from django_polar.conf import settings
from django_polar.models import Customer, CustomerDeletion, CustomerPush, WebhookEvent

from .nudge import nudge

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from uuid import UUID

logger = logging.getLogger(__name__)

_CHUNK: Final = 500
"""Values in one ``IN``: databases and drivers bound the parameters of a statement."""


class Target(NamedTuple):
    """Whom to delete: by external id, by Polar's id, or by both where both are known."""

    external_id: str | None
    customer_id: UUID | None = None


def request_deletion(
    *,
    external_id: str | None = None,
    customer_id: UUID | None = None,
    anonymize: bool | None = None,
    reason: str = CustomerDeletion.Reason.REQUESTED,
    using: str | None = None,
) -> CustomerDeletion:
    """Queue the deletion of one customer at Polar, and forget the person here.

    All in one transaction, or in the caller's. Requested again before it was tried, it is the
    same row. ``anonymize`` is ``POLAR_ANONYMIZE_ON_DELETION`` unless given.
    """
    if not external_id and customer_id is None:
        raise ValueError("request_deletion: neither an external id nor a customer id")
    target = Target(external_id or None, customer_id)
    return request_deletions([target], anonymize=anonymize, reason=reason, using=using)[0]


def request_deletions(
    targets: Iterable[Target],
    *,
    anonymize: bool | None = None,
    reason: str = CustomerDeletion.Reason.REQUESTED,
    using: str | None = None,
) -> list[CustomerDeletion]:
    """``request_deletion`` for many, in a number of queries that hardly depends on how many.

    An external id for which the mirror has several customers, as after one was deleted and made
    again, becomes several deletions.
    """
    alias = using or router.db_for_write(CustomerDeletion)
    if anonymize is None:
        anonymize = settings.anonymize_on_deletion
    requested: list[CustomerDeletion] = []
    with transaction.atomic(using=alias):
        for chunk in _chunks(dict.fromkeys(targets)):
            known = _complete(chunk, alias)
            requested += _queue(known, anonymize=anonymize, reason=reason, using=alias)
            _forget(known, using=alias)
    nudge("send_due_deletions", using=alias)
    return requested


def request_deletion_of_users(users: Sequence[Any], *, using: str) -> list[CustomerDeletion]:
    """``request_deletion`` for users that are being deleted, whether the mirror knows them or not.

    A user's customer is the one that is linked to it, and the one that has its external id. Users
    for whom ``POLAR_EXTERNAL_ID`` gives nothing never had one.
    """
    targets: list[Target] = []
    external_id_of = settings.external_id
    for chunk in _chunks(_with_all_fields(users, using)):
        external_ids = [external_id for user in chunk if (external_id := external_id_of(user))]
        linked = Customer.objects.using(using).filter(user__in=[user.pk for user in chunk])
        found = [Target(*row) for row in linked.values_list("external_id", "pk")]
        targets += found
        named = {target.external_id for target in found}
        targets += [Target(external_id) for external_id in external_ids if external_id not in named]
    if not targets:
        return []
    return request_deletions(targets, reason=CustomerDeletion.Reason.USER_DELETED, using=using)


def read_stored_fields(user: Any, *, using: str) -> dict[str, Any] | None:
    """What ``POLAR_CUSTOMER_FIELDS`` gives for the user as the database has it."""
    stored = type(user)._base_manager.using(using).filter(pk=user.pk).first()
    return None if stored is None else _customer_fields(stored)


def request_creation(user: Any, *, using: str) -> None:
    """Queue the creation of the user's customer."""
    _request_push(user, CustomerPush.Kind.CREATE, [], using)


def request_update(user: Any, before: Mapping[str, Any], *, using: str) -> None:
    """Queue an update of what is different from ``before``, unless it came from Polar."""
    if _customer_fields(user) == before:
        return
    # Not what is in memory: ``save(update_fields=...)`` may have left some of that unsaved.
    after = read_stored_fields(user, using=using) or {}
    customer = Customer.objects.using(using).live().for_user(user).first()
    changed = [
        name
        for name, value in after.items()
        if value not in (None, "", before.get(name))
        and (customer is None or value != getattr(customer, name, None))
    ]
    if changed:
        _request_push(user, CustomerPush.Kind.UPDATE, changed, using)


def _customer_fields(user: Any) -> dict[str, Any] | None:
    """``None`` when the project's function fails: no reason not to save a user."""
    try:
        return dict(settings.customer_fields(user))
    except Exception as error:  # noqa: BLE001 - the project's code
        logger.error("POLAR_CUSTOMER_FIELDS failed (%s)", type(error).__name__)  # noqa: TRY400
        return None


def _request_push(user: Any, kind: str, fields: list[str], using: str) -> None:
    """One that waits takes in what comes later: values are read when it is sent."""
    pushes = CustomerPush.objects.using(using)
    with transaction.atomic(using=using):
        waiting = pushes.open().filter(user_id=user.pk, leased_until=None).order_by("pk").first()
        if waiting is None:
            pushes.create(user_id=user.pk, kind=kind, fields=fields)
        elif waiting.kind == CustomerPush.Kind.UPDATE:
            merged = sorted({*waiting.fields, *fields})
            untouched = pushes.filter(pk=waiting.pk, attempts=waiting.attempts, leased_until=None)
            if not untouched.update(fields=merged):
                pushes.create(user_id=user.pk, kind=kind, fields=fields)
    nudge("send_due_pushes", using=using)


def _with_all_fields(users: Sequence[Any], using: str) -> Sequence[Any]:
    """A cascade loads no more of the users than their keys; ``POLAR_EXTERNAL_ID`` may want more,
    one query for each.
    """
    if not any(user.get_deferred_fields() for user in users):
        return users
    manager = type(users[0])._base_manager.using(using)
    return [
        user
        for chunk in _chunks(users)
        for user in manager.filter(pk__in=[user.pk for user in chunk])
    ]


def _complete(targets: Sequence[Target], using: str) -> list[Target]:
    """With the ids that the mirror knows: Polar's id makes the deletion safe to repeat."""
    live = Customer.objects.using(using).live()
    unknown = {t.external_id for t in targets if t.customer_id is None}
    unnamed = {t.customer_id for t in targets if t.customer_id and t.external_id is None}
    found: dict[str | UUID | None, list[Target]] = defaultdict(list)
    if unknown:
        for row in live.filter(external_id__in=unknown).values_list("external_id", "pk"):
            found[row[0]].append(Target(*row))
    if unnamed:
        for row in live.filter(pk__in=unnamed).values_list("external_id", "pk"):
            found[row[1]].append(Target(*row))
    completed: dict[Target, None] = {}
    for target in targets:
        key = target.external_id if target.customer_id is None else target.customer_id
        completed.update(dict.fromkeys(found.get(key) or [target]))
    return list(completed)


def _queue(
    targets: Sequence[Target], *, anonymize: bool, reason: str, using: str
) -> list[CustomerDeletion]:
    # One that was tried may have found another customer behind the same external id.
    untried = CustomerDeletion.objects.using(using).open().filter(attempts=0, anonymize=anonymize)
    waiting = {
        Target(row.external_id, row.customer_id): row
        for row in untried.filter(
            Q(external_id__in=[target.external_id for target in targets])
            | Q(customer_id__in=[target.customer_id for target in targets])
        )
    }
    new = {
        target: CustomerDeletion(
            external_id=target.external_id,
            customer_id=target.customer_id,
            anonymize=anonymize,
            reason=reason,
        )
        for target in targets
        if target not in waiting
    }
    CustomerDeletion.objects.using(using).bulk_create(new.values())
    return [new.get(target) or waiting[target] for target in targets]


def _forget(targets: Sequence[Target], *, using: str) -> None:
    """Forget these customers: the mirror row but for its ids and dates, all of their state and
    balances, and the stored webhook bodies about them.

    The rows count as deleted from now on, so that a sync that runs before Polar has heard of it
    does not bring the person back.
    """
    # Not before it is needed: the tables of the upsert come with the payloads.
    from .mirror import mark_deleted  # noqa: PLC0415

    ids = [target.customer_id for target in targets if target.customer_id is not None]
    external_ids = [target.external_id for target in targets if target.external_id]
    now = timezone.now()
    if ids:
        mark_deleted(ids, deleted_at=now)
    # An event without a body cannot be applied any more; about a deleted customer it need not be.
    events = WebhookEvent.objects.using(using).filter(
        Q(customer_id__in=ids) | Q(external_id__in=external_ids)
    )
    events.filter(Q(body__isnull=False) | Q(done_at=None)).update(
        body=None,
        unsent=[],
        external_id=None,
        failed_at=None,
        done_at=Coalesce("done_at", now),
    )


def _chunks(items: Iterable[Any]) -> Iterator[list[Any]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk
