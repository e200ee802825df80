"""Lists as Polar answers them: filters, several sort keys, pages, and no tie-breaker."""

from __future__ import annotations

import itertools
import random
from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from django_polar.testing.builders import JSON

MAX_LIMIT = 100
_KEPT_ORDERS = 64


@dataclass(frozen=True, slots=True)
class Order:
    """Rows in their sorted order, and the runs of rows that the sort keys leave equal."""

    rows: list[JSON]
    ties: list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Page:
    rows: list[JSON]
    total_count: int
    max_page: int


def moment(value: str | None) -> str | None:
    """A timestamp as a text that sorts by time: Polar leaves out a fraction of zero."""
    return value if value is None or "." in value else f"{value[:-1]}.000000Z"


class Orders:
    """Sorted lists, kept until the world changes."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._requests = 0
        self._version = -1
        self._kept: OrderedDict[tuple[Any, ...], Order] = OrderedDict()

    def page(
        self,
        rows: Callable[[], Iterable[JSON]],
        *,
        keys: Sequence[tuple[Callable[[JSON], Any], bool]],
        cache_key: tuple[Any, ...],
        version: int,
        number: int,
        limit: int,
        stable: bool,
    ) -> Page:
        """One page. ``keys`` are pairs of a sort key and whether it descends.

        Unless ``stable``, rows with equal keys come in another order at every request, as they
        may from a database that was given no tie-breaker.
        """
        order = self._order(rows, keys, cache_key, version)
        total = len(order.rows)
        start = (number - 1) * limit
        window = order.rows[start : start + limit]
        if not stable and window:
            window = self._shuffled(order, start, start + len(window))
        return Page(window, total, -(-total // limit))

    def _order(
        self,
        rows: Callable[[], Iterable[JSON]],
        keys: Sequence[tuple[Callable[[JSON], Any], bool]],
        cache_key: tuple[Any, ...],
        version: int,
    ) -> Order:
        if version != self._version:
            self._kept.clear()
            self._version = version
        order = self._kept.get(cache_key)
        if order is None:
            order = self._kept[cache_key] = _sorted(rows(), keys)
            if len(self._kept) > _KEPT_ORDERS:
                self._kept.popitem(last=False)
        return order

    def _shuffled(self, order: Order, start: int, end: int) -> list[JSON]:
        self._requests += 1
        window = order.rows[start:end]
        touched = bisect_right(order.ties, start, key=lambda tie: tie[1])
        for first, last in itertools.islice(order.ties, touched, None):
            if first >= end:
                break
            run = order.rows[first:last]
            chance = random.Random(f"{self._seed} {self._requests} {first}")  # noqa: S311
            chance.shuffle(run)
            low, high = max(first, start), min(last, end)
            window[low - start : high - start] = run[low - first : high - first]
        return window


def _sorted(rows: Iterable[JSON], keys: Sequence[tuple[Callable[[JSON], Any], bool]]) -> Order:
    found = list(rows)
    for key, descending in reversed(keys):
        # PostgreSQL: nulls come last in an ascending order, and first in a descending one.
        found.sort(
            key=lambda row, key=key: _nulls_last(key(row)),  # type: ignore[misc]
            reverse=descending,
        )
    ties = []
    start = 0
    previous: tuple[Any, ...] | None = None
    for position, row in enumerate(found):
        values = tuple(key(row) for key, _ in keys)
        if values != previous:
            if position - start > 1:
                ties.append((start, position))
            start, previous = position, values
    if len(found) - start > 1:
        ties.append((start, len(found)))
    return Order(found, ties)


def _nulls_last(value: Any) -> tuple[bool, Any]:
    return (True, "") if value is None else (False, value)
