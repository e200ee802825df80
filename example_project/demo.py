"""``make demo`` and ``make serve``: a fake Polar, the main job, and a report that was checked.

With ``POLAR_ACCESS_TOKEN`` set, the real Polar is mirrored instead.
"""

from __future__ import annotations

import argparse
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
DEMO_DIR = HERE.parent / "demo"
MANAGE = str(HERE / "manage.py")
CUSTOMERS = 2500
USERS = 1000
UNKNOWN_BENEFIT = "teleportation"  # no release of Polar has it; the fake one does
STARTING_SECONDS = 60
PASSWORD = "demo"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", action="store_true", help="leave it running with the admin")
    parser.add_argument("--port", type=int, default=8000, help="of the site, if it is free")
    options = parser.parse_args()
    # All unwind as Ctrl-C does, so that the servers are stopped with us.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"
    try:
        if os.environ.get("POLAR_ACCESS_TOKEN"):
            return run(options, fake=False)
        with fake_polar() as (base_url, token):
            os.environ |= {"POLAR_BASE_URL": base_url, "POLAR_ACCESS_TOKEN": token}
            return run(options, fake=True)
    except KeyboardInterrupt:
        say("Stopped.")
        return 0
    except Failed as failed:
        sys.stderr.write(f"{failed}\n")
        return 1


class Failed(Exception):  # noqa: N818 - what happened, not what class of thing it is
    """The demo did not show what it is there to show."""


def run(options: argparse.Namespace, *, fake: bool) -> int:
    make_database()
    if fake:
        make_users()
    say(
        f"A fake Polar with {CUSTOMERS:,} customers answers at {os.environ['POLAR_BASE_URL']};"
        f" this project has {USERS:,} users.\n"
        if fake
        else "Mirroring the Polar that POLAR_ACCESS_TOKEN belongs to.\n"
    )
    first = sync("The first sync mirrors everything.")
    second = sync("The second one finds everything unchanged.")
    say("A dry run looks for drift.\n$ manage.py polar_sync_customers --dry-run")
    # At the real Polar somebody may have bought something in the meantime.
    manage("polar_sync_customers", "--dry-run", may_end_with=(0,) if fake else (0, 1))
    say("")
    if fake:
        check_counts(first, second)
        check_truth()
    if options.serve:
        serve(options.port)
    return 0


def make_database() -> None:
    shutil.rmtree(DEMO_DIR, ignore_errors=True)
    DEMO_DIR.mkdir()
    manage("migrate", "--verbosity", "0")
    sys.path.insert(0, str(HERE))
    import django  # noqa: PLC0415 - needs the address of the fake Polar in the environment

    django.setup()


def make_users() -> None:
    """The fake Polar's external ids are 1, 2, 3, …: so these users are customers already."""
    from django.contrib.auth import get_user_model  # noqa: PLC0415 - needs the set-up
    from django.contrib.auth.hashers import make_password  # noqa: PLC0415 - with it

    password = make_password(PASSWORD)
    user_model = get_user_model()
    user_model.objects.bulk_create(
        user_model(
            pk=number,
            username=f"user{number}",
            email=f"customer-{number}@acme-mail.dev",
            password=password,
        )
        for number in range(1, USERS + 1)
    )


def sync(title: str) -> dict[str, Any]:
    """Run the main job as a person would, and give what the same run recorded of itself."""
    say(f"{title}\n$ manage.py polar_sync_customers")
    manage("polar_sync_customers")
    say("")
    from django_polar.models import SyncRun  # noqa: PLC0415 - needs the set-up

    latest = SyncRun.objects.latest()
    return {"outcome": latest.outcome, "linked": latest.linked, **latest.counts}


def check_counts(first: dict[str, Any], second: dict[str, Any]) -> None:
    expect(first["outcome"] == second["outcome"] == "complete", "a sync was not complete")
    expect(first["customers"]["created"] == CUSTOMERS, "the first sync did not create everybody")
    for kind in ("customers", "subscriptions", "benefits", "meters"):
        counts = second[kind]
        written = counts["created"] + counts["updated"] + counts["deleted"]
        expect(counts["seen"] > 0 and not written, f"the second sync changed {kind}")


def check_truth() -> None:
    from django.db.models import Count  # noqa: PLC0415 - needs the set-up
    from truth import compare  # noqa: PLC0415 - with it

    from django_polar.models import Customer  # noqa: PLC0415 - with it

    started = time.monotonic()
    result = compare(os.environ["POLAR_BASE_URL"], os.environ["POLAR_ACCESS_TOKEN"])
    if result.differences:
        shown = "\n  ".join(result.differences[:10])
        raise Failed(f"The mirror differs in {len(result.differences)} places:\n  {shown}")
    linked = Customer.objects.live().linked()
    wrong = sum(str(customer.user_id) != customer.external_id for customer in linked)
    expect(not wrong, f"{wrong} customers belong to the wrong user")
    say(
        f"Checked against Polar in {time.monotonic() - started:.1f} s:"
        " every field of every customer's state is the same."
    )
    live = Customer.objects.live()
    ties = live.values("created_at").annotate(n=Count("pk")).filter(n__gt=1)
    numbered = live.filter(external_id__regex=r"^[0-9]+$")
    rows = [
        ("customers", result.customers, f"{linked.count():,} are users of this project"),
        ("active subscriptions", result.parts["active_subscriptions"], ""),
        ("granted benefits", result.parts["granted_benefits"], ""),
        ("meters", result.parts["active_meters"], ""),
        ("archived meters", result.archived_meters, "left out: in Polar's states, in no list"),
        ("of an unknown type", live.with_benefit(type=UNKNOWN_BENEFIT).count(), "customers"),
        ("teams without email", live.filter(type="team", email=None).count(), ""),
        ("odd external ids", live.exclude(external_id=None).count() - numbered.count(), ""),
        ("ties", ties.count(), "moments at which several customers were created"),
    ]
    for name, number, remark in rows:
        say(f"  {name:<21}{number:>6,}  {remark}".rstrip())
    say(f"\nThe mirror is {DEMO_DIR / 'db.sqlite3'}; `make serve` shows it in the admin.")


def serve(port: int) -> None:
    """The site with its admin, until Ctrl-C."""
    from django.contrib.auth import get_user_model  # noqa: PLC0415 - needs the set-up

    from django_polar.models import Customer  # noqa: PLC0415 - with it

    get_user_model().objects.create_superuser("admin", "admin@example.com", PASSWORD)
    buyer = Customer.objects.linked().with_active_subscription().with_benefit().first()
    address = f"127.0.0.1:{free_port(port)}"
    command = [sys.executable, MANAGE, "runserver", "--noreload", address]
    with started(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        wait_until_open(address, server)
        say(f"\nThe shop:  http://{address}/")
        say(f"The admin: http://{address}/admin/  sign in as admin, password {PASSWORD}")
        if buyer:
            say(f"Somebody who subscribed: {buyer.user.username}, password {PASSWORD}")
        say("Ctrl-C stops it.")
        server.wait()
    raise Failed("The site stopped by itself.")


@contextmanager
def fake_polar() -> Iterator[tuple[str, str]]:
    """Base URL and token of a fake Polar in a process of its own."""
    command = [sys.executable, MANAGE, "polar_fake_server", "--customers", str(CUSTOMERS)]
    with started(command, stdout=subprocess.PIPE, text=True) as server:
        ready, _, _ = select.select([server.stdout], [], [], STARTING_SECONDS)
        words = server.stdout.readline().split() if ready else []
        try:
            base_url, token = words
        except ValueError:
            raise Failed("The fake Polar did not start.") from None
        yield base_url, token


@contextmanager
def started(command: list[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """A process that is stopped, by its own id, when the block ends."""
    # In a session of its own, so that Ctrl-C reaches us alone and we stop it in order.
    process = subprocess.Popen(command, start_new_session=True, **options)  # noqa: S603 - ours
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_open(address: str, server: subprocess.Popen[Any]) -> None:
    host, _, port = address.partition(":")
    deadline = time.monotonic() + STARTING_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise Failed("The site did not start.")


def free_port(wanted: int) -> int:
    """``wanted``, or another one when somebody has it."""
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind(("127.0.0.1", wanted))
        except OSError:
            candidate.bind(("127.0.0.1", 0))
        port: int = candidate.getsockname()[1]
    return port


def manage(*arguments: str, may_end_with: tuple[int, ...] = (0,)) -> None:
    """Run a management command as a person would, its output shown."""
    status = subprocess.run([sys.executable, MANAGE, *arguments], check=False).returncode  # noqa: S603 - ours
    expect(status in may_end_with, f"manage.py {' '.join(arguments)} ended with {status}")


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def expect(condition: bool, otherwise: str) -> None:  # noqa: FBT001 - as assert
    if not condition:
        raise Failed(f"The demo failed: {otherwise}.")


if __name__ == "__main__":
    sys.exit(main())
