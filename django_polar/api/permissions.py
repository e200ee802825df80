"""DRF permissions: what a user is entitled to, and who may see all customers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rest_framework.permissions import BasePermission

from django_polar.entitlements.access import (
    DENIED,
    BenefitRequirement,
    Requirement,
    SubscriptionRequirement,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rest_framework.request import Request
    from rest_framework.views import APIView

    from django_polar.conf import Named


class _RequirementPermission(BasePermission):
    requirement: ClassVar[Requirement]
    message = DENIED

    def has_permission(self, request: Request, view: APIView) -> bool:
        return self.requirement.is_met_by(request.user)


class HasActiveSubscription(_RequirementPermission):
    """``permission_classes = [HasActiveSubscription]``, or ``[HasActiveSubscription.to("pro")]``.

    Combines with ``&``, ``|`` and ``~`` like any permission.
    """

    requirement = SubscriptionRequirement()

    @classmethod
    def to(cls, product_id: Named) -> type[HasActiveSubscription]:
        """To this product: an id, a name from the settings, or several of which one suffices."""
        return type(cls.__name__, (cls,), {"requirement": SubscriptionRequirement(product_id)})


class HasBenefit(_RequirementPermission):
    """``[HasBenefit]``, ``[HasBenefit.of("downloads")]``, ``[HasBenefit.of(type="custom")]``"""

    requirement = BenefitRequirement()

    @classmethod
    def of(
        cls,
        benefit_id: Named | None = None,
        type: str | None = None,  # noqa: A002 - Polar's word
        metadata: Mapping[str, Any] | None = None,
    ) -> type[HasBenefit]:
        """With everything given true of one benefit at once."""
        requirement = BenefitRequirement(benefit_id, type, metadata)
        return _subclass(cls, requirement)


def _subclass(cls: type[HasBenefit], requirement: BenefitRequirement) -> type[HasBenefit]:
    return type(cls.__name__, (cls,), {"requirement": requirement})


class MayViewCustomers(BasePermission):
    """Staff with ``django_polar.view_customer``."""

    permissions: ClassVar[tuple[str, ...]] = ("django_polar.view_customer",)

    def has_permission(self, request: Request, view: APIView) -> bool:
        user = request.user
        return bool(user.is_authenticated and user.is_staff and user.has_perms(self.permissions))


class MayChangeCustomers(MayViewCustomers):
    """Staff with ``django_polar.change_customer`` as well."""

    permissions = ("django_polar.view_customer", "django_polar.change_customer")
