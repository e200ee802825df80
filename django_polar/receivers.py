"""What we hear from Django: users that come, change and go. Queues work and does none of it.

Every start-up loads this, so what a receiver needs is imported when it hears something.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db.models.signals import post_save, pre_save

from .models import users_deleted, work_queued
from .signals import customer_state_stale

if TYPE_CHECKING:
    from collections.abc import Sequence


_BEFORE = "_polar_fields_before"


def connect() -> None:
    """Start listening; called once, when all models are known."""
    users_deleted.connect(request_deletions, dispatch_uid="django_polar.request_deletions")
    work_queued.connect(enqueue, dispatch_uid="django_polar.enqueue")
    customer_state_stale.connect(refresh, dispatch_uid="django_polar.refresh")
    user_model = get_user_model()
    for model in apps.get_models():
        # Proxies and children of the user model send signals under their own names.
        if issubclass(model, user_model):
            uid = f"django_polar.{model._meta.label}"
            pre_save.connect(remember_fields, sender=model, dispatch_uid=uid)
            post_save.connect(request_push, sender=model, dispatch_uid=uid)


def request_deletions(users: Sequence[Any], using: str, **_: Any) -> None:
    """In the transaction that deletes the users: both happen, or neither."""
    from .conf import settings  # noqa: PLC0415 - on use
    from .services import outbox  # noqa: PLC0415 - on use

    if settings.delete_on_user_deletion:
        outbox.request_deletion_of_users(users, using=using)


def remember_fields(instance: Any, using: str, *, raw: bool = False, **_: Any) -> None:
    """What Polar was told of the user before this change."""
    from .conf import settings  # noqa: PLC0415 - on use
    from .services import outbox  # noqa: PLC0415 - on use

    is_new = instance._state.adding  # noqa: SLF001 - documented by Django
    if raw or is_new or not settings.update_on_user_change:
        return
    instance.__dict__[_BEFORE] = outbox.read_stored_fields(instance, using=using)


def request_push(
    instance: Any,
    created: bool,  # noqa: FBT001 - Django's signature
    using: str,
    *,
    raw: bool = False,
    **_: Any,
) -> None:
    """Nothing that goes wrong with Polar gets into the way of saving a user."""
    from .conf import settings  # noqa: PLC0415 - on use
    from .services import outbox  # noqa: PLC0415 - on use

    before = instance.__dict__.pop(_BEFORE, None)
    if raw:
        return
    if created and settings.create_on_user_creation:
        outbox.request_creation(instance, using=using)
    elif before is not None:
        outbox.request_update(instance, before, using=using)


def enqueue(queue: str, **_: Any) -> None:
    """Pass a nudge on to Celery, in projects that use it: their app has imported it by now."""
    if "celery" in sys.modules:
        from . import tasks  # noqa: PLC0415 - importing Celery takes a fifth of a second

        tasks.enqueue(queue)


def refresh(external_id: str, **_: Any) -> None:
    """Have a stale state fetched in the background, in projects that use Celery."""
    if "celery" in sys.modules:
        from . import tasks  # noqa: PLC0415 - as above

        tasks.enqueue("sync_customer", external_id)
