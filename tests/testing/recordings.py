"""Exchanges recorded with a real Polar: read them, and put the fake into the same situation."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx

from django_polar.testing.polar import FakePolar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

JSON = dict[str, Any]

SCOPES = {
    "main_customers_read": ("customers:read",),
    "main_customers_write": ("customers:write",),
    "main_orders_only": ("orders:read",),
    "main_three_lists": ("subscriptions:read", "benefits:read", "customer_meters:read"),
    "old_none": (),
}
LISTS = {
    "/v1/subscriptions/": "subscriptions",
    "/v1/benefit-grants/": "grants",
    "/v1/customer-meters/": "meters",
}
# The customer that the recorded portal session belongs to, and whose values are taken.
ADA = "usr_1001"


@dataclass(frozen=True)
class Exchange:
    name: str
    server: JSON
    request: JSON
    response: JSON

    @property
    def status(self) -> int:
        return self.response["status"]

    @property
    def body(self) -> Any:
        return self.response["body"]

    @cached_property
    def headers(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.response["headers"]}

    @property
    def method(self) -> str:
        return self.request["method"]

    @property
    def path(self) -> str:
        return urlsplit(self.request["path"]).path

    @property
    def is_old(self) -> bool:
        return self.name.startswith("old_")


def read_exchanges(directory: Path) -> Iterator[Exchange]:
    for path in sorted(directory.glob("*.json")):
        recorded = json.loads(path.read_text())
        if "request" in recorded and "response" in recorded:
            yield Exchange(
                recorded["name"], recorded["server"], recorded["request"], recorded["response"]
            )


def iter_customers(value: Any) -> Iterator[JSON]:
    """Every whole customer somewhere in an answer."""
    if isinstance(value, dict):
        if {"organization_id", "external_id", "email_verified"} <= set(value):
            yield value
        for item in value.values():
            yield from iter_customers(item)
    elif isinstance(value, list):
        for item in value:
            yield from iter_customers(item)


class Situation:
    """A fake Polar in which ``exchange`` can happen again."""

    def __init__(self, exchange: Exchange, known: dict[str, JSON]) -> None:
        self.exchange = exchange
        self.known = known
        make = FakePolar.old_server if exchange.is_old else FakePolar
        self.polar = make(
            organization_id=self._organization_id(),
            sandbox=exchange.server["POLAR_ENV"] == "sandbox",
        )
        self.polar.stable = True
        self.polar.unknown_domains.add("does-not-exist-at-all.dev")
        self._prepare()

    def replay(self) -> httpx.Response:
        request = self.exchange.request
        headers = {k: v for k, v in request["headers"].items() if k != "Authorization"}
        if authorization := self._authorization():
            headers["Authorization"] = authorization
        body = request["body_raw"]
        if body is None and request["body"] is not None:
            body = json.dumps(request["body"])
        if request["path"].endswith("."):
            return self._replay_dots(headers)
        with httpx.Client(transport=self.polar.transport()) as client:
            url = f"http://127.0.0.1:8765{request['path']}"
            return client.request(self.exchange.method, url, headers=headers, content=body)

    def _replay_dots(self, headers: dict[str, str]) -> httpx.Response:
        """httpx resolves dot segments, the client that recorded did not."""
        with self.polar.serve() as base_url:
            connection = HTTPConnection(urlsplit(base_url).netloc)
            connection.request(self.exchange.method, self.exchange.request["path"], None, headers)
            answer = connection.getresponse()
            response = httpx.Response(
                answer.status, headers=answer.getheaders(), content=answer.read()
            )
            connection.close()
            return response

    def _organization_id(self) -> str:
        for customer in iter_customers(self.exchange.body):
            return customer["organization_id"]
        return "ad141963-993f-4c68-a3c3-7c68e7fd3a89"

    def _authorization(self) -> str | None:
        recorded = self.exchange.request["headers"].get("Authorization")
        if recorded is None or "<TOKEN:" not in recorded:
            return recorded
        name = recorded.removeprefix("Bearer <TOKEN:").removesuffix(">")
        if name in {"other", "customer_session"} and not self.exchange.name.endswith(
            "with_oat_401"
        ):
            return f"Bearer {self._session()}"
        if name == "main_expired":
            return f"Bearer {self.polar.add_token('customers:read', expired=True)}"
        if name in SCOPES:
            return f"Bearer {self.polar.add_token(*SCOPES[name])}"
        return f"Bearer {self.polar.token}"

    def _session(self) -> str:
        if "bad_token" in self.exchange.name:
            return "polar_mst_nobody_made_this"
        ada = self.polar.find_by_external_id(ADA)
        expired = "expired" in self.exchange.name
        return self.polar.add_session(ada, lifetime=timedelta(hours=-1 if expired else 1))

    def _prepare(self) -> None:
        exchange = self.exchange
        if exchange.name.startswith("portal_") or exchange.name.startswith("api_with"):
            self._add(self.known[ADA])
            self._prepare_portal()
        if "rate_limit" in exchange.name and exchange.status == 429:
            self.polar.rate_limit = 0
        if "_duplicate_" in exchange.name or exchange.path.startswith("/v1/customer-sessions"):
            self._prepare_known()
        if exchange.path.endswith("/v1/customers/") and exchange.method == "GET":
            self._prepare_customers()
        elif exchange.path in LISTS and exchange.status == 200:
            self._prepare_list(LISTS[exchange.path])
        elif exchange.path.startswith("/v1/customers/") and exchange.method != "POST":
            self._prepare_customer()
        elif exchange.path.startswith("/v1/webhooks"):
            self._prepare_webhooks()

    def _prepare_portal(self) -> None:
        ada = self.polar.find_by_external_id(ADA)
        for item in (self.exchange.body or {}).get("items", ()):
            if "balance" in item:
                self.polar.wallets[item["id"]] = item
            elif "processor" in item:
                self.polar.payment_methods[item["id"]] = {
                    key: value for key, value in item.items() if key != "is_default"
                }
        if "wallet_get" in self.exchange.name:
            self.polar.wallets[self.exchange.body["id"]] = self.exchange.body
        if self.exchange.name == "portal_customer_me_trailing_slash_307":
            assert ada

    def _prepare_known(self) -> None:
        for name in (ADA, "legacy-1", "team_1", "zero"):
            if name in self.known:
                self._add(self.known[name])
        if "_deleted_" in self.exchange.name:
            self.polar.delete_customer(
                self.polar.add_customer(id=self.exchange.request["body"]["customer_id"])
            )

    def _prepare_customers(self) -> None:
        """The customers of the answer, and as many others as it says that there are."""
        if self.exchange.status != 200:
            return
        items = self.exchange.body["items"]
        active = "active=true" in self.exchange.request["path"]
        for item in items:
            self._add(item)
            if active:
                self.polar.add_subscription(item["id"], created_at=item["created_at"])
        filtered = any(
            name in self.exchange.request["path"]
            for name in ("email=", "query=", "metadata", "organization_id=1c6a")
        )
        others = self.exchange.body["pagination"]["total_count"] - len(items)
        asked = dict(parse_qsl(urlsplit(self.exchange.request["path"]).query))
        before = (int(asked.get("page", 1)) - 1) * int(asked.get("limit", 10))
        for number in range(others if not active else 0):
            like = {"metadata": items[0]["metadata"]} if filtered and items else {}
            if "query=" in self.exchange.request["path"] and items:
                like["external_id"] = f"user-0x{number}"
            # Newer than the recorded ones where those are on a later page.
            like["created_at"] = f"20{20 if number >= before else 27}-01-01T00:00:00Z"
            self.polar.add_customer(email=f"other-{number}@acme-mail.dev", **like)

    def _prepare_list(self, kind: str) -> None:
        for item in self.exchange.body["items"]:
            if item["customer"]["deleted_at"] is None:
                self._add(item["customer"])
            else:
                self.polar.deleted_customers[item["customer"]["id"]] = item["customer"]
            own = dict(item)
            if kind == "subscriptions":
                self.polar.products[item["product_id"]] = item["product"]
                self.polar.subscription_meters[item["id"]] = item["meters"]
            elif kind == "grants":
                self.polar.benefits[item["benefit_id"]] = item["benefit"]
            else:
                self.polar.meter_definitions[item["meter_id"]] = item["meter"]
            for name in ("customer", "product", "benefit", "member", "meter", "meters", "user"):
                own.pop(name, None)
            for name in ("user_id", "discount", "price", "prices", "pending_update"):
                own.pop(name, None)
            self.polar._own(kind, own)

    def _prepare_customer(self) -> None:
        """The customer of the path exists, unless it was recorded that it does not."""
        exchange = self.exchange
        segment = unquote(exchange.path.removeprefix("/v1/customers/")).removeprefix("external/")
        key = segment.partition("/")[0] if exchange.name.count("slash") == 0 else segment
        missing = exchange.status == 404 and exchange.body.get("error") == "ResourceNotFound"
        if missing or (exchange.status == 422 and exchange.body["error"].startswith("Request")):
            return
        customer = self._find_customer(key)
        if customer is None:
            return
        row = self._add(customer)
        if exchange.method == "PATCH":
            self._undo_patch(row)
        if exchange.path.endswith("/state") and exchange.status == 200:
            self._prepare_state(row)
        if "balance_" in exchange.name and exchange.status == 200:
            self.polar.add_wallet(row, balance=exchange.body["balance"])
        if "payment_methods" in exchange.name and exchange.status == 200:
            for item in exchange.body["items"]:
                self.polar.payment_methods[item["id"]] = {
                    name: value for name, value in item.items() if name != "is_default"
                }

    def _find_customer(self, key: str) -> JSON | None:
        """As the answer shows it, else as any other answer does."""
        exchange = self.exchange
        shown = list(iter_customers(exchange.body))
        for row in shown:
            if key in (row["id"], row["external_id"]):
                return row
        known = self.known.get(key.lower(), self.known.get(key))
        if known is not None or shown:
            return known or shown[0]
        nameless = exchange.method == "PATCH" or (exchange.is_old and "balance" in exchange.name)
        return {"id": key} if nameless else None

    def _undo_patch(self, row: JSON) -> None:
        """Back to before: what the request sets was another value, or none."""
        if "external_id_duplicate" in self.exchange.name:
            return
        before = {"name": "Before", "metadata": {"before": True}, "locale": "en"}
        if "first_time" in self.exchange.name or "first_external_id" in self.exchange.name:
            before["external_id"] = None
        elif "_external_id_" in self.exchange.name or "same_external" in self.exchange.name:
            before["external_id"] = row["external_id"] or "mini_ext"
        if "billing_address" in self.exchange.name or "tax_id" in self.exchange.name:
            before["billing_address"] = {
                **dict.fromkeys(("line1", "line2", "postal_code", "city", "state")),
                "country": "DE",
            }
        if "downgrade" in self.exchange.name:
            before["type"] = "team"
        elif "type_team" in self.exchange.name:
            before["type"] = "individual"
        self.polar.update_customer(row, **before)

    def _prepare_state(self, row: JSON) -> None:
        for item in self.exchange.body["active_subscriptions"]:
            own = {name: value for name, value in item.items() if name != "meters"}
            self.polar.add_subscription(row, meters=item["meters"], **own)
        for item in self.exchange.body["granted_benefits"]:
            own = dict(item)
            kind, metadata = own.pop("benefit_type"), own.pop("benefit_metadata")
            self.polar.add_grant(row, benefit_type=kind, benefit_metadata=metadata, **own)
        for item in self.exchange.body["active_meters"]:
            self.polar.add_meter(row, **item)

    def _prepare_webhooks(self) -> None:
        endpoint = self.polar.add_webhook_endpoint(
            "https://hooks.acme-mail.dev/polar/webhook",
            events=(self.exchange.body or {}).get("events", ["customer.created"]),
        )
        words = self.exchange.request["path"].replace("=", "/").replace("&", "/").split("/")
        for word in words:
            if len(word) == 36:
                self.polar.webhooks.endpoints[word] = endpoint | {"id": word}
        self.polar.add_customer(email="hook@acme-mail.dev")
        event = self.polar.webhooks.pending[0]
        if self.exchange.status == 202:
            event.id = words[-2]
            self.polar.webhooks.events[event.id] = event
        body = self.exchange.body or {}
        recorded = body.get("items", [])
        for _ in range(body.get("pagination", {}).get("total_count", 0) - len(recorded)):
            self.polar.webhooks._record(event, 200, "ok")
        for item in reversed(recorded):
            kind = item["webhook_event"]["type"]
            self.polar.webhooks._record(replace(event, type=kind), 200, "ok")

    def _add(self, customer: JSON) -> JSON:
        with self.polar.webhooks.pause():
            fields = {name: value for name, value in customer.items() if name in _CUSTOMER_FIELDS}
            existing = self.polar.customers.get(customer["id"])
            return existing or self.polar.add_customer(**fields)


_CUSTOMER_FIELDS = {
    "id",
    "created_at",
    "modified_at",
    "metadata",
    "external_id",
    "email",
    "email_verified",
    "type",
    "name",
    "billing_name",
    "billing_address",
    "tax_id",
    "locale",
    "default_payment_method_id",
    "first_user_event_at",
    "avatar_url",
}
