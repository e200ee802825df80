"""The queues: what waits, what failed and why, and trying it again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.contrib import admin, messages
from django.db import router, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.text import Truncator

from django_polar.models import (
    Customer,
    CustomerDeletion,
    CustomerPush,
    LinkConflict,
    QueuedWork,
    WebhookEvent,
)

from .base import ReadOnlyAdmin
from .filters import ResolvedFilter, StatusFilter
from .formats import json_html, link_to

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

_CHUNK: Final = 500
MOST_ADOPTED: Final = 20
"""Each is a request to Polar, made while the browser waits."""


class QueueAdmin(ReadOnlyAdmin):
    """Rows that are work. Whoever has the change permission may have them tried again."""

    queue = ""
    """The task that works on it, for the nudge."""
    ordering = ("-created_at",)
    list_filter: ClassVar[Any] = (StatusFilter,)
    actions: Any = ("retry",)
    life = (
        "status",
        "attempts",
        "next_attempt",
        "last_error",
        "created_at",
        "done_at",
        "failed_at",
    )

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "change")

    @admin.action(permissions=["retry"], description="Retry now")
    def retry(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        selected = queryset.count()
        retried = self._retry(_keys(queryset.filter(done_at__isnull=True)))
        self._tell(request, retried, selected - retried)

    def _retry(self, pks: list[Any]) -> int:
        """Those that nobody is working on; how many."""
        from django_polar.services.nudge import nudge  # noqa: PLC0415 - as in adopt

        alias = router.db_for_write(self.model)
        rows: Any = self.model._default_manager.using(alias)
        free = Q(leased_until__isnull=True) | Q(leased_until__lte=timezone.now())
        retried = 0
        with transaction.atomic(using=alias):
            for start in range(0, len(pks), _CHUNK):
                retried += rows.filter(free, pk__in=pks[start : start + _CHUNK]).retry()
            if retried:
                nudge(self.queue, using=alias)
        return retried

    def _tell(self, request: HttpRequest, retried: int, left: int) -> None:
        names = self.opts.verbose_name if retried == 1 else self.opts.verbose_name_plural
        if retried:
            self.message_user(request, f"{retried:,} {names} will be tried now.", messages.SUCCESS)
        if left:
            self.message_user(
                request,
                f"{left:,} left alone: done already, or being worked on.",
                messages.WARNING,
            )

    @admin.display(description="next attempt", ordering="due_at")
    def next_attempt(self, row: QueuedWork) -> Any:
        if row.status != "waiting":
            return None
        return "due now" if row.due_at <= timezone.now() else row.due_at

    @admin.display(description="error")
    def error(self, row: QueuedWork) -> str:
        return Truncator(row.last_error).chars(80)


@admin.register(CustomerDeletion)
class CustomerDeletionAdmin(QueueAdmin):
    queue = "send_due_deletions"
    list_display = (
        "__str__",
        "status",
        "reason",
        "attempts",
        "next_attempt",
        "error",
        "outcome",
        "created_at",
    )
    list_filter = (StatusFilter, "reason", "outcome", "anonymize")
    search_fields = ("=external_id", "=customer_id")
    search_help_text = "A whole external id, or Polar's id."
    fieldsets = (
        (
            "Deletion",
            {"fields": ("external_id", "customer", "anonymize", "reason", "outcome", "maybe_sent")},
        ),
        ("Work", {"fields": QueueAdmin.life}),
    )

    @admin.display(description="customer")
    def customer(self, row: CustomerDeletion) -> Any:
        return _customer_link(self, row.customer_id)


@admin.register(CustomerPush)
class CustomerPushAdmin(QueueAdmin):
    queue = "send_due_pushes"
    list_display = ("user", "kind", "status", "attempts", "next_attempt", "error", "created_at")
    list_select_related = ("user",)
    list_filter = (StatusFilter, "kind")
    fieldsets = (
        ("Creation or update", {"fields": ("user", "kind", "fields")}),
        ("Work", {"fields": QueueAdmin.life}),
    )


@admin.register(WebhookEvent)
class WebhookEventAdmin(QueueAdmin):
    queue = "apply_due_events"
    ordering = ("-received_at",)
    list_display = (
        "id",
        "type",
        "status",
        "customer",
        "attempts",
        "next_attempt",
        "error",
        "received_at",
    )
    search_fields = ("=id", "=customer_id")
    search_help_text = "A whole webhook id, or Polar's id of the customer."
    actions = ("retry", "apply_again")
    fieldsets = (
        ("Event", {"fields": ("id", "type", "timestamp", "received_at", "customer", "content")}),
        ("Work", {"fields": QueueAdmin.life}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        events = super().get_queryset(request)
        match = request.resolver_match
        # Bodies are read one at a time: a page of them may be megabytes.
        is_list = match is not None and (match.url_name or "").endswith("_changelist")
        return events.defer("body") if is_list else events

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if request.user.has_perm("django_polar.view_customer"):
            return self.fieldsets
        (title, options), *others = self.fieldsets
        shown = tuple(name for name in options["fields"] if name != "content")
        return ((title, {"fields": shown}), *others)

    @admin.action(permissions=["retry"], description="Apply again, also what was applied")
    def apply_again(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Harmless: the same event twice changes nothing."""
        kept = queryset.filter(body__isnull=False)
        pruned = queryset.filter(body__isnull=True).count()
        # First, because those that are to be applied again leave the filter that chose them.
        pks = _keys(kept)
        for start in range(0, len(pks), _CHUNK):
            WebhookEvent.objects.filter(pk__in=pks[start : start + _CHUNK]).update(done_at=None)
        retried = self._retry(pks)
        self._tell(request, retried, len(pks) - retried)
        if pruned:
            self.message_user(
                request,
                f"{pruned:,} cannot be applied any more: their bodies were erased.",
                messages.WARNING,
            )

    @admin.display(description="customer")
    def customer(self, event: WebhookEvent) -> Any:
        return _customer_link(self, event.customer_id)

    @admin.display(description="body")
    def content(self, event: WebhookEvent) -> Any:
        if event.body is None:
            return "erased"
        try:
            return json_html(json.loads(bytes(event.body)))
        except ValueError:
            return "not JSON"


@admin.register(LinkConflict)
class LinkConflictAdmin(ReadOnlyAdmin):
    list_display = ("user", "customer", "reason", "created_at", "resolved_at", "resolution")
    list_display_links = ("user",)
    list_select_related = ("user",)
    list_filter = (ResolvedFilter,)
    ordering = ("-created_at",)
    actions = ("adopt", "dismiss")
    fields = ("user_link", "customer", "reason", "created_at", "resolved_at", "resolution")

    def has_resolve_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "change")

    @admin.action(permissions=["resolve"], description="Give the customer to the user")
    def adopt(self, request: HttpRequest, queryset: QuerySet[LinkConflict]) -> None:
        # On use: what talks to Polar is no part of start-up.
        from django_polar.exceptions import PolarError  # noqa: PLC0415
        from django_polar.services.customers import adopt_customer  # noqa: PLC0415

        unresolved = queryset.filter(resolved_at__isnull=True).select_related("user")
        left = unresolved.count() - MOST_ADOPTED
        adopted = 0
        for conflict in unresolved[:MOST_ADOPTED]:
            try:
                adopt_customer(conflict)
            except PolarError as error:
                self.message_user(request, f"Conflict {conflict.pk}: {error}", messages.ERROR)
            else:
                adopted += 1
        if adopted:
            self.message_user(request, f"{adopted} now belong together.", messages.SUCCESS)
        if left > 0:
            self.message_user(
                request, f"{MOST_ADOPTED} at once; {left:,} are left.", messages.WARNING
            )

    @admin.action(permissions=["resolve"], description="Dismiss: they do not belong together")
    def dismiss(self, request: HttpRequest, queryset: QuerySet[LinkConflict]) -> None:
        from django_polar.services.customers import dismiss_conflict  # noqa: PLC0415 - as in adopt

        open_conflicts = list(queryset.filter(resolved_at__isnull=True))
        for conflict in open_conflicts:
            dismiss_conflict(conflict)
        self.message_user(request, f"{len(open_conflicts)} dismissed.", messages.SUCCESS)

    @admin.display(description="user")
    def user_link(self, conflict: LinkConflict) -> Any:
        return link_to(conflict.user, self.admin_site)

    @admin.display(description="customer with the same email")
    def customer(self, conflict: LinkConflict) -> Any:
        return _customer_link(self, conflict.customer_id)


def _keys(queryset: QuerySet[Any]) -> list[Any]:
    return list(queryset.values_list("pk", flat=True))


def _customer_link(model_admin: ReadOnlyAdmin, pk: Any) -> Any:
    if pk is None:
        return None
    return link_to(Customer(pk=pk), model_admin.admin_site, str(pk))
