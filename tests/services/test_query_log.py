"""A sync under ``DEBUG``, where Django would keep and tell what it wrote."""

from __future__ import annotations

import logging

import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from django_polar.models import Customer
from django_polar.services.query_log import without_query_log
from django_polar.services.sync import sync_customers

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("debug")]


@pytest.fixture
def debug():
    with override_settings(DEBUG=True):
        yield


def test_no_statement_of_a_sync_is_logged(polar, caplog):
    """Neither kept nor told to a logger: they hold whole pages of personal data."""
    caplog.set_level(logging.DEBUG, "django.db.backends")
    polar.seed_world(200)
    longest = []

    sync_customers(progress=lambda *_: longest.append(len(connection.queries_log)))

    told = [record.getMessage() for record in caplog.records]
    assert Customer.objects.exclude(email=None).exists()
    assert [message for message in told if "django_polar_syncrun" in message]
    assert not [message for message in told if "@" in message or '_customer"' in message]
    assert max(longest) <= 10


def test_the_log_is_afterwards_what_it_was_before():
    """And logs again."""
    Customer.objects.count()
    before = list(connection.queries_log)
    assert before

    with without_query_log("default"):
        Customer.objects.exists()

    assert list(connection.queries_log) == before
    assert "make_debug_cursor" not in vars(connection)
    Customer.objects.exists()
    assert len(connection.queries_log) == len(before) + 1


def test_it_is_so_after_an_error():
    def fail():
        with without_query_log("default"):
            raise LookupError

    with pytest.raises(LookupError):
        fail()

    assert "make_debug_cursor" not in vars(connection)


def test_somebody_elses_cursor_is_put_back(monkeypatch):
    """Debugging tools put one in the same place."""
    made = []

    def make_debug_cursor(cursor):
        made.append(cursor)
        return connection.make_cursor(cursor)

    monkeypatch.setattr(connection, "make_debug_cursor", make_debug_cursor, raising=False)

    with without_query_log("default"):
        Customer.objects.exists()
    assert made == []
    Customer.objects.exists()

    assert len(made) == 1


def test_who_counts_queries_gets_them_all():
    """Whether the counting began before the job, or within it."""
    with CaptureQueriesContext(connection) as outside, without_query_log("default") as log:
        Customer.objects.exists()
        log.trim()
    with without_query_log("default") as log, CaptureQueriesContext(connection) as inside:
        Customer.objects.exists()
        log.trim()

    assert len(outside) == len(inside) == 1


def test_what_is_logged_all_the_same_is_trimmed():
    """Django notes where transactions begin and end without asking for a cursor."""
    with without_query_log("default") as log:
        connection.queries_log.append({"sql": "COMMIT", "time": "0.001"})
        log.trim()

        assert not connection.queries_log
