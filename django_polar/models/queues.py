"""Work that must not be lost, as rows: the outbox and the inbox share one life."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self, TypeVar

from django.conf import settings
from django.db import connections, models, transaction
from django.dispatch import Signal
from django.utils import timezone

from .customer import EXTERNAL_ID_MAX_LENGTH
from .fields import ExactCharField

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LEASE = timedelta(minutes=5)
"""How long a worker may be silent before somebody else takes its rows."""

FIRST_DELAY = timedelta(seconds=15)
LONGEST_DELAY = timedelta(hours=6)

work_queued = Signal()
"""``queue``: a task of ours that has something to do. The sender is ``None``."""

W = TypeVar("W", bound="QueuedWork")


class QueuedWorkQuerySet(models.QuerySet[W]):
    """``due``, ``open`` and ``needs_attention`` are the three questions asked of a queue."""

    def open(self) -> Self:
        """Neither done nor given to a person."""
        return self.filter(done_at__isnull=True, failed_at__isnull=True)

    def needs_attention(self) -> Self:
        """Tried too often, or impossible without a change: a person has to look."""
        return self.filter(failed_at__isnull=False, done_at__isnull=True)

    def due(self, now: datetime | None = None) -> Self:
        """What may be worked on now, the longest waiting first."""
        now = now or timezone.now()
        return (
            self.open()
            .filter(due_at__lte=now)
            .filter(models.Q(leased_until__isnull=True) | models.Q(leased_until__lte=now))
            .order_by("due_at", "pk")
        )

    def claim(self, limit: int, *, lease: timedelta = LEASE) -> list[W]:
        """Take up to ``limit`` due rows for this worker, until the lease runs out.

        Two workers never get the same row: rows are locked while they are marked where the
        database can skip locked ones, and marked only if still unmarked everywhere. A row whose
        worker fell silent comes with ``was_abandoned``.
        """
        now = timezone.now()
        due = self.due(now)
        if not connections[self.db].features.has_select_for_update_skip_locked:
            # No transaction: SQLite refuses to turn one that has read into one that writes
            # while others write.
            return self._mark(due[:limit], now + lease)
        with transaction.atomic(using=self.db):
            return self._mark(due.select_for_update(skip_locked=True)[:limit], now + lease)

    def _mark(self, rows: Iterable[W], until: datetime) -> list[W]:
        claimed: list[W] = []
        for row in rows:
            untouched = self.model._base_manager.using(self.db).filter(
                pk=row.pk, attempts=row.attempts, leased_until=row.leased_until, done_at=None
            )
            if untouched.update(leased_until=until, attempts=row.attempts + 1):
                row.was_abandoned = row.leased_until is not None
                row.leased_until = until
                row.attempts += 1
                claimed.append(row)
        return claimed

    def retry(self) -> int:
        """A person wants these tried again, now, with all their attempts."""
        return self.filter(done_at__isnull=True).update(
            failed_at=None, leased_until=None, attempts=0, due_at=timezone.now()
        )


# One class for all queues: Django would make another one for each ``as_manager()``.
QueuedWorkManager = models.Manager.from_queryset(QueuedWorkQuerySet)


class QueuedWork(models.Model):
    """A row that is work: due, claimed, postponed, and in the end done or a person's."""

    created_at = models.DateTimeField(default=timezone.now, editable=False)
    due_at = models.DateTimeField(default=timezone.now)
    leased_until = models.DateTimeField(null=True, blank=True, editable=False)
    attempts = models.PositiveIntegerField(default=0, editable=False)
    last_error = models.TextField(blank=True, editable=False)
    done_at = models.DateTimeField(null=True, blank=True, editable=False)
    failed_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Since when it needs a person."
    )

    was_abandoned = False
    """Whether the worker that had this row before never said how it went. Set by ``claim``."""

    if TYPE_CHECKING:
        objects: Any

    class Meta:
        abstract = True

    @property
    def status(self) -> str:
        """``done``, ``needs attention``, ``in progress`` or ``waiting``."""
        if self.done_at:
            return "done"
        if self.failed_at:
            return "needs attention"
        if self.leased_until and self.leased_until > timezone.now():
            return "in progress"
        return "waiting"

    def postpone(
        self,
        error: object,
        *,
        after: timedelta | None = None,
        max_attempts: int | None = None,
        counts: bool = True,
    ) -> None:
        """Due again later: after ``after``, or twice as long as the last time.

        After ``max_attempts`` it is a person's. ``counts=False`` is for what is no failure, such
        as being asked to slow down.
        """
        if max_attempts is not None and self.attempts >= max_attempts:
            self.mark_failed(error)
            return
        delay = min(FIRST_DELAY * 2 ** min(max(self.attempts - 1, 0), 16), LONGEST_DELAY)
        self.due_at = timezone.now() + max(delay, after or timedelta(0))
        self.leased_until = None
        self.last_error = describe(error)
        self._let_go("due_at", "leased_until", "last_error", attempts=0 if counts else -1)

    def mark_done(self, **fields: Any) -> None:
        """The end. ``fields`` are saved along with it."""
        fields |= {
            "done_at": timezone.now(),
            "failed_at": None,
            "leased_until": None,
            "last_error": "",
        }
        for name, value in fields.items():
            setattr(self, name, value)
        # Not save(): the row may have gone with its user meanwhile.
        type(self)._base_manager.filter(pk=self.pk).update(**fields)

    def mark_failed(self, error: object) -> None:
        """Stop trying and show it to a person."""
        self.failed_at = timezone.now()
        self.leased_until = None
        self.last_error = describe(error)
        self._let_go("failed_at", "leased_until", "last_error")

    def retry(self) -> None:
        """A person wants it tried again, now, with all its attempts."""
        self.failed_at = None
        self.leased_until = None
        self.attempts = 0
        self.due_at = timezone.now()
        self.save(update_fields=["failed_at", "leased_until", "attempts", "due_at"])

    def _let_go(self, *names: str, attempts: int = 0) -> None:
        """Save, unless somebody else has taken the row since: the number of attempts tells."""
        ours = type(self)._base_manager.filter(pk=self.pk, attempts=self.attempts, done_at=None)
        self.attempts = max(self.attempts + attempts, 0)
        ours.update(attempts=self.attempts, **{name: getattr(self, name) for name in names})


def describe(error: object) -> str:
    """An error as the queue stores it. Our own errors carry no personal data; of others, whose
    messages may, only the type is kept.
    """
    from django_polar.exceptions import PolarError  # noqa: PLC0415 - placed by the import sorter

    if isinstance(error, PolarError):
        return str(error)[:2000]
    if isinstance(error, BaseException):
        return type(error).__qualname__
    return str(error)[:2000]


class CustomerDeletion(QueuedWork):
    """The outbox of deletions, and afterwards the proof that they happened.

    Holds no personal data: an external id, Polar's id, dates, and what Polar answered.
    """

    class Reason(models.TextChoices):
        USER_DELETED = "user_deleted", "the user was deleted"
        REQUESTED = "requested", "somebody asked for it"
        ORPHAN = "orphan", "its external id belongs to no user"

    class Outcome(models.TextChoices):
        DELETED = "deleted", "Polar deleted it"
        NOT_FOUND = "not_found", "Polar had no such customer"

    external_id = ExactCharField(max_length=EXTERNAL_ID_MAX_LENGTH, null=True, blank=True)
    customer_id = models.UUIDField(
        null=True, blank=True, help_text="Polar's id, where the mirror knew it."
    )
    anonymize = models.BooleanField(default=True)
    reason = models.CharField(max_length=32, choices=Reason.choices, default=Reason.REQUESTED)
    outcome = models.CharField(max_length=32, choices=Outcome.choices, blank=True)
    maybe_sent = models.BooleanField(
        default=False,
        editable=False,
        help_text="An answer was lost, so the external id may already be another customer's.",
    )

    objects = QueuedWorkManager["CustomerDeletion"]()

    class Meta:
        verbose_name = "customer deletion"
        verbose_name_plural = "customer deletions"
        indexes = (
            models.Index(fields=["done_at", "failed_at", "due_at"], name="polar_deletion_due"),
            models.Index(fields=["external_id"], name="polar_deletion_external_id"),
            models.Index(fields=["customer_id"], name="polar_deletion_customer_id"),
        )

    def __str__(self) -> str:
        return self.external_id or str(self.customer_id)


class CustomerPush(QueuedWork):
    """The outbox of creations and updates: which user's customer, and which fields."""

    class Kind(models.TextChoices):
        CREATE = "create", "create"
        UPDATE = "update", "update"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    fields = models.JSONField(
        default=list,
        blank=True,
        help_text="Names of the changed fields; values are read from the user when sent.",
    )

    objects = QueuedWorkManager["CustomerPush"]()

    class Meta:
        verbose_name = "customer push"
        verbose_name_plural = "customer pushes"
        indexes = (models.Index(fields=["done_at", "failed_at", "due_at"], name="polar_push_due"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.user_id}"


class LinkConflict(models.Model):
    """A user and a customer that may belong together, where only a person can say so."""

    class Resolution(models.TextChoices):
        ADOPTED = "adopted", "the customer was given to the user"
        DISMISSED = "dismissed", "they do not belong together"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    customer_id = models.UUIDField(help_text="Polar's id of the customer with the same email.")
    reason = models.TextField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    resolved_at = models.DateTimeField(null=True, blank=True, editable=False)
    resolution = models.CharField(
        max_length=16, choices=Resolution.choices, blank=True, editable=False
    )

    class Meta:
        verbose_name = "link conflict"
        verbose_name_plural = "link conflicts"
        constraints = (
            models.UniqueConstraint(
                fields=["user", "customer_id"], name="polar_conflict_once_per_pair"
            ),
        )

    def __str__(self) -> str:
        return f"{self.user_id} and {self.customer_id}"


class WebhookEvent(QueuedWork):
    """The inbox: one row for each ``webhook-id`` that Polar signed, applied later."""

    id = models.CharField(primary_key=True, max_length=255, help_text="Polar's webhook-id.")
    type = models.CharField(max_length=255, db_index=True)
    timestamp = models.DateTimeField(help_text="When the event happened, by Polar's clock.")
    customer_id = models.UUIDField(
        null=True, blank=True, help_text="Of the customer it is about, if it is about one."
    )
    # Erasing a person finds what arrived before the mirror knew the customer by this.
    external_id = ExactCharField(
        max_length=EXTERNAL_ID_MAX_LENGTH, null=True, blank=True, help_text="Of that customer."
    )
    body = models.BinaryField(
        null=True, blank=True, help_text="The signed bytes; null once pruned or erased."
    )
    received_at = models.DateTimeField(default=timezone.now, editable=False)
    unsent = models.JSONField(
        default=list,
        blank=True,
        editable=False,
        help_text="Signals about what it changed that a receiver has not taken yet.",
    )

    objects = QueuedWorkManager["WebhookEvent"]()

    class Meta:
        verbose_name = "webhook event"
        verbose_name_plural = "webhook events"
        indexes = (
            models.Index(fields=["done_at", "failed_at", "due_at"], name="polar_event_due"),
            models.Index(fields=["customer_id"], name="polar_event_customer_id"),
            models.Index(fields=["external_id"], name="polar_event_external_id"),
            models.Index(fields=["received_at"], name="polar_event_received_at"),
        )

    def __str__(self) -> str:
        return f"{self.type} {self.pk}"


def queues() -> Sequence[type[QueuedWork]]:
    """Every queue, for whoever shows or works them all."""
    return (CustomerDeletion, CustomerPush, WebhookEvent)
