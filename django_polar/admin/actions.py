"""What can be done with customers: from the list, for many, and on the page of one.

Every action has a permission of its own. What Polar refuses, or fails to do, becomes a message.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin, messages
from django.contrib.admin.models import DELETION, LogEntry
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from django_polar.models import Customer

from .base import ReadOnlyAdmin

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from uuid import UUID

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse, HttpResponseBase

    from django_polar.services.compare import Comparison

AT_ONCE: Final = 20
"""As many customers are fetched while the browser waits; more are left to a task."""

PER_TASK: Final = 100
MOST_FETCHED: Final = 10_000
"""Beyond that a full sync asks Polar for less."""
MOST_COMPARED: Final = 10
_MOST_NAMED: Final = 50

VERBS: Final = {
    # What act/<verb>/ does, its permission, and the button.
    "sync": ("sync", "Sync now"),
    "state": ("refresh", "Refresh state"),
    "balance": ("fetch_balance", "Fetch balance"),
    "compare": ("compare", "Compare with Polar"),
    "delete": ("polar_delete", "Delete at Polar…"),
}


class CustomerActions(ReadOnlyAdmin):
    """Mixed into the customers' admin."""

    actions = (
        "sync_selected",
        "refresh_selected",
        "fetch_balances",
        "compare_selected",
        "export_selected",
        "delete_at_polar",
    )

    def has_sync_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "sync")

    def has_refresh_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "refresh")

    def has_fetch_balance_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "fetch_balance")

    def has_compare_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "compare")

    def has_export_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "export")

    def has_polar_delete_permission(self, request: HttpRequest) -> bool:
        """Django's own permission; its own button, which knows nothing of Polar, is not shown."""
        return self.may(request, "delete")

    @admin.action(permissions=["sync"], description="Sync now (profile, state and balance)")
    def sync_selected(self, request: HttpRequest, queryset: QuerySet[Customer]) -> None:
        self._fetch(request, queryset, "sync")

    @admin.action(permissions=["refresh"], description="Refresh state")
    def refresh_selected(self, request: HttpRequest, queryset: QuerySet[Customer]) -> None:
        self._fetch(request, queryset, "state")

    @admin.action(permissions=["fetch_balance"], description="Fetch balance")
    def fetch_balances(self, request: HttpRequest, queryset: QuerySet[Customer]) -> None:
        self._fetch(request, queryset, "balance")

    @admin.action(permissions=["compare"], description="Compare with Polar")
    def compare_selected(
        self, request: HttpRequest, queryset: QuerySet[Customer]
    ) -> HttpResponse | None:
        customers = list(queryset[: MOST_COMPARED + 1])
        if len(customers) > MOST_COMPARED:
            self.message_user(
                request,
                f"Select {MOST_COMPARED} customers at most to compare them side by side;"
                " manage.py polar_sync_customers --dry-run compares all of them.",
                messages.WARNING,
            )
            return None
        return self._compare(request, customers)

    @admin.action(permissions=["export"], description="Export CSV")
    def export_selected(
        self, request: HttpRequest, queryset: QuerySet[Customer]
    ) -> HttpResponseBase:
        return self.export(request, queryset)

    @admin.action(permissions=["polar_delete"], description="Delete at Polar…")
    def delete_at_polar(
        self, request: HttpRequest, queryset: QuerySet[Customer]
    ) -> HttpResponse | None:
        live = queryset.filter(deleted_at__isnull=True)
        return self._delete(request, live)

    def export(self, request: HttpRequest, queryset: QuerySet[Customer]) -> HttpResponseBase:
        raise NotImplementedError

    def act_view(self, request: HttpRequest, pk: UUID, verb: str) -> HttpResponse:
        """The buttons on a customer's page."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if verb not in VERBS:
            raise Http404
        permission, _ = VERBS[verb]
        if not self.has_view_permission(request) or not self._has(request, permission):
            raise PermissionDenied
        customer = get_object_or_404(Customer, pk=pk)
        back = HttpResponseRedirect(self._page_of(customer))
        if customer.deleted_at is not None:
            self.message_user(request, "Polar has deleted this customer.", messages.WARNING)
            return back
        if verb == "compare":
            return self._compare(request, [customer])
        this = Customer.objects.filter(pk=pk)
        if verb == "delete":
            return self._delete(request, this, page_of=customer) or back
        self._fetch(request, this, verb)
        return back

    def _has(self, request: HttpRequest, permission: str) -> bool:
        return bool(getattr(self, f"has_{permission}_permission")(request))

    def _page_of(self, customer: Customer) -> str:
        name = f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_change"
        return reverse(name, args=[customer.pk])

    def buttons_for(self, request: HttpRequest, customer: Customer) -> str:
        """The actions that this user may do; each submits the page's own form elsewhere."""
        name = f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_act"
        allowed = [
            (reverse(name, args=[customer.pk, verb]), label)
            for verb, (permission, label) in VERBS.items()
            if self._has(request, permission)
        ]
        buttons = format_html_join(
            " ",
            '<button type="submit" class="button" formaction="{}" formmethod="post"'
            " formnovalidate>{}</button>",
            allowed,
        )
        if not buttons:
            return "You may not ask Polar."
        return format_html('<div class="polar-buttons">{}</div>', buttons)

    def _fetch(self, request: HttpRequest, queryset: QuerySet[Customer], verb: str) -> None:
        # Not before it is asked for: what talks to Polar is no part of start-up.
        from django_polar.services.fetching import Fetch, fetch_customers  # noqa: PLC0415

        from .messages import tell_fetched  # noqa: PLC0415 - as above

        live = queryset.filter(deleted_at__isnull=True).order_by("pk")
        ids = list(live.values_list("pk", flat=True)[: MOST_FETCHED + 1])
        if not ids:
            self.message_user(request, "No customer that Polar still has.", messages.WARNING)
        elif len(ids) <= AT_ONCE:
            what = Fetch(verb)
            tell_fetched(request, what, fetch_customers(ids, what))
        elif len(ids) > MOST_FETCHED:
            self.message_user(
                request,
                f"More than {MOST_FETCHED:,} customers: a full sync is quicker,"
                " manage.py polar_sync_customers.",
                messages.WARNING,
            )
        else:
            self._leave_to_tasks(request, ids, verb)

    def _leave_to_tasks(self, request: HttpRequest, ids: list[UUID], verb: str) -> None:
        from django_polar.tasks import enqueue  # noqa: PLC0415 - Celery is no part of start-up

        queued = 0
        for chunk in _chunks(ids, PER_TASK):
            if not enqueue("fetch_customers", [str(pk) for pk in chunk], verb):
                break
            queued += len(chunk)
        if queued:
            self.message_user(
                request,
                f"{queued:,} customers are being fetched by a task; look again in a while.",
                messages.SUCCESS,
            )
        if queued < len(ids):
            self.message_user(
                request,
                f"The task queue cannot be reached: {len(ids) - queued:,} customers were left as"
                f" they are. Without it, select {AT_ONCE} at most.",
                messages.ERROR,
            )

    def _compare(self, request: HttpRequest, customers: list[Customer]) -> HttpResponse:
        from django_polar.client import polar_client  # noqa: PLC0415 - as in _fetch
        from django_polar.exceptions import PolarError  # noqa: PLC0415 - as in _fetch
        from django_polar.services.compare import compare_customer  # noqa: PLC0415 - as in _fetch

        compared: list[tuple[Customer, str, Comparison]] = []
        try:
            with polar_client() as client:
                for customer in customers:
                    comparison = compare_customer(customer, client=client)
                    compared.append((customer, self._page_of(customer), comparison))
        except PolarError as error:
            self.message_user(request, f"Polar could not be asked: {error}", messages.ERROR)
        context = {
            "title": "Compare with Polar",
            "compared": compared,
            "left": len(customers) - len(compared),
        }
        return self._page(request, "compare", context)

    def _delete(
        self,
        request: HttpRequest,
        live: QuerySet[Customer],
        *,
        page_of: Customer | None = None,
    ) -> HttpResponse | None:
        """Ask first; once confirmed, hand the customers to the outbox."""
        from django_polar.conf import settings  # noqa: PLC0415 - as in _fetch

        count = live.count()
        if not count:
            self.message_user(request, "No customer that Polar still has.", messages.WARNING)
            return None
        if request.POST.get("confirmed") == "yes":
            self._request_deletions(request, live, anonymize=request.POST.get("anonymize") == "yes")
            return None
        context = {
            "title": "Delete at Polar",
            "count": count,
            "named": live.select_related("user").order_by("created_at")[:_MOST_NAMED],
            "unnamed": max(count - _MOST_NAMED, 0),
            "anonymize": settings.anonymize_on_deletion,
            "back": self._page_of(page_of) if page_of else "",
            "on_page": page_of is not None,
            # As the list sent it: the same selection, or all of what the filters show.
            "posted": [
                (name, value)
                for name in ("action", "select_across", "index", "_selected_action")
                for value in request.POST.getlist(name)
            ],
        }
        return self._page(request, "delete_at_polar", context)

    def _page(self, request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
        # As Django's own pages do, for projects with several admin sites.
        request.current_app = self.admin_site.name
        context = {**self.admin_site.each_context(request), "opts": self.opts, **context}
        return TemplateResponse(request, f"admin/django_polar/customer/{name}.html", context)

    def _request_deletions(
        self, request: HttpRequest, live: QuerySet[Customer], *, anonymize: bool
    ) -> None:
        from django_polar.services.outbox import Target, request_deletions  # noqa: PLC0415

        rows = live.order_by().values_list("external_id", "pk")
        targets = [Target(external_id, pk) for external_id, pk in rows]
        user_id: Any = request.user.pk
        LogEntry.objects.log_actions(
            user_id,
            [Customer(pk=target.customer_id) for target in targets],
            DELETION,
            "Deletion at Polar requested"
            + (", with anonymization." if anonymize else ", without anonymization."),
        )
        request_deletions(targets, anonymize=anonymize)
        self.message_user(
            request,
            format_html(
                "{} {} will be deleted at Polar; what was known about them here is erased."
                ' <a href="{}">See how it goes</a>.',
                f"{len(targets):,}",
                "customer" if len(targets) == 1 else "customers",
                reverse(f"{self.admin_site.name}:django_polar_customerdeletion_changelist"),
            ),
            messages.SUCCESS,
        )


def _chunks(ids: Iterable[UUID], size: int) -> Iterator[list[UUID]]:
    iterator = iter(ids)
    while chunk := list(islice(iterator, size)):
        yield chunk
