"""What the mirror knows about one user, as an immutable value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime, timedelta
    from uuid import UUID

_MISSING = object()


@dataclass(frozen=True, slots=True)
class Subscription:
    """An active or trialing subscription."""

    product_id: UUID
    status: str
    current_period_end: datetime | None = None


@dataclass(frozen=True, slots=True)
class Benefit:
    """A granted benefit."""

    benefit_id: UUID
    type: str
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def has_metadata(self, metadata: Mapping[str, Any]) -> bool:
        """Whether its metadata has each of these keys with that value."""
        return all(
            _is_same(self.metadata.get(key, _MISSING), value) for key, value in metadata.items()
        )


@dataclass(frozen=True, slots=True)
class Entitlements:
    """All that a user has now. Of somebody who is no customer: nothing."""

    customer_id: UUID | None = None
    external_id: str | None = None
    as_of: datetime | None = None
    """Since when at the latest this is known to be so; ``None`` if that cannot be told."""
    subscriptions: tuple[Subscription, ...] = ()
    benefits: tuple[Benefit, ...] = ()
    meters: Mapping[UUID, float] = field(default_factory=dict)
    """The balance, in units, by meter id."""
    syncs_counted: bool = True
    """Whether ``as_of`` takes the last complete sync into account."""

    def has_active_subscription(self, product_ids: frozenset[UUID] | None = None) -> bool:
        """Whether there is one, to one of these products if some are given."""
        return any(
            product_ids is None or subscription.product_id in product_ids
            for subscription in self.subscriptions
        )

    def has_benefit(
        self,
        benefit_ids: frozenset[UUID] | None = None,
        type: str | None = None,  # noqa: A002 - Polar's word
        metadata: Mapping[str, Any] | None = None,
    ) -> bool:
        """Whether there is one for which everything given is true at once."""
        return any(
            (benefit_ids is None or benefit.benefit_id in benefit_ids)
            and (type is None or benefit.type == type)
            and benefit.has_metadata(metadata or {})
            for benefit in self.benefits
        )

    def meter_balance(self, meter_ids: Iterable[UUID]) -> float | None:
        """The sum of the balances, or ``None`` where there is no such meter."""
        balances = [self.meters[meter_id] for meter_id in meter_ids if meter_id in self.meters]
        return sum(balances) if balances else None

    def is_stale(self, max_age: timedelta, now: datetime) -> bool:
        """Whether it was last known to be so longer ago than that."""
        if self.customer_id is None:
            return False
        return self.as_of is None or now - self.as_of > max_age


NOTHING = Entitlements()


def _is_same(found: Any, wanted: Any) -> bool:
    """Equal as JSON: Python takes ``True`` for ``1``, Polar does not."""
    return bool(found == wanted) and isinstance(found, bool) == isinstance(wanted, bool)
