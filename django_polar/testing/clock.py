"""The fake Polar's clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from django_polar.testing.builders import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """The server's time: never the same twice, so that "newer" is never a matter of luck.

    Real time by default, because mirrors compare it with their own; replace ``now`` to freeze it.
    """

    def __init__(self) -> None:
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)
        self._last = datetime.min.replace(tzinfo=UTC)

    def __call__(self) -> datetime:
        self._last = max(self.now(), self._last + timedelta(microseconds=1))
        return self._last

    def stamp(self) -> str:
        return timestamp(self())
