"""Django's settings for the measurements.

Everything is as Django and the servers set it up by default, so that a commit waits for the disk.
BENCH_DATABASE chooses the kind of database, BENCH_NAME its file or name, BENCH_APPS the apps beside
those that every project begins with, BENCH_DEBUG=1 ``DEBUG``.
"""

from __future__ import annotations

import os
from typing import Any

SECRET_KEY = "made up for measurements"  # noqa: S105
USE_TZ = True
DEBUG = os.environ.get("BENCH_DEBUG") == "1"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# Its history takes half a minute to replay and ends in the same tables.
MIGRATION_MODULES = {"djstripe": None}
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    *os.environ.get("BENCH_APPS", "django_polar").split(),
]

CONNECTIONS: dict[str, dict[str, Any]] = {
    "sqlite": {"ENGINE": "django.db.backends.sqlite3"},
    "postgresql": {
        "ENGINE": "django.db.backends.postgresql",
        "USER": os.environ.get("TEST_POSTGRES_USER", "postgres"),
        "PASSWORD": os.environ.get("TEST_POSTGRES_PASSWORD", ""),
        "HOST": os.environ.get("TEST_POSTGRES_HOST", "127.0.0.1"),
        "PORT": os.environ.get("TEST_POSTGRES_PORT", "5432"),
    },
    "mariadb": {
        "ENGINE": "django.db.backends.mysql",
        "USER": os.environ.get("TEST_MARIADB_USER", "root"),
        "PASSWORD": os.environ.get("TEST_MARIADB_PASSWORD", ""),
        "HOST": os.environ.get("TEST_MARIADB_HOST", "127.0.0.1"),
        "PORT": os.environ.get("TEST_MARIADB_PORT", "3306"),
        "OPTIONS": {"charset": "utf8mb4"},
    },
}
DATABASES = {
    "default": {
        **CONNECTIONS[os.environ.get("BENCH_DATABASE", "sqlite")],
        "NAME": os.environ.get("BENCH_NAME", ":memory:"),
    }
}

POLAR_ACCESS_TOKEN = os.environ.get("BENCH_TOKEN", "polar_oat_made_up_for_measurements")
POLAR_BASE_URL = os.environ.get("BENCH_BASE_URL", "http://127.0.0.1:9")
POLAR_REQUESTS_PER_MINUTE = int(os.environ.get("BENCH_REQUESTS_PER_MINUTE", "1000000"))

STRIPE_TEST_SECRET_KEY = "sk_test_" + "0" * 24
STRIPE_LIVE_MODE = False
DJSTRIPE_FOREIGN_KEY_TO_FIELD = "id"
