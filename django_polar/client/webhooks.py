"""``polar.webhook_endpoints`` and ``polar.webhook_deliveries``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypedDict

from django_polar.payloads import Page, WebhookDeliveryPayload, WebhookEndpointPayload

from .connection import Operation
from .resource import MAX_LIMIT, Resource, read, read_page

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Unpack
    from uuid import UUID

LIST_ENDPOINTS: Final = Operation("webhook_endpoints.list", "GET", "/v1/webhooks/endpoints")
GET_ENDPOINT: Final = Operation("webhook_endpoints.get", "GET", "/v1/webhooks/endpoints/{id}")
LIST_DELIVERIES: Final = Operation("webhook_deliveries.list", "GET", "/v1/webhooks/deliveries")
REDELIVER: Final = Operation(
    "webhook_deliveries.redeliver", "POST", "/v1/webhooks/events/{id}/redeliver"
)


class WebhookEndpoints(Resource):
    """Needs the scope ``webhooks:read``. The payloads carry the endpoints' secrets."""

    def list(self, *, page: int = 1, limit: int = MAX_LIMIT) -> Page[WebhookEndpointPayload]:
        """``GET /v1/webhooks/endpoints``"""
        body = self._connection.fetch(LIST_ENDPOINTS, query=self._list_query(page, limit, {}))
        return read_page(LIST_ENDPOINTS, body, WebhookEndpointPayload)

    def get(self, id: UUID | str) -> WebhookEndpointPayload:
        """``GET /v1/webhooks/endpoints/{id}``"""
        body = self._connection.fetch(GET_ENDPOINT, path={"id": id})
        return read(GET_ENDPOINT, body, WebhookEndpointPayload)


class WebhookDeliveryFilters(TypedDict, total=False):
    endpoint_id: UUID | str | Sequence[UUID | str] | None
    succeeded: bool | None
    event_type: str | Sequence[str] | None


class WebhookDeliveries(Resource):
    def list(
        self, *, page: int = 1, limit: int = MAX_LIMIT, **filters: Unpack[WebhookDeliveryFilters]
    ) -> Page[WebhookDeliveryPayload]:
        """``GET /v1/webhooks/deliveries``: latest first. They carry the events' bodies."""
        # Deliveries know no organization_id; Polar ignores what it does not know.
        body = self._connection.fetch(LIST_DELIVERIES, query=self._list_query(page, limit, filters))
        return read_page(LIST_DELIVERIES, body, WebhookDeliveryPayload)

    def redeliver(self, event_id: UUID | str) -> None:
        """``POST /v1/webhooks/events/{id}/redeliver``: sends it once more, some time soon."""
        self._connection.fetch(REDELIVER, path={"id": event_id})
