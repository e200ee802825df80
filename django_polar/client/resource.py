"""What the resources have in common: queries out of filters, payloads out of answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from django_polar.exceptions import PayloadError, UnexpectedResponseError
from django_polar.payloads import Page, Payload, decode, decode_page

if TYPE_CHECKING:
    from .connection import Connection, Operation, Query

P = TypeVar("P", bound=Payload)

MAX_LIMIT: Final = 100
"""Polar gives no more per page, whatever is asked for."""


class Resource:
    """A part of the API. Knows how to ask; the connection knows how to get through."""

    def __init__(self, connection: Connection, *, organization_id: str | None = None) -> None:
        self._connection = connection
        self._organization_id = organization_id

    def _list_query(self, page: int, limit: int, filters: Mapping[str, Any]) -> Query:
        query = {"organization_id": self._organization_id, **filters, "page": page, "limit": limit}
        return to_query(query)


def to_query(values: Mapping[str, Any]) -> Query:
    """``None`` is left out, a sequence is repeated, a mapping becomes ``name[key]``."""
    query: Query = []
    for name, value in values.items():
        if value is None:
            continue
        if isinstance(value, Mapping):
            query.extend(to_query({f"{name}[{key}]": item for key, item in value.items()}))
        elif isinstance(value, bool):
            query.append((name, "true" if value else "false"))
        elif isinstance(value, Sequence) and not isinstance(value, str):
            query.extend((name, str(item)) for item in value)
        else:
            query.append((name, str(value)))
    return query


def read(operation: Operation, body: bytes, payload_type: type[P]) -> P:
    """One object out of an answer."""
    try:
        return decode(body, payload_type)
    except PayloadError as error:
        raise _unreadable(operation, error) from error


def read_page(operation: Operation, body: bytes, payload_type: type[P]) -> Page[P]:
    """One page out of an answer. Items that cannot be read are among its ``problems``."""
    try:
        return decode_page(body, payload_type)
    except PayloadError as error:
        raise _unreadable(operation, error) from error


def iter_pages(get_page: Callable[[int], Page[P]]) -> Iterator[Page[P]]:
    """Every page, as many as the latest one says there are."""
    number = 1
    while True:
        page = get_page(number)
        yield page
        if number >= page.max_page:
            return
        number += 1


def iter_items(get_page: Callable[[int], Page[P]]) -> Iterator[P]:
    """Every item of every page.

    Raises:
        PayloadError: an item cannot be read. Those of its page that can come first.
    """
    for page in iter_pages(get_page):
        yield from page.items
        if page.problems:
            raise PayloadError(page.problems[0].error)


def _unreadable(
    operation: Operation, error: PayloadError
) -> PayloadError | UnexpectedResponseError:
    """After a write, what matters is that it may have happened."""
    is_json = isinstance(error.__cause__, msgspec.ValidationError)
    if is_json and not operation.writes:
        return error
    return UnexpectedResponseError(
        f"{operation.name}: the answer cannot be read ({error})", maybe_applied=operation.writes
    )
