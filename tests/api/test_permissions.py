"""DRF permissions, and what they cost together with the other ways to ask."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser
from django.template import Context, Template
from rest_framework.permissions import IsAdminUser
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory, force_authenticate
from rest_framework.views import APIView

from django_polar.api.permissions import HasActiveSubscription, HasBenefit
from django_polar.entitlements import has_benefit, meter_balance, subscription_required
from tests.entitlements.conftest import (
    CALLS,
    DOWNLOADS,
    PRO,
    TEAM,
    grant,
    make_customer,
    make_user,
    meter,
    subscribe,
)


@pytest.fixture
def user(db):
    return make_user()


@pytest.fixture
def customer(user):
    return make_customer(user)


def visit(user, *permissions, handler=None):
    class Gated(APIView):
        permission_classes = permissions

        def get(self, request):
            return Response(handler(request) if handler else "in")

    request = APIRequestFactory().get("/")
    request.user = user
    force_authenticate(request, user if user.is_authenticated else None)
    return Gated.as_view()(request)


@pytest.mark.parametrize(
    ("permission", "status"),
    [
        (HasActiveSubscription, 200),
        (HasActiveSubscription.to("pro"), 200),
        (HasActiveSubscription.to(TEAM), 403),
        (HasActiveSubscription.to([TEAM, PRO]), 200),
        (HasBenefit, 200),
        (HasBenefit.of(DOWNLOADS), 200),
        (HasBenefit.of(type="custom"), 403),
        (HasBenefit.of(metadata={"tier": "gold"}), 200),
        (HasBenefit.of(DOWNLOADS, metadata={"tier": "silver"}), 403),
        (HasActiveSubscription.to(TEAM) | HasBenefit.of(DOWNLOADS), 200),
        (HasActiveSubscription & ~HasBenefit, 403),
        (HasActiveSubscription & IsAdminUser, 403),
    ],
)
def test_permission(user, customer, settings, permission, status):
    settings.POLAR_PRODUCTS = {"pro": PRO}
    subscribe(customer)
    grant(customer, tier="gold")

    assert visit(user, permission).status_code == status


def test_anonymous_visitor(db):
    assert visit(AnonymousUser(), HasActiveSubscription).status_code in (401, 403)


def test_one_query_for_a_whole_request(user, customer, django_assert_num_queries):
    """Decorator, DRF permission, template filter and functions share what was read once."""
    subscribe(customer)
    grant(customer)
    meter(customer)

    def render(request):
        source = "{% load polar %}{{ user|has_active_subscription }} {{ user|meter_balance:meter }}"
        assert has_benefit(request.user, DOWNLOADS)
        assert meter_balance(request.user, CALLS) == 12.5
        return Template(source).render(Context({"user": request.user, "meter": str(CALLS)}))

    @subscription_required(PRO)
    def view(request):
        return visit(request.user, HasActiveSubscription.to(PRO) & HasBenefit, handler=render)

    request = APIRequestFactory().get("/")
    request.user = user
    with django_assert_num_queries(1):
        assert view(request).data == "True 12.5"
