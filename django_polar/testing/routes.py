"""Every route of the fake Polar, in the order in which the real one tries them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django_polar.testing import routes_customers as customers
from django_polar.testing import routes_lists as lists
from django_polar.testing import routes_portal as portal
from django_polar.testing import routes_webhooks as webhooks

if TYPE_CHECKING:
    from collections.abc import Callable

    from django_polar.testing.http import Response

# A customer session's token opens these routes, and no organization token does.
PORTAL = "customer portal"

READ = ("customers:read", "customers:write")
WRITE = ("customers:write",)
#: In the order in which the real server names them in ``www-authenticate``.
OLD_BALANCE_SCOPES = ("customers:read", "web:write", "web:read", "customers:write")


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    pattern: re.Pattern[str]
    handler: Callable[..., Response]
    #: Any of these is enough.
    scopes: tuple[str, ...]
    old_balance: bool = False

    @property
    def reads_body(self) -> bool:
        return self.method in {"POST", "PATCH"}


def _route(
    method: str,
    path: str,
    handler: Callable[..., Response],
    scopes: tuple[str, ...],
    *,
    old_balance: bool = False,
) -> Route:
    # One path parameter is one segment: an external id with a slash fits none.
    pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path), re.DOTALL)
    return Route(method, pattern, handler, scopes, old_balance)


_CUSTOMERS = "/v1/customers"
_EXTERNAL = "/v1/customers/external/{external_id}"
_ME = "/v1/customer-portal/customers/me"
_ENDPOINTS = "/v1/webhooks/endpoints"

ROUTES: tuple[Route, ...] = (
    _route("GET", f"{_CUSTOMERS}/", lists.list_customers, READ),
    _route("GET", f"{_CUSTOMERS}/export", customers.export_customers, READ),
    _route("GET", f"{_CUSTOMERS}/{{id}}", customers.get_customer, READ),
    _route("GET", _EXTERNAL, customers.get_customer_external, READ),
    _route("GET", f"{_CUSTOMERS}/{{id}}/state", customers.get_state, READ),
    _route("GET", f"{_EXTERNAL}/state", customers.get_state_external, READ),
    _route(
        "GET",
        f"{_CUSTOMERS}/{{id}}/balance",
        customers.get_balance,
        OLD_BALANCE_SCOPES,
        old_balance=True,
    ),
    _route("GET", f"{_CUSTOMERS}/{{id}}/payment-methods", customers.list_payment_methods, READ),
    _route("GET", f"{_EXTERNAL}/payment-methods", customers.list_payment_methods_external, READ),
    _route("POST", f"{_CUSTOMERS}/", customers.create_customer, WRITE),
    _route("PATCH", f"{_CUSTOMERS}/{{id}}", customers.update_customer, WRITE),
    _route("PATCH", _EXTERNAL, customers.update_customer_external, WRITE),
    _route("DELETE", f"{_CUSTOMERS}/{{id}}", customers.delete_customer, WRITE),
    _route("DELETE", _EXTERNAL, customers.delete_customer_external, WRITE),
    _route(
        "GET",
        "/v1/subscriptions/",
        lists.list_subscriptions,
        ("subscriptions:write", "subscriptions:read"),
    ),
    _route("GET", "/v1/benefit-grants/", lists.list_grants, ("benefits:read", "benefits:write")),
    _route("GET", "/v1/customer-meters/", lists.list_meters, ("customer_meters:read",)),
    _route("POST", "/v1/customer-sessions/", portal.create_session, ("customer_sessions:write",)),
    _route("GET", _ME, portal.get_me, (PORTAL,)),
    _route("PATCH", _ME, portal.update_me, (PORTAL,)),
    _route("GET", f"{_ME}/payment-methods", portal.list_my_payment_methods, (PORTAL,)),
    _route("POST", f"{_ME}/payment-methods", portal.add_payment_method, (PORTAL,)),
    _route("POST", f"{_ME}/payment-methods/confirm", portal.confirm_payment_method, (PORTAL,)),
    _route("DELETE", f"{_ME}/payment-methods/{{id}}", portal.delete_payment_method, (PORTAL,)),
    _route("GET", "/v1/customer-portal/wallets/", portal.list_wallets, (PORTAL,)),
    _route("GET", "/v1/customer-portal/wallets/{id}", portal.get_wallet, (PORTAL,)),
    _route("GET", _ENDPOINTS, webhooks.list_endpoints, ("webhooks:read", "webhooks:write")),
    _route("POST", _ENDPOINTS, webhooks.create_endpoint, ("webhooks:write",)),
    _route(
        "GET", f"{_ENDPOINTS}/{{id}}", webhooks.get_endpoint, ("webhooks:read", "webhooks:write")
    ),
    _route(
        "GET",
        "/v1/webhooks/deliveries",
        webhooks.list_deliveries,
        ("webhooks:read", "webhooks:write"),
    ),
    _route(
        "POST", "/v1/webhooks/events/{id}/redeliver", webhooks.redeliver_event, ("webhooks:write",)
    ),
)

#: What the made-up organization token may do: everything that a route asks for.
ALL_SCOPES = frozenset(scope for route in ROUTES for scope in route.scopes) - {PORTAL}
