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

PROBE = """
import json, sys
import django
from django.conf import settings

settings.configure(INSTALLED_APPS=[
    "django.contrib.auth", "django.contrib.contenttypes", "rest_framework", "django_polar",
], DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}},
    SECRET_KEY="made up", POLAR_ACCESS_TOKEN="made up")
django.setup()
{then}
print(json.dumps(sorted(sys.modules)))
"""


def modules_after(then=""):
    environment = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
    output = subprocess.run(
        [sys.executable, "-c", PROBE.format(then=then)],
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
