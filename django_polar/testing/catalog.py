"""What a merchant sells, in Polar's shape: products, benefits, meters, and who has them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django_polar.testing.builders import (
    EPOCH,
    ORGANIZATION_ID,
    customer_payload,
    embed_grant,
    embed_subscription,
    filled,
    grant_row,
    id_from,
    meter_row,
    new_id,
    subscription_row,
    timestamp,
)

if TYPE_CHECKING:
    from django_polar.testing.builders import JSON


def product_payload(**fields: Any) -> JSON:
    product_id = str(fields.get("id") or new_id())
    amount = fields.pop("price_amount", 0)
    price: JSON = {
        "created_at": timestamp(EPOCH),
        "modified_at": None,
        "id": id_from(f"price of {product_id}"),
        "source": "catalog",
        "amount_type": "fixed",
        "price_currency": "usd",
        "tax_behavior": None,
        "is_archived": False,
        "product_id": product_id,
        "type": "recurring",
        "recurring_interval": "month",
        "price_amount": amount,
    }
    defaults: JSON = {
        "id": product_id,
        "created_at": timestamp(EPOCH),
        "modified_at": None,
        "trial_interval": None,
        "trial_interval_count": None,
        "name": "Free plan",
        "description": None,
        "visibility": "public",
        "recurring_interval": "month",
        "recurring_interval_count": 1,
        "meter_interval": None,
        "meter_interval_count": None,
        "is_recurring": True,
        "is_archived": False,
        "organization_id": ORGANIZATION_ID,
        "metadata": {},
        "prices": [price],
        "benefits": [],
        "medias": [],
        "attached_custom_fields": [],
    }
    return filled(defaults, fields | {"id": product_id})


_BENEFIT_PROPERTIES: dict[str, JSON] = {
    "custom": {"note": "Write to us"},
    "license_keys": {"prefix": "ACME", "expires": None, "activations": None, "limit_usage": None},
    "meter_credit": {"units": 1000, "rollover": False, "meter_id": id_from("API calls")},
}


def benefit_payload(**fields: Any) -> JSON:
    kind = fields.get("type", "custom")
    defaults: JSON = {
        "id": str(fields.get("id") or new_id()),
        "created_at": timestamp(EPOCH),
        "modified_at": None,
        "type": kind,
        "description": f"A {kind} benefit",
        "selectable": True,
        "deletable": True,
        "is_deleted": False,
        "organization_id": ORGANIZATION_ID,
        "metadata": {},
        "visibility": "public",
        "properties": dict(_BENEFIT_PROPERTIES.get(kind, {})),
    }
    if kind == "custom":
        defaults["is_tax_applicable"] = True
    defaults["visibility_configurable"] = True
    return filled(defaults, fields | {"id": defaults["id"]})


def meter_definition_payload(**fields: Any) -> JSON:
    """What a customer's meter counts: the ``meter`` inside ``GET /v1/customer-meters/``."""
    defaults: JSON = {
        "metadata": {},
        "created_at": timestamp(EPOCH),
        "modified_at": None,
        "id": str(fields.get("id") or new_id()),
        "name": "API calls",
        "unit": "scalar",
        "custom_label": None,
        "custom_multiplier": None,
        "filter": {
            "conjunction": "and",
            "clauses": [{"property": "name", "operator": "eq", "value": "api_call"}],
        },
        "aggregation": {"func": "count"},
        "organization_id": ORGANIZATION_ID,
        "archived_at": None,
    }
    return filled(defaults, fields | {"id": defaults["id"]})


def subscription_payload(
    customer: JSON | None = None, *, product: JSON | None = None, **fields: Any
) -> JSON:
    """One item of ``GET /v1/subscriptions/``, and the ``data`` of ``subscription.*`` events."""
    customer = customer or customer_payload()
    product = product or product_payload(id=fields.get("product_id") or id_from("Free plan"))
    row = subscription_row(customer_id=customer["id"], product_id=product["id"], **fields)
    return embed_subscription(row, customer=customer, product=product)


def grant_payload(
    customer: JSON | None = None, *, benefit: JSON | None = None, **fields: Any
) -> JSON:
    """One item of ``GET /v1/benefit-grants/``, and the ``data`` of ``benefit_grant.*`` events."""
    customer = customer or customer_payload()
    benefit = benefit or benefit_payload()
    row = grant_row(customer_id=customer["id"], benefit_id=benefit["id"], **fields)
    return embed_grant(row, customer=customer, benefit=benefit)


def meter_payload(
    customer: JSON | None = None, *, meter: JSON | None = None, **fields: Any
) -> JSON:
    """One item of ``GET /v1/customer-meters/``."""
    customer = customer or customer_payload()
    meter = meter or meter_definition_payload()
    row = meter_row(customer_id=customer["id"], meter_id=meter["id"], **fields)
    return row | {"customer": customer, "meter": meter}
