"""What a process pays for having the app in ``INSTALLED_APPS``."""

from __future__ import annotations

import json
import os
import subprocess
import sys

HEAVY = (
    "celery",
    "django_polar.client",
    "django_polar.payloads",
    "django_polar.services.sync",
    "django_polar.services.upsert",
    "django_polar.testing",
    "httpx",
    "limits",
    "msgspec",
    "rest_framework.views",
    "stamina",
    "tqdm",
)

LOADED = {
    "django_polar",
    "django_polar.admin",
    "django_polar.admin.actions",
    "django_polar.admin.base",
    "django_polar.admin.customers",
    "django_polar.admin.export",
    "django_polar.admin.filters",
    "django_polar.admin.formats",
    "django_polar.admin.inlines",
    "django_polar.admin.queues",
    "django_polar.admin.sync_runs",
    "django_polar.apps",
    "django_polar.models",
    "django_polar.models.customer",
    "django_polar.models.fields",
    "django_polar.models.queues",
    "django_polar.models.state",
    "django_polar.models.sync_run",
    "django_polar.models.user_deletion",
    "django_polar.receivers",
    "django_polar.signals",
}

WITH_ADMIN = (
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
)
WITH_DRF = ("django.contrib.auth", "django.contrib.contenttypes", "rest_framework")

PROBE = """
import __future__, json, sys
import django
from django.conf import settings

settings.configure(
    INSTALLED_APPS={apps},
    DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}},
    SECRET_KEY="made up",
    POLAR_ACCESS_TOKEN="made up",
)
django.setup()
{then}
print(json.dumps(sorted(sys.modules)))
"""


def modules_after(then="", apps=(*WITH_DRF, "django_polar")):
    environment = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
    output = subprocess.run(
        [sys.executable, "-c", PROBE.format(then=then, apps=list(apps))],
        check=True,
        stdout=subprocess.PIPE,
        env=environment,
    ).stdout
    return set(json.loads(output))


def heavy_ones(modules):
    return [name for name in HEAVY if name in modules]


def test_setup_imports_nothing_heavy():
    """``django.setup()`` leaves HTTP, JSON, Celery and DRF's views alone."""
    modules = modules_after()

    assert "django_polar.models" in modules
    assert heavy_ones(modules) == []


def test_setup_imports_what_declares_and_nothing_else():
    """Beside what a project with the admin has loaded anyway: the models, the admin's pages and
    the receivers. Whatever these need once they are used is imported then.
    """
    added = modules_after(apps=(*WITH_ADMIN, "django_polar")) - modules_after(apps=WITH_ADMIN)

    assert added == LOADED


def test_probe_sees_what_is_imported():
    """The test above can fail: what a service needs is seen once a service is imported."""
    modules = modules_after("import django_polar.services.upsert")

    assert {"msgspec", "django_polar.services.upsert"} <= set(heavy_ones(modules))


def test_reading_the_mirror_imports_nothing_heavy():
    """What every request may do needs the models alone."""
    modules = modules_after(
        "from django_polar.models import Customer\n"
        "str(Customer.objects.live().with_active_subscription().with_state().query)"
    )

    assert heavy_ones(modules) == []
