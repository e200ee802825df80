"""``polar.benefit_grants``: benefits given to customers, also those taken back.

Grants of deleted customers stay in the list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypedDict

from django_polar.payloads import BenefitGrantPayload, Page

from .connection import Operation
from .resource import MAX_LIMIT, Resource, iter_items, read_page

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Unpack
    from uuid import UUID

    from .connection import UnreadBody

LIST: Final = Operation("benefit_grants.list", "GET", "/v1/benefit-grants/")

STABLE_ORDER: Final = ("created_at", "granted_at")


class BenefitGrantFilters(TypedDict, total=False):
    """Several values of one filter mean any of them; several filters mean all of them."""

    sorting: Sequence[str]
    customer_id: UUID | str | Sequence[UUID | str] | None
    external_customer_id: str | Sequence[str] | None
    is_granted: bool | None


class BenefitGrants(Resource):
    def list(
        self, *, page: int = 1, limit: int = MAX_LIMIT, **filters: Unpack[BenefitGrantFilters]
    ) -> Page[BenefitGrantPayload]:
        """``GET /v1/benefit-grants/``: one page."""
        return self.read_page(self.fetch_page(page=page, limit=limit, **filters))

    def fetch_page(
        self, *, page: int = 1, limit: int = MAX_LIMIT, **filters: Unpack[BenefitGrantFilters]
    ) -> bytes:
        """``GET /v1/benefit-grants/``: one page as it arrived, for ``read_page``."""
        return self._connection.fetch(LIST, query=self._list_query(page, limit, filters))

    def open_page(
        self, *, page: int = 1, limit: int = MAX_LIMIT, **filters: Unpack[BenefitGrantFilters]
    ) -> UnreadBody:
        """``GET /v1/benefit-grants/``: one page, its body yet to be read."""
        return self._connection.open(LIST, query=self._list_query(page, limit, filters))

    def read_page(self, body: bytes) -> Page[BenefitGrantPayload]:
        """What ``fetch_page`` brought (of ``GET /v1/benefit-grants/``)."""
        return read_page(LIST, body, BenefitGrantPayload)

    def iter(self, **filters: Unpack[BenefitGrantFilters]) -> Iterator[BenefitGrantPayload]:
        """``GET /v1/benefit-grants/``, every page. Not a snapshot."""
        ordered: BenefitGrantFilters = {"sorting": STABLE_ORDER, **filters}
        return iter_items(lambda page: self.list(page=page, **ordered))
