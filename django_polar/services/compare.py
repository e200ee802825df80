"""The mirror and Polar side by side, for a person who wants to know whether they agree."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django_polar.client import polar_client
from django_polar.exceptions import NotFoundError

from .mirror import STATE_TABLES
from .tables import CUSTOMERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django_polar.client import PolarClient
    from django_polar.models import Customer
    from django_polar.payloads import CustomerStatePayload

    from .tables import Table


@dataclass(frozen=True, slots=True)
class Difference:
    """One field; ``mirror`` and ``polar`` are its two values."""

    name: str
    mirror: Any
    polar: Any

    @property
    def differs(self) -> bool:
        return bool(self.mirror != self.polar)


@dataclass(frozen=True, slots=True)
class ComparedItem:
    """One thing of either side, or of one side only, with all of its fields."""

    kind: str
    """``customer``, or the name of a part of the state such as ``active_meters``."""
    id: Any
    in_mirror: bool
    in_polar: bool
    fields: tuple[Difference, ...]

    @property
    def title(self) -> str:
        return self.kind.replace("_", " ").removesuffix("s")

    @property
    def differs(self) -> bool:
        return self.in_mirror != self.in_polar or any(f.differs for f in self.fields)


@dataclass(slots=True)
class Comparison:
    """``found`` is false when Polar has no such customer."""

    customer: Customer
    found: bool = True
    items: list[ComparedItem] = field(default_factory=list)

    @property
    def differs(self) -> bool:
        if not self.found:
            return self.customer.deleted_at is None
        return any(item.differs for item in self.items)

    @property
    def differences(self) -> list[ComparedItem]:
        return [item for item in self.items if item.differs]


def compare_customer(customer: Customer, *, client: PolarClient | None = None) -> Comparison:
    """Ask Polar for the state and hold it against the mirror; changes neither.

    Right after a change Polar's own state may be up to an hour old.

    Raises:
        APIError: Polar did not answer.
    """
    if client is None:
        with polar_client() as opened:
            return compare_customer(customer, client=opened)
    try:
        payload = client.customers.get_state(customer.pk)
    except NotFoundError:
        return Comparison(customer, found=False)
    return compare_payload(customer, payload)


def compare_payload(customer: Customer, payload: CustomerStatePayload) -> Comparison:
    """As ``compare_customer``, with the state at hand."""
    deleted_here = customer.deleted_at is not None
    comparison = Comparison(customer)
    comparison.items.append(
        _compare("customer", CUSTOMERS, None if deleted_here else customer, payload)
    )
    for name, table in STATE_TABLES.items():
        ours = table.model._base_manager.filter(state_id=customer.pk)
        comparison.items += _compare_parts(name, table, ours, getattr(payload, name))
    return comparison


def _compare_parts(
    name: str, table: Table, ours: Iterable[Any], theirs: Iterable[Any]
) -> list[ComparedItem]:
    mirror = {item.pk: item for item in ours}
    polar = {item.id: item for item in theirs}
    return [
        _compare(name, table, mirror.get(pk), polar.get(pk)) for pk in sorted({*mirror, *polar})
    ]


def _compare(kind: str, table: Table, ours: Any, theirs: Any) -> ComparedItem:
    return ComparedItem(
        kind=kind,
        id=(ours or theirs).id,
        in_mirror=ours is not None,
        in_polar=theirs is not None,
        fields=tuple(
            Difference(name, getattr(ours, name, None), getattr(theirs, name, None))
            for name in table.paths
            if name != "id"
        ),
    )
