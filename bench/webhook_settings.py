"""``bench.settings`` with the two doors for webhooks: ours and dj-stripe's."""

from __future__ import annotations

from .settings import *  # noqa: F403

ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "bench.webhook_urls"
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
# As a site does that is slow otherwise: to connect takes longer than either door.
DATABASES["default"]["CONN_MAX_AGE"] = 60  # noqa: F405
POLAR_WEBHOOK_SECRET = "polar_whs_made_up_for_measurements"  # noqa: S105
# Stored and not processed, as ours: otherwise it would be slower still.
DJSTRIPE_WEBHOOK_EVENT_CALLBACK = "bench.webhook_urls.leave_it"
