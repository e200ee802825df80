"""Django's settings for processes of their own, which need a database on disk and real HTTP."""

import os

from tests.settings import *  # noqa: F403 - the same, but for these
from tests.settings import DATABASE_CONNECTIONS

DATABASES = {
    "default": {
        **DATABASE_CONNECTIONS[os.environ.get("TEST_DATABASE", "sqlite")],
        "NAME": os.environ["PROCESS_DATABASE_NAME"],
    }
}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A killed process loses nothing that it gave to the operating system, and disks are slow.
    DATABASES["default"]["OPTIONS"] = {"init_command": "PRAGMA synchronous=OFF"}
POLAR_ACCESS_TOKEN = os.environ["PROCESS_POLAR_TOKEN"]
POLAR_BASE_URL = os.environ["PROCESS_POLAR_URL"]
POLAR_REQUESTS_PER_MINUTE = 1_000_000
