"""Celery's way in. Tasks call services, and take and return JSON."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import Any, Final

from celery import current_app, shared_task

from .client import polar_client
from .exceptions import SyncInProgressError
from .services import customers, deletions, fetching, pushes, sync, webhooks

logger = logging.getLogger(__name__)

BROKER_TIMEOUT: Final = timedelta(seconds=1)
"""A nudge is sent in somebody's request, and nothing depends on it."""

_BROKER_REST: Final = timedelta(seconds=30)
_broker_rests_until = 0.0


@shared_task(name="django_polar.send_due_deletions", ignore_result=True)
def send_due_deletions() -> int:
    """Work through the outbox of deletions; how many are done now."""
    with polar_client() as client:
        return deletions.send_due_deletions(client)


@shared_task(name="django_polar.send_due_pushes", ignore_result=True)
def send_due_pushes() -> int:
    """Work through the outbox of creations and updates; how many are done now."""
    with polar_client() as client:
        return pushes.send_due_pushes(client)


@shared_task(name="django_polar.sync_customer", ignore_result=True)
def sync_customer(external_id: str) -> bool:
    """Mirror one customer as Polar has it now; whether Polar has it."""
    return customers.sync_customer(external_id) is not None


@shared_task(name="django_polar.sync_customers", ignore_result=True)
def sync_customers(*, resume: bool = True) -> dict[str, Any]:
    """The full sync, going on with one that was killed. The summary, as ``--json`` prints it."""
    try:
        return sync.sync_customers(resume=resume).as_dict()
    except SyncInProgressError as error:
        # Beat is allowed to be faster than Polar.
        logger.info("%s", error)
        return {"outcome": "in_progress"}


@shared_task(name="django_polar.apply_due_events", ignore_result=True)
def apply_due_events() -> int:
    """Work through the inbox, and settle doubts about states; how many events are applied now."""
    return webhooks.apply_due_events()


@shared_task(name="django_polar.prune_events", ignore_result=True)
def prune_events() -> int:
    """Forget the bodies of old events; how many."""
    return webhooks.prune_events()


@shared_task(name="django_polar.fetch_customers", ignore_result=True)
def fetch_customers(ids: list[str], what: str) -> dict[str, Any]:
    """Fetch ``sync``, ``state`` or ``balance`` of these customers, by Polar's ids."""
    with polar_client(bulk=True) as client:
        fetched = fetching.fetch_customers(ids, fetching.Fetch(what), client=client)
    for error, count in fetched.errors.items():
        logger.warning("fetching %s of %d customers failed: %s", what, count, error)
    return {"done": fetched.done, "gone": fetched.gone, "left": fetched.left}


def enqueue(name: str, *args: Any) -> bool:
    """Have a worker run ``django_polar.<name>`` soon. Returns whether the broker took it.

    Never raises and never waits for long. The work is rows in the database, so that beat or
    ``polar_process_queues`` finds it when the broker does not.
    """
    global _broker_rests_until  # noqa: PLW0603 - one broker per process
    task = current_app.tasks[f"django_polar.{name}"]
    if not current_app.conf.task_always_eager:
        if not current_app.conf.broker_write_url:
            return False
        if time.monotonic() < _broker_rests_until:
            return False
    try:
        _publish(task, args)
    except Exception as error:  # noqa: BLE001 - whatever a broker's driver raises
        _broker_rests_until = time.monotonic() + _BROKER_REST.total_seconds()
        logger.warning(
            "%s was not enqueued, the broker does not answer (%s); the work stays in the database",
            task.name,
            type(error).__name__,
        )
        return False
    return True


def find_broker_problem() -> str | None:
    """Why the broker would not take a task now, or ``None``."""
    if not current_app.conf.broker_write_url:
        return "Celery has no broker"
    try:
        with _connect() as connection:
            connection.ensure_connection(max_retries=1, timeout=BROKER_TIMEOUT.total_seconds())
    except Exception as error:  # noqa: BLE001 - whatever a broker's driver raises
        return f"it does not answer ({type(error).__name__})"
    return None


def _publish(task: Any, args: tuple[Any, ...]) -> None:
    if current_app.conf.task_always_eager:
        task.apply_async(args)
        return
    with _connect() as connection:
        task.apply_async(args, connection=connection, retry=False, ignore_result=True)


def _connect() -> Any:
    """A connection of its own: those of Celery's pool retry for seconds before they give up."""
    seconds = BROKER_TIMEOUT.total_seconds()
    return current_app.connection_for_write(
        connect_timeout=seconds,
        transport_options={
            **current_app.conf.broker_transport_options,
            "max_retries": 0,
            "socket_connect_timeout": seconds,
            "socket_timeout": seconds,
        },
    )
