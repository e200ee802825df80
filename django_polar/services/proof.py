"""Whether a list was read completely, by its own numbers alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .seen import SeenIds

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from .known_pages import Summary


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
    shared: set[UUID] = field(default_factory=set)
    """Which organizations or meters were met at all."""

    @property
    def something_went_away(self) -> bool:
        """Rows were deleted while the list was read, so others may have moved out of sight."""
        return (self.first_total or 0) + self.added > self.last_total

    @property
    def is_proved(self) -> bool:
        return len(self.seen) + self.nameless == self.last_total and not self.something_went_away

    def note(self, summary: Summary, total_count: int) -> None:
        """A page, and how long the list is."""
        if self.first_total is None:
            self.first_total = total_count
        self.last_total = total_count
        self.seen.load(summary.keys)
        self.nameless += summary.nameless
        self.added += summary.added
        self.shared |= summary.shared
