"""What ours is measured against: dj-stripe, the ORM row by row, and the bare driver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from django_polar.models import (
    ActiveMeter,
    ActiveSubscription,
    Customer,
    CustomerState,
    GrantedBenefit,
    SyncedPage,
)
from django_polar.payloads import (
    BenefitGrantPayload,
    CustomerMeterPayload,
    CustomerPayload,
    SubscriptionListPayload,
    decode_page,
)
from django_polar.services.tables import BENEFITS, CUSTOMERS, METERS, SUBSCRIPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from django_polar.services.tables import Table

    from .pages import Pages

OUR_MODELS = (
    *(ActiveMeter, GrantedBenefit, ActiveSubscription, CustomerState, Customer),
    SyncedPage,
)
"""Children first."""

_LISTS: Sequence[tuple[Table, type[Any], str]] = (
    (CUSTOMERS, CustomerPayload, "customers"),
    (SUBSCRIPTIONS, SubscriptionListPayload, "subscriptions"),
    (BENEFITS, BenefitGrantPayload, "grants"),
    (METERS, CustomerMeterPayload, "meters"),
)


def _bodies(page: Pages, name: str) -> Sequence[bytes]:
    found = getattr(page, name)
    return found if isinstance(found, tuple) else (found,)


def mirror_naively(pages: Iterable[Pages], observed_at: datetime) -> None:
    """``update_or_create`` for every row."""
    for page in pages:
        for table, payload_type, name in _LISTS:
            for body in _bodies(page, name):
                for payload in decode_page(body, payload_type).items:
                    _update_or_create(table, payload, observed_at)


def _update_or_create(table: Table, payload: Any, observed_at: datetime) -> None:
    values = dict(zip(table.paths, table.values(payload), strict=True))
    values["synced_at"] = observed_at
    if table.owner:
        values["state_id"] = payload.customer_id
    table.model._default_manager.update_or_create(id=values.pop("id"), defaults=values)
    if table is CUSTOMERS:
        CustomerState.objects.get_or_create(pk=payload.id)


class Floor:
    """Rows made ready beforehand, given to the driver a page at a time, and nothing else.

    ``executemany`` with plain inserts on SQLite and MariaDB; ``COPY`` on PostgreSQL.
    """

    def __init__(self, pages: Iterable[Pages], observed_at: datetime) -> None:
        self.batches = [batch for page in pages for batch in self._prepare_page(page, observed_at)]

    def _prepare_page(
        self, page: Pages, observed_at: datetime
    ) -> Iterable[tuple[str, list[tuple[Any, ...]]]]:
        for table, payload_type, name in _LISTS:
            for body in _bodies(page, name):
                payloads = decode_page(body, payload_type).items
                rows = [
                    self._prepare(
                        table.model,
                        table.columns,
                        (
                            *((payload.customer_id,) if table.owner else ()),
                            *table.values(payload),
                            observed_at,
                            hash(payload.id) % 2**62,
                        ),
                    )
                    for payload in payloads
                ]
                yield self._sql(table.model, table.columns), rows
                if table is CUSTOMERS:
                    columns = ("customer_id", "as_of", "removals")
                    states = [
                        self._prepare(CustomerState, columns, (payload.id, observed_at, {}))
                        for payload in payloads
                    ]
                    yield self._sql(CustomerState, columns), states

    def _sql(self, model: type[Any], columns: Sequence[str]) -> str:
        quote = connection.ops.quote_name
        table = quote(model._meta.db_table)
        names = ", ".join(map(quote, columns))
        if connection.vendor == "postgresql":
            return f"COPY {table} ({names}) FROM STDIN"
        mark = "?" if connection.vendor == "sqlite" else "%s"
        places = ", ".join([mark] * len(columns))
        return f"INSERT INTO {table} ({names}) VALUES ({places})"  # noqa: S608

    def _prepare(
        self, model: type[Any], columns: Sequence[str], values: Sequence[Any]
    ) -> tuple[Any, ...]:
        fields = {f.column: f for f in model._meta.concrete_fields}
        return tuple(
            fields[column].get_db_prep_save(value, connection)
            for column, value in zip(columns, values, strict=True)
        )

    def write(self) -> None:
        connection.ensure_connection()
        if connection.vendor == "postgresql":
            for sql, rows in self.batches:
                with transaction.atomic(), connection.cursor() as cursor, cursor.copy(sql) as copy:
                    for row in rows:
                        copy.write_row(row)
            return
        for sql, rows in self.batches:
            with transaction.atomic():
                cursor = connection.connection.cursor()
                cursor.executemany(sql, rows)
                cursor.close()


class DjStripe:
    """dj-stripe's own way from an object of Stripe's to its row."""

    def __init__(self, customers: int) -> None:
        # It can be imported only where it is installed as an app.
        from djstripe.models import Account, APIKey
        from djstripe.models import Customer as StripeCustomer

        self.model = StripeCustomer
        # As after the first call of a real project; otherwise it would make a request.
        account = Account.objects.create(id=f"acct_{'0' * 16}", livemode=False)
        APIKey.objects.create(
            secret=settings.STRIPE_TEST_SECRET_KEY,
            type="secret",
            livemode=False,
            djstripe_owner_account=account,
        )
        self.customers = [_stripe_customer(number) for number in range(customers)]

    def clear(self) -> None:
        self.model.objects.all().delete()

    def sync(self) -> None:
        for customer in self.customers:
            self.model.sync_from_stripe_data(customer)


def _stripe_customer(number: int) -> dict[str, Any]:
    """As Stripe sends it, and as many bytes as a customer of Polar's."""
    return {
        "id": f"cus_{number:014d}",
        "object": "customer",
        "address": {
            "city": "Lyon",
            "country": "FR",
            "line1": "12 Mill Street",
            "line2": None,
            "postal_code": "69001",
            "state": None,
        },
        "balance": 0,
        "created": int(timezone.now().timestamp()),
        "currency": "eur",
        "default_source": None,
        "delinquent": False,
        "description": "Made up for a measurement",
        "discount": None,
        "email": f"clara.becker.{number}@example.com",
        "invoice_prefix": f"AB{number:06d}",
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": {"plan": "pro", "seats": "3", "beta": "true"},
        "name": "Clara Becker",
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": ["fr"],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }
