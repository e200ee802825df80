"""The mirror and Polar's truth in the same words, so that tests can ask whether they are equal."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django_polar.models import Customer

CUSTOMER_FIELDS = (
    "id",
    "organization_id",
    "external_id",
    "type",
    "email",
    "email_verified",
    "name",
    "billing_name",
    "billing_address",
    "tax_id",
    "locale",
    "avatar_url",
    "metadata",
    "default_payment_method_id",
    "first_user_event_at",
    "created_at",
    "modified_at",
)
# Which of several prices `price_id` names differs between Polar's own endpoints.
SUBSCRIPTION_FIELDS = (
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
    "meters",
)
BENEFIT_FIELDS = (
    "id",
    "created_at",
    "modified_at",
    "granted_at",
    "benefit_id",
    "benefit_type",
    "benefit_metadata",
    "properties",
)
METER_FIELDS = (
    "id",
    "created_at",
    "modified_at",
    "meter_id",
    "consumed_units",
    "credited_units",
    "balance",
)
PARTS = {
    "active_subscriptions": SUBSCRIPTION_FIELDS,
    "granted_benefits": BENEFIT_FIELDS,
    "active_meters": METER_FIELDS,
}


def mirrored() -> dict[str, Any]:
    """Every live customer of the mirror with its state, by id."""
    return {
        str(customer.pk): {
            **_plain(customer, CUSTOMER_FIELDS),
            **{
                name: {
                    str(row.pk): _plain(row, fields) for row in getattr(customer.state, name).all()
                }
                for name, fields in PARTS.items()
            },
        }
        for customer in Customer.objects.live().with_state()
    }


def truth(polar: Any) -> dict[str, Any]:
    """Every live customer of the fake Polar with its state, by id.

    Without meters that the merchant archived: they are in a customer's state, but in no list.
    """
    archived = {id_ for id_, meter in polar.meter_definitions.items() if meter["archived_at"]}
    return {
        id_: {
            **{name: _text(state.get(name)) for name in CUSTOMER_FIELDS},
            **{
                part: {
                    item["id"]: {name: _text(item[name]) for name in fields}
                    for item in state[part]
                    if item.get("meter_id") not in archived
                }
                for part, fields in PARTS.items()
            },
        }
        for id_, state in polar.truth().items()
    }


def _plain(row: Any, fields: tuple[str, ...]) -> dict[str, Any]:
    return {name: _text(getattr(row, name)) for name in fields}


def _text(value: Any) -> Any:
    """Times and ids as text, whichever way they were written."""
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str) and len(value) > 18 and value[10] == "T":
        return datetime.fromisoformat(value).isoformat()
    return value
