"""``polar.wallets``: what a customer has with the merchant, as the customer sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django_polar.payloads import Page, WalletPayload

from .connection import Operation
from .resource import MAX_LIMIT, Resource, iter_items, read_page, to_query

if TYPE_CHECKING:
    from collections.abc import Iterator

LIST: Final = Operation("wallets.list", "GET", "/v1/customer-portal/wallets/")


class Wallets(Resource):
    """Every method takes a customer session's token."""

    def list(
        self, session_token: str, *, page: int = 1, limit: int = MAX_LIMIT
    ) -> Page[WalletPayload]:
        """``GET /v1/customer-portal/wallets/``"""
        body = self._connection.fetch(
            LIST, query=to_query({"page": page, "limit": limit}), token=session_token
        )
        return read_page(LIST, body, WalletPayload)

    def iter(self, session_token: str) -> Iterator[WalletPayload]:
        """``GET /v1/customer-portal/wallets/``, every page."""
        return iter_items(lambda page: self.list(session_token, page=page))
