"""Telling Polar of users that came or changed: the outbox of creations and updates."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model

from django_polar.conf import settings
from django_polar.exceptions import CustomerConflictError, NotFoundError
from django_polar.models import Customer, CustomerPush

from .customers import customer_fields_of, get_or_create_customer, update_customer
from .worker import work_through

if TYPE_CHECKING:
    from collections.abc import Callable

    from django_polar.client import PolarClient


def send_due_pushes(
    client: PolarClient,
    *,
    limit: int | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> int:
    """Send what is due, each row by one worker at a time. Returns how many are done now."""
    return work_through(CustomerPush, partial(_send, client), limit=limit, should_stop=should_stop)


def _send(client: PolarClient, push: CustomerPush) -> dict[str, Any]:
    user = get_user_model()._base_manager.filter(pk=push.user_id).first()
    if user is None:
        return {}  # and its push with it
    try:
        if push.kind == CustomerPush.Kind.CREATE:
            get_or_create_customer(user, client=client)
        else:
            _update(client, user, push.fields)
    except CustomerConflictError:
        pass  # from now on a LinkConflict, where a person decides
    return {}


def _update(client: PolarClient, user: Any, names: list[str]) -> None:
    values = changed_values(user, names)
    if not values:
        return
    try:
        update_customer(user, client=client, **values)
    except NotFoundError:
        if settings.create_on_user_creation:
            get_or_create_customer(user, client=client)
        # Otherwise users become customers when they buy something: there is nothing to update.


def changed_values(user: Any, names: list[str]) -> dict[str, Any]:
    """Of these fields, what Polar does not have yet."""
    customer = Customer.objects.live().for_user(user).first()
    fields = customer_fields_of(user)
    return {
        name: fields[name]
        for name in names
        if name in fields and differs(customer, name, fields[name])
    }


def differs(customer: Customer | None, name: str, value: Any) -> bool:
    """Whether Polar should be told. Never of a null or a blank: a user without a name is no
    reason to take away the name that the customer gave Polar.
    """
    if value in (None, ""):
        return False
    known = getattr(customer, name, None)
    if name == "email" and isinstance(known, str):
        # Polar ignores a change of case alone, so that it would differ forever.
        return known.casefold() != str(value).casefold()
    return bool(known != value)
