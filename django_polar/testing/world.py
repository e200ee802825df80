"""How the fake Polar changes, and which webhooks that makes. Nothing of HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django_polar.testing import builders, catalog
from django_polar.testing.records import Records

if TYPE_CHECKING:
    from collections.abc import Callable

    from django_polar.testing.builders import JSON
    from django_polar.testing.webhooks import Webhooks


class World(Records):
    """Customers and what belongs to them, of one organization.

    Methods that change something queue the webhooks that the real server would send. They take
    a customer as its id or its payload, and never check what only the API checks (an email's
    domain, a blank external id): a test may build what history has left behind.
    """

    webhooks: Webhooks

    # Customers

    def add_customer(self, **fields: Any) -> JSON:
        with self.lock:
            fields = {"id": self.new_id(), "created_at": self.clock.stamp()} | fields
            row = builders.customer_payload(organization_id=self.organization_id, **fields)
            self.customers[row["id"]] = row
            self._index(row)
            self.changed()
            self.webhooks.queue("customer.created", row)
            self.webhooks.queue_state(row["id"])
            return row

    def update_customer(self, customer: str | JSON, **fields: Any) -> JSON:
        """Sets ``fields``; ``modified_at`` moves only if one of them is new."""
        with self.lock:
            row = self.customers[self._id(customer)]
            changes = {
                name: value
                for name, value in builders.plain(fields).items()
                if row.get(name, ...) != value
            }
            if changes:
                self._unindex(row)
                follows = row["billing_name"] == row["name"]
                if "name" in changes and "billing_name" not in changes and follows:
                    changes["billing_name"] = changes["name"]
                if "email" in changes:
                    changes["avatar_url"] = builders.avatar_url(changes["email"])
                # A new dictionary: payloads handed out earlier must not change behind a test.
                row = row | {"modified_at": self.clock.stamp()} | changes
                self.customers[row["id"]] = row
                self._index(row)
                self.changed()
            self.webhooks.queue("customer.updated", row)
            self.webhooks.queue_state(row["id"])
            return row

    def delete_customer(
        self, customer: str | JSON, *, anonymize: bool = False, revoke: bool = True
    ) -> JSON:
        """Deletes, and ends what the customer had, unless ``revoke=False``.

        The real server does the second a moment later, in a job: until then (and for ever, where
        the job fails) the lists show active subscriptions and grants of deleted customers.
        """
        with self.lock:
            row = self.customers.pop(self._id(customer))
            self._unindex(row)
            moment = self.clock()
            row = row | {"deleted_at": builders.timestamp(moment)}
            row = (
                builders.anonymized(row, moment) if anonymize else row | {"external_id": None}
            ) | {"modified_at": self.clock.stamp()}
            self.deleted_customers[row["id"]] = row
            self.changed()
            active = [
                item
                for item in self.owned("subscriptions", row["id"])
                if item["status"] in {"active", "trialing", "past_due"}
            ]
            stale_state = self.state(row)
            if revoke:
                for item in active:
                    self._end_subscription(item)
            self.webhooks.queue("customer.deleted", row)
            if revoke:
                for item in active:
                    self.webhooks.queue("subscription.revoked", self._subscription(item["id"]))
                if active:
                    self.webhooks.queue("customer.state_changed", stale_state)
                for grant in list(self.owned("grants", row["id"])):
                    if grant["is_granted"]:
                        self._revoke_grant(grant)
            self.webhooks.queue_state(row["id"])
            return row

    # What belongs to customers

    def add_subscription(self, customer: str | JSON, **fields: Any) -> JSON:
        """An active subscription unless ``status`` says otherwise; unknown products are made."""
        with self.lock:
            product_id = str(fields.get("product_id") or builders.id_from("Free plan"))
            if product_id not in self.products:
                self.add_product(id=product_id)
            meters = fields.pop("meters", None)
            row = builders.subscription_row(**self._new(customer, fields))
            self._own("subscriptions", row)
            if meters:
                self.subscription_meters[row["id"]] = meters
            payload = self._subscription(row["id"])
            self.webhooks.queue("subscription.created", payload)
            if row["status"] in {"active", "trialing"}:
                self.webhooks.queue("subscription.active", payload)
            self.webhooks.queue("subscription.updated", payload)
            self.webhooks.queue_state(row["customer_id"])
            return row

    def update_subscription(self, subscription: str | JSON, **fields: Any) -> JSON:
        with self.lock:
            row = self._change("subscriptions", subscription, fields)
            self.webhooks.queue("subscription.updated", self._subscription(row["id"]))
            self.webhooks.queue_state(row["customer_id"])
            return row

    def end_subscription(self, subscription: str | JSON) -> JSON:
        with self.lock:
            row = self._end_subscription(self.subscriptions[self._id(subscription)])
            self.webhooks.queue("subscription.revoked", self._subscription(row["id"]))
            self.webhooks.queue_state(row["customer_id"])
            return row

    def add_grant(
        self,
        customer: str | JSON,
        *,
        benefit_type: str = "custom",
        benefit_metadata: JSON | None = None,
        **fields: Any,
    ) -> JSON:
        """A granted benefit; a benefit is made unless ``benefit_id`` names a known one."""
        with self.lock:
            benefit_id = str(fields.get("benefit_id") or builders.id_from(f"a {benefit_type}"))
            if benefit_id not in self.benefits or benefit_metadata is not None:
                self.add_benefit(id=benefit_id, type=benefit_type, metadata=benefit_metadata or {})
            row = builders.grant_row(**self._new(customer, fields | {"benefit_id": benefit_id}))
            self._own("grants", row)
            self._queue_grant("benefit_grant.created", row)
            self.webhooks.queue_state(row["customer_id"])
            return row

    def update_grant(self, grant: str | JSON, **fields: Any) -> JSON:
        with self.lock:
            row = self._change("grants", grant, fields)
            self._queue_grant("benefit_grant.updated", row)
            self.webhooks.queue_state(row["customer_id"])
            return row

    def revoke_grant(self, grant: str | JSON) -> JSON:
        with self.lock:
            row = self._revoke_grant(self.grants[self._id(grant)])
            self.webhooks.queue_state(row["customer_id"])
            return row

    def add_meter(self, customer: str | JSON, *, archived: bool = False, **fields: Any) -> JSON:
        """A customer meter. One of an ``archived`` meter is in the state but in no list."""
        with self.lock:
            name = "an archived meter" if archived else "API calls"
            meter_id = str(fields.get("meter_id") or builders.id_from(name))
            if meter_id not in self.meter_definitions:
                archived_at = builders.EPOCH if archived else None
                self.add_meter_definition(id=meter_id, archived_at=archived_at)
            row = builders.meter_row(**self._new(customer, fields | {"meter_id": meter_id}))
            self._own("meters", row)
            self.webhooks.queue_state(row["customer_id"])
            return row

    def update_meter(self, meter: str | JSON, **fields: Any) -> JSON:
        with self.lock:
            row = self._change("meters", meter, fields)
            row["balance"] = fields.get("balance", row["credited_units"] - row["consumed_units"])
            self.webhooks.queue_state(row["customer_id"])
            return row

    def add_wallet(self, customer: str | JSON, *, balance: int, currency: str = "usd") -> JSON:
        with self.lock:
            row: JSON = {
                "id": self.new_id(),
                "created_at": self.clock.stamp(),
                "modified_at": None,
                "customer_id": self._id(customer),
                "balance": balance,
                "currency": currency,
            }
            self.wallets[row["id"]] = row
            self.changed()
            return row

    def add_payment_method(
        self, customer: str | JSON, *, kind: str = "card", default: bool = False
    ) -> JSON:
        with self.lock:
            row: JSON = {
                "id": self.new_id(),
                "created_at": self.clock.stamp(),
                "modified_at": None,
                "processor": "stripe",
                "customer_id": self._id(customer),
                "type": kind,
            }
            if kind == "card":
                row["method_metadata"] = {
                    "brand": "visa",
                    "last4": "4242",
                    "exp_month": 12,
                    "exp_year": 2099,
                    "wallet": None,
                }
            self.payment_methods[row["id"]] = row
            self.changed()
            if default:
                self.update_customer(row["customer_id"], default_payment_method_id=row["id"])
            return row

    def add_product(self, **fields: Any) -> JSON:
        return self._add(self.products, catalog.product_payload, fields)

    def add_benefit(self, **fields: Any) -> JSON:
        return self._add(self.benefits, catalog.benefit_payload, fields)

    def add_meter_definition(self, **fields: Any) -> JSON:
        return self._add(self.meter_definitions, catalog.meter_definition_payload, fields)

    # The rest

    def _add(self, rows: dict[str, JSON], build: Callable[..., JSON], fields: JSON) -> JSON:
        with self.lock:
            row = build(**{"id": self.new_id(), "organization_id": self.organization_id} | fields)
            rows[row["id"]] = row
            self.changed()
            return row

    def _id(self, thing: str | JSON) -> str:
        return thing if isinstance(thing, str) else str(thing["id"])

    def _new(self, customer: str | JSON, fields: JSON) -> JSON:
        moment = fields.get("created_at") or self.clock.stamp()
        created = {"id": self.new_id(), "created_at": moment, "customer_id": self._id(customer)}
        return created | fields

    def _change(self, kind: str, thing: str | JSON, fields: JSON) -> JSON:
        rows: dict[str, JSON] = getattr(self, kind)
        row = rows[self._id(thing)] | {"modified_at": self.clock.stamp()} | builders.plain(fields)
        rows[row["id"]] = row
        self.changed()
        return row

    def _subscription(self, subscription_id: str) -> JSON:
        return self.subscription_payload(self.subscriptions[subscription_id])

    def _end_subscription(self, row: JSON) -> JSON:
        moment = self.clock.stamp()
        ended = dict.fromkeys(("canceled_at", "ends_at", "ended_at"), moment)
        row = self._change("subscriptions", row, {"status": "canceled"} | ended)
        payload = self._subscription(row["id"])
        self.webhooks.queue("subscription.updated", payload)
        self.webhooks.queue("subscription.canceled", payload)
        return row

    def _revoke_grant(self, row: JSON) -> JSON:
        revoked = {
            "granted_at": None,
            "is_granted": False,
            "revoked_at": self.clock.stamp(),
            "is_revoked": True,
        }
        row = self._change("grants", row, revoked)
        self._queue_grant("benefit_grant.revoked", row)
        return row

    def _queue_grant(self, kind: str, row: JSON) -> None:
        self.webhooks.queue(kind, self.event_data(kind, row["id"]))
