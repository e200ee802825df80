"""Decorators and mixins: who gets in, and where the others go."""

from __future__ import annotations

import inspect

import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.test import RequestFactory
from django.views import View

from django_polar.entitlements import (
    BenefitRequiredMixin,
    SubscriptionRequiredMixin,
    aget_entitlements,
    ahas_active_subscription,
    ahas_benefit,
    ameter_balance,
    benefit_required,
    subscription_required,
)

from .conftest import CALLS, DOWNLOADS, PRO, TEAM, grant, meter, subscribe


def respond(request):
    return HttpResponse("in")


async def arespond(request):
    return HttpResponse("in")


class SyncView(View):
    def get(self, request):
        return respond(request)


class AsyncView(View):
    async def get(self, request):
        return await arespond(request)


def protected(kind, *, redirect_to=None):
    """The same protection in each of its forms: needs a subscription to PRO."""
    decorate = subscription_required(PRO, redirect_to=redirect_to)
    attributes = {"product_id": PRO, "redirect_to": redirect_to}
    if kind == "decorator":
        return decorate(respond)
    if kind == "async decorator":
        return decorate(arespond)
    base = SyncView if kind == "mixin" else AsyncView
    return type("Protected", (SubscriptionRequiredMixin, base), attributes).as_view()


def visit(view, user, path="/pro/?page=2", method="get"):
    request = getattr(RequestFactory(), method)(path)
    request.user = user

    async def auser():
        return user

    request.auser = auser
    if iscoroutinefunction(view):
        return async_to_sync(view)(request)
    return view(request)


KINDS = pytest.mark.parametrize("kind", ["decorator", "async decorator", "mixin", "async mixin"])


@KINDS
def test_entitled_user_gets_in(kind, user, customer):
    subscribe(customer, PRO)

    assert visit(protected(kind), user).content == b"in"


@KINDS
def test_user_without_it_is_refused(kind, user, customer):
    """Another product does not count; without a place to go to the answer is 403."""
    subscribe(customer, TEAM)

    with pytest.raises(PermissionDenied):
        visit(protected(kind), user)


@KINDS
def test_user_without_it_is_sent_to_the_pricing_page(kind, user, customer):
    response = visit(protected(kind, redirect_to="/pricing/"), user)

    assert (response.status_code, response.url) == (302, "/pricing/")


@KINDS
def test_anonymous_visitor_is_sent_to_the_login(kind, settings):
    """Signing in comes first, and leads back to the page that was asked for."""
    settings.LOGIN_URL = "/login/"

    response = visit(protected(kind, redirect_to="/pricing/"), AnonymousUser())

    assert (response.status_code, response.url) == (302, "/login/?next=/pro/%3Fpage%3D2")


def test_login_on_another_host_gets_the_whole_address():
    response = visit(
        subscription_required(login_url="https://id.example.com/")(respond), AnonymousUser()
    )

    assert response.url == "https://id.example.com/?next=http%3A//testserver/pro/%3Fpage%3D2"


@KINDS
def test_one_query_for_the_gate(kind, user, customer, django_assert_num_queries):
    subscribe(customer)

    with django_assert_num_queries(1):
        visit(protected(kind), user)


def test_decorators_without_arguments(user, customer):
    """Bare, they ask for any subscription or any benefit."""
    with pytest.raises(PermissionDenied):
        visit(subscription_required(respond), user)
    with pytest.raises(PermissionDenied):
        visit(benefit_required(arespond), user)


def test_bare_decorators_let_in(user, customer):
    subscribe(customer)
    grant(customer)

    assert visit(subscription_required(respond), user).content == b"in"
    assert visit(benefit_required(arespond), user).content == b"in"


def test_decorator_around_an_async_class_based_view(user, customer):
    subscribe(customer)
    view = subscription_required(PRO)(AsyncView.as_view())

    assert iscoroutinefunction(view)
    assert visit(view, user).content == b"in"


def test_decorated_view_keeps_its_name_and_kind():
    assert subscription_required(respond).__name__ == "respond"
    assert inspect.iscoroutinefunction(benefit_required("downloads")(arespond))


def test_benefit_by_everything(user, customer):
    grant(customer, DOWNLOADS, "downloadables", tier="gold")
    wanted = {"type": "downloadables", "metadata": {"tier": "gold"}}

    assert visit(benefit_required(DOWNLOADS, **wanted)(respond), user).content == b"in"
    assert visit(benefit_required(**wanted)(arespond), user).content == b"in"
    with pytest.raises(PermissionDenied):
        visit(benefit_required(DOWNLOADS, type="custom")(respond), user)


def test_benefit_mixin(user, customer):
    grant(customer, DOWNLOADS, "downloadables", tier="gold")

    class Gold(BenefitRequiredMixin, SyncView):
        benefit_metadata = {"tier": "gold"}  # noqa: RUF012

    class License(BenefitRequiredMixin, AsyncView):
        benefit_type = "license_keys"

    assert visit(Gold.as_view(), user).content == b"in"
    with pytest.raises(PermissionDenied):
        visit(License.as_view(), user)


@pytest.mark.parametrize("kind", ["mixin", "async mixin"])
def test_mixin_leaves_other_methods_to_the_view(kind, user, customer):
    subscribe(customer)

    assert visit(protected(kind), user, method="post").status_code == 405


def test_async_questions(user, customer):
    """The async questions answer as their sync counterparts do."""
    subscribe(customer)
    grant(customer)
    meter(customer)

    async def ask():
        assert await ahas_active_subscription(user, PRO)
        assert not await ahas_active_subscription(user, TEAM)
        assert await ahas_benefit(user, DOWNLOADS)
        assert await ameter_balance(user, CALLS) == 12.5
        return await aget_entitlements(user)

    assert async_to_sync(ask)().customer_id == customer.pk


def test_async_questions_cost_one_query(user, customer, django_assert_num_queries):
    subscribe(customer)

    async def ask():
        return [await ahas_active_subscription(user, PRO), await ahas_benefit(user, DOWNLOADS)]

    with django_assert_num_queries(1):
        assert async_to_sync(ask)() == [True, False]


def test_async_questions_take_a_lazy_user(client, user, customer):
    """A lazy ``request.user`` is not evaluated in the event loop, where Django forbids it."""
    from django.contrib.auth.middleware import AuthenticationMiddleware  # noqa: PLC0415

    subscribe(customer)
    client.force_login(user)
    request = RequestFactory().get("/")
    request.session = client.session
    AuthenticationMiddleware(respond)(request)

    async def ask():
        return await ahas_active_subscription(request.user), await aget_entitlements(request.user)

    active, entitlements = async_to_sync(ask)()

    assert active
    assert entitlements.customer_id == customer.pk
