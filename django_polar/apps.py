"""Start-up. Imports nothing that a web process would have to pay for."""

from django.apps import AppConfig


class DjangoPolarConfig(AppConfig):
    """``INSTALLED_APPS += ["django_polar"]``"""

    name = "django_polar"
    label = "django_polar"
    verbose_name = "Polar"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks, receivers  # noqa: F401, PLC0415 - checks register themselves

        receivers.connect()
