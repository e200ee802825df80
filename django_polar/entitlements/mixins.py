"""The same for class-based views, with sync or async handlers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth import REDIRECT_FIELD_NAME

from .access import BenefitRequirement, Requirement, SubscriptionRequirement, refuse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from django_polar.conf import Named


class _RequirementMixin:
    """Put it to the left of the view's class."""

    login_url: str | None = None
    redirect_field_name: str | None = REDIRECT_FIELD_NAME
    redirect_to: str | None = None
    """Where those go who are signed in and not entitled; refused with 403 where ``None``."""

    view_is_async: bool

    def get_requirement(self) -> Requirement:
        raise NotImplementedError

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if self.view_is_async:
            return self._adispatch(request, *args, **kwargs)
        if self.get_requirement().is_met_by(request.user):
            return super().dispatch(request, *args, **kwargs)  # type: ignore[misc]
        return self._refuse(request, signed_in=request.user.is_authenticated)

    async def _adispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        user = await request.auser()
        if not await self.get_requirement().ais_met_by(user):
            return self._refuse(request, signed_in=user.is_authenticated)
        response = super().dispatch(request, *args, **kwargs)  # type: ignore[misc]
        # A method without a handler is answered by Django without a coroutine in old versions.
        return await response if hasattr(response, "__await__") else response

    def _refuse(self, request: HttpRequest, *, signed_in: bool) -> HttpResponseBase:
        return refuse(
            request,
            signed_in=signed_in,
            redirect_to=self.redirect_to,
            login_url=self.login_url,
            redirect_field_name=self.redirect_field_name,
        )


class SubscriptionRequiredMixin(_RequirementMixin):
    """``product_id`` as for ``subscription_required``; any subscription where ``None``."""

    product_id: Named | None = None

    def get_requirement(self) -> SubscriptionRequirement:
        return SubscriptionRequirement(self.product_id)


class BenefitRequiredMixin(_RequirementMixin):
    """``benefit_id``, ``benefit_type`` and ``benefit_metadata`` as for ``benefit_required``."""

    benefit_id: Named | None = None
    benefit_type: str | None = None
    benefit_metadata: Mapping[str, Any] | None = None

    def get_requirement(self) -> BenefitRequirement:
        return BenefitRequirement(self.benefit_id, self.benefit_type, self.benefit_metadata)
