"""docs/operations.md says of every operation where it is, and what it says is true."""

from __future__ import annotations

import pkgutil
import re
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.core.management import get_commands
from django.urls import Resolver404, resolve

import django_polar.client
from django_polar import services
from django_polar.client.connection import Operation
from django_polar.client.customer_portal import PortalCustomers
from django_polar.client.customers import Customers
from django_polar.models import Customer

from .api.conftest import Person, make_person

PAGE = Path(__file__).parent.parent / "docs" / "operations.md"


class Row(NamedTuple):
    operation: str
    method: str
    path: str
    ways: str


ROWS = {
    match[1]: Row(*match.groups())
    for match in re.finditer(
        r"^\| `([\w.]+)` \| `(\w+) (\S+)` \| (.+) \|$", PAGE.read_text(), re.MULTILINE
    )
}
OPERATIONS = {
    operation.name: operation
    for module in pkgutil.iter_modules(django_polar.client.__path__)
    for operation in vars(import_module(f"django_polar.client.{module.name}")).values()
    if isinstance(operation, Operation) and not operation.name.startswith("webhook")
}
HELPERS = {"iter", "fetch_page", "open_page", "read_page", "iter_payment_methods"}
"""Other ways to the same operations."""


def test_every_operation_is_on_the_page():
    """With its endpoint; an operation that is added, renamed or removed changes the page."""
    documented = {row.operation: (row.method, row.path) for row in ROWS.values()}
    known = {name: (each.method, each.path) for name, each in OPERATIONS.items()}

    assert documented == known


def test_the_eighteen_operations_are_the_methods_of_the_client():
    """Every public method on customers is an operation, and the other way round."""
    methods = {
        f"{prefix}.{name}"
        for prefix, resource in (
            ("customers", Customers),
            ("customer_portal.customers", PortalCustomers),
        )
        for name in vars(resource)
        if not name.startswith("_") and name not in HELPERS
    }

    assert len(methods) == 18
    assert methods == {name for name in ROWS if name.startswith(("customers.", "customer_portal."))}


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.operation)
def test_ways_exist(row):
    """Every service, command and endpoint that is named is there."""
    ways = re.findall(r"`([^`]+)`", row.ways)

    assert ways
    for way in ways:
        assert exists(way), way


def exists(way):
    if way.startswith("manage.py "):
        return way.removeprefix("manage.py ") in get_commands()
    if " api/" in way:
        path = way.split()[1].replace("<id>", str(UUID(int=0)))
        try:
            return bool(resolve(f"/polar/{path}"))
        except Resolver404:
            return False
    *module, name = way.removeprefix("services.").split(".")
    home = import_module(f"django_polar.services.{module[0]}") if module else services
    return callable(getattr(home, name))


@pytest.fixture
def ada(polar, db):
    cache.clear()
    return make_person(polar, "ada")


@pytest.fixture
def newcomer(polar, ada):
    """A customer that Polar has and the mirror has not."""
    user = get_user_model().objects.create_user("newcomer", "newcomer@example.com")
    polar.add_customer(external_id=str(user.pk), email="newcomer@example.com")
    return user


class People(NamedTuple):
    ada: Person
    newcomer: Any


def delete(external_id):
    services.delete_customer(external_id)
    with django_polar.client.polar_client() as client:
        services.send_due_deletions(client)


WAYS = {
    "customers.list": lambda _: services.sync_customers(),
    "customers.create": lambda _: services.get_or_create_customer(
        get_user_model().objects.create_user("created", "created@larch.dev")
    ),
    "customers.export": lambda _: list(
        import_module("django_polar.services.exports").export_from_polar(
            django_polar.client.polar_client()
        )
    ),
    "customers.get": lambda who: services.update_portal_customer(
        who.ada.user, billing_name="Ada Ltd"
    ),
    "customers.update": lambda who: services.update_customer(who.ada.user, name="A."),
    "customers.delete": lambda who: delete(who.ada.remote["external_id"]),
    "customers.get_external": lambda who: services.get_or_create_customer(who.newcomer),
    "customers.update_external": lambda who: services.update_customer(who.newcomer, name="N."),
    "customers.delete_external": lambda who: delete(str(who.newcomer.pk)),
    "customers.get_state": lambda who: services.refresh_customer(who.ada.customer),
    "customers.get_state_external": lambda who: services.sync_customer(str(who.newcomer.pk)),
    "customers.get_balance": lambda who: services.get_balance(who.ada.customer),
    "customer_portal.customers.get": lambda who: services.get_portal_customer(who.ada.user),
    "customer_portal.customers.update": lambda who: services.update_portal_customer(
        who.ada.user, billing_name="Ada Ltd"
    ),
    "customer_portal.customers.list_payment_methods": lambda who: services.list_payment_methods(
        who.ada.user
    ),
    "customer_portal.customers.add_payment_method": lambda who: services.add_payment_method(
        who.ada.user, confirmation_token_id="c", set_default=True, return_url="https://example.com/"
    ),
    "customer_portal.customers.confirm_payment_method": lambda who: services.confirm_payment_method(
        who.ada.user, setup_intent_id="s", set_default=True
    ),
    "customer_portal.customers.delete_payment_method": lambda who: services.delete_payment_method(
        who.ada.user, UUID(who.ada.payment_method["id"])
    ),
    "customer_sessions.create": lambda who: services.create_portal_session(who.ada.user),
    "wallets.list": lambda who: services.get_balance(who.ada.customer),
    "subscriptions.list": lambda _: services.sync_customers(),
    "benefit_grants.list": lambda _: services.sync_customers(),
    "customer_meters.list": lambda _: services.sync_customers(),
}


INSTEAD = {"customers.delete_external": "customers.delete"}
"""What the page says is done in another way, and why."""


@pytest.mark.django_db
@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_way_leads_there(name, polar, ada, newcomer):
    """The service that the page names first makes the request that the page names."""
    if name == "customer_portal.customers.delete_payment_method":
        polar.update_customer(ada.remote, default_payment_method_id=None)
    row = ROWS[INSTEAD.get(name, name)]
    path = re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(row.path)))
    polar.reset_requests()

    WAYS[name](People(ada, newcomer))

    assert any(
        request.method == row.method and path.fullmatch(request.path) for request in polar.requests
    )
    assert Customer.objects.exists()
