"""``polar.customer_meters``: what customers have used and what they have left.

Meters of deleted customers stay in the list; meters that the merchant archived are not in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypedDict

from django_polar.payloads import CustomerMeterPayload, Page

from .connection import Operation
from .resource import MAX_LIMIT, Resource, iter_items, read_page

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Unpack
    from uuid import UUID

    from .connection import UnreadBody

LIST: Final = Operation("customer_meters.list", "GET", "/v1/customer-meters/")

STABLE_ORDER: Final = ("created_at", "customer_id", "meter_id")


class CustomerMeterFilters(TypedDict, total=False):
    """Several values of one filter mean any of them; several filters mean all of them."""

    sorting: Sequence[str]
    customer_id: UUID | str | Sequence[UUID | str] | None
    external_customer_id: str | Sequence[str] | None
    meter_id: UUID | str | Sequence[UUID | str] | None


class CustomerMeters(Resource):
    def list(
        self, *, page: int = 1, limit: int = MAX_LIMIT, **filters: Unpack[CustomerMeterFilters]
    ) -> Page[CustomerMeterPayload]:
        """``GET /v1/customer-meters/``: one page."""
        return self.read_page(self.fetch_page(page=page, limit=limit, **filters))

    def fetch_page(
        self, *, page: int = 1, limit: int = MAX_LIMIT, **filters: Unpack[CustomerMeterFilters]
    ) -> bytes:
        """``GET /v1/customer-meters/``: one page as it arrived, for ``read_page``."""
        return self._connection.fetch(LIST, query=self._list_query(page, limit, filters))

    def open_page(
        self, *, page: int = 1, limit: int = MAX_LIMIT, **filters: Unpack[CustomerMeterFilters]
    ) -> UnreadBody:
        """``GET /v1/customer-meters/``: one page, its body yet to be read."""
        return self._connection.open(LIST, query=self._list_query(page, limit, filters))

    def read_page(self, body: bytes) -> Page[CustomerMeterPayload]:
        """What ``fetch_page`` brought (of ``GET /v1/customer-meters/``)."""
        return read_page(LIST, body, CustomerMeterPayload)

    def iter(self, **filters: Unpack[CustomerMeterFilters]) -> Iterator[CustomerMeterPayload]:
        """``GET /v1/customer-meters/``, every page. Not a snapshot."""
        ordered: CustomerMeterFilters = {"sorting": STABLE_ORDER, **filters}
        return iter_items(lambda page: self.list(page=page, **ordered))
