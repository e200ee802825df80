"""``PolarClient``: Polar's API, one method per endpoint."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from .benefit_grants import BenefitGrants
from .connection import Connection
from .customer_meters import CustomerMeters
from .customer_portal import CustomerPortal
from .customer_sessions import CustomerSessions
from .customers import Customers
from .defaults import find_defaults
from .subscriptions import Subscriptions
from .wallets import Wallets
from .webhooks import WebhookDeliveries, WebhookEndpoints

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from types import TracebackType
    from typing import Self
    from uuid import UUID

    import httpx

    from .budget import Budget

DEFAULT_TIMEOUT: Final = timedelta(seconds=10)
DEFAULT_MAX_WAIT: Final = timedelta(seconds=10)
DEFAULT_MAX_ATTEMPTS: Final = 4


class PolarClient:
    """Polar over HTTP. Knows nothing of the database and works without Django.

    ``with PolarClient() as polar: polar.customers.get_state_external("42")``

    Without a ``token`` everything comes from Django's settings where Django is configured, and
    from the environment variable ``POLAR_ACCESS_TOKEN`` elsewhere; arguments win over both.
    Threads may share a client. In an async view call it through
    ``asgiref.sync.sync_to_async``.

    Reads are repeated, up to ``max_attempts``, after failures that may pass; writes only when
    they cannot have been applied. Waiting for the ``budget``, for Polar's ``Retry-After`` and
    between attempts takes ``max_wait`` at most; then ``RateLimitError`` or
    ``UnavailableError`` says how long Polar asked for.

    ``organization_id`` is needed only with a personal access token.

    Raises:
        ConfigurationError: there is no token, or a value is none that can be used.
    """

    def __init__(  # noqa: PLR0913 - all by name, all optional
        self,
        token: str | None = None,
        *,
        base_url: str | None = None,
        api_version: str | None = None,
        organization_id: UUID | str | None = None,
        timeout: timedelta | None = None,
        budget: Budget | None = None,
        transport: httpx.BaseTransport | None = None,
        max_attempts: int = DEFAULT_MAX_ATTEMPTS,
        max_wait: timedelta = DEFAULT_MAX_WAIT,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        defaults = find_defaults(token)
        organization = organization_id or defaults.organization_id
        organization = str(organization) if organization else None
        base_url = base_url or defaults.base_url
        if budget is None and transport is None:
            # A transport that was handed in leads to a server in this process.
            budget = defaults.budget_for(base_url)
        self._connection = connection = Connection(
            token=defaults.token,
            base_url=base_url,
            api_version=api_version or defaults.api_version,
            timeout=timeout or defaults.timeout or DEFAULT_TIMEOUT,
            transport=transport,
            budget=budget,
            max_attempts=max_attempts,
            max_wait=max_wait,
            sleep=sleep,
        )
        self.customer_sessions = CustomerSessions(connection)
        self.wallets = Wallets(connection)
        self.customers = Customers(
            connection,
            organization_id=organization,
            # Organization tokens know where they belong, and Polar refuses to be told.
            create_organization_id=(
                None if defaults.token.startswith("polar_oat_") else organization
            ),
            customer_sessions=self.customer_sessions,
            wallets=self.wallets,
        )
        self.customer_portal = CustomerPortal(connection)
        self.subscriptions = Subscriptions(connection, organization_id=organization)
        self.benefit_grants = BenefitGrants(connection, organization_id=organization)
        self.customer_meters = CustomerMeters(connection, organization_id=organization)
        self.webhook_endpoints = WebhookEndpoints(connection, organization_id=organization)
        self.webhook_deliveries = WebhookDeliveries(connection, organization_id=organization)

    @property
    def base_url(self) -> str:
        return self._connection.base_url

    @property
    def requests_made(self) -> int:
        """Requests sent so far, by all threads, repeated ones included."""
        return self._connection.requests_made

    def server_time(self) -> datetime:
        """Now by Polar's clock, as far as its answers tell, and never later than that.

        What an answer says is at least as new as the time just before it was asked for.
        """
        return self._connection.server_time()

    def close(self) -> None:
        """Close the connections. A transport that was handed in stays open."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"PolarClient(base_url={self.base_url!r})"
