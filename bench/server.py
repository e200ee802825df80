"""A fake Polar in a process of its own, so that its memory and its time are not ours.

``python -m bench.server CUSTOMERS LATENCY`` prints its address and a token as one line of JSON
and serves until its standard input is closed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from django_polar.testing import FakePolar

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def fake_polar(customers: int, *, latency: float = 0.0) -> Iterator[dict[str, str]]:
    """The environment that ``bench.settings`` finds it by."""
    with subprocess.Popen(
        [sys.executable, "-m", "bench.server", str(customers), str(latency)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the fake Polar has no pipes")
        try:
            where = json.loads(process.stdout.readline())
            yield {"BENCH_BASE_URL": where["url"], "BENCH_TOKEN": where["token"]}
        finally:
            process.stdin.close()
            process.wait(timeout=10)


def main(customers: int, latency: float) -> None:
    polar = FakePolar()
    polar.stable = True
    polar.seed_world(customers, granted=0.6, subscribed=0.3, metered=0.3, deleted=0)
    with polar.serve() as url:
        polar.latency = latency
        sys.stdout.write(json.dumps({"url": url, "token": polar.token}) + "\n")
        sys.stdout.flush()
        sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
