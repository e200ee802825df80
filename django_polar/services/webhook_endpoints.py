"""Whether Polar delivers webhooks to this site: what is wrong, and the fix for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.http.request import validate_host
from django.urls import NoReverseMatch, reverse

from django_polar.conf import settings
from django_polar.exceptions import ConfigurationError, PermissionDeniedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django_polar.client import PolarClient
    from django_polar.payloads import WebhookEndpointPayload

NEEDED_EVENTS: Final = (
    "customer.created",
    "customer.updated",
    "customer.deleted",
    "customer.state_changed",
    "subscription.created",
    "subscription.updated",
    "subscription.active",
    "subscription.canceled",
    "subscription.revoked",
    "benefit_grant.created",
    "benefit_grant.updated",
    "benefit_grant.revoked",
)
"""What the mirror is kept right by between two syncs."""


class Problem(NamedTuple):
    message: str
    fix: str


def find_endpoint_problems(client: PolarClient) -> Iterator[Problem]:
    """Nothing when there is an endpoint for this site and all is well with it.

    Needs the scope ``webhooks:read``. This site is where ``include("django_polar.urls")`` is, on
    one of ``ALLOWED_HOSTS``.

    Raises:
        APIError: Polar is away, or does not take the token at all.
    """
    try:
        path = reverse("django_polar:webhook")
    except NoReverseMatch:
        yield Problem(
            "this site has no address for webhooks",
            'Add path("polar/", include("django_polar.urls")) to the root URLconf.',
        )
        return
    try:
        endpoints = client.webhook_endpoints.list().items
    except PermissionDeniedError:
        yield Problem(
            "the token lacks webhooks:read, so the webhook endpoint was not looked at",
            "Add it to the token in Polar's dashboard (Settings, Developers).",
        )
        return
    ours = [endpoint for endpoint in endpoints if _leads_to(endpoint.url, path)]
    if not ours:
        yield Problem(
            f"Polar has no webhook endpoint for {path} of this site",
            "Create one in Polar's dashboard (Settings, Webhooks), with the raw format and the"
            f" events {', '.join(NEEDED_EVENTS)}.",
        )
    for endpoint in ours:
        yield from _problems_of(endpoint)


def _problems_of(endpoint: WebhookEndpointPayload) -> Iterator[Problem]:
    name = f"webhook endpoint {endpoint.id}"
    if not endpoint.enabled:
        yield Problem(
            f"{name} is disabled: ten events in a row were not taken",
            "Enable it in Polar's dashboard (Settings, Webhooks), then run manage.py"
            " polar_sync_customers: events were not even made meanwhile.",
        )
    if endpoint.format != "raw":
        yield Problem(
            f"{name} has the format {endpoint.format}",
            "Choose the raw format in Polar's dashboard (Settings, Webhooks).",
        )
    if missing := [event for event in NEEDED_EVENTS if event not in endpoint.events]:
        yield Problem(
            f"{name} does not subscribe to {', '.join(missing)}",
            "Add them in Polar's dashboard (Settings, Webhooks).",
        )
    if endpoint.secret is not None and endpoint.secret not in _secrets():
        yield Problem(
            f"POLAR_WEBHOOK_SECRET is not the secret of {name}",
            "Copy it from Polar's dashboard (Settings, Webhooks); during a rotation list both.",
        )


def _leads_to(url: str, path: str) -> bool:
    parts = urlsplit(url)
    if parts.path.rstrip("/") != path.rstrip("/"):
        return False
    hosts = django_settings.ALLOWED_HOSTS
    return not hosts or validate_host(parts.hostname or "", hosts)


def _secrets() -> list[str]:
    try:
        return settings.webhook_secrets
    except ConfigurationError:
        return []
