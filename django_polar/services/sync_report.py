"""What a full sync saw and did, for people and machines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from django_polar.models import SyncRun


LISTS: Final = ("customers", "subscriptions", "benefits", "meters")

MAX_PROBLEMS: Final = 200
"""More are counted, not kept: a server gone mad must not fill the memory."""

MAX_DRIFT: Final = 1000


@dataclass(slots=True)
class ListCounts:
    """Of one list. Every distinct item seen is in exactly one of the next four."""

    seen: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    skipped: int = 0
    """Not mirrored: unreadable, refused, or of a customer that is deleted."""
    deleted: int = 0
    """In the mirror, and no longer at Polar."""

    def settle(self, seen: int) -> None:
        """Once all are seen: whatever else did not happen to an item, it was unchanged."""
        self.seen = seen
        self.unchanged = max(seen - self.created - self.updated - self.skipped, 0)

    def as_dict(self) -> dict[str, int]:
        return {
            name: getattr(self, name)
            for name in ("seen", "created", "updated", "unchanged", "deleted", "skipped")
        }


@dataclass(slots=True)
class Drift:
    """One difference between Polar and the mirror."""

    kind: str
    """``remote_only``, ``local_only``, ``changed`` or ``unlinked``."""
    list_name: str
    id: str
    external_id: str | None = None
    fields: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "list": self.list_name,
            "id": self.id,
            "external_id": self.external_id,
            "fields": list(self.fields),
        }


@dataclass(slots=True)
class SyncReport:
    """The result of ``sync_customers``."""

    outcome: str = "running"
    """``complete``, ``incomplete``, ``failed`` or ``interrupted``; of a dry run ``in_sync`` or
    ``drift``."""
    counts: dict[str, ListCounts] = field(
        default_factory=lambda: {name: ListCounts() for name in LISTS}
    )
    linked: int = 0
    """Live customers that belong to a user, after the run."""
    requests: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    """What went wrong, each with its fix where there is one. Ids only, nothing personal."""
    notes: list[str] = field(default_factory=list)
    """What was done otherwise than usual, and why."""
    drift: list[Drift] = field(default_factory=list)
    drift_counts: dict[str, int] = field(default_factory=dict)
    run_id: int | None = None

    def problem(self, text: str) -> None:
        if text in self.problems:
            return
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(text)
        elif len(self.problems) == MAX_PROBLEMS:
            self.problems.append("more problems, not listed")

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def add_drift(self, drift: Drift) -> None:
        self.drift_counts[drift.kind] = self.drift_counts.get(drift.kind, 0) + 1
        if len(self.drift) < MAX_DRIFT:
            self.drift.append(drift)

    def as_dict(self, *, dry_run: bool = False) -> dict[str, Any]:
        """One JSON object."""
        result: dict[str, Any] = {
            "outcome": self.outcome,
            **{name: counts.as_dict() for name, counts in self.counts.items()},
            "linked": self.linked,
            "requests": self.requests,
            "seconds": round(self.seconds, 3),
            "problems": self.problems,
            "notes": self.notes,
        }
        if self.run_id is not None:
            result["run"] = self.run_id
        if dry_run:
            result["drift"] = {
                "counts": self.drift_counts,
                "items": [drift.as_dict() for drift in self.drift],
            }
        return result

    def save_to(self, run: SyncRun) -> None:
        """Into the run's row, without saving it."""
        run.counts = {name: counts.as_dict() for name, counts in self.counts.items()}
        run.requests = self.requests
        run.problems = [*self.problems, *self.notes]
        run.linked = self.linked

    def load_from(self, run: SyncRun) -> None:
        """Go on counting where a killed run stopped."""
        for name, counts in run.counts.items():
            if name in self.counts:
                self.counts[name] = ListCounts(**counts)
        self.requests = run.requests
