"""Where one page ends and the next begins among equal rows, and which other page shows them all.

Polar's lists have no tie-breaker, so rows that are equal under the order may be on both pages or
on neither. With another limit the pages end elsewhere: one request that shows the whole group of
equal rows makes up for it, where a second walk would cost a request for every page.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from .pages import MAX_LIMIT

if TYPE_CHECKING:
    from collections.abc import Sequence

SMALLEST_LIMIT = 20


class Edges(msgspec.Struct, frozen=True, gc=False):
    """The groups of equal rows that a page begins and ends with."""

    first: bytes
    ahead: int
    """How many rows are like the first."""
    last: bytes
    behind: int
    """How many are like the last."""


def find_edges(keys: Sequence[Any]) -> Edges | None:
    """``keys`` are what equal rows have in common."""
    if not keys:
        return None
    return Edges(
        first=msgspec.json.encode(keys[0]),
        ahead=sum(1 for _ in takewhile(lambda key: key == keys[0], keys)),
        last=msgspec.json.encode(keys[-1]),
        behind=sum(1 for _ in takewhile(lambda key: key == keys[-1], reversed(keys))),
    )


class Window(NamedTuple):
    """A page of another size."""

    page: int
    limit: int


class Seams:
    """Watches a walk go by, page after page."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._last_page = 0
        self._last: Edges | None = None
        self._windows: list[Window | None] = []

    def note(self, page: int, edges: Edges | None) -> None:
        """The next page of the walk."""
        if edges is None:
            return
        last = self._last
        if page == self._last_page + 1 and last and edges.first == last.last:
            end = page * self._limit - self._limit
            self._windows.append(find_window(end - last.behind, end + edges.ahead))
        self._last_page = page
        self._last = edges

    @property
    def windows(self) -> list[Window] | None:
        """A page for each seam; ``None`` if there is one that no page can show."""
        windows = [window for window in self._windows if window is not None]
        return windows if len(windows) == len(self._windows) else None


def find_window(start: int, end: int) -> Window | None:
    """A page that holds the rows from ``start`` up to ``end``, counted from 0, if there is one."""
    for limit in range(MAX_LIMIT, SMALLEST_LIMIT - 1, -1):
        page = start // limit + 1
        if page * limit >= end:
            return Window(page, limit)
    return None
