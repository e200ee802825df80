"""Decorators that let only those in who are entitled; for sync and async views."""

from __future__ import annotations

from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast, overload
from urllib.parse import urlsplit

from asgiref.sync import iscoroutinefunction
from django.conf import settings as django_settings
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.shortcuts import redirect, resolve_url

from .questions import ahas_active_subscription, ahas_benefit, has_active_subscription, has_benefit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from django_polar.conf import Named

View = TypeVar("View", bound="Callable[..., Any]")

DENIED: Final = "This needs a subscription or a benefit that you do not have."


@dataclass(frozen=True, slots=True)
class SubscriptionRequirement:
    """An active or trialing subscription, to this product if one is given."""

    product_id: Named | None = None

    def is_met_by(self, user: Any) -> bool:
        return has_active_subscription(user, self.product_id)

    async def ais_met_by(self, user: Any) -> bool:
        return await ahas_active_subscription(user, self.product_id)


@dataclass(frozen=True, slots=True)
class BenefitRequirement:
    """A granted benefit for which everything given is true at once."""

    benefit_id: Named | None = None
    type: str | None = None
    metadata: Mapping[str, Any] | None = None

    def is_met_by(self, user: Any) -> bool:
        return has_benefit(user, self.benefit_id, self.type, self.metadata)

    async def ais_met_by(self, user: Any) -> bool:
        return await ahas_benefit(user, self.benefit_id, self.type, self.metadata)


Requirement = SubscriptionRequirement | BenefitRequirement


@overload
def subscription_required(product_id: View, /) -> View: ...
@overload
def subscription_required(
    product_id: Named | None = None,
    *,
    redirect_to: str | None = None,
    login_url: str | None = None,
) -> Callable[[View], View]: ...
def subscription_required(
    product_id: Any = None,
    *,
    redirect_to: str | None = None,
    login_url: str | None = None,
) -> Any:
    """``@subscription_required``, or with a product: ``@subscription_required("pro")``.

    Who is not signed in is sent to the login; who is not entitled to ``redirect_to`` (a URL or the
    name of one, such as your pricing page), or is refused with 403 where there is none.
    """
    if callable(product_id):
        return _guard(product_id, SubscriptionRequirement(), None, None)

    def decorate(view: View) -> View:
        return _guard(view, SubscriptionRequirement(product_id), redirect_to, login_url)

    return decorate


@overload
def benefit_required(benefit_id: View, /) -> View: ...
@overload
def benefit_required(
    benefit_id: Named | None = None,
    *,
    type: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    redirect_to: str | None = None,
    login_url: str | None = None,
) -> Callable[[View], View]: ...
def benefit_required(
    benefit_id: Any = None,
    *,
    type: str | None = None,  # noqa: A002 - Polar's word
    metadata: Mapping[str, Any] | None = None,
    redirect_to: str | None = None,
    login_url: str | None = None,
) -> Any:
    """``@benefit_required("downloads")``, ``@benefit_required(type="feature_flag")``, and so on.

    Refuses as ``subscription_required`` does.
    """
    if callable(benefit_id):
        return _guard(benefit_id, BenefitRequirement(), None, None)

    def decorate(view: View) -> View:
        requirement = BenefitRequirement(benefit_id, type, metadata)
        return _guard(view, requirement, redirect_to, login_url)

    return decorate


def refuse(
    request: HttpRequest,
    *,
    signed_in: bool,
    redirect_to: str | None = None,
    login_url: str | None = None,
    redirect_field_name: str | None = REDIRECT_FIELD_NAME,
) -> HttpResponseBase:
    """Where to go instead.

    Raises:
        PermissionDenied: nowhere was named, and signing in would not help.
    """
    if not signed_in:
        url = resolve_url(login_url or django_settings.LOGIN_URL)
        # As Django's login_required: a login on this host gets the path alone.
        here, there = urlsplit(request.build_absolute_uri()), urlsplit(url)
        is_elsewhere = (there.scheme and there.scheme != here.scheme) or (
            there.netloc and there.netloc != here.netloc
        )
        path = request.build_absolute_uri() if is_elsewhere else request.get_full_path()
        return redirect_to_login(path, url, redirect_field_name)
    if redirect_to is not None:
        return redirect(redirect_to)
    raise PermissionDenied(DENIED)


def _guard(
    view: View, requirement: Requirement, redirect_to: str | None, login_url: str | None
) -> View:
    if iscoroutinefunction(view):
        aview = cast("Callable[..., Awaitable[HttpResponseBase]]", view)

        @wraps(view)
        async def aguarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            user = await request.auser()
            if await requirement.ais_met_by(user):
                return await aview(request, *args, **kwargs)
            return refuse(
                request,
                signed_in=user.is_authenticated,
                redirect_to=redirect_to,
                login_url=login_url,
            )

        return cast("View", aguarded)

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if requirement.is_met_by(request.user):
            return view(request, *args, **kwargs)
        return refuse(
            request,
            signed_in=request.user.is_authenticated,
            redirect_to=redirect_to,
            login_url=login_url,
        )

    return cast("View", guarded)
