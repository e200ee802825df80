"""Start-up. Imports nothing that a web process would have to pay for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import AppConfig
from django.core.checks import register

if TYPE_CHECKING:
    from django.core.checks import CheckMessage


class DjangoPolarConfig(AppConfig):
    """``INSTALLED_APPS += ["django_polar"]``"""

    name = "django_polar"
    label = "django_polar"
    verbose_name = "Polar"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import receivers  # noqa: PLC0415 - needs the models

        register(run_checks, "polar")
        receivers.connect()


def run_checks(**kwargs: Any) -> list[CheckMessage]:
    """All of ours. Commands run them and a web process does not, so they are loaded here."""
    from . import checks  # noqa: PLC0415 - on use

    return [*checks.check_settings(**kwargs), *checks.check_project(**kwargs)]
