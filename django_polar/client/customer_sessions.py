"""``polar.customer_sessions``: tokens that let a customer see and change its own things."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django_polar.payloads import CustomerSessionPayload

from .connection import Operation
from .resource import Resource, read

if TYPE_CHECKING:
    from uuid import UUID

CREATE: Final = Operation("customer_sessions.create", "POST", "/v1/customer-sessions/")


class CustomerSessions(Resource):
    def create(
        self,
        *,
        customer_id: UUID | str | None = None,
        external_customer_id: str | None = None,
        return_url: str | None = None,
        member_id: UUID | str | None = None,
    ) -> CustomerSessionPayload:
        """``POST /v1/customer-sessions/`` for one customer, by either id.

        A team customer needs ``member_id``. Each call makes another session, good for an hour.

        Raises:
            InvalidRequestError: also for an unknown customer, which is no 404 here:
                ``error.has("customer_id", "does not exist")``.
        """
        fields = {
            "customer_id": customer_id,
            "external_customer_id": external_customer_id,
            "return_url": return_url,
            "member_id": member_id,
        }
        body = self._connection.fetch(
            CREATE, body={name: value for name, value in fields.items() if value is not None}
        )
        return read(CREATE, body, CustomerSessionPayload)
