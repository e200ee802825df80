"""``polar.customer_portal``: what a customer may see and change of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django_polar.payloads import (
    Page,
    PaymentMethodPayload,
    PaymentMethodSetupPayload,
    PortalCustomerPayload,
)

from .connection import Operation
from .resource import MAX_LIMIT, Resource, iter_items, read, read_page, to_query

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from .connection import Connection

_ME = "/v1/customer-portal/customers/me"

GET: Final = Operation("customer_portal.customers.get", "GET", _ME)
UPDATE: Final = Operation("customer_portal.customers.update", "PATCH", _ME)
LIST_PAYMENT_METHODS: Final = Operation(
    "customer_portal.customers.list_payment_methods", "GET", f"{_ME}/payment-methods"
)
ADD_PAYMENT_METHOD: Final = Operation(
    "customer_portal.customers.add_payment_method", "POST", f"{_ME}/payment-methods"
)
CONFIRM_PAYMENT_METHOD: Final = Operation(
    "customer_portal.customers.confirm_payment_method", "POST", f"{_ME}/payment-methods/confirm"
)
DELETE_PAYMENT_METHOD: Final = Operation(
    "customer_portal.customers.delete_payment_method", "DELETE", _ME + "/payment-methods/{id}"
)


class CustomerPortal:
    def __init__(self, connection: Connection) -> None:
        self.customers = PortalCustomers(connection)


class PortalCustomers(Resource):
    """Every method takes a customer session's token; the organization's is refused with 401."""

    def get(self, session_token: str) -> PortalCustomerPayload:
        """``GET /v1/customer-portal/customers/me``"""
        body = self._connection.fetch(GET, token=session_token)
        return read(GET, body, PortalCustomerPayload)

    def update(self, session_token: str, **fields: Any) -> PortalCustomerPayload:
        """``PATCH /v1/customer-portal/customers/me``: billing name and address, tax id.

        Others, the email among them, are ignored.
        """
        body = self._connection.fetch(UPDATE, body=fields, token=session_token)
        return read(UPDATE, body, PortalCustomerPayload)

    def list_payment_methods(
        self, session_token: str, *, page: int = 1, limit: int = MAX_LIMIT
    ) -> Page[PaymentMethodPayload]:
        """``GET /v1/customer-portal/customers/me/payment-methods``"""
        body = self._connection.fetch(
            LIST_PAYMENT_METHODS,
            query=to_query({"page": page, "limit": limit}),
            token=session_token,
        )
        return read_page(LIST_PAYMENT_METHODS, body, PaymentMethodPayload)

    def iter_payment_methods(self, session_token: str) -> Iterator[PaymentMethodPayload]:
        """``GET /v1/customer-portal/customers/me/payment-methods``, every page."""
        return iter_items(lambda page: self.list_payment_methods(session_token, page=page))

    def add_payment_method(
        self, session_token: str, *, confirmation_token_id: str, set_default: bool, return_url: str
    ) -> PaymentMethodSetupPayload:
        """``POST /v1/customer-portal/customers/me/payment-methods``

        The confirmation token comes from Stripe.js in the customer's browser.
        """
        body = self._connection.fetch(
            ADD_PAYMENT_METHOD,
            body={
                "confirmation_token_id": confirmation_token_id,
                "set_default": set_default,
                "return_url": return_url,
            },
            token=session_token,
        )
        return read(ADD_PAYMENT_METHOD, body, PaymentMethodSetupPayload)

    def confirm_payment_method(
        self, session_token: str, *, setup_intent_id: str, set_default: bool
    ) -> PaymentMethodSetupPayload:
        """``POST /v1/customer-portal/customers/me/payment-methods/confirm``"""
        body = self._connection.fetch(
            CONFIRM_PAYMENT_METHOD,
            body={"setup_intent_id": setup_intent_id, "set_default": set_default},
            token=session_token,
        )
        return read(CONFIRM_PAYMENT_METHOD, body, PaymentMethodSetupPayload)

    def delete_payment_method(self, session_token: str, id: UUID | str) -> None:
        """``DELETE /v1/customer-portal/customers/me/payment-methods/{id}``

        Raises:
            InvalidRequestError: an active subscription is paid with it.
        """
        self._connection.fetch(DELETE_PAYMENT_METHOD, path={"id": id}, token=session_token)
