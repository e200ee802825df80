"""The fake Polar's customer sessions, and what a customer may do with one."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

from django_polar.testing import builders
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
from django_polar.testing.routes_customers import answer_payment_methods, require_body
from django_polar.testing.routes_lists import answer_list

if TYPE_CHECKING:
    from django_polar.testing.builders import JSON
    from django_polar.testing.polar import FakePolar

SESSION_LIFETIME = timedelta(hours=1)
_BY_ID = ("body", "CustomerSessionCustomerIDCreate")
_BY_EXTERNAL_ID = ("body", "CustomerSessionCustomerExternalIDCreate")


def create_session(polar: FakePolar, request: Request) -> Response:
    data = require_body(request, _BY_ID)
    by_id = "customer_id" in data
    # The older name of the field is still understood.
    external_id = data.get("external_customer_id", data.get("customer_external_id"))
    _check_session(data, external_id)
    name = "customer_id" if by_id else "external_customer_id"
    value = data["customer_id"] if by_id else external_id
    if by_id:
        row = polar.customers.get(str(value).lower())
    else:
        row = polar.find_by_external_id(str(value))
    if row is None:
        loc = ("body", name)
        refuse_rule([check.error("value_error", loc, "Customer does not exist.", value)])
        raise AssertionError
    if row["type"] == "team" and not data.get("member_id") and not polar.old_shapes:
        msg = "member_id is required for team customers."
        refuse_rule([check.error("value_error", ("body", "member_id"), msg, None)])
    return answer(_session_payload(polar, row, data.get("return_url")), 201)


def _check_session(data: JSON, external_id: object) -> None:
    """Both ways of naming the customer are tried, and the errors of both reported."""
    errors_by_id: list[JSON] = []
    errors_by_external_id: list[JSON] = []
    if data.get("return_url") is not None:
        for errors, model in ((errors_by_id, _BY_ID), (errors_by_external_id, _BY_EXTERNAL_ID)):
            url_loc = (*model, "return_url")
            errors.extend(check.check_url(data["return_url"], url_loc, schemes=("http", "https")))
    if "customer_id" in data:
        errors_by_id += check.check_uuid(data["customer_id"], (*_BY_ID, "customer_id"))
    else:
        errors_by_id.append(check.missing((*_BY_ID, "customer_id"), data))
    loc = (*_BY_EXTERNAL_ID, "external_customer_id")
    if external_id is None:
        errors_by_external_id.append(check.missing(loc, data))
    else:
        errors_by_external_id += check.check_string(external_id, loc)
    if errors_by_id and errors_by_external_id:
        refuse_schema(errors_by_id + errors_by_external_id)


def _session_payload(polar: FakePolar, row: JSON, return_url: str | None) -> JSON:
    now = polar.clock()
    token = polar.add_session(row, lifetime=SESSION_LIFETIME)
    url = f"{polar.portal_url}?customer_session_token={token}"
    if row["email"]:
        url += f"&email={quote(row['email'], safe='')}"
    customer = polar.customer_payload(row)
    customer.pop("members", None)
    return {
        "created_at": builders.timestamp(now),
        "modified_at": None,
        "id": polar.new_id(),
        "token": token,
        "expires_at": builders.timestamp(now + SESSION_LIFETIME),
        "return_url": return_url,
        "customer_portal_url": url,
        "customer_id": row["id"],
        "customer": customer,
    }


# The portal: ``request.customer_id`` is whose token it is


def _me(polar: FakePolar, request: Request) -> JSON:
    row = polar.customers.get(request.customer_id or "")
    if row is None:
        raise Refused(resource_not_found())
    return row


def _portal_customer(row: JSON) -> JSON:
    first = ("created_at", "modified_at", "id", "email", "email_verified", "name", "billing_name")
    return {
        **{key: row[key] for key in (*first, "billing_address", "tax_id")},
        "oauth_accounts": {},
        **{key: row[key] for key in ("default_payment_method_id", "type", "locale")},
    }


def get_me(polar: FakePolar, request: Request) -> Response:
    return answer(_portal_customer(_me(polar, request)))


def update_me(polar: FakePolar, request: Request) -> Response:
    row = _me(polar, request)
    data = require_body(request, ("body",))
    errors: list[JSON] = []
    if data.get("billing_name") is not None:
        errors += check.check_string(data["billing_name"], ("body", "billing_name"))
    if data.get("billing_address") is not None:
        errors += check.check_address(data["billing_address"], ("body", "billing_address"))
    if data.get("tax_id") is not None:
        errors += check.check_string(data["tax_id"], ("body", "tax_id"))
    method_id = data.get("default_payment_method_id")
    if method_id is not None:
        errors += check.check_uuid(method_id, ("body", "default_payment_method_id"))
    refuse_schema(errors)
    changes = {
        key: data[key]
        for key in ("billing_name", "default_payment_method_id")
        if data.get(key) is not None
    }
    if data.get("billing_address"):
        changes["billing_address"] = check.normal_address(data["billing_address"])
    if data.get("tax_id"):
        address = changes.get("billing_address") or row["billing_address"] or {"country": ""}
        changes["tax_id"] = check.read_tax_id(data["tax_id"], address["country"])
        if changes["tax_id"] is None:
            loc = ("body", "tax_id")
            refuse_rule([check.error("invalid", loc, "Invalid tax ID.", data["tax_id"])])
    return answer(_portal_customer(polar.update_customer(row, **changes)))


def list_my_payment_methods(polar: FakePolar, request: Request) -> Response:
    return answer_payment_methods(polar, request, _me(polar, request)["id"], dict)


def add_payment_method(polar: FakePolar, request: Request) -> Response:
    """Succeeds, unless the confirmation token says that the bank wants to see the customer."""
    row = _me(polar, request)
    data = _require(request, "confirmation_token_id", "set_default", "return_url")
    if "requires_action" in data["confirmation_token_id"]:
        secret = f"seti_{polar.new_id()[:8]}_secret_{polar.new_id()[:8]}"
        return answer({"status": "requires_action", "client_secret": secret}, 201)
    return _added(polar, row, data)


def confirm_payment_method(polar: FakePolar, request: Request) -> Response:
    row = _me(polar, request)
    return _added(polar, row, _require(request, "setup_intent_id", "set_default"))


def _require(request: Request, *names: str) -> JSON:
    data = require_body(request, ("body",))
    refuse_schema([check.missing(("body", name), data) for name in names if name not in data])
    return data


def _added(polar: FakePolar, row: JSON, data: JSON) -> Response:
    method = polar.add_payment_method(row, default=data["set_default"] is True)
    return answer({"status": "succeeded", "payment_method": method}, 201)


def delete_payment_method(polar: FakePolar, request: Request, id: str) -> Response:  # noqa: A002
    row = _me(polar, request)
    refuse_schema(check.check_uuid(id, ("path", "id")))
    method = polar.payment_methods.get(id.lower())
    if method is None or method["customer_id"] != row["id"]:
        raise Refused(resource_not_found())
    if method["id"] == row["default_payment_method_id"] and _pays_with_it(polar, row):
        detail = "Payment method is in use by an active subscription."
        error = {"error": "PaymentMethodInUseByActiveSubscription", "detail": detail}
        return answer(error, 400)
    del polar.payment_methods[method["id"]]
    polar.changed()
    if row["default_payment_method_id"] == method["id"]:
        polar.update_customer(row, default_payment_method_id=None)
    return no_content()


def _pays_with_it(polar: FakePolar, row: JSON) -> bool:
    return any(
        item["amount"] > 0 and item["status"] in {"active", "past_due"}
        for item in polar.owned("subscriptions", row["id"])
    )


def list_wallets(polar: FakePolar, request: Request) -> Response:
    row = _me(polar, request)
    return answer_list(
        polar,
        request,
        name="wallets",
        rows=lambda: (w for w in polar.wallets.values() if w["customer_id"] == row["id"]),
        keys={
            "created_at": lambda wallet: moment(wallet["created_at"]),
            "balance": lambda wallet: wallet["balance"],
        },
        default="-created_at",
        render=dict,
        errors=[],
    )


def get_wallet(polar: FakePolar, request: Request, id: str) -> Response:  # noqa: A002
    row = _me(polar, request)
    refuse_schema(check.check_uuid(id, ("path", "id")))
    wallet = polar.wallets.get(id.lower())
    if wallet is None or wallet["customer_id"] != row["id"]:
        raise Refused(resource_not_found())
    return answer(wallet)
