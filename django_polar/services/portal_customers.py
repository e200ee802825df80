"""What customers may see and change of themselves, through Polar's customer portal.

Polar wants a customer session for each of these. One is made per user and kept in Django's cache
for most of its hour; the cache is as confidential as what it holds, as with Django's sessions.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from django.core.cache import cache
from django.utils.crypto import constant_time_compare, salted_hmac

from django_polar.client import polar_client
from django_polar.exceptions import (
    AuthenticationError,
    FieldError,
    InvalidRequestError,
    NotFoundError,
    PolarError,
)
from django_polar.models import Customer

from .mirror import upsert_customers

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from django_polar.client import PolarClient
    from django_polar.payloads import (
        CustomerSessionPayload,
        PaymentMethodPayload,
        PaymentMethodSetupPayload,
        PortalCustomerPayload,
    )

logger = logging.getLogger(__name__)

T = TypeVar("T")

SESSION_MARGIN: Final = timedelta(minutes=10)
"""A session is not used in the last minutes of its hour."""


def get_portal_customer(user: Any) -> PortalCustomerPayload:
    """The user's customer as Polar shows it to the customer.

    Raises:
        NotFoundError: the user is no customer. So do all functions here.
    """
    return _with_session(user, lambda polar, token: polar.customer_portal.customers.get(token))


def update_portal_customer(user: Any, **fields: Any) -> PortalCustomerPayload:
    """Change ``billing_name``, ``billing_address``, ``tax_id`` or ``default_payment_method_id``.

    The mirror follows at once.

    Raises:
        InvalidRequestError: Polar refuses the values, or the payment method is not the user's.
    """

    def update(polar: PolarClient, token: str) -> PortalCustomerPayload:
        if (method_id := fields.get("default_payment_method_id")) is not None:
            _check_ownership(polar, token, method_id)
        return polar.customer_portal.customers.update(token, **fields)

    return _with_session(user, update, changes=True)


def list_payment_methods(user: Any) -> list[PaymentMethodPayload]:
    """The user's saved payment methods."""
    return _with_session(
        user,
        lambda polar, token: list(polar.customer_portal.customers.iter_payment_methods(token)),
    )


def add_payment_method(
    user: Any, *, confirmation_token_id: str, set_default: bool, return_url: str
) -> PaymentMethodSetupPayload:
    """Save a payment method that Stripe.js confirmed in the browser."""
    return _with_session(
        user,
        lambda polar, token: polar.customer_portal.customers.add_payment_method(
            token,
            confirmation_token_id=confirmation_token_id,
            set_default=set_default,
            return_url=return_url,
        ),
        changes=True,
    )


def confirm_payment_method(
    user: Any, *, setup_intent_id: str, set_default: bool
) -> PaymentMethodSetupPayload:
    """Finish what ``add_payment_method`` answered with ``requires_action``."""
    return _with_session(
        user,
        lambda polar, token: polar.customer_portal.customers.confirm_payment_method(
            token, setup_intent_id=setup_intent_id, set_default=set_default
        ),
        changes=True,
    )


def delete_payment_method(user: Any, id: UUID) -> None:  # noqa: A002 - Polar's word
    """Forget a payment method.

    Raises:
        NotFoundError: the user has no such payment method.
        InvalidRequestError: an active subscription is paid with it.
    """
    _with_session(
        user,
        lambda polar, token: polar.customer_portal.customers.delete_payment_method(token, id),
        changes=True,
    )


def _with_session(user: Any, work: Callable[[PolarClient, str], T], *, changes: bool = False) -> T:
    """Do it with the user's session. One that Polar no longer takes is replaced, once."""
    customer = Customer.objects.live().for_user(user).first()
    if customer is None:
        raise NotFoundError("This user is no customer.")
    with polar_client() as polar:
        try:
            result = work(polar, _get_token(polar, user, customer))
        except AuthenticationError:
            cache.delete(_cache_key(user, customer))
            result = work(polar, _get_token(polar, user, customer))
        if changes:
            _mirror(polar, customer)
    return result


def _get_token(polar: PolarClient, user: Any, customer: Customer) -> str:
    key = _cache_key(user, customer)
    owner = f"{user.pk}:{customer.pk}"
    kept = cache.get(key)
    if isinstance(kept, dict) and constant_time_compare(kept.get("owner", ""), owner):
        return str(kept["token"])
    session = _create_session(polar, customer)
    seconds = (session.expires_at - datetime.now(UTC) - SESSION_MARGIN).total_seconds()
    if seconds > 0:
        cache.set(key, {"owner": owner, "token": session.token}, seconds)
    return session.token


def _create_session(polar: PolarClient, customer: Customer) -> CustomerSessionPayload:
    try:
        session = polar.customer_sessions.create(customer_id=customer.pk)
    except InvalidRequestError as error:
        if error.has("customer_id", "does not exist"):
            raise NotFoundError("Polar no longer has this customer.") from error
        raise
    if session.customer_id != customer.pk:
        raise NotFoundError("Polar answered with another customer's session.")
    return session


def _cache_key(user: Any, customer: Customer) -> str:
    """Not to be guessed, and another one for every user, customer and key of the project."""
    owner = f"{user.pk}:{customer.pk}"
    digest = salted_hmac("django_polar.portal_session", owner, algorithm="sha256").hexdigest()
    return f"django_polar:portal_session:{digest}"


def _check_ownership(polar: PolarClient, token: str, method_id: Any) -> None:
    """Our own check of what Polar should refuse too: it decides about somebody's card."""
    methods = polar.customer_portal.customers.iter_payment_methods(token)
    if str(method_id) not in {str(method.id) for method in methods}:
        raise InvalidRequestError(
            "default_payment_method_id: the user has no such payment method",
            errors=(
                FieldError(
                    loc=("body", "default_payment_method_id"),
                    type="value_error",
                    msg="There is no such payment method.",
                ),
            ),
        )


def _mirror(polar: PolarClient, customer: Customer) -> None:
    """Bring the change home. What fails here comes by webhook or with the next sync."""
    observed_at = polar.server_time()
    try:
        upsert_customers([polar.customers.get(customer.pk)], observed_at=observed_at)
    except PolarError as error:
        logger.warning("Could not refresh customer %s: %s", customer.pk, error)
