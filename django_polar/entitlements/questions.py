"""The questions, and the policy for a mirror that has not heard from Polar for long."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeVar

from asgiref.sync import sync_to_async
from django.core.cache import cache
from django.utils import timezone
from django.utils.functional import LazyObject

from django_polar.conf import WHEN_STALE, Named, ids_named, settings
from django_polar.models import Customer
from django_polar.signals import customer_state_stale

from .reading import last_complete_run_started_at, read_entitlements, read_many
from .snapshot import NOTHING, Entitlements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

T = TypeVar("T")

WhenStale: TypeAlias = Literal["allow", "deny", "refresh"]

KEPT_FOR: Final = timedelta(minutes=1)
"""Longer than a request takes; a user object that lives on, as in a websocket consumer, is asked
again after that."""

REFRESH_INTERVAL: Final = timedelta(minutes=1)
"""A customer whose refresh was asked for is left alone for so long."""

_ATTRIBUTE: Final = "_polar_entitlements"


@dataclass(frozen=True, slots=True)
class _Kept:
    """What was read for a user, on the user object. Wall-clock time: it survives pickling."""

    user_pk: Any
    entitlements: Entitlements
    read_at: float

    def is_good(self, user: Any) -> bool:
        age = time.time() - self.read_at
        return bool(self.user_pk == user.pk) and 0 <= age < KEPT_FOR.total_seconds()


def get_entitlements(user: Any) -> Entitlements:
    """All that the user has now, whatever its age; of somebody anonymous, nothing.

    Costs one query the first time, and none after that, nor where the customer was prefetched.
    """
    if not _is_known(user):
        return NOTHING
    kept: _Kept | None = getattr(user, _ATTRIBUTE, None)
    if kept is not None and kept.is_good(user):
        return kept.entitlements
    entitlements = read_entitlements(user)
    _keep(user, entitlements)
    return entitlements


def load_entitlements(users: Iterable[Any]) -> None:
    """Read those of many users at once, one query for 200, so that questions cost none."""
    known = [user for user in users if _is_known(user)]
    found = read_many(known)
    for user in known:
        _keep(user, found[user.pk])


def forget_entitlements(user: Any) -> None:
    """Make the next question look into the mirror again, as after a refresh in a request."""
    if hasattr(user, _ATTRIBUTE):
        delattr(user, _ATTRIBUTE)


def has_active_subscription(
    user: Any,
    product_id: Named | None = None,
    *,
    max_age: timedelta | None = None,
    when_stale: WhenStale | None = None,
) -> bool:
    """Whether the user has an active or trialing subscription, to this product if one is given.

    ``product_id`` is an id, a name from ``POLAR_PRODUCTS``, or several of which one suffices.
    ``max_age`` and ``when_stale`` override the settings.

    Raises:
        ConfigurationError: there is no such name.
    """
    products = None if product_id is None else ids_named("products", product_id)
    return _believed(user, max_age, when_stale).has_active_subscription(products)


def has_benefit(
    user: Any,
    benefit_id: Named | None = None,
    type: str | None = None,  # noqa: A002 - Polar's word, as in the queryset
    metadata: Mapping[str, Any] | None = None,
    *,
    max_age: timedelta | None = None,
    when_stale: WhenStale | None = None,
) -> bool:
    """Whether the user has a granted benefit for which everything given is true at once.

    ``benefit_id`` is an id, a name from ``POLAR_BENEFITS``, or several of which one suffices.

    Raises:
        ConfigurationError: there is no such name.
    """
    benefits = None if benefit_id is None else ids_named("benefits", benefit_id)
    return _believed(user, max_age, when_stale).has_benefit(benefits, type, metadata)


def meter_balance(
    user: Any,
    meter_id: Named,
    *,
    max_age: timedelta | None = None,
    when_stale: WhenStale | None = None,
) -> float | None:
    """Credited minus consumed units; ``None`` where the user has no such meter.

    ``meter_id`` is an id, a name from ``POLAR_METERS``, or several that are added up.

    Raises:
        ConfigurationError: there is no such name.
    """
    meters = ids_named("meters", meter_id)
    return _believed(user, max_age, when_stale).meter_balance(meters)


async def aget_entitlements(user: Any) -> Entitlements:
    """``get_entitlements`` for async code; stays in the event loop once they were read."""
    # A lazy ``request.user`` would read the session and the user right here.
    kept: _Kept | None = None if isinstance(user, LazyObject) else getattr(user, _ATTRIBUTE, None)
    if kept is not None and kept.is_good(user):
        return kept.entitlements
    return await sync_to_async(get_entitlements)(user)


async def ahas_active_subscription(
    user: Any,
    product_id: Named | None = None,
    *,
    max_age: timedelta | None = None,
    when_stale: WhenStale | None = None,
) -> bool:
    """``has_active_subscription`` for async code."""
    return await _ask(
        has_active_subscription, user, product_id, max_age=max_age, when_stale=when_stale
    )


async def ahas_benefit(
    user: Any,
    benefit_id: Named | None = None,
    type: str | None = None,  # noqa: A002 - Polar's word, as in the queryset
    metadata: Mapping[str, Any] | None = None,
    *,
    max_age: timedelta | None = None,
    when_stale: WhenStale | None = None,
) -> bool:
    """``has_benefit`` for async code."""
    return await _ask(
        has_benefit, user, benefit_id, type, metadata, max_age=max_age, when_stale=when_stale
    )


async def ameter_balance(
    user: Any,
    meter_id: Named,
    *,
    max_age: timedelta | None = None,
    when_stale: WhenStale | None = None,
) -> float | None:
    """``meter_balance`` for async code."""
    return await _ask(meter_balance, user, meter_id, max_age=max_age, when_stale=when_stale)


async def _ask(
    question: Callable[..., T],
    user: Any,
    *args: Any,
    max_age: timedelta | None,
    when_stale: WhenStale | None,
) -> T:
    if max_age is not None or settings.entitlement_max_age is not None:
        # The policy may talk to the cache and to the broker.
        ask = sync_to_async(question)
        return await ask(user, *args, max_age=max_age, when_stale=when_stale)
    if not isinstance(user, LazyObject):
        await aget_entitlements(user)
        return question(user, *args)
    return await sync_to_async(question)(user, *args)


def _is_known(user: Any) -> bool:
    return bool(getattr(user, "is_authenticated", False)) and user.pk is not None


def _keep(user: Any, entitlements: Entitlements) -> None:
    setattr(user, _ATTRIBUTE, _Kept(user.pk, entitlements, time.time()))


def _believed(user: Any, max_age: timedelta | None, when_stale: WhenStale | None) -> Entitlements:
    """What the user has, or nothing when that is too old to be believed."""
    entitlements = get_entitlements(user)
    if max_age is None:
        max_age = settings.entitlement_max_age
    if max_age is None or not _is_stale(entitlements, max_age):
        return entitlements
    policy = settings.entitlement_when_stale if when_stale is None else when_stale
    if policy not in WHEN_STALE:
        raise ValueError(f"when_stale is {policy!r}; use 'allow', 'deny' or 'refresh'.")
    if policy == "deny":
        return NOTHING
    if policy == "refresh":
        _request_refresh(entitlements)
    return entitlements


def _is_stale(entitlements: Entitlements, max_age: timedelta) -> bool:
    now = timezone.now()
    if not entitlements.is_stale(max_age, now):
        return False
    if entitlements.syncs_counted:
        return True
    return replace(entitlements, as_of=last_complete_run_started_at()).is_stale(max_age, now)


def _request_refresh(entitlements: Entitlements) -> None:
    """At most once a minute for a customer, however many requests find it stale."""
    if entitlements.external_id is None:
        return
    key = f"django_polar:refresh:{entitlements.customer_id}"
    if cache.add(key, True, REFRESH_INTERVAL.total_seconds()):
        customer_state_stale.send(
            sender=Customer,
            customer_id=entitlements.customer_id,
            external_id=entitlements.external_id,
        )
