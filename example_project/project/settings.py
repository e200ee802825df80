"""What a project needs for django-polar is marked; the rest is Django's usual."""

import os
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
DEMO_DIR = BASE_DIR.parent / "demo"

SECRET_KEY = os.environ.get("SECRET_KEY", "not a secret: this is a demo")
DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver"]
ROOT_URLCONF = "project.urls"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "home"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "rest_framework",
    "shop",  # first: its templates dress those of the package
    "django_polar",  # django-polar
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("DEMO_DATABASE", str(DEMO_DIR / "db.sqlite3")),
    }
}

# django-polar: the token and the webhook secret are all that it needs.
POLAR_ACCESS_TOKEN = os.environ.get("POLAR_ACCESS_TOKEN")
POLAR_WEBHOOK_SECRET = os.environ.get("POLAR_WEBHOOK_SECRET", "polar_whs_made_up")
POLAR_ENVIRONMENT = os.environ.get("POLAR_ENVIRONMENT", "production")
POLAR_BASE_URL = os.environ.get("POLAR_BASE_URL")
if POLAR_BASE_URL:
    # The fake Polar of the demo has no limit to keep.
    POLAR_REQUESTS_PER_MINUTE = 1_000_000

# The shop's own: what it sells, by the products' ids in Polar. These are the fake Polar's.
SHOP_PLANS = [
    {"name": "Free", "price": "$0", "product_id": "899e2f1f-2abf-4879-a36f-5eba57bd25fa"},
    {"name": "Pro", "price": "$15 a month", "product_id": "957b0b87-4524-409a-9d03-5007f821a094"},
    {
        "name": "Business",
        "price": "$99 a month",
        "product_id": "76f68a75-f01e-476f-9a02-ada71a3765a3",
    },
]

# Names for templates and views: {{ user|has_active_subscription:"pro" }}.
POLAR_PRODUCTS = {str(plan["name"]).lower(): plan["product_id"] for plan in SHOP_PLANS}

# With django-polar[openapi] there is a schema of the API under /schema/.
REST_FRAMEWORK = {}
if find_spec("drf_spectacular"):
    REST_FRAMEWORK["DEFAULT_SCHEMA_CLASS"] = "drf_spectacular.openapi.AutoSchema"

CELERY_BROKER_URL = os.environ.get("CELERY_BROKER_URL", "redis://127.0.0.1:6379/0")
CELERY_BEAT_SCHEDULE = {
    "polar: sync customers": {
        "task": "django_polar.sync_customers",
        "schedule": timedelta(hours=1),
    },
    "polar: send deletions": {
        "task": "django_polar.send_due_deletions",
        "schedule": timedelta(minutes=1),
    },
    "polar: send creations and updates": {
        "task": "django_polar.send_due_pushes",
        "schedule": timedelta(minutes=1),
    },
    "polar: apply webhooks": {
        "task": "django_polar.apply_due_events",
        "schedule": timedelta(minutes=1),
    },
    "polar: prune webhooks": {
        "task": "django_polar.prune_events",
        "schedule": timedelta(days=1),
    },
}
