"""Whether a list was read completely, by its own numbers alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .seen import SeenIds
from .sync_session import ids_of

if TYPE_CHECKING:
    from datetime import datetime

    from django_polar.payloads import Page


@dataclass(slots=True)
class Reading:
    """What is known of one list so far."""

    started_at: datetime
    seen: SeenIds = field(default_factory=SeenIds)
    first_total: int | None = None
    last_total: int = 0
    added: int = 0
    """Rows that were seen and came after the walk had begun."""
    nameless: int = 0
    """Items so broken that not even their id could be read."""

    @property
    def something_went_away(self) -> bool:
        """Rows were deleted while the list was read, so others may have moved out of sight."""
        return (self.first_total or 0) + self.added > self.last_total

    @property
    def is_proved(self) -> bool:
        return len(self.seen) + self.nameless == self.last_total and not self.something_went_away

    def note(self, content: Page[Any], *, added: int) -> None:
        """A page, and how many of its rows came after the walk had begun."""
        if self.first_total is None:
            self.first_total = content.total_count
        self.last_total = content.total_count
        self.seen.add(ids_of(content.items, content.problems))
        self.nameless += sum(1 for problem in content.problems if problem.id is None)
        self.added += added
