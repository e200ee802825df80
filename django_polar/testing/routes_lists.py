"""The fake Polar's lists: customers, subscriptions, benefit grants, customer meters."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from django_polar.testing.http import Request, Response, answer, refuse_schema
from django_polar.testing.lists import MAX_LIMIT, moment
from django_polar.testing.validation import (
    check_boolean,
    check_enum,
    check_positive_integer,
    check_uuid,
    error,
    read_boolean,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from django_polar.testing.builders import JSON
    from django_polar.testing.polar import FakePolar

    Keys = dict[str, Callable[[JSON], Any]]

_BIGGEST_INTEGER = 2**63 - 1
# How the real server's validation library calls "a list of ids" in the place of an error.
_LIST_OF_UUIDS = (
    "json-or-python[json=list[uuid],python=chain[is-instance[Sequence],"
    "function-wrap[sequence_validator()]]]"
)
_WORDS = re.compile(r"[^0-9a-z]+")
_METADATA = re.compile(r"metadata\[(.+)\]")
SUBSCRIPTION_STATUSES = (
    "incomplete",
    "incomplete_expired",
    "trialing",
    "active",
    "past_due",
    "canceled",
    "unpaid",
    "paused",
)


def read_page(request: Request) -> tuple[int, int, list[JSON]]:
    """Page, limit (clamped to 100), and what is wrong with them."""
    page, limit = request.get("page") or "1", request.get("limit") or "10"
    errors = check_positive_integer(page, ("query", "page"))
    errors += check_positive_integer(limit, ("query", "limit"))
    return (1, 1, errors) if errors else (int(page), min(int(limit), MAX_LIMIT), [])


def read_sorting(
    request: Request, keys: Sequence[str], default: str
) -> tuple[list[str], list[JSON]]:
    allowed = [sign + key for key in keys for sign in ("", "-")]
    criteria = request.get_all("sorting") or [default]
    errors: list[JSON] = []
    for position, criterion in enumerate(criteria):
        errors += check_enum(criterion, ("query", "sorting", position), allowed)
    return criteria, errors


def check_uuids(request: Request, *names: str) -> list[JSON]:
    """One value is tried as an id and as a list of ids, and both attempts are reported."""
    errors: list[JSON] = []
    for name in names:
        for position, value in enumerate(request.get_all(name)):
            found = check_uuid(value, ("query", name, _LIST_OF_UUIDS, position))
            if found:
                msg = "UUID input should be a string, bytes or UUID object"
                errors.append(error("uuid_type", ("query", name, "uuid"), msg, [value]))
                errors += found
    return errors


def check_booleans(request: Request, *names: str) -> list[JSON]:
    return [
        found
        for name in names
        if (value := request.get(name))
        for found in check_boolean(value, ("query", name))
    ]


def answer_list(
    polar: FakePolar,
    request: Request,
    *,
    name: str,
    rows: Callable[[], Iterable[JSON]],
    keys: Keys,
    default: str,
    render: Callable[[JSON], JSON],
    errors: list[JSON],
) -> Response:
    """The page that the request asks for. ``errors`` are those of its filters."""
    page, limit, page_errors = read_page(request)
    criteria, sorting_errors = read_sorting(request, list(keys), default)
    refuse_schema(errors + page_errors + sorting_errors)
    if page > _BIGGEST_INTEGER // MAX_LIMIT:
        raise OverflowError("The page is beyond what a database can count to")
    filters = tuple(
        sorted(item for item in request.query if item[0] not in {"page", "limit", "sorting"})
    )
    found = polar.orders.page(
        rows,
        keys=[(keys[item.removeprefix("-")], item.startswith("-")) for item in criteria],
        cache_key=(name, filters, tuple(criteria), request.customer_id),
        version=polar.version,
        number=page,
        limit=limit,
        stable=polar.stable,
    )
    items = [polar.corrupted(name, row["id"], render(row)) for row in found.rows]
    polar.page_was_served(name, page, found.max_page)
    pagination = {"total_count": found.total_count, "max_page": found.max_page}
    return answer({"items": items, "pagination": pagination})


# Customers

CUSTOMER_SORTS: Keys = {
    "created_at": lambda row: moment(row["created_at"]),
    "email": lambda row: row["email"],
    "name": lambda row: row["name"],
}


def list_customers(polar: FakePolar, request: Request) -> Response:
    return answer_list(
        polar,
        request,
        name="customers",
        rows=partial(filter_customers, polar, request),
        keys=CUSTOMER_SORTS,
        default="-created_at",
        render=polar.customer_payload,
        errors=check_uuids(request, "organization_id") + check_booleans(request, "active"),
    )


def filter_customers(polar: FakePolar, request: Request) -> Iterable[JSON]:
    if not is_own_organization(polar, request):
        return []
    rows: Iterable[JSON] = polar.customers.values()
    if email := request.get("email"):
        row = polar.find_by_email(email)
        rows = [row] if row else []
    if query := request.get("query"):
        rows = [row for row in rows if _matches_query(row, query.lower())]
    if active := request.get("active"):
        wanted = read_boolean(active)
        rows = [row for row in rows if _is_active(polar, row) is wanted]
    return _with_metadata(rows, request)


def is_own_organization(polar: FakePolar, request: Request) -> bool:
    asked = request.get_all("organization_id")
    return not asked or polar.organization_id in asked


def _matches_query(row: JSON, query: str) -> bool:
    """A prefix of the external id, or of a word in email or name; never the middle of one."""
    if (row["external_id"] or "").lower().startswith(query):
        return True
    for text in ((row["email"] or "").lower(), (row["name"] or "").lower()):
        if text.startswith(query) or any(word.startswith(query) for word in _WORDS.split(text)):
            return True
    return False


def _is_active(polar: FakePolar, customer: JSON) -> bool:
    return any(
        row["status"] in {"active", "trialing", "past_due"}
        for row in polar.owned("subscriptions", customer["id"])
    )


def _with_metadata(rows: Iterable[JSON], request: Request) -> Iterable[JSON]:
    """``metadata[key]=value``: values of one key are alternatives, keys have to fit all."""
    wanted: dict[str, set[str]] = {}
    for name, value in request.query:
        if match := _METADATA.fullmatch(name):
            wanted.setdefault(match[1], set()).add(value)
    if not wanted:
        return rows
    return [
        row
        for row in rows
        if all(_as_text(row["metadata"].get(key)) in values for key, values in wanted.items())
    ]


def _as_text(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else str(value)


# What belongs to customers


def of_customers(polar: FakePolar, request: Request, kind: str) -> Iterator[JSON]:
    """Rows of the customers asked for, by id or external id; of all where none was."""
    if not is_own_organization(polar, request):
        return iter(())
    ids = request.get_all("customer_id")
    external_ids = set(request.get_all("external_customer_id"))
    if not ids and not external_ids:
        return iter(getattr(polar, kind).values())
    wanted = {customer_id.lower() for customer_id in ids}
    if external_ids:
        known = {row["id"] for e in external_ids if (row := polar.find_by_external_id(e))}
        # Anonymized customers keep their external id.
        known |= {
            row["id"]
            for row in polar.deleted_customers.values()
            if row["external_id"] in external_ids
        }
        wanted = wanted & known if ids else known
    return (row for customer_id in sorted(wanted) for row in polar.owned(kind, customer_id))


def _customer_label(polar: FakePolar, row: JSON) -> str | None:
    customer = polar.customer(row["customer_id"])
    label: str | None = customer["name"] or customer["email"]
    return label


def list_subscriptions(polar: FakePolar, request: Request) -> Response:
    errors = check_uuids(
        request, "organization_id", "product_id", "customer_id", "discount_id"
    ) + check_booleans(request, "active", "cancel_at_period_end")
    for position, status in enumerate(request.get_all("status")):
        errors += check_enum(status, ("query", "status", position), SUBSCRIPTION_STATUSES)
    keys: Keys = {
        "customer": partial(_customer_label, polar),
        "status": lambda row: SUBSCRIPTION_STATUSES.index(row["status"]),
        "started_at": lambda row: moment(row["started_at"]),
        "current_period_end": lambda row: moment(row["current_period_end"]),
        "ended_at": lambda row: moment(row["ended_at"]),
        "ends_at": lambda row: moment(row["ends_at"]),
        "amount": lambda row: row["amount"],
        "product": lambda row: polar.products[row["product_id"]]["name"],
        "discount": lambda row: row["discount_id"],
    }
    return answer_list(
        polar,
        request,
        name="subscriptions",
        rows=partial(_filter_subscriptions, polar, request),
        keys=keys,
        default="-started_at",
        render=polar.subscription_payload,
        errors=errors,
    )


def _filter_subscriptions(polar: FakePolar, request: Request) -> Iterable[JSON]:
    # One that never started (incomplete) is in no list.
    rows = [row for row in of_customers(polar, request, "subscriptions") if row["started_at"]]
    if active := request.get("active"):
        wanted = read_boolean(active)
        rows = [row for row in rows if (row["status"] in {"active", "trialing"}) is wanted]
    for name, field in (
        ("status", "status"),
        ("product_id", "product_id"),
        ("discount_id", "discount_id"),
        ("customer_cancellation_reason", "customer_cancellation_reason"),
    ):
        if values := set(request.get_all(name)):
            rows = [row for row in rows if row[field] in values]
    if canceling := request.get("cancel_at_period_end"):
        wanted = read_boolean(canceling)
        rows = [row for row in rows if row["cancel_at_period_end"] is wanted]
    return _with_metadata(rows, request)


GRANT_SORTS: Keys = {
    name: (lambda row, name=name: moment(row[name]))  # type: ignore[misc]
    for name in ("created_at", "granted_at", "revoked_at")
}


def list_grants(polar: FakePolar, request: Request) -> Response:
    return answer_list(
        polar,
        request,
        name="grants",
        rows=partial(_filter_grants, polar, request),
        keys=GRANT_SORTS,
        default="-created_at",
        render=polar.grant_payload,
        errors=check_uuids(request, "organization_id", "customer_id")
        + check_booleans(request, "is_granted"),
    )


def _filter_grants(polar: FakePolar, request: Request) -> Iterable[JSON]:
    rows: Iterable[JSON] = of_customers(polar, request, "grants")
    if granted := request.get("is_granted"):
        wanted = read_boolean(granted)
        rows = (row for row in rows if row["is_granted"] is wanted)
    return rows


def list_meters(polar: FakePolar, request: Request) -> Response:
    keys: Keys = {
        "created_at": lambda row: moment(row["created_at"]),
        "modified_at": lambda row: moment(row["modified_at"]),
        "customer_id": lambda row: row["customer_id"],
        "customer_name": partial(_customer_label, polar),
        "meter_id": lambda row: row["meter_id"],
        "meter_name": lambda row: polar.meter_definitions[row["meter_id"]]["name"],
        "consumed_units": lambda row: row["consumed_units"],
        "credited_units": lambda row: row["credited_units"],
        "balance": lambda row: row["balance"],
    }
    return answer_list(
        polar,
        request,
        name="meters",
        rows=partial(_filter_meters, polar, request),
        keys=keys,
        default="-modified_at",
        render=polar.meter_payload,
        errors=check_uuids(request, "organization_id", "customer_id", "meter_id"),
    )


def _filter_meters(polar: FakePolar, request: Request) -> Iterable[JSON]:
    meter_ids = set(request.get_all("meter_id"))
    return (
        row
        for row in of_customers(polar, request, "meters")
        if polar.meter_definitions[row["meter_id"]]["archived_at"] is None
        and (not meter_ids or row["meter_id"] in meter_ids)
    )
