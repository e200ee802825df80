"""Payloads in Polar's shape and key order, as JSON-able dictionaries. Pure.

Every builder takes the fields that matter to the test and fills in the rest with what a
recently made object of that kind has.
"""

from __future__ import annotations

import hashlib
import random
import uuid
from datetime import UTC, datetime
from typing import Any

JSON = dict[str, Any]

ORGANIZATION_ID = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
# Payloads built without ids still get distinct ones, the same ones in every run.
_random = random.Random(20260408)  # noqa: S311  # repeatable, not secret
EPOCH = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)

CUSTOMER_STATE_SUBSCRIPTION = (
    "id",
    "created_at",
    "modified_at",
    "custom_field_data",
    "metadata",
    "status",
    "amount",
    "currency",
    "recurring_interval",
    "current_period_start",
    "current_period_end",
    "trial_start",
    "trial_end",
    "cancel_at_period_end",
    "canceled_at",
    "started_at",
    "ends_at",
    "product_id",
    "discount_id",
    "price_id",
)
CUSTOMER_STATE_METER = (
    "id",
    "created_at",
    "modified_at",
    "meter_id",
    "consumed_units",
    "credited_units",
    "balance",
)


def new_id(rng: random.Random | None = None) -> str:
    """A version 4 UUID; Polar refuses every other version in a path."""
    return str(uuid.UUID(int=(rng or _random).getrandbits(128), version=4))


def id_from(text: str) -> str:
    """A version 4 UUID that depends on nothing but ``text``."""
    return str(uuid.UUID(bytes=hashlib.sha256(text.encode()).digest()[:16], version=4))


def timestamp(moment: datetime) -> str:
    """As Polar writes it: UTC with ``Z``, no fraction when there is none."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def filled(defaults: JSON, fields: JSON) -> JSON:
    """``defaults`` with ``fields`` over it, Polar's key order kept."""
    return plain(defaults | fields)


def plain(fields: JSON) -> JSON:
    """Times and ids written as Polar's JSON has them."""
    return {key: _plain(value) for key, value in fields.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return timestamp(value)
    return str(value) if isinstance(value, uuid.UUID) else value


def avatar_url(email: str | None) -> str:
    digest = hashlib.sha256((email or "").lower().encode("utf-8", "surrogatepass")).hexdigest()
    return f"https://www.gravatar.com/avatar/{digest}?d=404"


def customer_payload(**fields: Any) -> JSON:
    """One item of ``GET /v1/customers/``. ``billing_name`` follows ``name`` unless given."""
    customer_id = str(fields.get("id") or new_id())
    email = fields.get("email", f"user-{customer_id[:8]}@acme-mail.dev")
    defaults: JSON = {
        "id": customer_id,
        "created_at": timestamp(EPOCH),
        "modified_at": None,
        "metadata": {},
        "external_id": None,
        "email": email,
        "email_verified": False,
        "type": "individual",
        "name": None,
        "billing_name": fields.get("name"),
        "billing_address": None,
        "tax_id": None,
        "locale": None,
        "organization_id": ORGANIZATION_ID,
        "default_payment_method_id": None,
        "deleted_at": None,
        "first_user_event_at": None,
        "avatar_url": avatar_url(email),
    }
    return filled(defaults, fields | {"id": customer_id})


def subscription_row(**fields: Any) -> JSON:
    """A subscription's own columns, without the objects that its payload embeds."""
    product_id = str(fields.get("product_id") or id_from("Free plan"))
    started = fields.get("started_at", fields.get("created_at", timestamp(EPOCH)))
    canceled = fields.get("status") == "canceled"
    defaults: JSON = {
        "created_at": timestamp(EPOCH),
        "modified_at": None,
        "id": str(fields.get("id") or new_id()),
        "amount": 0,
        "currency": "usd",
        "recurring_interval": "month",
        "recurring_interval_count": 1,
        "status": "active",
        "current_period_start": started,
        "current_period_end": "2099-12-31T00:00:00Z",
        "current_meter_period_start": None,
        "current_meter_period_end": None,
        "trial_start": None,
        "trial_end": None,
        "cancel_at_period_end": False,
        "canceled_at": started if canceled else None,
        "started_at": started,
        "ends_at": started if canceled else None,
        "ended_at": started if canceled else None,
        "past_due_at": started if fields.get("status") == "past_due" else None,
        "pause_at_period_end": False,
        "paused_at": None,
        "resumes_at": None,
        "customer_id": new_id() if "customer_id" not in fields else fields["customer_id"],
        "product_id": product_id,
        "discount_id": None,
        "checkout_id": None,
        "seats": None,
        "units": None,
        "customer_cancellation_reason": None,
        "customer_cancellation_comment": None,
        "price_id": id_from(f"price of {product_id}"),
        "metadata": {},
        "custom_field_data": {},
    }
    return filled(defaults, fields | {"id": defaults["id"], "product_id": product_id})


def embed_subscription(
    row: JSON, *, customer: JSON, product: JSON, meters: list[JSON] | None = None
) -> JSON:
    label = customer["name"] or customer["email"] or " "
    prices = product["prices"]
    return row | {
        "customer": customer,
        "user_id": customer["id"],
        "user": {
            "id": customer["id"],
            "email": customer["email"] or "",
            "public_name": label[:1].upper(),
            "avatar_url": customer["avatar_url"],
            "github_username": None,
        },
        "product": product,
        "discount": None,
        "price": next((item for item in prices if item["id"] == row["price_id"]), None),
        "prices": prices,
        "meters": meters or [],
        "pending_update": None,
    }


def grant_row(**fields: Any) -> JSON:
    """A benefit grant's own columns; ``is_granted=False`` makes a revoked one."""
    granted = fields.get("is_granted", True)
    moment = fields.get("created_at", timestamp(EPOCH))
    defaults: JSON = {
        "created_at": moment,
        "modified_at": None,
        "id": str(fields.get("id") or new_id()),
        "granted_at": moment if granted else None,
        "is_granted": granted,
        "revoked_at": None if granted else moment,
        "is_revoked": not granted,
        "subscription_id": None,
        "order_id": None,
        "customer_id": new_id() if "customer_id" not in fields else fields["customer_id"],
        "member_id": None,
        "benefit_id": new_id() if "benefit_id" not in fields else fields["benefit_id"],
        "error": None,
        "properties": {},
    }
    return filled(defaults, fields | {"id": defaults["id"]})


def embed_grant(row: JSON, *, customer: JSON, benefit: JSON) -> JSON:
    own = dict(row)
    properties = own.pop("properties")
    member = member_payload(customer)
    return own | {
        "member_id": own["member_id"] or member["id"],
        "customer": customer,
        "member": member,
        "benefit": benefit,
        "properties": properties,
        "user_id": customer["id"],
    }


def member_payload(customer: JSON) -> JSON:
    """The owner: the one member that every customer has."""
    return {
        "id": id_from(f"owner of {customer['id']}"),
        "created_at": customer["created_at"],
        "modified_at": None,
        "customer_id": customer["id"],
        "email": customer["email"] or f"owner-{customer['id'][:8]}@acme-mail.dev",
        "name": customer["name"],
        "external_id": customer["external_id"],
        "role": "owner",
    }


def meter_row(**fields: Any) -> JSON:
    """A customer meter's own columns; ``balance`` follows from the units unless given."""
    consumed = float(fields.get("consumed_units", 0.0))
    credited = int(fields.get("credited_units", 0))
    defaults: JSON = {
        "id": str(fields.get("id") or new_id()),
        "created_at": timestamp(EPOCH),
        "modified_at": None,
        "customer_id": new_id() if "customer_id" not in fields else fields["customer_id"],
        "meter_id": id_from("API calls") if "meter_id" not in fields else fields["meter_id"],
        "consumed_units": consumed,
        "credited_units": credited,
        "balance": credited - consumed,
    }
    return filled(defaults, fields | {"id": defaults["id"], "consumed_units": consumed})


def state_payload(
    customer: JSON,
    *,
    subscriptions: list[JSON] | None = None,
    grants: list[JSON] | None = None,
    meters: list[JSON] | None = None,
) -> JSON:
    """``GET /v1/customers/{id}/state`` put together from payloads of the three lists.

    As the real one: only active and trialing subscriptions and granted benefits appear.
    """
    return customer | {
        "active_subscriptions": [
            {key: item[key] for key in CUSTOMER_STATE_SUBSCRIPTION}
            | {
                "meters": [
                    {key: value for key, value in meter.items() if key != "meter"}
                    for meter in item.get("meters", ())
                ]
            }
            for item in subscriptions or ()
            if item["status"] in {"active", "trialing"}
        ],
        "granted_benefits": [
            {
                "id": item["id"],
                "created_at": item["created_at"],
                "modified_at": item["modified_at"],
                "granted_at": item["granted_at"],
                "benefit_id": item["benefit_id"],
                "benefit_type": item["benefit"]["type"],
                "benefit_metadata": item["benefit"]["metadata"],
                "properties": item["properties"],
            }
            for item in grants or ()
            if item["is_granted"]
        ],
        "active_meters": [
            {key: item[key] for key in CUSTOMER_STATE_METER} for item in meters or ()
        ],
    }


def anonymized(row: JSON, moment: datetime) -> JSON:
    """The customer as ``anonymize=true`` leaves it; the external id and a tax id stay."""

    def hashed(value: str) -> str:
        return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()

    metadata = dict(row["metadata"])
    if row["external_id"] is not None:
        metadata["__external_id"] = row["external_id"]
    metadata["__anonymized_at"] = moment.isoformat()
    email = f"{hashed(row['email'])}@anonymized.polar.sh" if row["email"] else None
    changes: JSON = {"metadata": metadata, "email": email, "billing_address": None}
    if row["tax_id"] is None:
        # A name with a tax id belongs to a business: invoices have to keep it.
        changes["name"] = hashed(row["name"]) if row["name"] else None
        changes["billing_name"] = hashed(row["billing_name"]) if row["billing_name"] else None
    changes["avatar_url"] = avatar_url(email)
    return row | changes
