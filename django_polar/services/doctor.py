"""What is wrong between this project and Polar, and the fix for each.

A check takes a client, or ``None`` where none can be made, and yields findings. Add one to
``CHECKS``.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.core.checks import run_checks

from django_polar.client import polar_client
from django_polar.conf import settings
from django_polar.exceptions import (
    AuthenticationError,
    ConfigurationError,
    EndpointNotFoundError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    PolarError,
    UnavailableError,
)
from django_polar.models import Customer, LinkConflict, SyncRun, queues

from .webhook_endpoints import find_endpoint_problems

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from django_polar.client import PolarClient

NOBODY: Final = "00000000-0000-4000-8000-000000000000"
"""An id that Polar gives to no customer."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was found and, where it is wrong, the fix."""

    name: str
    message: str
    fix: str = ""
    is_wrong: bool = True


def examine() -> Iterator[Finding]:
    """Every finding of every check, good ones too."""
    try:
        connection: Any = polar_client()
    except ConfigurationError:
        connection = nullcontext()  # check_settings says why
    with connection as client:
        for check in CHECKS:
            yield from check(client)


def check_settings(_: PolarClient | None) -> Iterator[Finding]:
    found = False
    for message in run_checks(tags=["polar"]):
        found = True
        yield Finding("settings", str(message.msg), str(message.hint or ""))
    if not found:
        yield _good("settings", "complete")


def check_token(client: PolarClient | None) -> Iterator[Finding]:
    """Token, environment and API version: one request that any of them would make fail."""
    if client is None:
        return
    where = f"{settings.environment} ({client.base_url})"
    try:
        page = client.customers.list(limit=1)
    except AuthenticationError as error:
        yield Finding(
            "token",
            f"{error}, in {where}",
            "Set POLAR_ACCESS_TOKEN to an organization access token of this POLAR_ENVIRONMENT.",
        )
    except PermissionDeniedError as error:
        yield _missing_scope("customers", error)
    except EndpointNotFoundError as error:
        yield Finding(
            "API version",
            f"{error}, in {where}",
            f"Check POLAR_API_VERSION ({settings.api_version}) and POLAR_BASE_URL.",
        )
    except PolarError as error:
        yield _unreachable(where, error)
    else:
        yield _good("token", f"taken in {where}, API version {settings.api_version}")
        yield from _check_organization(page.items)


def _check_organization(payloads: list[Any]) -> Iterator[Finding]:
    mirrored = Customer.objects.live().values_list("organization_id", flat=True).first()
    if payloads and mirrored and payloads[0].organization_id != mirrored:
        yield Finding(
            "organization",
            "the token belongs to another organization than the mirror",
            "Use the other token, or start the mirror over:"
            " manage.py polar_sync_customers --replace-organization",
        )


def check_scopes(client: PolarClient | None) -> Iterator[Finding]:
    """Each scope by a request that needs it and changes nothing."""
    if client is None:
        return
    trials: list[tuple[str, Callable[[], object]]] = [
        ("subscriptions:read", lambda: client.subscriptions.list(limit=1)),
        ("benefits:read", lambda: client.benefit_grants.list(limit=1)),
        ("customer_meters:read", lambda: client.customer_meters.list(limit=1)),
        # Refused as unknown by those who may, and before that for the scope by those who may not.
        ("customers:write", lambda: client.customers.delete(NOBODY)),
        (
            "customer_sessions:write",
            lambda: client.customer_sessions.create(customer_id=NOBODY),
        ),
    ]
    granted = []
    for scope, attempt in trials:
        try:
            attempt()
        except PermissionDeniedError as error:
            yield _missing_scope(scope, error)
        except (NotFoundError, InvalidRequestError):
            granted.append(scope)
        except PolarError:
            return  # check_token has said it
        else:
            granted.append(scope)
    if granted:
        yield _good("scopes", ", ".join(granted))


def check_queues(_: PolarClient | None) -> Iterator[Finding]:
    """Work that needs a person."""
    waiting = 0
    for queue in queues():
        rows = queue.objects.needs_attention()
        waiting += queue.objects.open().count()
        if count := rows.count():
            example = rows.order_by("failed_at").first()
            yield Finding(
                "queues",
                f"{count} {queue._meta.verbose_name_plural} need a person, the first since"
                f" {example.failed_at:%Y-%m-%d %H:%M}: {example.last_error}",
                "Remove the cause, then choose 'retry' in the admin.",
            )
    if count := LinkConflict.objects.filter(resolved_at=None).count():
        yield Finding(
            "conflicts",
            f"{count} customers have the email of a user and are not linked",
            "Decide about each in the admin, under link conflicts.",
        )
    yield _good("queues", f"{waiting} waiting")


def check_sync(_: PolarClient | None) -> Iterator[Finding]:
    """Whether the mirror was ever complete."""
    run = SyncRun.objects.filter(outcome=SyncRun.Outcome.COMPLETE).order_by("-started_at").first()
    if run is None:
        yield Finding("sync", "no complete sync yet", "Run manage.py polar_sync_customers.")
    else:
        yield _good("sync", f"last complete one began {run.started_at:%Y-%m-%d %H:%M}")


def check_webhooks(client: PolarClient | None) -> Iterator[Finding]:
    """Whether Polar delivers its events to this site."""
    if client is None:
        return
    try:
        problems = list(find_endpoint_problems(client))
    except PolarError:
        return  # check_token has said it
    for problem in problems:
        yield Finding("webhooks", problem.message, problem.fix)
    if not problems:
        yield _good("webhooks", "the endpoint is enabled and subscribes to what is needed")


CHECKS: Final[list[Callable[[PolarClient | None], Iterable[Finding]]]] = [
    check_settings,
    check_token,
    check_scopes,
    check_webhooks,
    check_sync,
    check_queues,
]


def _good(name: str, message: str) -> Finding:
    return Finding(name, message, is_wrong=False)


def _missing_scope(scope: str, error: PermissionDeniedError) -> Finding:
    scopes = " or ".join(error.scopes) or scope
    return Finding(
        "scopes",
        f"the token lacks {scopes}",
        "Add it to the token in Polar's dashboard (Settings, Developers).",
    )


def _unreachable(where: str, error: PolarError) -> Finding:
    fix = "Check POLAR_BASE_URL and the network; Polar's state is on status.polar.sh."
    return Finding(
        "connection", f"{error}, in {where}", fix if isinstance(error, UnavailableError) else ""
    )
