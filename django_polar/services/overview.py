"""How the mirror is doing, in a few numbers. Asks the database alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django_polar.models import LinkConflict, SyncRun, queues

if TYPE_CHECKING:
    from datetime import datetime

    from django_polar.models import QueuedWork


@dataclass(frozen=True, slots=True)
class QueueOverview:
    model: type[QueuedWork]
    due: int
    waiting: int
    """Open, but not due yet: tried before, or being worked on."""
    needs_attention: int


@dataclass(frozen=True, slots=True)
class Overview:
    last_run: SyncRun | None
    last_complete_at: datetime | None
    """Since when, at the latest, every customer is as Polar had it then."""
    queues: tuple[QueueOverview, ...]
    conflicts: int
    """Link conflicts that nobody has resolved."""

    @property
    def needs_attention(self) -> int:
        return self.conflicts + sum(queue.needs_attention for queue in self.queues)


def get_overview() -> Overview:
    return Overview(
        last_run=SyncRun.objects.order_by("-started_at").first(),
        last_complete_at=get_last_complete_at(),
        queues=tuple(_overview_of(model) for model in queues()),
        conflicts=LinkConflict.objects.filter(resolved_at__isnull=True).count(),
    )


def get_last_complete_at() -> datetime | None:
    """When the last complete sync started: it has confirmed every customer since."""
    complete = SyncRun.objects.filter(outcome=SyncRun.Outcome.COMPLETE)
    return complete.order_by("-started_at").values_list("started_at", flat=True).first()


def _overview_of(model: type[QueuedWork]) -> QueueOverview:
    rows: Any = model._default_manager.all()
    due = rows.due().count()
    return QueueOverview(
        model=model,
        due=due,
        waiting=rows.open().count() - due,
        needs_attention=rows.needs_attention().count(),
    )
