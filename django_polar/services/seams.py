"""Where one page ends and the next begins among equal rows, and which other page shows them all.

Polar's lists have no tie-breaker, so rows that are equal under the order may be on both pages or
on neither. With another limit the pages end elsewhere: one request that shows the whole group of
equal rows makes up for it, where a second walk would cost a request for every page.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

from .pages import MAX_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SMALLEST_LIMIT = 20


class Window(NamedTuple):
    """A page of another size."""

    page: int
    limit: int


class Seams:
    """Watches a walk go by, page after page."""

    def __init__(self, key: Callable[[Any], Any], limit: int) -> None:
        self._key = key
        self._limit = limit
        self._last_page = 0
        self._last_key: Any = None
        self._last_count = 0
        self._windows: list[Window | None] = []

    def note(self, page: int, items: Sequence[Any]) -> None:
        """The next page of the walk."""
        if not items:
            return
        keys = [self._key(item) for item in items]
        if page == self._last_page + 1 and self._last_count and keys[0] == self._last_key:
            end = page * self._limit - self._limit
            ahead = sum(1 for _ in takewhile(lambda key: key == keys[0], keys))
            self._windows.append(find_window(end - self._last_count, end + ahead))
        self._last_page = page
        self._last_key = keys[-1]
        self._last_count = sum(1 for _ in takewhile(lambda key: key == keys[-1], reversed(keys)))

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
