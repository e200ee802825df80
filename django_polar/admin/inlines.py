"""A customer's subscriptions, benefits and meters below the customer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.checks import InlineModelAdminChecks
from django.contrib.admin.utils import flatten_fieldsets
from django.forms import ALL_FIELDS, BaseModelFormSet, ModelForm, modelformset_factory

from django_polar.models import (
    ActiveMeter,
    ActiveSubscription,
    Customer,
    GrantedBenefit,
    StateItem,
)

from .base import TabularInline
from .formats import age, amount_text, json_html

if TYPE_CHECKING:
    from django.core.checks import CheckMessage
    from django.db.models import Model
    from django.http import HttpRequest


if TYPE_CHECKING:
    FormSet = BaseModelFormSet[Any, Any]
else:
    FormSet = BaseModelFormSet


class StateItemFormSet(FormSet):
    """The parts of one customer's state, which hang on the state and not on the customer."""

    model: type[StateItem]

    def __init__(
        self,
        data: Any = None,
        files: Any = None,
        instance: Customer | None = None,
        save_as_new: bool = False,  # noqa: FBT001, FBT002
        prefix: str | None = None,
        queryset: Any = None,
        **kwargs: Any,
    ) -> None:
        self.instance = instance
        rows: Any = self.model._default_manager.all() if queryset is None else queryset
        pk = None if instance is None else instance.pk
        super().__init__(
            data=data,
            files=files,
            prefix=prefix,
            queryset=rows.filter(state_id=pk).order_by("created_at", "pk"),
            **kwargs,
        )

    @classmethod
    def get_default_prefix(cls) -> str:
        return cls.model._meta.model_name or "item"


class StateItemChecks(InlineModelAdminChecks):
    """There is no foreign key to the customer itself to check."""

    def _check_exclude_of_parent_model(self, obj: Any, parent_model: Any) -> list[CheckMessage]:
        return []

    def _check_relation(self, obj: Any, parent_model: Any) -> list[CheckMessage]:
        return []


class StateItemInline(TabularInline):
    checks_class = StateItemChecks
    formset = StateItemFormSet  # type: ignore[assignment]
    can_delete = False
    extra = 0
    max_num = 0

    def get_formset(self, request: Any, obj: Any = None, **kwargs: Any) -> Any:
        del kwargs
        return modelformset_factory(
            self.model,
            form=ModelForm,
            formset=StateItemFormSet,
            fields=flatten_fieldsets(self.get_fieldsets(request, obj)) or ALL_FIELDS,
            exclude=self.get_readonly_fields(request, obj),
            extra=0,
            max_num=0,
            can_delete=False,
        )

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.readonly_fields

    # Whoever may look at a customer may look at what the customer has: it is one page.
    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.admin_site.get_model_admin(Customer).has_view_permission(request)

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @admin.display(description="told")
    def told(self, item: StateItem) -> Any:
        return age(item.synced_at)


class SubscriptionInline(StateItemInline):
    model = ActiveSubscription
    readonly_fields = (
        "product_id",
        "status",
        "price",
        "current_period_end",
        "ends",
        "started_at",
        "told",
    )

    @admin.display(description="amount")
    def price(self, item: ActiveSubscription) -> str:
        text = amount_text(item.amount, item.currency)
        return f"{text} a {item.recurring_interval}" if item.recurring_interval else text

    @admin.display(description="ends at")
    def ends(self, item: ActiveSubscription) -> Any:
        return item.ends_at or (item.current_period_end if item.cancel_at_period_end else None)


class BenefitInline(StateItemInline):
    model = GrantedBenefit
    readonly_fields = ("benefit_type", "benefit_id", "granted_at", "about", "told")

    @admin.display(description="metadata and properties")
    def about(self, item: GrantedBenefit) -> Any:
        return json_html({**item.benefit_metadata, **item.properties})


class MeterInline(StateItemInline):
    model = ActiveMeter
    readonly_fields = ("meter_id", "balance", "consumed_units", "credited_units", "told")
