"""What ``django.setup()`` costs in processor time and memory, with the app and without."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile

from .timing import ROUNDS

# The time before is the interpreter's own and Django's command line, which every project has.
_PROBE = """
import json, resource, time
import django.core.management
start = time.process_time()
django.setup()
seconds = time.process_time() - start
with open("/proc/self/statm") as statm:
    pages = int(statm.read().split()[1])
print(json.dumps([seconds * 1000, pages * resource.getpagesize() / 2**20]))
"""


def _probe(apps: str, byte_code: str) -> tuple[float, float]:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "bench.settings",
        "BENCH_APPS": apps,
        "BENCH_DATABASE": "sqlite",
        "PYTHONPYCACHEPREFIX": byte_code,
        "PYTHONDONTWRITEBYTECODE": "",
    }
    output = subprocess.run(
        [sys.executable, "-c", _PROBE], env=environment, check=True, stdout=subprocess.PIPE
    ).stdout
    milliseconds, megabytes = json.loads(output)
    return milliseconds, megabytes


def measure() -> dict[str, float]:
    """Medians of the differences between neighbours in time."""
    with tempfile.TemporaryDirectory() as byte_code:
        _probe("django_polar", byte_code)  # the first one compiles
        pairs = [
            (_probe("", byte_code), _probe("django_polar", byte_code)) for _ in range(3 * ROUNDS)
        ]
    return {
        "import_ms": statistics.median(ours[0] - bare[0] for bare, ours in pairs),
        "import_mb": statistics.median(ours[1] - bare[1] for bare, ours in pairs),
    }


def main() -> None:
    sys.stdout.write(json.dumps(measure()))


if __name__ == "__main__":
    main()
