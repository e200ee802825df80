"""What ``django.setup()`` costs in processor time and memory, with the app and without.

A start-up is in the midst of Python's garbage collections: of the youngest objects every 700, of
all there are, Django's too, every 90,000 or so. Where such a full one falls depends on what the
project has imported before, and it alone takes longer than all that is of ours. So the processes
begin at places that are spread evenly from one full collection to the next, by letting that many
young ones happen beforehand, and what full collections take is averaged over them: the figure is
what is to be expected, not the luck of one place.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
from typing import NamedTuple

from .timing import ROUNDS

# The time before is the interpreter's own and Django's command line, which every project has.
_PROBE = """
import gc, json, resource, sys, time
import django.core.management

for _ in range(int(sys.argv[1])):
    # One young collection. A few lists are taken from a store, which does not count.
    [[] for _ in range(gc.get_threshold()[0] * 3 // 2)]

full = 0
def watch(phase, info):
    global full
    if info["generation"] == 2:
        full += time.process_time() * (1 if phase == "stop" else -1)
gc.callbacks.append(watch)

start = time.process_time()
django.setup()
seconds = time.process_time() - start
with open("/proc/self/statm") as statm:
    pages = int(statm.read().split()[1])
print(json.dumps([(seconds - full) * 1000, full * 1000, pages * resource.getpagesize() / 2**20]))
"""


class Start(NamedTuple):
    """One ``django.setup()``."""

    ms: float
    """Without the full collections."""
    full_collections_ms: float
    mb: float


def _start(apps: str, byte_code: str, young_collections: int = 0) -> Start:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "bench.settings",
        "BENCH_APPS": apps,
        "BENCH_DATABASE": "sqlite",
        "PYTHONPYCACHEPREFIX": byte_code,
        "PYTHONDONTWRITEBYTECODE": "",
    }
    output = subprocess.run(
        [sys.executable, "-c", _PROBE, str(young_collections)],
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    return Start(*json.loads(output))


def _young_collections_between_full_ones() -> int:
    _, middle, oldest = gc.get_threshold()
    return (middle + 2) * (oldest + 1) + 1


def measure() -> dict[str, float]:
    """Differences between neighbours in time: medians, and of full collections the mean."""
    count = 18 * ROUNDS  # two starts are several milliseconds apart, ours or not
    cycle = _young_collections_between_full_ones()
    with tempfile.TemporaryDirectory() as byte_code:
        _start("django_polar", byte_code)  # the first one compiles
        pairs = [
            tuple(_start(apps, byte_code, number * cycle // count) for apps in ("", "django_polar"))
            for number in range(count)
        ]
    full_collections = statistics.mean(
        ours.full_collections_ms - bare.full_collections_ms for bare, ours in pairs
    )
    return {
        "import_ms": statistics.median(ours.ms - bare.ms for bare, ours in pairs)
        + full_collections,
        "import_mb": statistics.median(ours.mb - bare.mb for bare, ours in pairs),
    }


def main() -> None:
    sys.stdout.write(json.dumps(measure()))


if __name__ == "__main__":
    main()
