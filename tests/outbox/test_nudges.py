"""Nudges to Celery: sent after the commit, and never in anybody's way."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
import uuid

import kombu
import pytest
from django.contrib.auth.models import User
from django.db import transaction

from django_polar import tasks
from django_polar.client import PolarClient
from django_polar.models import Customer, CustomerDeletion, CustomerPush, work_queued
from django_polar.services import get_or_create_customer, send_due_deletions
from django_polar.services.outbox import request_deletion
from tests.outbox.processes import worker
from tests.outbox.rows import make_user
from tests.servers import RABBITMQ_URL, REDIS_URL

DEAD_BROKERS = ["amqp://guest:guest@127.0.0.1:9//", "redis://127.0.0.1:9/0"]


@pytest.fixture
def heard():
    queues = []

    def hear(queue, **kwargs):
        queues.append(queue)

    work_queued.connect(hear)
    yield queues
    work_queued.disconnect(hear)


@pytest.mark.django_db
def test_one_per_transaction_after_the_commit(heard, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        for number in range(10):
            request_deletion(external_id=str(number))
        assert heard == []

    assert heard == ["send_due_deletions"]


@pytest.mark.django_db
def test_none_after_a_rollback(heard, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        make_user().delete()
        transaction.set_rollback(True)

    assert heard == []


@pytest.mark.django_db
def test_rolled_back_savepoint_takes_no_other_nudge_along(
    heard, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        with transaction.atomic():
            request_deletion(external_id="1")
            transaction.set_rollback(True)
        request_deletion(external_id="2")

    assert heard == ["send_due_deletions"]


@pytest.mark.parametrize("broker_url", DEAD_BROKERS)
@pytest.mark.django_db(transaction=True)
def test_broker_that_is_down_is_logged_and_breaks_nothing(celery_app, caplog, broker_url):
    celery_app.conf.broker_url = broker_url
    user = make_user()
    started = time.monotonic()

    user.delete()

    assert time.monotonic() - started < 3
    assert CustomerDeletion.objects.get().status == "waiting"
    (record,) = [record for record in caplog.records if record.name == "django_polar.tasks"]
    assert record.levelno == logging.WARNING
    assert record.exc_info is None


@pytest.mark.django_db(transaction=True)
def test_broker_that_is_down_is_not_asked_again_at_once(celery_app, caplog):
    celery_app.conf.broker_url = DEAD_BROKERS[0]
    for _ in range(5):
        make_user().delete()

    assert caplog.text.count("was not enqueued") == 1


@pytest.mark.django_db(transaction=True)
def test_eager_tasks_do_the_work_at_once(celery_app, polar):
    celery_app.conf.task_always_eager = True
    user = make_user()
    polar.add_customer(external_id=str(user.pk))

    user.delete()

    assert not polar.customers


def test_project_without_celery_never_loads_it():
    code = """
import sys, django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.contrib.auth.models import User
User.objects.create(username="ada").delete()
from django_polar.models import CustomerDeletion
assert CustomerDeletion.objects.count() == 1
loaded = {"celery", "httpx", "kombu"} & set(sys.modules)
assert not loaded, loaded
"""
    environment = {"DJANGO_SETTINGS_MODULE": "tests.settings", "PATH": ""}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def test_start_up_loads_neither_client_nor_payloads_nor_celery():
    code = """
import sys, django
django.setup()
import django_polar.services
loaded = {"celery", "httpx", "msgspec"} & set(sys.modules)
assert not loaded, loaded
"""
    environment = {"DJANGO_SETTINGS_MODULE": "tests.settings"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


@pytest.mark.services("RabbitMQ", "Redis")
@pytest.mark.parametrize("url", [RABBITMQ_URL, REDIS_URL])
@pytest.mark.django_db(transaction=True)
def test_broker_that_is_up_gets_one_message(celery_app, url):
    queue_name = f"django-polar-test-{uuid.uuid4()}"
    celery_app.conf.broker_url = url
    celery_app.conf.task_default_queue = queue_name

    User.objects.create(username="ada").delete()

    with kombu.Connection(url) as connection:
        queue = connection.SimpleQueue(queue_name)
        message = queue.get(timeout=5)
        assert message.headers["task"] == "django_polar.send_due_deletions"
        message.ack()
        with pytest.raises(queue.Empty):
            queue.get(block=False)
        queue.close()
        connection.default_channel.queue_delete(queue_name)


@pytest.mark.usefixtures("database_on_disk")
def test_everything_arrives_after_broker_and_polar_were_down(celery_app, polar, settings):
    """Sign-ups, changes and deletions, made while nothing but the database was there."""
    settings.POLAR_CREATE_ON_USER_CREATION = True
    settings.POLAR_UPDATE_ON_USER_CHANGE = True
    celery_app.conf.broker_url = DEAD_BROKERS[0]
    leaving = [make_user() for _ in range(10)]
    changing = make_user()
    CustomerPush.objects.all().delete()
    for user in [*leaving, changing]:
        get_or_create_customer(user)
    with PolarClient(polar.token, base_url="http://127.0.0.1:9", sleep=lambda _: None) as client:
        User.objects.filter(pk__in=[user.pk for user in leaving[:5]]).delete()
        for user in leaving[5:]:
            user.delete()
        changing.first_name = "Grace"
        changing.save()
        coming = make_user()
        assert send_due_deletions(client) == 0
    assert len(polar.customers) == 11

    CustomerDeletion.objects.update(due_at=CustomerDeletion.objects.first().created_at)
    with polar.serve() as base_url, worker(polar, base_url) as process:
        assert process.wait(60) == 0
    assert {row["name"] for row in polar.customers.values()} == {
        changing.get_full_name(),
        coming.get_full_name(),
    }
    assert Customer.objects.live().count() == 2


def test_every_task_has_its_name():
    names = {name for name in tasks.current_app.tasks if name.startswith("django_polar.")}

    assert {
        "django_polar.send_due_deletions",
        "django_polar.send_due_pushes",
        "django_polar.sync_customer",
        "django_polar.sync_customers",
    } <= names
