"""The customers: a list to find one in, and a page that shows all we know about one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin
from django.db.models import Subquery
from django.urls import path

from django_polar.models import Customer, SyncRun

from .export import CustomerExport
from .filters import (
    ActiveSubscriptionFilter,
    BenefitFilter,
    DeletedFilter,
    LinkedFilter,
    ProductFilter,
    SyncedBeforeFilter,
    TypeFilter,
)
from .formats import (
    EMPTY,
    address_html,
    age,
    balances_html,
    benefits_text,
    dashboard_url,
    json_html,
    link_to,
    subscriptions_text,
    url_html,
)
from .inlines import BenefitInline, MeterInline, SubscriptionInline

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.urls import URLPattern


@admin.register(Customer)
class CustomerAdmin(CustomerExport):
    list_display = (
        "title",
        "email_shown",
        "external_id_shown",
        "user_link",
        "subscriptions",
        "benefits",
        "balance",
        "last_synced",
    )
    list_display_links = ("title",)
    list_filter = (
        LinkedFilter,
        ActiveSubscriptionFilter,
        TypeFilter,
        DeletedFilter,
        SyncedBeforeFilter,
        ProductFilter,
        BenefitFilter,
    )
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    sortable_by = ("created_at",)
    search_fields = ("external_id",)  # that there is a search; see get_search_results
    search_help_text = (
        "Whole email addresses, external ids and Polar ids are found at once; otherwise parts of"
        " names and beginnings of email addresses and external ids."
    )
    inlines = (SubscriptionInline, BenefitInline, MeterInline)
    change_form_template = "admin/django_polar/customer/change_form.html"
    change_list_template = "admin/django_polar/customer/change_list.html"
    fieldsets = (
        (None, {"fields": ("buttons",)}),
        (
            "Who",
            {
                "fields": (
                    "name",
                    "email",
                    "email_verified",
                    "external_id",
                    "user_link",
                    "type",
                    "locale",
                    "avatar",
                )
            },
        ),
        (
            "Billing",
            {
                "fields": (
                    "balance_with_age",
                    "billing_name",
                    "address",
                    "tax",
                    "default_payment_method_id",
                )
            },
        ),
        ("At Polar", {"fields": ("dashboard", "id", "created_at", "modified_at")}),
        (
            "State",
            {"fields": ("last_synced", "state_as_of", "first_user_event_at")},
        ),
        (
            "Raw",
            {"classes": ("collapse",), "fields": ("metadata_json", "raw_json", "organization_id")},
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Customer]:
        from .dates import ProbingQuerySet  # noqa: PLC0415 - no part of start-up

        complete_runs = SyncRun.objects.filter(outcome=SyncRun.Outcome.COMPLETE)
        last = complete_runs.order_by("-started_at").values("started_at")[:1]
        customers = ProbingQuerySet(self.model).select_related("user").with_state()
        return customers.prefetch_related("balances").annotate(complete_at=Subquery(last))

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        customer = super().get_object(request, object_id, from_field)
        if customer is not None:
            # The one place that knows both the customer and who is looking.
            customer.admin_buttons = self.buttons_for(request, customer)
        return customer

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        from .search import search_customers  # noqa: PLC0415 - as in get_queryset

        return search_customers(queryset, search_term), False

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return FORGOTTEN_FIELDSETS if obj is not None and obj.deleted_at else self.fieldsets

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return () if obj is not None and obj.deleted_at else self.inlines

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        view = self.admin_site.admin_view
        own = [
            path("export/", view(self.export_view), name=f"{name}_export"),
            path("polar-export/", view(self.polar_export_view), name=f"{name}_polar_export"),
            path("<uuid:pk>/act/<slug:verb>/", view(self.act_view), name=f"{name}_act"),
        ]
        return [*own, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        context = {"may_export": self.has_export_permission(request), **(extra_context or {})}
        return super().changelist_view(request, context)

    @admin.display(description="customer", ordering="created_at")
    def title(self, customer: Customer) -> str:
        if customer.deleted_at is not None:
            return f"deleted {str(customer.pk)[:8]}"
        return customer.name or customer.billing_name or customer.email or str(customer.pk)

    @admin.display(description="email")
    def email_shown(self, customer: Customer) -> Any:
        return None if customer.deleted_at else customer.email

    @admin.display(description="external id")
    def external_id_shown(self, customer: Customer) -> Any:
        return None if customer.deleted_at else customer.external_id

    @admin.display(description="user")
    def user_link(self, customer: Customer) -> Any:
        if customer.user is None or customer.deleted_at:
            return None
        return link_to(customer.user, self.admin_site)

    @admin.display(description="subscriptions")
    def subscriptions(self, customer: Customer) -> str:
        return "" if customer.deleted_at else subscriptions_text(customer)

    @admin.display(description="benefits")
    def benefits(self, customer: Customer) -> str:
        return "" if customer.deleted_at else benefits_text(customer)

    @admin.display(description="balance")
    def balance(self, customer: Customer) -> Any:
        if customer.deleted_at:
            return None
        return balances_html(customer.balances.all())

    @admin.display(description="balance")
    def balance_with_age(self, customer: Customer) -> Any:
        return balances_html(customer.balances.all(), with_age=True)

    @admin.display(description="last synced")
    def last_synced(self, customer: Customer) -> Any:
        """A complete sync has seen everyone, though it writes no row that has not changed."""
        if customer.deleted_at:
            return None
        told = (customer.synced_at, _as_of(customer), getattr(customer, "complete_at", None))
        return age(max(moment for moment in told if moment))

    @admin.display(description="whole state seen by itself")
    def state_as_of(self, customer: Customer) -> Any:
        return age(_as_of(customer))

    @admin.display(description="billing address")
    def address(self, customer: Customer) -> Any:
        return address_html(customer.billing_address)

    @admin.display(description="tax id")
    def tax(self, customer: Customer) -> str:
        return " ".join(str(part) for part in customer.tax_id or ()) or EMPTY

    @admin.display(description="avatar")
    def avatar(self, customer: Customer) -> Any:
        return url_html(customer.avatar_url, "picture")

    @admin.display(description="in Polar's dashboard")
    def dashboard(self, customer: Customer) -> Any:
        return url_html(dashboard_url(customer))

    @admin.display(description="ask Polar")
    def buttons(self, customer: Customer) -> Any:
        return getattr(customer, "admin_buttons", EMPTY)

    @admin.display(description="metadata")
    def metadata_json(self, customer: Customer) -> Any:
        return json_html(customer.metadata)

    @admin.display(description="fields without a column")
    def raw_json(self, customer: Customer) -> Any:
        return json_html(customer.raw)


FORGOTTEN_FIELDSETS: Final = (
    (
        "Deleted",
        {
            "description": "Polar has deleted this customer. What was known about the person is"
            " erased here as well.",
            "fields": ("deleted_at", "created_at", "id", "type", "organization_id"),
        },
    ),
)


def _as_of(customer: Customer) -> datetime | None:
    state = getattr(customer, "state", None)
    return state.as_of if state else None
