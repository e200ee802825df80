"""The fake Polar's customers: create, read, update, delete, state, export, payment methods."""

from __future__ import annotations

import csv
import io
import json
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any

from django_polar.testing import validation as check
from django_polar.testing.http import (
    Refused,
    Request,
    Response,
    answer,
    no_content,
    refuse_rule,
    refuse_schema,
    resource_not_found,
)
from django_polar.testing.lists import moment
from django_polar.testing.routes_lists import (
    answer_list,
    check_booleans,
    check_uuids,
    is_own_organization,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django_polar.testing.builders import JSON
    from django_polar.testing.polar import FakePolar
    from django_polar.testing.validation import Loc

_EXPORT_COLUMNS = (
    "ID",
    "External ID",
    "Created At",
    "Email",
    "Name",
    "Tax ID",
    "Billing Address Line 1",
    "Billing Address Line 2",
    "Billing Address City",
    "Billing Address State",
    "Billing Address Zip",
    "Billing Address Country",
    "Metadata",
)
_EXPORT_CHUNK_ROWS = 200
_EXISTS = "A customer with this {} already exists."


def find(polar: FakePolar, customer_id: str) -> JSON:
    """The live customer of a path's ``{id}``, in any spelling of a UUID."""
    refuse_schema(check.check_uuid(customer_id, ("path", "id")))
    row = polar.customers.get(str(uuid.UUID(customer_id)))
    if row is None:
        raise Refused(resource_not_found())
    return row


def find_external(polar: FakePolar, external_id: str) -> JSON:
    row = polar.find_by_external_id(external_id)
    if row is None:
        raise Refused(resource_not_found())
    return row


def get_customer(polar: FakePolar, _request: Request, id: str) -> Response:  # noqa: A002
    return answer(polar.customer_payload(find(polar, id)))


def get_customer_external(polar: FakePolar, _request: Request, external_id: str) -> Response:
    return answer(polar.customer_payload(find_external(polar, external_id)))


def get_state(polar: FakePolar, _request: Request, id: str) -> Response:  # noqa: A002
    return answer(polar.served_state(find(polar, id)))


def get_state_external(polar: FakePolar, _request: Request, external_id: str) -> Response:
    return answer(polar.served_state(find_external(polar, external_id)))


def get_balance(polar: FakePolar, _request: Request, id: str) -> Response:  # noqa: A002
    """What servers had until November 2025: the sum of the customer's wallets."""
    row = find(polar, id)
    wallets = [item for item in polar.wallets.values() if item["customer_id"] == row["id"]]
    currency = wallets[0]["currency"] if wallets else "usd"
    balance = sum(item["balance"] for item in wallets)
    return answer({"balance": balance, "currency": currency.upper()})


# Writing


def require_body(request: Request, model: Loc) -> JSON:
    """The body as an object, or the 422 of a body that is none."""
    if request.data is None:
        refuse_schema([check.missing(("body",), None)])
    if not isinstance(request.data, dict):
        msg = "Input should be a valid dictionary or object to extract fields from"
        refuse_schema([check.error("model_attributes_type", model, msg, request.data)])
    data: JSON = request.data
    return data


def _check_fields(data: JSON, loc: Loc) -> list[JSON]:
    """The fields that create and update share, in the order in which Polar reports them."""
    checks: dict[str, Callable[[Any, Loc], list[JSON]]] = {
        "external_id": check.check_string,
        "name": partial(check.check_string, max_length=check.MAX_NAME),
        "billing_address": check.check_address,
        "tax_id": check.check_string,
        "locale": check.check_language,
    }
    errors: list[JSON] = []
    if "metadata" in data:
        errors += check.check_metadata(data["metadata"], (*loc, "metadata"))
    for name, check_value in checks.items():
        if data.get(name) is not None:
            errors += check_value(data[name], (*loc, name))
    return errors


def _clean(data: JSON, name: str) -> str | None:
    """Blank names and external ids become null."""
    value = data.get(name)
    return value.strip() or None if value is not None else None


def create_customer(polar: FakePolar, request: Request) -> Response:
    kind = (
        request.data.get("type", "individual") if isinstance(request.data, dict) else "individual"
    )
    tag = () if polar.old_shapes else (str(kind),)
    data = require_body(request, ("body", *tag))
    if kind not in ("individual", "team"):
        refuse_schema([_unknown_type(kind, data)])
    loc: Loc = ("body", *tag)
    errors = _check_fields(data, loc)
    owner = data.get("owner")
    if kind == "individual" and "email" not in data:
        errors.append(check.missing((*loc, "email"), data))
    elif kind == "individual" or data.get("email") is not None:
        errors += check.check_email(
            data["email"], (*loc, "email"), unknown_domains=polar.unknown_domains
        )
    elif not (isinstance(owner, dict) and owner.get("email")):
        msg = (
            "An owner with an email address is required when creating a team customer without an"
            " email."
        )
        errors.append(check.value_error(loc, msg, data))
    refuse_schema(errors)

    organization_id = data.get("organization_id")
    if organization_id is not None:
        msg = "Setting organization_id is disallowed when using an organization token."
        loc = ("body", "organization_id")
        refuse_rule([check.error("organization_token", loc, msg, organization_id)])
    email = check.normal_email(data["email"]) if data.get("email") else None
    external_id = _clean(data, "external_id")
    refuse_rule(
        _check_unique(polar, None, "email", email)
        + _check_unique(polar, None, "external_id", external_id)
    )
    address = check.normal_address(data.get("billing_address"))
    row = polar.add_customer(
        metadata=data.get("metadata") or {},
        external_id=external_id,
        email=email,
        type=kind,
        name=_clean(data, "name"),
        billing_address=address,
        tax_id=_read_tax_id(data.get("tax_id"), address),
        locale=data.get("locale"),
    )
    return answer(polar.customer_payload(row), 201)


def _unknown_type(kind: Any, data: JSON) -> JSON:
    tags = "'individual', 'team'"
    msg = (
        f"Input tag '{kind}' found using _customer_create_type() does not match any of the"
        f" expected tags: {tags}"
    )
    ctx = {"discriminator": "_customer_create_type()", "tag": kind, "expected_tags": tags}
    return check.error("union_tag_invalid", ("body",), msg, data, ctx)


def _check_unique(
    polar: FakePolar, customer_id: str | None, name: str, value: str | None
) -> list[JSON]:
    if value is None:
        return []
    if name == "email":
        other, label = polar.find_by_email(value), "email address"
    else:
        other, label = polar.find_by_external_id(value), "external ID"
    if other is None or other["id"] == customer_id:
        return []
    return [check.error("value_error", ("body", name), _EXISTS.format(label), value)]


def _read_tax_id(value: str | None, address: JSON | None) -> list[str] | None:
    if not value:
        return None
    if address is None:
        msg = "Country is required to validate tax ID."
        refuse_rule([check.error("missing", ("body", "billing_address"), msg, None)])
        raise AssertionError
    tax_id = check.read_tax_id(value, address["country"])
    if tax_id is None:
        refuse_rule([check.error("invalid", ("body", "tax_id"), "Invalid tax ID.", value)])
    return tax_id


def update_customer(polar: FakePolar, request: Request, id: str) -> Response:  # noqa: A002
    refuse_schema(check.check_uuid(id, ("path", "id")))
    data = _checked_update(polar, request)
    return _update(polar, find(polar, id), data)


def update_customer_external(polar: FakePolar, request: Request, external_id: str) -> Response:
    data = _checked_update(polar, request)
    row = find_external(polar, external_id)
    # This route knows no external_id: it is ignored like any unknown field.
    return _update(polar, row, {key: data[key] for key in data if key != "external_id"})


def _checked_update(polar: FakePolar, request: Request) -> JSON:
    data = require_body(request, ("body",))
    errors = _check_fields(data, ("body",))
    if data.get("email") is not None:
        errors += check.check_email(
            data["email"], ("body", "email"), unknown_domains=polar.unknown_domains
        )
    if data.get("type") is not None:
        errors += check.check_enum(data["type"], ("body", "type"), ("individual", "team"))
    refuse_schema(errors)
    return data


def _update(polar: FakePolar, row: JSON, data: JSON) -> Response:
    changes: JSON = {}
    errors: list[JSON] = []
    email = data.get("email")
    if email is not None and email.lower() != (row["email"] or "").lower():
        changes["email"] = check.normal_email(email)
        errors += _check_unique(polar, row["id"], "email", changes["email"])
    if "external_id" in data:
        errors += _update_external_id(polar, row, _clean(data, "external_id"), changes)
    if row["type"] == "team" and data.get("type") == "individual":
        msg = "Customer type cannot be downgraded from 'team' to 'individual'."
        errors.append(check.error("value_error", ("body", "type"), msg, "individual"))
    elif data.get("type"):
        changes["type"] = data["type"]
    if "billing_address" in data:
        changes["billing_address"] = check.normal_address(data["billing_address"])
        if data["billing_address"] is None and row["billing_address"] is not None:
            msg = "Customer billing address cannot be reset to null once set."
            errors.append(check.error("value_error", ("body", "billing_address"), msg, None))
    refuse_rule(errors)
    if "tax_id" in data:
        address = changes.get("billing_address") or row["billing_address"]
        changes["tax_id"] = _read_tax_id(data["tax_id"], address)
    if "name" in data:
        changes["name"] = _clean(data, "name")
    changes |= {name: data[name] for name in ("metadata", "locale") if name in data}
    return answer(polar.customer_payload(polar.update_customer(row, **changes)))


def _update_external_id(
    polar: FakePolar, row: JSON, external_id: str | None, changes: JSON
) -> list[JSON]:
    """Write-once: it may be set where there is none, and repeated."""
    if row["external_id"] is not None and external_id != row["external_id"]:
        msg = "Customer external ID cannot be updated."
        return [check.error("value_error", ("body", "external_id"), msg, external_id)]
    changes["external_id"] = external_id
    return _check_unique(polar, row["id"], "external_id", external_id)


def delete_customer(polar: FakePolar, request: Request, id: str) -> Response:  # noqa: A002
    refuse_schema(check.check_uuid(id, ("path", "id")) + check_booleans(request, "anonymize"))
    return _delete(polar, request, find(polar, id))


def delete_customer_external(polar: FakePolar, request: Request, external_id: str) -> Response:
    refuse_schema(check_booleans(request, "anonymize"))
    return _delete(polar, request, find_external(polar, external_id))


def _delete(polar: FakePolar, request: Request, row: JSON) -> Response:
    anonymize = check.read_boolean(request.get("anonymize") or "false") is True
    polar.delete_customer(row, anonymize=anonymize and not polar.ignores_anonymize)
    return no_content()


# Payment methods and the export


def payment_method_payload(polar: FakePolar, row: JSON) -> JSON:
    default = polar.customer(row["customer_id"])["default_payment_method_id"]
    return row | {"is_default": row["id"] == default}


def answer_payment_methods(
    polar: FakePolar, request: Request, customer_id: str, render: Callable[[JSON], JSON]
) -> Response:
    request.customer_id = customer_id
    return answer_list(
        polar,
        request,
        name="payment_methods",
        rows=lambda: (
            row for row in polar.payment_methods.values() if row["customer_id"] == customer_id
        ),
        keys={"created_at": lambda row: moment(row["created_at"])},
        default="-created_at",
        render=render,
        errors=[],
    )


def list_payment_methods(polar: FakePolar, request: Request, id: str) -> Response:  # noqa: A002
    row = find(polar, id)
    return answer_payment_methods(polar, request, row["id"], partial(payment_method_payload, polar))


def list_payment_methods_external(polar: FakePolar, request: Request, external_id: str) -> Response:
    row = find_external(polar, external_id)
    return answer_payment_methods(polar, request, row["id"], partial(payment_method_payload, polar))


def export_customers(polar: FakePolar, request: Request) -> Response:
    refuse_schema(check_uuids(request, "organization_id"))
    rows = list(polar.customers.values()) if is_own_organization(polar, request) else []
    if not polar.stable:
        polar.disorder.shuffle(rows)
    headers = [
        ("content-disposition", 'attachment; filename="polar-customers.csv"'),
        ("content-type", "text/csv; charset=utf-8"),
    ]
    return Response(200, _export(rows), headers)


def _export(rows: list[JSON]) -> Iterator[bytes]:
    yield _csv_lines([_EXPORT_COLUMNS])
    for start in range(0, len(rows), _EXPORT_CHUNK_ROWS):
        yield _csv_lines([_export_row(row) for row in rows[start : start + _EXPORT_CHUNK_ROWS]])


def _csv_lines(rows: list[tuple[Any, ...]]) -> bytes:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue().encode("utf-8", "surrogatepass")


def _export_row(row: JSON) -> tuple[Any, ...]:
    address = row["billing_address"] or {}
    tax_id = row["tax_id"]
    return (
        row["id"],
        row["external_id"],
        row["created_at"].replace("Z", "+00:00"),
        row["email"],
        row["name"],
        # The real server writes Python's own representation of the pair.
        f"({tax_id[0]!r}, <TaxIDFormat.{tax_id[1]}: {tax_id[1]!r}>)" if tax_id else None,
        address.get("line1"),
        address.get("line2"),
        address.get("city"),
        address.get("state"),
        address.get("postal_code"),
        address.get("country"),
        json.dumps(row["metadata"]) if row["metadata"] else None,
    )
