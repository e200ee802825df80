"""The customer on the page of its user: ``inlines = [CustomerInline]`` in the user's admin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin

from django_polar.models import Customer

from .base import StackedInline
from .formats import balances_html, benefits_text, subscriptions_text

if TYPE_CHECKING:
    from django.db.models import Model, QuerySet
    from django.http import HttpRequest


class CustomerInline(StackedInline):
    """Read-only, from the mirror, with a link to the customer's own page."""

    model = Customer
    verbose_name = "Polar customer"
    verbose_name_plural = "Polar customer"
    fields = readonly_fields = (
        "id",
        "external_id",
        "email",
        "subscriptions",
        "benefits",
        "balance",
    )
    extra = 0
    max_num = 0
    can_delete = False
    show_change_link = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Customer]:
        customers = Customer.objects.live().with_state().prefetch_related("balances")
        return customers.order_by("pk")

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.has_perm("django_polar.view_customer")

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @admin.display(description="active subscriptions")
    def subscriptions(self, customer: Customer) -> Any:
        return subscriptions_text(customer)

    @admin.display(description="granted benefits")
    def benefits(self, customer: Customer) -> Any:
        return benefits_text(customer)

    @admin.display
    def balance(self, customer: Customer) -> Any:
        return balances_html(customer.balances.all(), with_age=True)
