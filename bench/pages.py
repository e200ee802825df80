"""Made-up answers of Polar's four lists, the same ones at every run.

A customer is about 0.8 kB and has one subscription, two grants and one meter, with the objects
that Polar embeds in them: 11 kB in all.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import UUID

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE: Final = 100
SEED: Final = 2026
START: Final = datetime(2025, 3, 1, tzinfo=UTC)
ORGANIZATION: Final = "5f0c7a0e-31d4-4be5-9c15-26f1c1c1f7d2"

Json = dict[str, Any]


class Pages(NamedTuple):
    """The answers that hold one hundred customers with all they have."""

    customers: bytes
    subscriptions: bytes
    grants: tuple[bytes, ...]
    meters: bytes

    def count_bytes(self) -> int:
        return (
            len(self.customers)
            + len(self.subscriptions)
            + sum(map(len, self.grants))
            + len(self.meters)
        )


class CustomerItems(NamedTuple):
    """One customer, and the items of the other lists that are about it."""

    customer: Json
    subscription: Json
    grants: list[Json]
    meter: Json


def iter_pages(customers: int, *, revision: int = 0, changed: float = 1.0) -> Iterator[Pages]:
    """Pages for so many customers. A later ``revision`` changes that share of them."""
    total = {"customers": customers, "grants": 2 * customers}
    for first in range(0, customers, PAGE):
        batch = [
            make_customer(n, revision if _share(n) < changed else 0)
            for n in range(first, min(first + PAGE, customers))
        ]
        grants = [grant for items in batch for grant in items.grants]
        yield Pages(
            customers=_page([items.customer for items in batch], total["customers"]),
            subscriptions=_page([items.subscription for items in batch], total["customers"]),
            grants=tuple(
                _page(grants[start : start + PAGE], total["grants"])
                for start in range(0, len(grants), PAGE)
            ),
            meters=_page([items.meter for items in batch], total["customers"]),
        )


def _share(number: int) -> float:
    return (number * 37 % 100) / 100


def _page(items: list[Json], total: int) -> bytes:
    pagination = {"total_count": total, "max_page": -(-total // PAGE)}
    return msgspec.json.encode({"items": items, "pagination": pagination})


def make_customer(number: int, revision: int = 0) -> CustomerItems:
    """The customer of that number. A higher revision is a later version of the same one."""
    rng = random.Random(SEED * 1_000_003 + number)  # noqa: S311 - made-up data
    born = START + timedelta(seconds=37 * number, microseconds=rng.randrange(1_000_000))
    moved = born + timedelta(days=3, seconds=revision)
    customer = _customer(rng, number, born, moved, revision)
    return CustomerItems(
        customer,
        _subscription(rng, customer, born, moved, revision),
        [_grant(rng, customer, born, moved, revision, which) for which in range(2)],
        _meter(rng, customer, born, moved, revision),
    )


def _customer(
    rng: random.Random, number: int, born: datetime, moved: datetime, revision: int
) -> Json:
    name = f"{rng.choice(_GIVEN)} {rng.choice(_FAMILY)}"
    return {
        "id": _uuid(rng),
        "created_at": _iso(born),
        "modified_at": _iso(moved),
        "metadata": {"plan": rng.choice(("free", "pro", "team")), "seats": revision, "beta": True},
        "external_id": str(number + 1),
        "email": f"{name.lower().replace(' ', '.')}.{number}@example.com",
        "email_verified": rng.random() < 0.5,
        "type": "individual",
        "name": name,
        "billing_name": name,
        "billing_address": {
            "line1": f"{rng.randrange(1, 200)} {rng.choice(_STREETS)}",
            "line2": None,
            "postal_code": f"{rng.randrange(10_000, 99_999)}",
            "city": rng.choice(_CITIES),
            "state": None,
            "country": rng.choice(("DE", "FR", "GB", "SE")),
        },
        "tax_id": None,
        "locale": rng.choice(("de", "en", "fr")),
        "organization_id": ORGANIZATION,
        "default_payment_method_id": _uuid(rng),
        "deleted_at": None,
        "first_user_event_at": None,
        "avatar_url": f"https://www.gravatar.com/avatar/{rng.randbytes(32).hex()}?d=404",
    }


def _subscription(
    rng: random.Random, customer: Json, born: datetime, moved: datetime, revision: int
) -> Json:
    product = rng.choice(_PRODUCTS)
    price = product["prices"][0]
    end = moved + timedelta(days=30)
    return {
        "created_at": _iso(born),
        "modified_at": _iso(moved),
        "id": _uuid(rng),
        "amount": price["price_amount"] + revision,
        "currency": "eur",
        "recurring_interval": "month",
        "recurring_interval_count": 1,
        "status": "active",
        "current_period_start": _iso(moved),
        "current_period_end": _iso(end),
        "current_meter_period_start": None,
        "current_meter_period_end": None,
        "trial_start": None,
        "trial_end": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "started_at": _iso(born),
        "ends_at": None,
        "ended_at": None,
        "past_due_at": None,
        "pause_at_period_end": False,
        "paused_at": None,
        "resumes_at": None,
        "customer_id": customer["id"],
        "product_id": product["id"],
        "discount_id": None,
        "checkout_id": None,
        "seats": None,
        "units": None,
        "customer_cancellation_reason": None,
        "customer_cancellation_comment": None,
        "price_id": price["id"],
        "metadata": {"campaign": rng.choice(_STREETS)},
        "custom_field_data": {},
        "customer": customer,
        "user_id": customer["id"],
        "user": {
            "id": customer["id"],
            "email": customer["email"],
            "public_name": customer["name"][0],
            "avatar_url": customer["avatar_url"],
            "github_username": None,
        },
        "product": product,
        "discount": None,
        "price": price,
        "prices": product["prices"],
        "meters": [
            {
                "created_at": _iso(born),
                "modified_at": _iso(moved),
                "id": _uuid(rng),
                "consumed_units": float(rng.randrange(10_000)) / 4,
                "credited_units": 1000,
                "amount": rng.randrange(10_000),
                "meter_id": _METERS[0]["id"],
                "meter": _METERS[0],
            }
        ],
        "pending_update": None,
    }


def _grant(
    rng: random.Random, customer: Json, born: datetime, moved: datetime, revision: int, which: int
) -> Json:
    benefit = _BENEFITS[which]
    member = _uuid(rng)
    return {
        "created_at": _iso(born),
        "modified_at": _iso(moved),
        "id": _uuid(rng),
        "granted_at": _iso(born),
        "is_granted": True,
        "revoked_at": None,
        "is_revoked": False,
        "subscription_id": _uuid(rng),
        "order_id": None,
        "customer_id": customer["id"],
        "member_id": member,
        "benefit_id": benefit["id"],
        "error": None,
        "customer": customer,
        "member": {
            "id": member,
            "created_at": _iso(born),
            "modified_at": None,
            "customer_id": customer["id"],
            "email": customer["email"],
            "name": customer["name"],
            "external_id": customer["external_id"],
            "role": "owner",
        },
        "benefit": benefit,
        "properties": {"revision": revision},
        "user_id": customer["id"],
    }


def _meter(
    rng: random.Random, customer: Json, born: datetime, moved: datetime, revision: int
) -> Json:
    consumed = rng.randrange(1_000) / 2 + revision
    return {
        "id": _uuid(rng),
        "created_at": _iso(born),
        "modified_at": _iso(moved),
        "customer_id": customer["id"],
        "meter_id": _METERS[0]["id"],
        "consumed_units": consumed,
        "credited_units": 1000.0,
        "balance": 1000.0 - consumed,
        "customer": customer,
        "meter": _METERS[0],
    }


def _uuid(rng: random.Random) -> str:
    return str(UUID(int=rng.getrandbits(128), version=4))


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


_GIVEN: Final = ("Agnes", "Bruno", "Clara", "David", "Edith", "Franz", "Gerda", "Hugo", "Ines")
_FAMILY: Final = ("Almeida", "Becker", "Costa", "Dubois", "Eriksson", "Fischer", "Grant", "Hahn")
_STREETS: Final = ("Station Road", "Harbour Lane", "Mill Street", "Castle Square", "Park Avenue")
_CITIES: Final = ("Bremen", "Lyon", "Leeds", "Malmö", "Lübeck", "Nantes", "York", "Uppsala")

_fixed = random.Random(SEED)  # noqa: S311 - made-up data

_METERS: Final[list[Json]] = [
    {
        "metadata": {},
        "created_at": _iso(START),
        "modified_at": _iso(START),
        "id": _uuid(_fixed),
        "name": "Pages rendered",
        "unit": "scalar",
        "custom_label": None,
        "custom_multiplier": None,
        "filter": {
            "conjunction": "and",
            "clauses": [{"property": "name", "operator": "eq", "value": "page"}],
        },
        "aggregation": {"func": "count"},
        "organization_id": ORGANIZATION,
        "archived_at": None,
    }
]


def _price(product_id: str, amount: int | None) -> Json:
    price: Json = {
        "created_at": _iso(START),
        "modified_at": None,
        "id": _uuid(_fixed),
        "source": "catalog",
        "amount_type": "fixed",
        "price_currency": "eur",
        "tax_behavior": None,
        "is_archived": False,
        "product_id": product_id,
        "type": "recurring",
        "recurring_interval": "month",
    }
    if amount is not None:
        return {**price, "price_amount": amount}
    meter = {key: _METERS[0][key] for key in ("id", "name", "unit")}
    return {
        **price,
        "amount_type": "metered_unit",
        "unit_amount": "0.250000000000",
        "cap_amount": None,
        "meter_id": meter["id"],
        "meter": {**meter, "custom_label": None, "custom_multiplier": None},
    }


def _product(name: str, amount: int) -> Json:
    id_ = _uuid(_fixed)
    return {
        "id": id_,
        "created_at": _iso(START),
        "modified_at": None,
        "trial_interval": None,
        "trial_interval_count": None,
        "name": name,
        "description": None,
        "visibility": "public",
        "recurring_interval": "month",
        "recurring_interval_count": 1,
        "meter_interval": None,
        "meter_interval_count": None,
        "is_recurring": True,
        "is_archived": False,
        "organization_id": ORGANIZATION,
        "metadata": {},
        "prices": [_price(id_, amount), _price(id_, None)],
        "benefits": [],
        "medias": [],
        "attached_custom_fields": [],
    }


def _benefit(kind: str, description: str, properties: Json) -> Json:
    return {
        "id": _uuid(_fixed),
        "created_at": _iso(START),
        "modified_at": None,
        "type": kind,
        "description": description,
        "selectable": True,
        "deletable": True,
        "is_deleted": False,
        "organization_id": ORGANIZATION,
        "metadata": {"tier": "one"},
        "visibility": "public",
        "properties": properties,
        "visibility_configurable": True,
    }


_PRODUCTS: Final = [_product("Studio", 1900), _product("Agency", 4900), _product("Solo", 700)]
_BENEFITS: Final = [
    _benefit(
        "meter_credit",
        "500 pages",
        {"units": 500, "rollover": False, "meter_id": _METERS[0]["id"]},
    ),
    _benefit("feature_flag", "Exports", {}),
]
