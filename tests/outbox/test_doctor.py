"""What the doctor finds, and the fix that it names."""

from __future__ import annotations

import io
import uuid

import pytest
from django.core.management import call_command
from django.utils import timezone

from django_polar.models import CustomerDeletion, LinkConflict, SyncRun
from django_polar.services.outbox import request_deletion
from django_polar.services.webhook_endpoints import NEEDED_EVENTS
from tests.outbox.rows import make_customer, make_user

pytestmark = pytest.mark.django_db

READS = ("customers:read", "subscriptions:read", "benefits:read", "customer_meters:read")


def examine(*arguments):
    """What it prints, and the exit code."""
    output = io.StringIO()
    try:
        call_command("polar_doctor", *arguments, stdout=output, no_color=True)
    except SystemExit as stopped:
        return output.getvalue(), stopped.code
    return output.getvalue(), 0


@pytest.fixture(autouse=True)
def synced(polar):
    SyncRun.objects.create(started_at=timezone.now(), outcome=SyncRun.Outcome.COMPLETE)
    polar.add_webhook_endpoint(
        "https://example.com/polar/webhook/",
        events=NEEDED_EVENTS,
        secret="polar_whs_made_up_for_tests",
    )


def wrong_lines(text):
    return [line for line in text.splitlines() if line.startswith("wrong")]


def test_healthy_project_has_no_fault(polar):
    there = polar.add_customer()
    text, code = examine()

    assert wrong_lines(text) == []
    assert code == 0
    assert "customers:write" in text
    assert list(polar.customers) == [there["id"]]


def test_wrong_token_names_the_setting(settings):
    settings.POLAR_ACCESS_TOKEN = "polar_oat_of_elsewhere"

    text, code = examine()

    assert code == 1
    assert "Set POLAR_ACCESS_TOKEN" in text
    assert "polar_oat_of_elsewhere" not in text


def test_missing_token_is_said_once(settings):
    del settings.POLAR_ACCESS_TOKEN

    text, code = examine()

    assert code == 1
    assert len([line for line in wrong_lines(text) if "POLAR_ACCESS_TOKEN" in line]) == 1


def test_each_missing_scope_is_named(polar, settings):
    settings.POLAR_ACCESS_TOKEN = polar.add_token(*READS)

    text, code = examine()

    assert code == 1
    lacking = "\n".join(wrong_lines(text))
    assert "customers:write" in lacking
    assert "customer_sessions:write" in lacking
    assert "subscriptions:read" not in lacking


def test_unknown_api_version_names_the_setting(settings):
    settings.POLAR_API_VERSION = "1999-01"

    text, code = examine()

    assert code == 1
    assert "Check POLAR_API_VERSION (1999-01)" in text


def test_polar_that_is_away_is_said_once(polar):
    polar.fail_next(503, times=100)

    text, code = examine()

    assert code == 1
    assert len(wrong_lines(text)) == 1
    assert "connection" in text


def test_token_of_another_organization_is_said(polar):
    polar.add_customer()
    make_customer(organization_id=uuid.uuid4())

    text, code = examine()

    assert code == 1
    assert "--replace-organization" in text


def test_work_that_needs_a_person_is_shown(polar):
    request_deletion(external_id="42").mark_failed("422, refused")

    text, code = examine()

    assert code == 1
    assert "1 customer deletions need a person" in text
    assert "422, refused" in text
    CustomerDeletion.objects.needs_attention().retry()
    assert examine()[1] == 0


def test_open_conflict_is_shown():
    LinkConflict.objects.create(user=make_user(), customer_id=uuid.uuid4(), reason="same email")

    assert "1 customers have the email of a user" in examine()[0]


def test_mirror_that_was_never_complete_is_said():
    SyncRun.objects.all().delete()

    assert "polar_sync_customers" in examine()[0]


def test_broker_is_asked_only_if_wanted(celery_app):
    celery_app.conf.broker_url = "amqp://guest:guest@127.0.0.1:9//"

    assert examine()[1] == 0
    text, code = examine("--broker")

    assert code == 1
    assert "broker: it does not answer" in text


def test_a_disabled_webhook_endpoint_is_a_fault(polar):
    """Polar disables it after ten events that were not taken, and says nothing."""
    for endpoint in polar.webhooks.endpoints.values():
        endpoint["enabled"] = False

    text, code = examine()

    assert code == 1
    assert "is disabled" in wrong_lines(text)[0]


def test_a_good_webhook_endpoint_is_said_to_be(polar):
    assert "the endpoint is enabled" in examine()[0]
