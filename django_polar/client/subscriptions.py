"""``polar.subscriptions``: subscriptions of any status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypedDict

from django_polar.payloads import Page, SubscriptionListPayload

from .connection import Operation
from .resource import MAX_LIMIT, Resource, iter_items, read_page

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Unpack
    from uuid import UUID

    from .connection import UnreadBody

LIST: Final = Operation("subscriptions.list", "GET", "/v1/subscriptions/")

STABLE_ORDER: Final = ("started_at", "customer", "product")


class SubscriptionFilters(TypedDict, total=False):
    """Several values of one filter mean any of them; several filters mean all of them."""

    sorting: Sequence[str]
    customer_id: UUID | str | Sequence[UUID | str] | None
    external_customer_id: str | Sequence[str] | None
    status: str | Sequence[str] | None
    product_id: UUID | str | Sequence[UUID | str] | None
    active: bool | None


class Subscriptions(Resource):
    def list(
        self, *, page: int = 1, limit: int = MAX_LIMIT, **filters: Unpack[SubscriptionFilters]
    ) -> Page[SubscriptionListPayload]:
        """``GET /v1/subscriptions/``: one page."""
        return self.read_page(self.fetch_page(page=page, limit=limit, **filters))

    def fetch_page(
        self, *, page: int = 1, limit: int = MAX_LIMIT, **filters: Unpack[SubscriptionFilters]
    ) -> bytes:
        """``GET /v1/subscriptions/``: one page as it arrived, for ``read_page``."""
        return self._connection.fetch(LIST, query=self._list_query(page, limit, filters))

    def open_page(
        self, *, page: int = 1, limit: int = MAX_LIMIT, **filters: Unpack[SubscriptionFilters]
    ) -> UnreadBody:
        """``GET /v1/subscriptions/``: one page, its body yet to be read."""
        return self._connection.open(LIST, query=self._list_query(page, limit, filters))

    def read_page(self, body: bytes) -> Page[SubscriptionListPayload]:
        """What ``fetch_page`` brought (of ``GET /v1/subscriptions/``)."""
        return read_page(LIST, body, SubscriptionListPayload)

    def iter(self, **filters: Unpack[SubscriptionFilters]) -> Iterator[SubscriptionListPayload]:
        """``GET /v1/subscriptions/``, every page. Not a snapshot."""
        ordered: SubscriptionFilters = {"sorting": STABLE_ORDER, **filters}
        return iter_items(lambda page: self.list(page=page, **ordered))
