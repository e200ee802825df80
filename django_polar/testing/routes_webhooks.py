"""The fake Polar's webhook endpoints and deliveries, as its API shows them."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from django_polar.testing import validation as check
from django_polar.testing.http import (
    JSON_HEADER,
    Refused,
    Request,
    Response,
    answer,
    refuse_schema,
    resource_not_found,
)
from django_polar.testing.routes_customers import require_body
from django_polar.testing.routes_lists import (
    check_booleans,
    check_uuids,
    is_own_organization,
    read_page,
)
from django_polar.testing.webhooks import delivery_payload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django_polar.testing.builders import JSON
    from django_polar.testing.polar import FakePolar

_FORMATS = ("raw", "discord", "slack")
_NOTHING: Sequence[str] = ()


def _answer_page(request: Request, items: list[JSON], errors: list[JSON]) -> Response:
    page, limit, page_errors = read_page(request)
    refuse_schema(errors + page_errors)
    shown = items[(page - 1) * limit : page * limit]
    pagination = {"total_count": len(items), "max_page": -(-len(items) // limit)}
    return answer({"items": shown, "pagination": pagination})


def list_endpoints(polar: FakePolar, request: Request) -> Response:
    items = list(polar.webhooks.endpoints.values()) if is_own_organization(polar, request) else []
    return _answer_page(request, items, check_uuids(request, "organization_id"))


def get_endpoint(polar: FakePolar, _request: Request, id: str) -> Response:  # noqa: A002
    refuse_schema(check.check_uuid(id, ("path", "id")))
    endpoint = polar.webhooks.endpoints.get(id.lower())
    if endpoint is None:
        raise Refused(resource_not_found())
    return answer(endpoint)


def create_endpoint(polar: FakePolar, request: Request) -> Response:
    data = require_body(request, ("body",))
    errors = [
        check.missing(("body", name), data)
        for name in ("url", "format", "events")
        if name not in data
    ]
    if "url" in data and not polar.allow_local_webhooks:
        errors += _check_url(data["url"])
    if "format" in data:
        errors += check.check_enum(data["format"], ("body", "format"), _FORMATS)
    refuse_schema(errors)
    endpoint = polar.add_webhook_endpoint(
        data["url"], events=data["events"], kind=data["format"], name=data.get("name")
    )
    return answer(endpoint, 201)


def _check_url(url: object) -> list[JSON]:
    loc = ("body", "url")
    errors = check.check_url(url, loc, schemes=("https",))
    if errors:
        return errors
    host = urlsplit(str(url)).hostname or ""
    try:
        private = ipaddress.ip_address(host).is_private
    except ValueError:
        private = host == "localhost"
    if private:
        msg = "Webhook URLs cannot point to localhost or private IP addresses."
        return [check.value_error(loc, msg, url)]
    return []


def list_deliveries(polar: FakePolar, request: Request) -> Response:
    """Newest first. What was sent before there was an endpoint belongs to all of them."""
    errors = check_uuids(request, "endpoint_id") + check_booleans(request, "succeeded")
    endpoint_ids = request.get_all("endpoint_id")
    deliveries = list(reversed(polar.webhooks.log))
    if endpoint_ids and not set(endpoint_ids) & set(polar.webhooks.endpoints):
        deliveries = []
    if (succeeded := request.get("succeeded")) and not errors:
        wanted = check.read_boolean(succeeded)
        deliveries = [item for item in deliveries if item.succeeded is wanted]
    if types := set(request.get_all("event_type") or _NOTHING):
        deliveries = [item for item in deliveries if item.event.type in types]
    if start := request.get("start_timestamp"):
        deliveries = [item for item in deliveries if item.created_at >= start]
    if end := request.get("end_timestamp"):
        deliveries = [item for item in deliveries if item.created_at <= end]
    return _answer_page(request, [delivery_payload(item) for item in deliveries], errors)


def redeliver_event(polar: FakePolar, _request: Request, id: str) -> Response:  # noqa: A002
    refuse_schema(check.check_uuid(id, ("path", "id")))
    if id.lower() not in polar.webhooks.events:
        raise Refused(resource_not_found())
    polar.webhooks.redeliver(id.lower())
    return Response(202, b"null", [JSON_HEADER])
