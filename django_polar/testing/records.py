"""What the fake Polar knows. Nothing of HTTP, and nothing of how it changes."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

from django_polar.testing import builders
from django_polar.testing.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django_polar.testing.builders import JSON

CUSTOMER_STATE_KEYS = ("active_subscriptions", "granted_benefits", "active_meters")


class Records:
    """Everything one organization has, and the payloads that are made of it."""

    def __init__(self, *, organization_id: str, seed: int) -> None:
        self.organization_id = organization_id
        self.random = random.Random(seed)  # noqa: S311  # repeatable, not secret
        self.clock = Clock()
        self.lock = threading.RLock()
        #: Live customers by id; deleted ones move to ``deleted_customers``.
        self.customers: dict[str, JSON] = {}
        self.deleted_customers: dict[str, JSON] = {}
        self.subscriptions: dict[str, JSON] = {}
        self.grants: dict[str, JSON] = {}
        self.meters: dict[str, JSON] = {}
        self.wallets: dict[str, JSON] = {}
        self.payment_methods: dict[str, JSON] = {}
        self.products: dict[str, JSON] = {}
        self.benefits: dict[str, JSON] = {}
        self.meter_definitions: dict[str, JSON] = {}
        self.subscription_meters: dict[str, list[JSON]] = {}
        #: Grows with every change, so that whoever caches knows when to look again.
        self.version = 0
        self._by_external_id: dict[str, str] = {}
        self._by_email: dict[str, str] = {}
        self._owned: dict[str, dict[str, list[str]]] = {
            name: {} for name in ("subscriptions", "grants", "meters")
        }

    # Reading

    def customer(self, customer: str | JSON) -> JSON:
        """The customer's payload, deleted or not."""
        customer_id = customer if isinstance(customer, str) else customer["id"]
        return self.customers.get(customer_id) or self.deleted_customers[customer_id]

    def find_by_external_id(self, external_id: str) -> JSON | None:
        customer_id = self._by_external_id.get(external_id)
        return self.customers[customer_id] if customer_id else None

    def find_by_email(self, email: str) -> JSON | None:
        customer_id = self._by_email.get(email.lower())
        return self.customers[customer_id] if customer_id else None

    def owned(self, kind: str, customer_id: str) -> Iterator[JSON]:
        """The customer's ``subscriptions``, ``grants`` or ``meters``, oldest first."""
        rows: dict[str, JSON] = getattr(self, kind)
        return (rows[row_id] for row_id in self._owned[kind].get(customer_id, ()))

    def subscription_payload(self, row: JSON) -> JSON:
        return builders.embed_subscription(
            row,
            customer=self.customer(row["customer_id"]),
            product=self.products[row["product_id"]],
            meters=self.subscription_meters.get(row["id"]),
        )

    def grant_payload(self, row: JSON) -> JSON:
        return builders.embed_grant(
            row,
            customer=self.customer(row["customer_id"]),
            benefit=self.benefits[row["benefit_id"]],
        )

    def meter_payload(self, row: JSON) -> JSON:
        return row | {
            "customer": self.customer(row["customer_id"]),
            "meter": self.meter_definitions[row["meter_id"]],
        }

    def state(self, customer: str | JSON) -> JSON:
        """The customer's true state now, as ``GET /v1/customers/{id}/state`` would answer."""
        row = self.customer(customer)
        return builders.state_payload(
            row,
            subscriptions=[
                item | {"meters": self.subscription_meters.get(item["id"], [])}
                for item in self.owned("subscriptions", row["id"])
            ],
            grants=[
                item | {"benefit": self.benefits[item["benefit_id"]]}
                for item in self.owned("grants", row["id"])
            ],
            meters=list(self.owned("meters", row["id"])),
        )

    def event_data(self, kind: str, subject_id: str) -> JSON:
        """The ``data`` that a webhook of this kind would carry now."""
        if kind == "customer.state_changed":
            return self.state(subject_id)
        if kind.startswith("customer."):
            return self.customer(subject_id)
        if kind.startswith("subscription."):
            return self.subscription_payload(self.subscriptions[subject_id])
        payload = self.grant_payload(self.grants[subject_id])
        user_id = payload.pop("user_id")
        return payload | {"previous_properties": {}, "user_id": user_id}

    def truth(self) -> dict[str, JSON]:
        """Every live customer's state by id, its lists ordered by id."""
        states = {}
        for customer_id in self.customers:
            state = self.state(customer_id)
            for key in CUSTOMER_STATE_KEYS:
                state[key].sort(key=lambda item: item["id"])
            states[customer_id] = state
        return states

    # Keeping

    def new_id(self) -> str:
        return builders.new_id(self.random)

    def changed(self) -> None:
        self.version += 1

    def _own(self, kind: str, row: JSON) -> None:
        getattr(self, kind)[row["id"]] = row
        self._owned[kind].setdefault(row["customer_id"], []).append(row["id"])
        self.changed()

    def _index(self, row: JSON) -> None:
        if row["external_id"] is not None:
            self._by_external_id[row["external_id"]] = row["id"]
        if row["email"] is not None:
            self._by_email[row["email"].lower()] = row["id"]

    def _unindex(self, row: JSON) -> None:
        external_id, email = row["external_id"] or "", (row["email"] or "").lower()
        # A test may have made two of the same: the other one stays found.
        if self._by_external_id.get(external_id) == row["id"]:
            del self._by_external_id[external_id]
        if self._by_email.get(email) == row["id"]:
            del self._by_email[email]
