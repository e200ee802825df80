"""Full syncs: when, how much, and what was the matter."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.timesince import timesince

from django_polar.models import SyncRun

from .base import ReadOnlyAdmin
from .formats import code_list

LISTS = ("customers", "subscriptions", "benefits", "meters")
COUNTS = ("seen", "created", "updated", "unchanged", "deleted")


@admin.register(SyncRun)
class SyncRunAdmin(ReadOnlyAdmin):
    list_display = ("started_at", "state", "took", "customers", "changed", "requests", "trouble")
    list_filter = ("outcome", "state_complete")
    ordering = ("-started_at",)
    fieldsets = (
        ("Run", {"fields": ("state", "started_at", "finished_at", "took", "holder", "requests")}),
        ("What it did", {"fields": ("table", "linked", "with_state", "state_complete")}),
        ("What was the matter", {"fields": ("problem_list",)}),
        (
            "For resuming",
            {"classes": ("collapse",), "fields": ("cursor", "heartbeat_at", "organization_id")},
        ),
    )

    @admin.display(description="outcome", ordering="outcome")
    def state(self, run: SyncRun) -> str:
        if run.outcome == SyncRun.Outcome.RUNNING and run.is_silent(timezone.now()):
            return "killed"
        return run.get_outcome_display()

    @admin.display(description="took")
    def took(self, run: SyncRun) -> str | None:
        if run.finished_at is None:
            return None
        if (run.finished_at - run.started_at).total_seconds() < 60:  # noqa: PLR2004 - a minute
            return f"{(run.finished_at - run.started_at).total_seconds():.1f} s"
        return timesince(run.started_at, run.finished_at)

    @admin.display(description="customers seen")
    def customers(self, run: SyncRun) -> Any:
        return run.counts.get("customers", {}).get("seen")

    @admin.display(description="rows changed")
    def changed(self, run: SyncRun) -> int:
        kinds = ("created", "updated", "deleted")
        return sum(run.counts.get(name, {}).get(kind) or 0 for name in LISTS for kind in kinds)

    @admin.display(description="problems")
    def trouble(self, run: SyncRun) -> int | None:
        return len(run.problems) or None

    @admin.display(description="rows")
    def table(self, run: SyncRun) -> str:
        rows = [
            (name, [run.counts[name].get(kind, "") for kind in COUNTS])
            for name in LISTS
            if name in run.counts
        ]
        context = {"columns": COUNTS, "rows": rows}
        return render_to_string("admin/django_polar/syncrun/counts.html", context)

    @admin.display(description="problems")
    def problem_list(self, run: SyncRun) -> Any:
        return code_list(run.problems)
