"""The way into Polar's customer portal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django_polar.exceptions import InvalidRequestError, NotFoundError
from django_polar.models import Customer

from .customers import external_id_of, use_client

if TYPE_CHECKING:
    from django_polar.client import PolarClient
    from django_polar.payloads import CustomerSessionPayload

_UNKNOWN = "does not exist"


def create_portal_session(
    user: Any, return_url: str | None = None, *, client: PolarClient | None = None
) -> CustomerSessionPayload:
    """A session for the user's own customer, good for an hour.

    ``customer_portal_url`` is a key to the account: give it to the user alone, and log it never.

    Raises:
        NotFoundError: the user is no customer.
        InvalidRequestError: Polar refuses the return URL, or it is a team customer, for whom one
            has to say which member is meant.
    """
    customer = Customer.objects.live().for_user(user).first()
    with use_client(client) as polar:
        try:
            if customer is not None:
                session = polar.customer_sessions.create(
                    customer_id=customer.pk, return_url=return_url
                )
            else:
                session = polar.customer_sessions.create(
                    external_customer_id=external_id_of(user), return_url=return_url
                )
        except InvalidRequestError as error:
            if error.has("customer_id", _UNKNOWN) or error.has("external_customer_id", _UNKNOWN):
                raise NotFoundError("customer_sessions.create: the user is no customer") from error
            raise
    return session
