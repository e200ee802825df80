"""Tell whoever listens that a queue has work, once what was queued is committed.

The work itself is rows in the database; a nudge that is lost costs time and nothing else. Knows
nothing of Celery: ``receivers`` passes nudges on to it.
"""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING

from django.db import connections, transaction

from django_polar.models import work_queued

if TYPE_CHECKING:
    from collections.abc import Callable


def nudge(queue: str, *, using: str) -> None:
    """Send ``work_queued`` after the commit, once per transaction however much was queued.

    One that waits already is enough: a savepoint whose rollback would take it away is one that
    the caller is in, too.
    """
    send = _sender(queue)
    if not any(waiting[1] is send for waiting in connections[using].run_on_commit):
        transaction.on_commit(send, using=using)


@cache
def _sender(queue: str) -> Callable[[], None]:
    return partial(_send, queue)


def _send(queue: str) -> None:
    work_queued.send(sender=None, queue=queue)
