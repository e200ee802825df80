from __future__ import annotations

import celery
import pytest
from django.core.management import call_command
from django.db import connection

from django_polar import tasks
from django_polar.client import polar_client


@pytest.fixture
def client(polar):
    """Talks to the fake Polar, and waits for nothing."""
    with polar_client() as client:
        yield client


@pytest.fixture
def database_on_disk(transactional_db, tmp_path):
    """A database that other processes see. SQLite's is in memory elsewhere."""
    if connection.vendor != "sqlite":
        yield
        return
    in_memory, name = connection.connection, connection.settings_dict["NAME"]
    connection.connection, connection.settings_dict["NAME"] = None, tmp_path / "test.sqlite3"
    try:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=OFF")
        call_command("migrate", verbosity=0)
        yield
    finally:
        connection.close()
        connection.connection, connection.settings_dict["NAME"] = in_memory, name


@pytest.fixture
def celery_app():
    """The project's Celery app, for as long as a test takes."""
    before = celery.current_app._get_current_object()
    app = celery.Celery("tests")
    app.set_default()
    app.set_current()
    tasks._broker_rests_until = 0.0
    yield app
    tasks._broker_rests_until = 0.0
    app.close()
    before.set_default()
    before.set_current()
