"""``tests.settings`` with django-unfold as the admin's theme."""

from .settings import *  # noqa: F403
from .settings import INSTALLED_APPS as PLAIN

INSTALLED_APPS = ["unfold", *PLAIN]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
