"""System checks: what is wrong with the settings, and the fix for each."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning
from django.db import router

from .conf import Settings, settings
from .exceptions import ConfigurationError
from .models import Customer

SETTING_CHECKS: Final = {
    "environment": "E001",
    "base_url": "E002",
    "api_version": "E003",
    "organization_id": "E004",
    "external_id": "E005",
    "user_from_external_id": "E006",
    "customer_fields": "E007",
    "create_on_user_creation": "E008",
    "update_on_user_change": "E009",
    "delete_on_user_deletion": "E010",
    "anonymize_on_deletion": "E011",
    "adopt_by_email": "E012",
    "requests_per_minute": "E013",
    "rate_limit_storage": "E014",
    "timeout": "E015",
    "event_retention": "E016",
    "max_deleted_share": "E017",
    "webhook_max_body_bytes": "E018",
    "queue_max_attempts": "E019",
    "products": "E030",
    "benefits": "E031",
    "meters": "E032",
    "entitlement_max_age": "E033",
    "entitlement_when_stale": "E034",
    "return_url_hosts": "E035",
}
"""Each setting's stable id. A number is never used again for something else."""

REQUIRED_CHECKS: Final = {
    "access_token": ("W001", "POLAR_ACCESS_TOKEN", "Nothing can be fetched from Polar without it."),
    "webhook_secrets": ("W002", "POLAR_WEBHOOK_SECRET", "Webhooks are refused without it."),
}


def check_settings(**_kwargs: Any) -> list[CheckMessage]:
    """A value of the wrong kind is an error; a secret that is not there yet a warning."""
    messages: list[CheckMessage] = []
    for name, number in SETTING_CHECKS.items():
        try:
            getattr(settings, name)
        except ConfigurationError as error:
            messages.append(Error(str(error), hint=_hint(name), id=f"django_polar.{number}"))
    for name, (number, setting, hint) in REQUIRED_CHECKS.items():
        try:
            getattr(settings, name)
        except ConfigurationError as error:
            messages.append(
                CheckWarning(str(error), hint=f"Set {setting}. {hint}", id=f"django_polar.{number}")
            )
    return messages


def check_project(**_kwargs: Any) -> list[CheckMessage]:
    """What the mirror needs of the project around it."""
    messages: list[CheckMessage] = []
    if not django_settings.USE_TZ:
        messages.append(
            Error(
                "USE_TZ is False, but Polar's times have offsets and are compared with ours.",
                hint="Set USE_TZ = True, which is Django's default.",
                id="django_polar.E036",
            )
        )
    users, mirror = router.db_for_write(get_user_model()), router.db_for_write(Customer)
    if users != mirror:
        messages.append(
            Error(
                f"Users are in the database {users!r} and the mirror in {mirror!r}, but customers"
                " refer to users and are forgotten in the transaction that deletes these.",
                hint="Let your database router put the app django_polar where the users are.",
                id="django_polar.E037",
            )
        )
    return messages


def _hint(name: str) -> str:
    """The first sentence of the setting's own documentation."""
    doc = getattr(Settings, name).__doc__ or ""
    return " ".join(doc.strip().split("\n\n")[0].split())
