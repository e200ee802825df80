"""``manage.py polar_fake_server``: a fake Polar on 127.0.0.1, for demos and by hand."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand

from django_polar.testing.polar import FakePolar
from django_polar.testing.server import PolarServer

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

_DELIVERY_INTERVAL_SECONDS = 0.2


class Command(BaseCommand):
    help = "Run a fake Polar on 127.0.0.1 until interrupted; prints its base URL and a token."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=0, help="a free one by default")
        parser.add_argument("--customers", type=int, default=2500)
        parser.add_argument("--seed", type=int, default=1)
        parser.add_argument("--latency", type=float, default=0.0, help="seconds per request")
        parser.add_argument("--rate-limit", type=int, default=None, help="requests per minute")
        parser.add_argument("--webhook-url", default=None, help="where changes are delivered to")
        parser.add_argument("--webhook-secret", default="whsec_fake", help="what signs them")

    def handle(self, *_args: Any, **options: Any) -> None:
        polar = FakePolar(
            seed=options["seed"], rate_limit=options["rate_limit"], latency=options["latency"]
        )
        polar.seed_world(options["customers"], seed=options["seed"])
        url = options["webhook_url"]
        # Nobody would ever take the events out of the queue.
        polar.webhooks.recording = url is not None
        server = PolarServer(polar, options["port"])
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        thread = threading.Thread(target=server.run, name="fake-polar", daemon=True)
        thread.start()
        self.stdout.write(f"{server.base_url} {polar.token}")
        self.stdout.flush()
        while not stopping.wait(_DELIVERY_INTERVAL_SECONDS if url else None):
            if polar.deliveries:
                polar.deliver(url, secret=options["webhook_secret"])
        server.stop()
        thread.join()
