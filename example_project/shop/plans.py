"""What the shop sells. The ids are those of the products in Polar."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.conf import settings


@dataclass(frozen=True)
class Plan:
    name: str
    price: str
    product_id: UUID


PLANS = [
    Plan(plan["name"], plan["price"], UUID(plan["product_id"])) for plan in settings.SHOP_PLANS
]
