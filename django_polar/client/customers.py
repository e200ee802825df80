"""``polar.customers``: the twelve operations on customers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypedDict

from django_polar.exceptions import (
    EndpointNotFoundError,
    InvalidRequestError,
    NotFoundError,
    UnavailableError,
)
from django_polar.payloads import BalancePayload, CustomerPayload, CustomerStatePayload, Page

from .connection import Operation
from .resource import MAX_LIMIT, Resource, iter_items, iter_pages, read, read_page, to_query

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Unpack
    from uuid import UUID

    from .connection import Connection, UnreadBody
    from .customer_sessions import CustomerSessions
    from .wallets import Wallets

LIST: Final = Operation("customers.list", "GET", "/v1/customers/")
CREATE: Final = Operation("customers.create", "POST", "/v1/customers/")
EXPORT: Final = Operation("customers.export", "GET", "/v1/customers/export")
GET: Final = Operation("customers.get", "GET", "/v1/customers/{id}")
UPDATE: Final = Operation("customers.update", "PATCH", "/v1/customers/{id}")
DELETE: Final = Operation("customers.delete", "DELETE", "/v1/customers/{id}")
GET_STATE: Final = Operation("customers.get_state", "GET", "/v1/customers/{id}/state")
GET_BALANCE: Final = Operation("customers.get_balance", "GET", "/v1/customers/{id}/balance")
GET_EXTERNAL: Final = Operation(
    "customers.get_external", "GET", "/v1/customers/external/{external_id}"
)
UPDATE_EXTERNAL: Final = Operation(
    "customers.update_external", "PATCH", "/v1/customers/external/{external_id}"
)
DELETE_EXTERNAL: Final = Operation(
    "customers.delete_external", "DELETE", "/v1/customers/external/{external_id}"
)
GET_STATE_EXTERNAL: Final = Operation(
    "customers.get_state_external", "GET", "/v1/customers/external/{external_id}/state"
)

STABLE_ORDER: Final = ("created_at", "email")
"""The order whose walk over the pages loses least: new customers come last."""

# Orders to look for one customer in. A page walk may skip rows that others are deleted around.
_SEARCH_ORDERS: Final = (STABLE_ORDER, ("-created_at", "email"), ("email", "created_at"))

servers_without_balance: set[str] = set()
"""Base URLs of servers that have dropped the balance endpoint. They do not bring it back."""


class CustomerFilters(TypedDict, total=False):
    """``query`` searches the start of the external id and parts of name and email."""

    sorting: Sequence[str]
    email: str | None
    query: str | None
    active: bool | None
    metadata: Mapping[str, str | int | bool | Sequence[str | int | bool]] | None


class Customers(Resource):
    """Ids are Polar's; the ``_external`` methods take the ids that you gave."""

    def __init__(
        self,
        connection: Connection,
        *,
        organization_id: str | None = None,
        create_organization_id: str | None = None,
        customer_sessions: CustomerSessions,
        wallets: Wallets,
    ) -> None:
        super().__init__(connection, organization_id=organization_id)
        self._create_organization_id = create_organization_id
        self._customer_sessions = customer_sessions
        self._wallets = wallets

    def list(
        self, *, page: int = 1, limit: int = MAX_LIMIT, **filters: Unpack[CustomerFilters]
    ) -> Page[CustomerPayload]:
        """``GET /v1/customers/``: one page, newest first unless ``sorting`` says otherwise."""
        return self.read_page(self.fetch_page(page=page, limit=limit, **filters))

    def fetch_page(
        self, *, page: int = 1, limit: int = MAX_LIMIT, **filters: Unpack[CustomerFilters]
    ) -> bytes:
        """``GET /v1/customers/``: one page as it arrived, for ``read_page`` in another thread."""
        return self._connection.fetch(LIST, query=self._list_query(page, limit, filters))

    def open_page(
        self, *, page: int = 1, limit: int = MAX_LIMIT, **filters: Unpack[CustomerFilters]
    ) -> UnreadBody:
        """``GET /v1/customers/``: one page, its body yet to be read."""
        return self._connection.open(LIST, query=self._list_query(page, limit, filters))

    def read_page(self, body: bytes) -> Page[CustomerPayload]:
        """What ``fetch_page`` brought (of ``GET /v1/customers/``)."""
        return read_page(LIST, body, CustomerPayload)

    def iter(self, **filters: Unpack[CustomerFilters]) -> Iterator[CustomerPayload]:
        """``GET /v1/customers/``, every page, oldest first; deleted ones are left out.

        Not a snapshot: customers that come or go meanwhile may be missed or met twice.
        """
        ordered: CustomerFilters = {"sorting": STABLE_ORDER, **filters}
        return iter_items(lambda page: self.list(page=page, **ordered))

    def create(self, **fields: Any) -> CustomerPayload:
        """``POST /v1/customers/``. Needs ``email``, except for some ``type="team"``.

        Raises:
            InvalidRequestError: also when email or external id are taken:
                ``error.has("external_id", "already exists")``.
        """
        if self._create_organization_id is not None:
            fields.setdefault("organization_id", self._create_organization_id)
        return read(CREATE, self._connection.fetch(CREATE, body=fields), CustomerPayload)

    def export(self) -> Iterator[bytes]:
        """``GET /v1/customers/export``: all customers as CSV, in chunks as they arrive.

        In no order. Chunks end anywhere, also within a character.
        """
        return self._connection.stream(
            EXPORT, query=to_query({"organization_id": self._organization_id})
        )

    def get(self, id: UUID | str) -> CustomerPayload:
        """``GET /v1/customers/{id}``"""
        return read(GET, self._connection.fetch(GET, path={"id": id}), CustomerPayload)

    def update(self, id: UUID | str, **fields: Any) -> CustomerPayload:
        """``PATCH /v1/customers/{id}``. Only the fields given are changed.

        ``metadata`` is replaced whole. ``external_id`` can be set once, while it is null.
        """
        body = self._connection.fetch(UPDATE, path={"id": id}, body=fields)
        return read(UPDATE, body, CustomerPayload)

    def delete(self, id: UUID | str, *, anonymize: bool = False) -> None:
        """``DELETE /v1/customers/{id}``. Final: what was deleted cannot be anonymized later.

        Raises:
            NotFoundError: there is no such customer, or it was deleted before.
        """
        self._connection.fetch(
            DELETE, path={"id": id}, query=to_query({"anonymize": anonymize or None})
        )

    def get_external(self, external_id: str) -> CustomerPayload:
        """``GET /v1/customers/external/{external_id}``"""
        if "/" in external_id:
            return self.get(self._find_id(GET_EXTERNAL, external_id))
        body = self._connection.fetch(GET_EXTERNAL, path={"external_id": external_id})
        return read(GET_EXTERNAL, body, CustomerPayload)

    def update_external(self, external_id: str, **fields: Any) -> CustomerPayload:
        """``PATCH /v1/customers/external/{external_id}``. As ``update``."""
        if "/" in external_id:
            return self.update(self._find_id(UPDATE_EXTERNAL, external_id), **fields)
        body = self._connection.fetch(
            UPDATE_EXTERNAL, path={"external_id": external_id}, body=fields
        )
        return read(UPDATE_EXTERNAL, body, CustomerPayload)

    def delete_external(self, external_id: str, *, anonymize: bool = False) -> None:
        """``DELETE /v1/customers/external/{external_id}``. As ``delete``.

        Polar frees the external id, so after a lost answer a second call may meet another
        customer: repeat by id.
        """
        if "/" in external_id:
            self.delete(self._find_id(DELETE_EXTERNAL, external_id), anonymize=anonymize)
            return
        self._connection.fetch(
            DELETE_EXTERNAL,
            path={"external_id": external_id},
            query=to_query({"anonymize": anonymize or None}),
        )

    def get_state(self, id: UUID | str) -> CustomerStatePayload:
        """``GET /v1/customers/{id}/state``"""
        body = self._connection.fetch(GET_STATE, path={"id": id})
        return read(GET_STATE, body, CustomerStatePayload)

    def get_state_external(self, external_id: str) -> CustomerStatePayload:
        """``GET /v1/customers/external/{external_id}/state``"""
        if "/" in external_id:
            return self.get_state(self._find_id(GET_STATE_EXTERNAL, external_id))
        body = self._connection.fetch(GET_STATE_EXTERNAL, path={"external_id": external_id})
        return read(GET_STATE_EXTERNAL, body, CustomerStatePayload)

    def get_balance(
        self, id: UUID | str, *, member_id: UUID | str | None = None
    ) -> tuple[BalancePayload, ...]:
        """``GET /v1/customers/{id}/balance``, one per currency; none if there is no wallet.

        Servers since November 2025 lack it: then ``POST /v1/customer-sessions/`` and
        ``GET /v1/customer-portal/wallets/`` (scope ``customer_sessions:write``), which for a
        team customer need ``member_id``. Which way a server wants is remembered.

        Raises:
            NotFoundError: there is no such customer.
            InvalidRequestError: ``error.has("member_id")``: it is a team customer.
        """
        if self._connection.base_url not in servers_without_balance:
            try:
                body = self._connection.fetch(GET_BALANCE, path={"id": id})
            except EndpointNotFoundError:
                pass  # a newer server
            else:
                balance = read(GET_BALANCE, body, BalancePayload)
                return (_balance(balance.balance, balance.currency),)
        return self._get_balance_by_wallets(id, member_id)

    def _get_balance_by_wallets(
        self, id: UUID | str, member_id: UUID | str | None
    ) -> tuple[BalancePayload, ...]:
        try:
            session = self._customer_sessions.create(customer_id=id, member_id=member_id)
        except InvalidRequestError as error:
            if error.has("customer_id", "does not exist"):
                raise NotFoundError(
                    f"{GET_BALANCE.name}: not found", status=error.status
                ) from error
            raise
        # Not earlier: with an unknown API version every endpoint is missing.
        servers_without_balance.add(self._connection.base_url)
        amounts: dict[str, int] = {}
        for wallet in self._wallets.iter(session.token):
            currency = wallet.currency.lower()
            amounts[currency] = amounts.get(currency, 0) + wallet.balance
        return tuple(_balance(amount, currency) for currency, amount in amounts.items())

    def _find_id(self, operation: Operation, external_id: str) -> UUID:
        """The customer whose external id has a slash, which no path can carry.

        Raises:
            NotFoundError: the whole list of candidates was seen and it was not among them.
            UnavailableError: the list changed while it was read, so nothing is certain.
        """
        for order in _SEARCH_ORDERS:
            seen: set[UUID] = set()
            total_count = 0
            for page in iter_pages(
                lambda number, order=order: self.list(  # type: ignore[misc]
                    page=number, query=external_id, sorting=order
                )
            ):
                total_count = page.total_count
                for customer in page.items:
                    if customer.external_id == external_id:
                        return customer.id
                    seen.add(customer.id)
            if len(seen) >= total_count:
                raise NotFoundError(f"{operation.name}: not found in the list", status=None)
        raise UnavailableError(f"{operation.name}: the list changed while it was read")


def _balance(amount: int, currency: str) -> BalancePayload:
    return BalancePayload(balance=amount, currency=currency.lower())
