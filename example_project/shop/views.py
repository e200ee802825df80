"""Pages that depend on what the visitor has bought. All but the last ask the mirror alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from django_polar.exceptions import NotFoundError, PolarError
from django_polar.models import Customer, SyncRun
from django_polar.services import create_portal_session

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
    customer = Customer.objects.for_user(request.user).with_state().first()
    by_product = (
        {row.product_id: row for row in customer.state.active_subscriptions.all()}
        if customer
        else {}
    )
    current = next((plan for plan in PLANS if plan.product_id in by_product), None)
    return render(
        request,
        "shop/pricing.html",
        {
            "plans": PLANS,
            "current": current,
            "subscription": by_product[current.product_id] if current else None,
        },
    )


@login_required
def members(request: HttpRequest) -> HttpResponse:
    """Open to whoever Polar has granted a benefit; the others see what they could buy."""
    if not Customer.objects.for_user(request.user).with_benefit().exists():
        messages.info(request, "That page is for members. These are the plans.")
        return redirect("pricing")
    return render(request, "shop/members.html")


@login_required
@require_POST
def billing(request: HttpRequest) -> HttpResponse:
    """To Polar's customer portal, through a session made for this visitor alone."""
    home_url = request.build_absolute_uri(reverse("home"))
    try:
        session = create_portal_session(request.user, return_url=home_url)
    except NotFoundError:
        messages.info(request, "You have not bought anything yet.")
        return redirect("pricing")
    except PolarError:
        messages.error(request, "Polar does not answer at the moment. Please try again.")
        return redirect("home")
    return redirect(session.customer_portal_url)
