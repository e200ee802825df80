"""Workers as processes of their own, on the database of the test and a fake Polar over HTTP."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager

from django.db import connection


@contextmanager
def worker(polar, base_url, *arguments, command="polar_process_queues", stdout=subprocess.DEVNULL):
    """``manage.py polar_process_queues``, killed at the end if it still runs."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.outbox.process_settings",
        "PROCESS_DATABASE_NAME": str(connection.settings_dict["NAME"]),
        "PROCESS_POLAR_TOKEN": polar.token,
        "PROCESS_POLAR_URL": base_url,
    }
    words = [sys.executable, "-m", "django", command, *arguments]
    with subprocess.Popen(
        words, env=environment, stdout=stdout, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
