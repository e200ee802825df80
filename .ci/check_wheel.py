"""The installed wheel has every file of the package, imports, and starts up in Django."""

import sys
from importlib.metadata import version
from pathlib import Path

import django
from django.conf import settings

expected = Path(sys.argv[1]).read_text().split()

settings.configure(
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "rest_framework",
        "django_polar",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    POLAR_ACCESS_TOKEN="made up",
    POLAR_WEBHOOK_SECRET="made up",
    USE_TZ=True,
)
django.setup()

from django.core.management import call_command  # noqa: E402 - with it

import django_polar  # noqa: E402 - after setup, as in a project

package = Path(django_polar.__file__).parent
assert "site-packages" in package.parts, f"not the installed one: {package}"
missing = [name for name in expected if not (package.parent / name).is_file()]
assert not missing, f"the wheel lacks {missing}"
assert version("django-polar") == django_polar.__version__
call_command("check", fail_level="WARNING")
call_command("migrate", verbosity=0)
print(f"django-polar {django_polar.__version__}: {len(expected)} files, checks and migrations ran")
