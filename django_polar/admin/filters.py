"""The filters beside the lists. None of them reads a whole table to know its choices."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django.contrib import admin
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from django_polar.models import ActiveSubscription, GrantedBenefit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import QuerySet
    from django.http import HttpRequest

    from django_polar.models import StateItem

Choices = list[tuple[str, str]]

_MOST_CHOICES: Final = 25


class YesNoFilter(admin.SimpleListFilter):
    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [("yes", "Yes"), ("no", "No")]


class LinkedFilter(YesNoFilter):
    title = "linked to a user"
    parameter_name = "linked"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "yes":
            return queryset.filter(user__isnull=False)
        if self.value() == "no":
            return queryset.filter(user__isnull=True, deleted_at__isnull=True)
        return queryset


class DeletedFilter(YesNoFilter):
    title = "deleted at Polar"
    parameter_name = "deleted"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() in ("yes", "no"):
            return queryset.filter(deleted_at__isnull=self.value() == "no")
        return queryset


class TypeFilter(admin.SimpleListFilter):
    title = "type"
    parameter_name = "customer_type"
    known = ("individual", "team")

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [*((name, name) for name in self.known), ("other", "another")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "other":
            return queryset.exclude(type__in=self.known)
        if self.value():
            return queryset.filter(type=self.value())
        return queryset


class ActiveSubscriptionFilter(YesNoFilter):
    title = "active subscription"
    parameter_name = "subscribed"

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "yes":
            return queryset.with_active_subscription()
        if self.value() == "no":
            subscriptions = ActiveSubscription.objects.filter(state_id=OuterRef("pk"))
            return queryset.filter(~Exists(subscriptions))
        return queryset


class _IdFilter(admin.SimpleListFilter):
    """A choice of ids; one that is not listed can still be given in the URL."""

    def chosen(self) -> UUID | None:
        try:
            return UUID(self.value() or "")
        except ValueError:
            return None


class ProductFilter(_IdFilter):
    title = "product"
    parameter_name = "product"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(str(id_), str(id_)) for (id_,) in _distinct(ActiveSubscription, "product_id")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        chosen = self.chosen()
        return queryset.with_active_subscription(chosen) if chosen else queryset


class BenefitFilter(_IdFilter):
    title = "benefit"
    parameter_name = "benefit"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        benefits = _distinct(GrantedBenefit, "benefit_id", "benefit_type")
        return [(str(id_), f"{kind} {str(id_)[:8]}") for id_, kind in benefits]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        chosen = self.chosen()
        return queryset.with_benefit(chosen) if chosen else queryset


def _distinct(model: type[StateItem], *columns: str) -> Iterator[tuple[Any, ...]]:
    """The first column's values, each from its place in the index after the one before.

    ``DISTINCT`` reads all of the index: for a million rows a fifth of a second on PostgreSQL.
    """
    rows: Any = model._base_manager.order_by(columns[0]).values_list(*columns)
    found = next(iter(rows[:1]), None)
    for _ in range(_MOST_CHOICES):
        if found is None:
            return
        yield found
        found = next(iter(rows.filter(**{f"{columns[0]}__gt": found[0]})[:1]), None)


class SyncedBeforeFilter(admin.SimpleListFilter):
    """Customers of whom neither a full sync nor anything else has told us since."""

    title = "last synced"
    parameter_name = "synced_before"
    ages: Final = {
        "1h": (timedelta(hours=1), "more than an hour ago"),
        "1d": (timedelta(days=1), "more than a day ago"),
        "7d": (timedelta(days=7), "more than 7 days ago"),
        "30d": (timedelta(days=30), "more than 30 days ago"),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(key, label) for key, (_, label) in self.ages.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        from django_polar.services.overview import get_last_complete_at  # noqa: PLC0415 - on use

        if self.value() not in self.ages:
            return queryset
        before = timezone.now() - self.ages[self.value() or ""][0]
        complete_at = get_last_complete_at()
        if complete_at and complete_at >= before:
            # A complete sync writes no row that has not changed, but it has seen them all.
            return queryset.none()
        never_seen_since = Q(state__isnull=True) | Q(state__as_of__isnull=True)
        return queryset.filter(deleted_at__isnull=True, synced_at__lt=before).filter(
            never_seen_since | Q(state__as_of__lt=before)
        )


class StatusFilter(admin.SimpleListFilter):
    """Of queued work; what needs a person comes first."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [
            ("attention", "Needs a person"),
            ("open", "Waiting or in progress"),
            ("retried", "Failed before, will be tried again"),
            ("done", "Done"),
        ]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        match self.value():
            case "attention":
                return queryset.needs_attention()
            case "open":
                return queryset.open()
            case "retried":
                return queryset.open().exclude(last_error="")
            case "done":
                return queryset.filter(done_at__isnull=False)
            case _:
                return queryset


class ResolvedFilter(YesNoFilter):
    title = "resolved"
    parameter_name = "resolved"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() in ("yes", "no"):
            return queryset.filter(resolved_at__isnull=self.value() == "no")
        return queryset
