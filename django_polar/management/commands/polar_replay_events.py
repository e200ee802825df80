"""``manage.py polar_replay_events``: after an outage, what Polar could not deliver."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from django_polar.exceptions import PolarError

if TYPE_CHECKING:
    from argparse import ArgumentParser

_WRONG_SINCE: Final = "--since: use a date, a time such as 2026-11-20T10:00, or days such as 3d"


class Command(BaseCommand):
    help = "Fetch the webhook events that Polar failed to deliver, and apply them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--since",
            required=True,
            help="A date, a time (in the project's time zone unless it says otherwise), or how"
            " long ago: 3d, 12h, 30m.",
        )

    def handle(self, *, since: str, **_: Any) -> None:
        from django_polar.client import polar_client  # noqa: PLC0415 - httpx is loaded on use
        from django_polar.services.replay import replay_events  # noqa: PLC0415 - too
        from django_polar.services.webhooks import apply_due_events  # noqa: PLC0415 - too

        moment = parse_since(since)
        try:
            with polar_client(bulk=True) as client:
                replay = replay_events(client, since=moment)
                applied = apply_due_events(client)
        except PolarError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"{replay.stored} new events, {replay.known} known already; {applied} applied."
        )
        if replay.lost:
            self.stdout.write(
                f"{replay.lost} events cannot be had any more: run polar_sync_customers."
            )


def parse_since(text: str) -> datetime:
    """When that was, with an offset."""
    units = {"d": "days", "h": "hours", "m": "minutes"}
    if text[:-1].isdigit() and text[-1] in units:
        return datetime.now(UTC) - timedelta(**{units[text[-1]]: int(text[:-1])})
    try:
        moment = parse_datetime(text)
    except ValueError as error:
        raise CommandError(_WRONG_SINCE) from error
    if moment is None:
        raise CommandError(_WRONG_SINCE)
    return moment if moment.tzinfo else timezone.make_aware(moment)
