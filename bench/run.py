"""Prints the figures as one JSON object on standard output; what it is doing on standard error.

Every measurement is a process of its own, so that none inherits another's memory or imports.
``--only`` takes the keys of the result; ``--quick`` is for trying out: fewer rounds and customers.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.databases import fresh_database, is_reachable  # noqa: E402
from bench.server import fake_polar  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

Result = dict[str, Any]

BUDGET = 2000
"""Requests a minute, for the end-to-end time."""

LATENCY = 0.3

FEW_RUNS, MANY_RUNS = 3, 2


class Bench:
    """What is measured, each a method; ``groups`` says which keys come from which."""

    def __init__(self, databases: list[str], *, quick: bool) -> None:
        self.databases = databases
        self.quick = quick
        self.groups: list[tuple[tuple[str, ...], Callable[[], Result]]] = [
            (("decode_us",), lambda: self._run("decoding")),
            (("import_ms", "import_mb"), lambda: self._run("startup")),
            (("client_vs_sdk",), lambda: self._run("client")),
            (("statements_per_page",), self._statements),
            (
                (
                    "first_sync_vs_djstripe",
                    "resync_vs_djstripe",
                    "first_sync_vs_naive",
                    "floor_ratio",
                ),
                self._upserts,
            ),
            (("scaling",), self._scaling),
            (("requests_ratio",), self._requests),
            (("end_to_end",), self._end_to_end),
            (("rss_growth_mb",), self._memory),
        ]
        for name in ("entitlements", "webhooks"):
            if importlib.util.find_spec(f"bench.{name}"):
                self.groups.append(((name,), lambda name=name: {name: self._run_other(name)}))

    def _run(self, module: str, *arguments: object, **environment: str) -> Result:
        output = subprocess.run(
            [sys.executable, "-m", f"bench.{module}", *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, "BENCH_QUICK": str(int(self.quick)), **environment},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        result: Result = json.loads(output)
        return result

    def _run_other(self, name: str) -> Any:
        """A module with a ``run()`` that returns what is to be printed, on SQLite."""
        code = f"import json; from bench.{name} import run; print(json.dumps(run()))"
        with fresh_database("sqlite") as database:
            output = subprocess.run(
                [sys.executable, "-c", code],
                cwd=ROOT,
                env={**os.environ, "BENCH_QUICK": str(int(self.quick)), **database},
                stdout=subprocess.PIPE,
                check=True,
            ).stdout
        # Whatever it printed before is progress.
        return json.loads(output.decode().strip().splitlines()[-1])

    def _on_each_database(self, module: str, *arguments: object, **environment: str) -> Result:
        """``{"key": {"sqlite": ..., "postgresql": ...}}``"""
        merged: Result = {}
        for kind in self.databases:
            with fresh_database(kind) as database:
                result = self._run(module, *arguments, **{**environment, **database})
            for key, value in result.items():
                merged.setdefault(key, {})[kind] = value
        return merged

    def _upserts(self) -> Result:
        return self._on_each_database("upserts", BENCH_APPS="django_polar djstripe")

    def _statements(self) -> Result:
        return self._on_each_database("counting")

    def _scaling(self) -> Result:
        few, many = (1_000, 10_000) if self.quick else (10_000, 100_000)
        return self._on_each_database("scaling", few, many)

    def _sync(
        self, customers: int, *, runs: int = 1, latency: float = 0.0, **environment: str
    ) -> list[Result]:
        with fake_polar(customers, latency=latency) as where:
            return self._sync_from(where, customers, runs=runs, **environment)

    def _sync_from(
        self, where: dict[str, str], customers: int, *, runs: int = 1, **environment: str
    ) -> list[Result]:
        with fresh_database("sqlite") as database:
            results = self._run("syncing", runs, **{**environment, **database, **where})
        for result in results:
            if result["outcome"] != "complete" or result["customers"] != customers:
                raise RuntimeError(f"the sync did not complete: {result}")
        return results  # type: ignore[return-value]

    def _requests(self) -> Result:
        customers = 1_000 if self.quick else 10_000
        first, again = self._sync(customers, runs=2)
        return {
            "requests_ratio": customers / first["requests"],
            "requests": {
                "customers": customers,
                "first": first["requests"],
                "again": again["requests"],
                "pages": first["pages"],
                "beyond_pages": first["requests"] - first["pages"],
            },
        }

    def _end_to_end(self) -> Result:
        customers = 1_000 if self.quick else 10_000
        (result,) = self._sync(customers, latency=LATENCY, BENCH_REQUESTS_PER_MINUTE=str(BUDGET))
        at_best = result["requests"] / BUDGET * 60
        return {
            "end_to_end": result["seconds"] / at_best,
            "end_to_end_seconds": {"sync": result["seconds"], "requests_by_budget": at_best},
        }

    def _memory(self) -> Result:
        """Medians: what a process gets from the system and does not give back differs from run
        to run. Three runs of the small size, and two of the great one, which take longest.
        """
        few, many = (1_000, 10_000) if self.quick else (10_000, 100_000)
        peaks: dict[str, list[float]] = {}
        with ExitStack() as stack:
            where = {size: stack.enter_context(fake_polar(size)) for size in (few, many)}
            for attempt in range(FEW_RUNS):
                for name, debug in (("plain", "0"), ("debug", "1")):
                    for customers in (few, many) if attempt < MANY_RUNS else (few,):
                        (result,) = self._sync_from(where[customers], customers, BENCH_DEBUG=debug)
                        peaks.setdefault(f"{name}_{customers}", []).append(result["peak_mb"])
        peak = {key: median(values) for key, values in peaks.items()}
        return {
            "rss_growth_mb": {
                name: peak[f"{name}_{many}"] - peak[f"{name}_{few}"] for name in ("plain", "debug")
            },
            "rss_peak_mb": peaks,
        }

    def measure(self, only: set[str]) -> Result:
        result: Result = {}
        for keys, work in self.groups:
            if only and not only.intersection(keys):
                continue
            _say(f"{', '.join(keys)} ...")
            start = time.monotonic()
            found = work()
            result.update(found)
            for key in keys:
                _say(f"  {key}: {json.dumps(_rounded(found[key]))}")
            _say(f"  {time.monotonic() - start:.0f} s")
        return result


def _machine() -> Result:
    model = ""
    with Path("/proc/cpuinfo").open() as cpuinfo:
        for line in cpuinfo:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": model or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(memory),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return round(value, 2) if isinstance(value, float) else value


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="keys of the result, separated by commas")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and customers")
    parser.add_argument("--mariadb", action="store_true", help="on MariaDB, too")
    options = parser.parse_args()
    wanted = ["sqlite", "postgresql", *(["mariadb"] if options.mariadb else [])]
    databases = [kind for kind in wanted if is_reachable(kind)]
    missing = [kind for kind in wanted if kind not in databases]
    if missing:
        _say(f"not reachable, so left out: {', '.join(missing)}")
    bench = Bench(databases, quick=options.quick)
    only = {key.strip() for key in options.only.split(",") if key.strip()}
    if unknown := only - {key for keys, _ in bench.groups for key in keys}:
        parser.error(f"no such keys: {', '.join(sorted(unknown))}")
    result = {
        "machine": _machine(),
        "databases": {"measured": databases, "not_reachable": missing},
        **bench.measure(only),
    }
    sys.stdout.write(json.dumps(_rounded(result), indent=2) + "\n")


if __name__ == "__main__":
    main()
