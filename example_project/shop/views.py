"""Pages that depend on what the visitor has bought. All of them ask the mirror alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.decorators import login_required
from django.shortcuts import render

from django_polar.entitlements import benefit_required, has_active_subscription
from django_polar.models import ActiveSubscription, Customer, SyncRun

from .plans import PLANS

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


def home(request: HttpRequest) -> HttpResponse:
    customer = Customer.objects.for_user(request.user).with_state().first()
    if customer is None:
        last_sync = SyncRun.objects.filter(outcome=SyncRun.Outcome.COMPLETE).last()
        return render(
            request,
            "shop/home.html",
            {"mirrored": Customer.objects.count(), "last_sync": last_sync},
        )
    return render(
        request,
        "shop/home.html",
        {
            "customer": customer,
            "subscriptions": customer.state.active_subscriptions.all(),
            "benefits": customer.state.granted_benefits.all(),
            "meters": customer.state.active_meters.all(),
        },
    )


def pricing(request: HttpRequest) -> HttpResponse:
    """The same three plans, with the visitor's own marked."""
    current = next(
        (plan for plan in PLANS if has_active_subscription(request.user, plan.product_id)), None
    )
    subscription = (
        current
        and ActiveSubscription.objects.filter(
            state__customer__user=request.user, product_id=current.product_id
        ).first()
    )
    return render(
        request,
        "shop/pricing.html",
        {"plans": PLANS, "current": current, "subscription": subscription},
    )


@benefit_required(redirect_to="pricing")
def members(request: HttpRequest) -> HttpResponse:
    """Open to whoever Polar has granted a benefit; the others see what they could buy."""
    return render(request, "shop/members.html")


@login_required
def account(request: HttpRequest) -> HttpResponse:
    """What the REST API says, fetched by the page itself."""
    return render(request, "shop/account.html")
