"""Taking turns: every contender once a round, so that a busy machine is busy for all of them."""

from __future__ import annotations

import gc
import os
import statistics
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROUNDS = 3 if os.environ.get("BENCH_QUICK") == "1" else 5


class Contender(NamedTuple):
    """Something to time. ``prepare`` is not timed; ``units`` is how many customers it does."""

    run: Callable[[], object]
    units: int
    prepare: Callable[[], object] = lambda: None


def time_in_turns(
    contenders: Mapping[str, Contender], rounds: int = ROUNDS
) -> dict[str, list[float]]:
    """Microseconds per unit, one figure for each round, after one round that does not count."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, contender in contenders.items():
            contender.prepare()
            gc.collect()
            start = time.perf_counter()
            contender.run()
            seconds = time.perf_counter() - start
            if number:
                times[name].append(seconds / contender.units * 1_000_000)
    return times


def medians(times: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in times.items()}
