"""``{% load polar %}``: what a user is entitled to, in templates.

As filters on any user, ``{% if user|has_active_subscription:"pro" %}``, and as tags about the
``user`` of the template, ``{% polar_benefit type="feature_flag" as has_flag %}``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import template
from django.urls import reverse

from django_polar import entitlements

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.template.context import Context

    from django_polar.conf import Named

register = template.Library()


@register.filter
def has_active_subscription(user: Any, product_id: Named | None = None) -> bool:
    """``{{ user|has_active_subscription }}``, or with a product: ``:"pro"``"""
    return entitlements.has_active_subscription(user, product_id)


@register.filter
def has_benefit(user: Any, benefit_id: Named | None = None) -> bool:
    """``{{ user|has_benefit:"downloads" }}``"""
    return entitlements.has_benefit(user, benefit_id)


@register.filter
def has_benefit_type(user: Any, benefit_type: str) -> bool:
    """``{{ user|has_benefit_type:"license_keys" }}``"""
    return entitlements.has_benefit(user, type=benefit_type)


@register.filter
def meter_balance(user: Any, meter_id: Named) -> float | None:
    """``{{ user|meter_balance:"api-calls" }}``: credited minus consumed units, or ``None``."""
    return entitlements.meter_balance(user, meter_id)


@register.simple_tag(takes_context=True)
def polar_subscription(context: Context, product_id: Named | None = None) -> bool:
    """``{% polar_subscription "pro" as is_pro %}``"""
    return entitlements.has_active_subscription(_user(context), product_id)


@register.simple_tag(takes_context=True)
def polar_benefit(
    context: Context,
    benefit_id: Named | None = None,
    type: str | None = None,  # noqa: A002 - Polar's word
    metadata: Mapping[str, Any] | None = None,
) -> bool:
    """``{% polar_benefit "downloads" as has_downloads %}``"""
    return entitlements.has_benefit(_user(context), benefit_id, type, metadata)


@register.simple_tag(takes_context=True)
def polar_meter(context: Context, meter_id: Named) -> float | None:
    """``{% polar_meter "api-calls" as calls_left %}``"""
    return entitlements.meter_balance(_user(context), meter_id)


@register.simple_tag
def polar_portal_url() -> str:
    """The address that leads on to Polar's customer portal: a link there asks, a form goes."""
    return reverse("django_polar:portal")


def _user(context: Context) -> Any:
    """The template's ``user``; without one nobody, who is entitled to nothing."""
    if "user" in context:
        return context["user"]
    return getattr(context.get("request"), "user", None)
