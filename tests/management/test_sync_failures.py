"""The main job when it cannot get to its end: one line, one object, and the right exit code."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import override_settings

from django_polar.services import runs


def fails(*arguments):
    """What is printed, the one line that the command fails with, and its exit code."""
    out = io.StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("polar_sync_customers", *arguments, stdout=out, stderr=io.StringIO())
    message = str(caught.value)
    assert "\n" not in message
    return out.getvalue(), message, caught.value.returncode


@pytest.mark.django_db
class TestJson:
    @pytest.mark.parametrize("token", ["polar_oat_wrong", None])
    @pytest.mark.usefixtures("polar")
    def test_a_failure_is_one_object_too(self, token):
        """Machines get every promised key, and the reason, whatever happens."""
        with override_settings(POLAR_ACCESS_TOKEN=token):
            output, message, code = fails("--json")

        result = json.loads(output)
        assert code == 2
        assert result["outcome"] == "failed"
        assert message in result["problems"]
        assert result["customers"]["seen"] == 0
        assert {"subscriptions", "benefits", "meters", "linked", "requests", "seconds"} <= set(
            result
        )

    def test_what_was_counted_before_the_failure_is_in_it(self, polar):
        """A sync that breaks off in the middle tells how far it came."""
        polar.seed_world(150)
        polar.fail_next(502, times=100, path="/v1/benefit-grants/")

        output, _, code = fails("--json")

        result = json.loads(output)
        assert code == 1
        assert result["customers"]["created"] == 150
        assert result["requests"] > 3

    @pytest.mark.usefixtures("polar")
    def test_a_second_sync(self):
        """Who comes second gets an object as well."""
        runs.begin_run(with_state=True)

        output, message, code = fails("--json")

        assert code == 1
        assert json.loads(output)["problems"] == [message]


@pytest.mark.parametrize(
    "base_url", ["https://api.polar.sh/v1", "https://api.polar.sh/v1/", "https://api.polar.sh?x=1"]
)
def test_a_base_url_with_too_much_in_it(base_url):
    """Said before anything is asked: one line, exit code 2, and no report of checks."""
    with override_settings(POLAR_BASE_URL=base_url):
        _, message, code = fails()

    assert code == 2
    assert "POLAR_BASE_URL" in message


@pytest.mark.usefixtures("polar")
def test_a_setting_that_the_sync_itself_does_not_read():
    """Every wrong setting stops the command, in the words of its check."""
    with override_settings(POLAR_MAX_DELETED_SHARE=7):
        _, message, code = fails()

    assert code == 2
    assert "POLAR_MAX_DELETED_SHARE" in message


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("polar")
def test_a_database_without_our_tables():
    """A project that was not migrated is told to, without a traceback."""
    call_command("migrate", "django_polar", "zero", verbosity=0)
    try:
        output, message, code = fails("--json")
    finally:
        call_command("migrate", "django_polar", verbosity=0)

    assert code == 2
    assert "manage.py migrate" in message
    assert json.loads(output)["outcome"] == "failed"


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("polar")
def test_a_database_that_fails():
    """Its message may quote a value, so only the kind of error is told."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE django_polar_syncrun RENAME TO elsewhere")
    try:
        _, message, code = fails()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE elsewhere RENAME TO django_polar_syncrun")

    assert code == 1
    assert "elsewhere" not in message
    assert "Error)" in message
