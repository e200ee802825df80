"""Full syncs: one row each, which is also the lock and the bookmark."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models
from django.utils import timezone

LEASE = timedelta(minutes=2)
"""A run that was silent for so long was killed: it may be resumed and blocks nobody."""


class SyncRun(models.Model):
    """One full sync."""

    class Outcome(models.TextChoices):
        RUNNING = "running", "running"
        COMPLETE = "complete", "complete"
        INCOMPLETE = "incomplete", "incomplete"
        FAILED = "failed", "failed"
        INTERRUPTED = "interrupted", "interrupted"

    started_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(default=timezone.now)
    holder = models.CharField(max_length=255, blank=True, help_text="Host and process.")
    # Unique where it is set, which databases allow for any number of nulls: the row that has it
    # is the one sync that may run.
    lock = models.CharField(max_length=16, null=True, blank=True, unique=True, editable=False)
    outcome = models.CharField(max_length=16, choices=Outcome.choices, default=Outcome.RUNNING)
    organization_id = models.UUIDField(null=True, blank=True)
    with_state = models.BooleanField(default=True)
    state_complete = models.BooleanField(
        default=False,
        help_text="Whether every list of the state was read completely.",
    )
    counts = models.JSONField(default=dict)
    linked = models.PositiveIntegerField(default=0)
    requests = models.PositiveIntegerField(default=0)
    problems = models.JSONField(default=list)
    cursor = models.JSONField(default=dict, help_text="Which list and page comes next.")

    class Meta:
        verbose_name = "sync run"
        verbose_name_plural = "sync runs"
        get_latest_by = "started_at"
        indexes = (models.Index(fields=["started_at"], name="polar_run_started_at"),)

    def __str__(self) -> str:
        return f"{self.started_at:%Y-%m-%d %H:%M:%S} {self.outcome}"

    def is_silent(self, now: datetime) -> bool:
        """Whether its process must be taken for dead."""
        return self.heartbeat_at + LEASE <= now


class SyncedPage(models.Model):
    """A page of one of Polar's lists in which nothing was new, so that the next sync can tell by a
    fingerprint that it is the same again.

    Holds ids and digests, no personal data, and only of pages that were so at the last full sync.
    The table may be emptied at any time.
    """

    list_name = models.CharField(max_length=32)
    number = models.PositiveIntegerField()
    fingerprint = models.BinaryField(max_length=32, help_text="Of the bytes that Polar sent.")
    rows = models.TextField(help_text="Ids and digests.")
    summary = models.BinaryField(help_text="What the proof of a list needs to know.")

    class Meta:
        verbose_name = "synced page"
        verbose_name_plural = "synced pages"
        constraints = (
            models.UniqueConstraint(fields=["list_name", "number"], name="polar_page_once"),
        )

    def __str__(self) -> str:
        return f"{self.list_name}, page {self.number}"


class SyncCheckpoint(models.Model):
    """The ids that a running sync has seen, so that a killed one can go on where it was.

    Written every few pages and deleted with the end of the run.
    """

    run = models.ForeignKey(SyncRun, on_delete=models.CASCADE, related_name="checkpoints")
    list_name = models.CharField(max_length=32)
    keys = models.BinaryField(help_text="Eight bytes for each id.")

    class Meta:
        verbose_name = "sync checkpoint"
        verbose_name_plural = "sync checkpoints"

    def __str__(self) -> str:
        return f"{self.list_name} of run {self.run_id}"
