"""Deliveries accepted per second, and how long the slowest take: ours beside dj-stripe's view.

Through gunicorn with two workers, into PostgreSQL; bodies of equal length, each signed as its
service signs, turn by turn in one server.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from .databases import fresh_database, is_reachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Delivery = tuple[str, bytes, dict[str, str]]

WORKERS = 2
SENDERS = 8
DELIVERIES = 400
ROUNDS = 3 if os.environ.get("BENCH_QUICK") == "1" else 5
STRIPE_SECRET = "whsec_made_up_for_measurements"  # noqa: S105
BODY_BYTES = 2500


def run() -> dict[str, Any]:
    """``accepted_per_second`` and ``p99_ms`` of both, and by how much ours is faster."""
    if not is_reachable("postgresql"):
        return {"left_out": "PostgreSQL is not reachable"}
    with fresh_database("postgresql") as database:
        environment = {
            **os.environ,
            **database,
            "BENCH_APPS": "django_polar djstripe",
            "DJANGO_SETTINGS_MODULE": "bench.webhook_settings",
        }
        made = subprocess.run(
            [sys.executable, "-m", "bench.webhooks"],
            env=environment,
            stdout=subprocess.PIPE,
            check=True,
        )
        endpoint = json.loads(made.stdout.decode().splitlines()[-1])
        makers: dict[str, Callable[[], Delivery]] = {
            "ours": _polar_delivery,
            "djstripe": lambda: _stripe_delivery(endpoint),
        }
        with _server(environment) as port:
            figures = _measure(port, makers)
    return {
        **figures,
        "ratio": figures["accepted_per_second"]["ours"]
        / figures["accepted_per_second"]["djstripe"],
        "bytes": BODY_BYTES,
        "workers": WORKERS,
    }


def _measure(port: int, makers: dict[str, Callable[[], Delivery]]) -> dict[str, Any]:
    rates: dict[str, list[float]] = {name: [] for name in makers}
    latencies: dict[str, list[float]] = {name: [] for name in makers}
    for number in range(ROUNDS + 1):
        for name, make in makers.items():
            deliveries = [make() for _ in range(DELIVERIES)]
            start = time.perf_counter()
            with ThreadPoolExecutor(SENDERS) as pool:
                times = list(pool.map(lambda delivery: _post(port, delivery), deliveries))
            seconds = time.perf_counter() - start
            if number:
                rates[name].append(len(deliveries) / seconds)
                latencies[name] += times
    return {
        "accepted_per_second": {name: statistics.median(found) for name, found in rates.items()},
        "p99_ms": {
            name: statistics.quantiles(found, n=100)[98] * 1000 for name, found in latencies.items()
        },
    }


def _post(port: int, delivery: Delivery) -> float:
    """Seconds until the answer was there."""
    path, body, headers = delivery
    start = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", path, body, {**headers, "Content-Type": "application/json"})
    response = connection.getresponse()
    response.read()
    connection.close()
    if response.status not in (200, 202):
        raise RuntimeError(f"{path} answered {response.status}")
    return time.perf_counter() - start


def _polar_delivery() -> Delivery:
    from django_polar.signatures import sign

    from .webhook_settings import POLAR_WEBHOOK_SECRET

    now = datetime.now(UTC)
    body = _padded(
        {
            "type": "customer.updated",
            "timestamp": now.isoformat(),
            "data": {"id": str(uuid4()), "external_id": str(uuid4())},
        }
    )
    event_id = str(uuid4())
    headers = {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": sign(
            body, message_id=event_id, timestamp=now, secret=POLAR_WEBHOOK_SECRET
        ),
    }
    return "/polar/webhook/", body, headers


def _stripe_delivery(endpoint: str) -> Delivery:
    moment = int(time.time())
    body = _padded(
        {
            "id": f"evt_{uuid4().hex}",
            "object": "event",
            "type": "customer.updated",
            "created": moment,
            "livemode": False,
            "data": {"object": {"id": f"cus_{uuid4().hex[:14]}", "object": "customer"}},
        }
    )
    signed = f"{moment}.".encode() + body
    signature = hmac.new(STRIPE_SECRET.encode(), signed, hashlib.sha256).hexdigest()
    return f"/stripe/webhook/{endpoint}/", body, {"Stripe-Signature": f"t={moment},v1={signature}"}


def _padded(envelope: dict[str, Any]) -> bytes:
    """Each as long as a customer's changed state usually is."""
    missing = BODY_BYTES - len(json.dumps({**envelope, "padding": ""}, separators=(",", ":")))
    return json.dumps({**envelope, "padding": "x" * missing}, separators=(",", ":")).encode()


@contextmanager
def _server(environment: dict[str, str]) -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    command = [
        *(sys.executable, "-m", "gunicorn", "django.core.wsgi:get_wsgi_application()"),
        *("--workers", str(WORKERS), "--bind", f"127.0.0.1:{port}", "--log-level", "warning"),
    ]
    with subprocess.Popen(command, env=environment) as process:
        try:
            _wait_for(port, process)
            yield port
        finally:
            process.terminate()
            process.wait(timeout=20)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("gunicorn did not start")


def main() -> None:
    """Make the tables and dj-stripe's endpoint, and print its id."""
    import django
    from django.core.management import call_command

    django.setup()
    # Apps without migrations come first otherwise, and dj-stripe's tables refer to the users.
    call_command("migrate", "auth", verbosity=0)
    call_command("migrate", run_syncdb=True, verbosity=0)
    from djstripe.models import WebhookEndpoint

    endpoint = WebhookEndpoint.objects.create(
        id="we_made_up",
        livemode=False,
        secret=STRIPE_SECRET,
        url="https://example.com/stripe/webhook/",
        enabled_events=["*"],
        status="enabled",
        api_version="2020-08-27",
    )
    sys.stdout.write(json.dumps(str(endpoint.djstripe_uuid)) + "\n")


if __name__ == "__main__":
    main()
