"""``manage.py polar_process_queues``: what Celery's workers do, without Celery."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, InterfaceError, close_old_connections, reset_queries

from django_polar.exceptions import ConfigurationError
from django_polar.management.interruption import on_stop_signals

if TYPE_CHECKING:
    from argparse import ArgumentParser

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = (
        "Send what waits for Polar (deletions, creations, updates) and apply the webhooks that"
        " were received. Any number of these may run, beside Celery too."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--loop",
            action="store_true",
            help="Go on until SIGTERM or SIGINT, finishing what was begun.",
        )
        parser.add_argument(
            "--interval",
            type=float,
            default=5.0,
            help="Seconds of rest between two rounds of --loop (default: 5).",
        )

    def handle(self, *, loop: bool, interval: float, **_: Any) -> None:
        stopped = threading.Event()
        with on_stop_signals(lambda _: stopped.set()):
            while True:
                try:
                    done = process_queues(stopped)
                except (DatabaseError, InterfaceError) as error:
                    if not loop:
                        raise
                    logger.warning("The database is away (%s)", type(error).__name__)
                    done = {}
                except ConfigurationError as error:
                    raise CommandError(str(error), returncode=2) from error
                if any(done.values()) or not loop:
                    counts = ", ".join(f"{count} {name}" for name, count in done.items())
                    self.stdout.write(f"done: {counts}")
                if not loop or stopped.wait(interval):
                    return
                # A loop is no request, which is when Django does these.
                close_old_connections()
                reset_queries()


def process_queues(stopped: threading.Event) -> dict[str, int]:
    """One round over all queues. How many rows of each are done now."""
    from django_polar.client import polar_client  # noqa: PLC0415 - httpx is loaded on use
    from django_polar.services import send_due_deletions, send_due_pushes  # noqa: PLC0415 - too
    from django_polar.services.webhooks import (  # noqa: PLC0415 - too
        apply_due_events,
        prune_events,
    )

    # Before a client is made: these need no token.
    events = apply_due_events(should_stop=stopped.is_set)
    prune_events()
    with polar_client() as client:
        return {
            "events": events,
            "deletions": send_due_deletions(client, should_stop=stopped.is_set),
            "pushes": send_due_pushes(client, should_stop=stopped.is_set),
        }
