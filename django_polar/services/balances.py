"""What customers have with the merchant: fetched on demand, as Polar sends no event for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from django_polar.exceptions import NotFoundError
from django_polar.models import Customer, CustomerBalance

from . import mirror
from .customers import use_client
from .upsert import database, retry_conflicts

if TYPE_CHECKING:
    from datetime import datetime

    from django_polar.client import PolarClient
    from django_polar.payloads import BalancePayload


def get_balance(
    customer: Customer | str, *, client: PolarClient | None = None
) -> list[CustomerBalance]:
    """Fetch the balance of a customer, given as itself or by its external id, and keep it.

    One row per currency, none for a customer without a wallet.

    Raises:
        NotFoundError: there is no such customer, or it was deleted.
        InvalidRequestError: ``error.has("member_id")``: a team customer, whose balance newer
            servers show to its members only.
    """
    with use_client(client) as polar:
        known = customer if isinstance(customer, Customer) else _find(polar, customer)
        if known.deleted_at is not None:
            raise NotFoundError(f"customer {known.pk}: deleted")
        observed_at = polar.server_time()
        balances = polar.customers.get_balance(known.pk)
    return _store(known, balances, observed_at)


def _find(client: PolarClient, external_id: str) -> Customer:
    customers = Customer.objects.live().order_by("-created_at")
    if customer := customers.filter(external_id=external_id).first():
        return customer
    observed_at = client.server_time()
    payload = client.customers.get_external(external_id)
    mirror.upsert_customers([payload], observed_at=observed_at)
    return Customer.objects.get(pk=payload.id)


def _store(
    customer: Customer, balances: tuple[BalancePayload, ...], observed_at: datetime
) -> list[CustomerBalance]:
    alias = database()

    def store() -> None:
        with transaction.atomic(using=alias):
            # The lock that keeps a balance from being written to a customer who was deleted
            # since; a person's data must not come back by a side door.
            live = Customer.objects.using(alias).live().filter(pk=customer.pk)
            if not live.select_for_update().exists():
                raise NotFoundError(f"customer {customer.pk}: deleted")
            stored = CustomerBalance.objects.using(alias).filter(customer=customer)
            stored.exclude(currency__in=[balance.currency for balance in balances]).delete()
            for balance in balances:
                CustomerBalance.objects.using(alias).update_or_create(
                    customer=customer,
                    currency=balance.currency,
                    defaults={"amount": balance.balance, "as_of": observed_at},
                )

    retry_conflicts(store)
    return list(CustomerBalance.objects.using(alias).filter(customer=customer).order_by("currency"))
