"""Reading Polar's JSON into its shapes, tolerantly and quickly."""

from __future__ import annotations

import re
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

import msgspec

from django_polar.exceptions import PayloadError

from .shapes import (
    RAW_KEY,
    CustomerPayload,
    CustomerSessionPayload,
    GrantedBenefitPayload,
    MeterPayload,
    Payload,
    PaymentMethodPayload,
    PaymentMethodSetupPayload,
    SubscriptionPayload,
    WebhookDeliveredEventPayload,
    WebhookDeliveryPayload,
)

P = TypeVar("P", bound=Payload)


class ItemProblem(msgspec.Struct, frozen=True):
    """An item of a page that could not be read. ``id`` is ``None`` if not even that could."""

    id: UUID | None
    error: str


class Page(Generic[P]):
    """One page of a list: what could be read, and what could not."""

    __slots__ = ("items", "max_page", "problems", "total_count")

    def __init__(
        self, items: list[P], problems: list[ItemProblem], *, total_count: int, max_page: int
    ) -> None:
        self.items = items
        self.problems = problems
        self.total_count = total_count
        self.max_page = max_page


class _Pagination(msgspec.Struct):
    total_count: int
    max_page: int


class _RawPage(msgspec.Struct):
    items: list[msgspec.Raw]
    pagination: _Pagination


class _Identified(msgspec.Struct):
    id: UUID


def decode(body: bytes | msgspec.Raw, payload_type: type[P]) -> P:
    """Read one object.

    Raises:
        PayloadError: it is not JSON, or a field is missing or of the wrong type.
    """
    try:
        return _decoder(payload_type).decode(body)
    except msgspec.ValidationError:
        return _decode_tolerantly(body, payload_type)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PayloadError(f"{payload_type.kind}: not JSON") from error


def decode_page(body: bytes, payload_type: type[P]) -> Page[P]:
    """Read one page of a list. An item that cannot be read becomes one of ``problems``.

    Raises:
        PayloadError: it is not a page at all.
    """
    try:
        page = _page_decoder(payload_type).decode(body)
    except msgspec.ValidationError:
        return _decode_page_tolerantly(body, payload_type)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PayloadError(f"list of {payload_type.kind}: not JSON") from error
    return Page(
        page.items,
        [],
        total_count=page.pagination.total_count,
        max_page=page.pagination.max_page,
    )


def _decode_page_tolerantly(body: bytes, payload_type: type[P]) -> Page[P]:
    try:
        page = msgspec.json.decode(body, type=_RawPage)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = _explain(error).removeprefix(": ")
        raise PayloadError(f"list of {payload_type.kind}: {reason}") from error
    items: list[P] = []
    problems: list[ItemProblem] = []
    for item in page.items:
        try:
            items.append(decode(item, payload_type))
        except PayloadError as error:
            problems.append(ItemProblem(id=_read_id(item), error=str(error)))
    return Page(
        items,
        problems,
        total_count=page.pagination.total_count,
        max_page=page.pagination.max_page,
    )


def _decode_tolerantly(body: bytes | msgspec.Raw, payload_type: type[P]) -> P:
    """Read again, keeping what the class does not know, at every level that is a payload."""
    try:
        return msgspec.convert(
            _set_unknown_apart(msgspec.json.decode(body), payload_type), payload_type
        )
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PayloadError(f"{payload_type.kind}{_explain(error, dot=True)}") from error


_NESTED: Final[dict[str, type[Payload]]] = {
    "active_subscriptions": SubscriptionPayload,
    "granted_benefits": GrantedBenefitPayload,
    "active_meters": MeterPayload,
}


def _set_unknown_apart(data: Any, payload_type: type[Payload]) -> Any:
    if not isinstance(data, dict):
        return data
    known, raw_fields = _known_fields(payload_type)
    result: dict[str, Any] = {}
    unknown: dict[str, Any] = {}
    for key, value in data.items():
        if key not in known:
            unknown[key] = value
        elif key in raw_fields:
            result[key] = msgspec.Raw(msgspec.json.encode(value))
        elif key in _NESTED and isinstance(value, list):
            result[key] = [_set_unknown_apart(item, _NESTED[key]) for item in value]
        elif key in _NESTED_OBJECTS.get(payload_type, {}):
            result[key] = _set_unknown_apart(value, _NESTED_OBJECTS[payload_type][key])
        else:
            result[key] = value
    result[RAW_KEY] = unknown
    return result


_NESTED_OBJECTS: Final[dict[type[Payload], dict[str, type[Payload]]]] = {
    CustomerSessionPayload: {"customer": CustomerPayload},
    PaymentMethodSetupPayload: {"payment_method": PaymentMethodPayload},
    WebhookDeliveryPayload: {"webhook_event": WebhookDeliveredEventPayload},
}

_KNOWN: dict[type[Payload], tuple[frozenset[str], frozenset[str]]] = {}


def _known_fields(payload_type: type[Payload]) -> tuple[frozenset[str], frozenset[str]]:
    """The names of all fields, and of those that are kept unread."""
    if payload_type not in _KNOWN:
        fields = [f for f in msgspec.structs.fields(payload_type) if f.name != "raw"]
        _KNOWN[payload_type] = (
            frozenset(f.encode_name for f in fields),
            frozenset(f.encode_name for f in fields if f.type is msgspec.Raw),
        )
    return _KNOWN[payload_type]


def _read_id(body: msgspec.Raw) -> UUID | None:
    try:
        return msgspec.json.decode(body, type=_Identified).id
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


_MISSING = re.compile(r"missing required field `([^`]+)`")
_PATH = re.compile(r" - at `\$\.?([^`]*)`")


def _explain(error: Exception, *, dot: bool = False) -> str:
    """``.created_at: missing`` from msgspec's message. Values are not in it."""
    text = str(error)
    path = found.group(1) if (found := _PATH.search(text)) else ""
    reason = _PATH.sub("", text)
    if missing := _MISSING.search(text):
        path = f"{path}.{missing.group(1)}" if path else missing.group(1)
        reason = "missing"
    if not path:
        return f": {reason}"
    separator = "." if dot and not path.startswith("[") else ""
    return f"{separator}{path}: {reason}"


_DECODERS: dict[Any, msgspec.json.Decoder[Any]] = {}


def _decoder(payload_type: type[P]) -> msgspec.json.Decoder[P]:
    if payload_type not in _DECODERS:
        _DECODERS[payload_type] = msgspec.json.Decoder(payload_type)
    return _DECODERS[payload_type]


def _page_decoder(payload_type: type[P]) -> msgspec.json.Decoder[Any]:
    key = ("page", payload_type)
    if key not in _DECODERS:
        page_type = msgspec.defstruct(
            "StrictPage",
            [("items", list[payload_type]), ("pagination", _Pagination)],  # type: ignore[valid-type]
        )
        _DECODERS[key] = msgspec.json.Decoder(page_type)
    return _DECODERS[key]
