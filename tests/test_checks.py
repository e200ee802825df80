"""``manage.py check`` says what is wrong with the settings, and the fix."""

from __future__ import annotations

import pytest
from django.core.checks import ERROR, WARNING
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from django_polar.checks import check_project, check_settings
from django_polar.conf import settings as polar_settings

WRONG = {
    "POLAR_ENVIRONMENT": ("staging", "E001"),
    "POLAR_BASE_URL": ("api.polar.sh", "E002"),
    "POLAR_API_VERSION": (2026, "E003"),
    "POLAR_ORGANIZATION_ID": ("acme", "E004"),
    "POLAR_EXTERNAL_ID": ("nowhere.to_be_found", "E005"),
    "POLAR_USER_FROM_EXTERNAL_ID": (42, "E006"),
    "POLAR_CUSTOMER_FIELDS": ("tests.settings.SECRET_KEY", "E007"),
    "POLAR_CREATE_ON_USER_CREATION": ("yes", "E008"),
    "POLAR_UPDATE_ON_USER_CHANGE": (1, "E009"),
    "POLAR_DELETE_ON_USER_DELETION": (None, "E010"),
    "POLAR_ANONYMIZE_ON_DELETION": ("no", "E011"),
    "POLAR_ADOPT_BY_EMAIL": (True, "E012"),
    "POLAR_REQUESTS_PER_MINUTE": (0, "E013"),
    "POLAR_RATE_LIMIT_STORAGE": (None, "E014"),
    "POLAR_TIMEOUT": (0, "E015"),
    "POLAR_EVENT_RETENTION": (-1, "E016"),
    "POLAR_MAX_DELETED_SHARE": (20, "E017"),
    "POLAR_WEBHOOK_MAX_BODY_BYTES": (True, "E018"),
    "POLAR_QUEUE_MAX_ATTEMPTS": ("20", "E019"),
}


@pytest.mark.parametrize("setting", WRONG)
def test_wrong_value_is_an_error(setting, settings):
    """It has its stable id, names the setting, and tells its meaning as a hint."""
    value, number = WRONG[setting]
    setattr(settings, setting, value)

    messages = [message for message in check_settings() if message.id == f"django_polar.{number}"]

    (message,) = messages
    assert message.level == ERROR
    assert setting in message.msg
    assert setting in message.hint


@pytest.mark.parametrize(
    ("setting", "number"), [("POLAR_ACCESS_TOKEN", "W001"), ("POLAR_WEBHOOK_SECRET", "W002")]
)
def test_missing_secret_is_a_warning(setting, number, settings):
    """A project without its secrets still starts, as in its tests and its build."""
    delattr(settings, setting)

    (message,) = check_settings()

    assert message.id == f"django_polar.{number}"
    assert message.level == WARNING


def test_token_with_a_newline_is_no_token(settings):
    """A token pasted with its line end would fail with every request; the check says so before."""
    settings.POLAR_ACCESS_TOKEN = "polar_oat_made_up\n"

    (message,) = check_settings()

    assert "paste it again" in message.msg
    assert "made_up" not in message.msg


def test_settings_of_the_tests_are_in_order():
    """Nothing is wrong, so each of the above is about what it changed."""
    assert check_settings() == []


def test_project_of_the_tests_is_in_order():
    """As above."""
    assert check_project() == []


def test_times_without_offsets_are_refused(settings):
    """Before the first sync meets them."""
    settings.USE_TZ = False

    assert [message.id for message in check_project()] == ["django_polar.E036"]


def test_the_command_runs_all_checks(settings):
    """Those of the settings and those of the project, though nothing loads them before."""
    settings.POLAR_TIMEOUT = 0
    settings.USE_TZ = False

    with pytest.raises(SystemCheckError) as caught:
        call_command("check", tags=["polar"])

    assert "django_polar.E015" in str(caught.value)
    assert "django_polar.E036" in str(caught.value)


class MirrorElsewhere:
    """A router that parts customers from users."""

    def db_for_write(self, model, **_hints):
        return "elsewhere" if model._meta.app_label == "django_polar" else None


def test_mirror_in_another_database_than_the_users_is_refused(settings):
    """No foreign key and no transaction reaches over there."""
    settings.DATABASE_ROUTERS = [MirrorElsewhere()]

    (message,) = check_project()

    assert message.id == "django_polar.E037"
    assert "'elsewhere'" in message.msg


def test_secrets_may_rotate(settings):
    """Several webhook secrets at once are fine, none among them may be empty."""
    settings.POLAR_WEBHOOK_SECRET = ["new", "old"]

    assert polar_settings.webhook_secrets == ["new", "old"]

    settings.POLAR_WEBHOOK_SECRET = ["new", ""]

    assert [message.id for message in check_settings()] == ["django_polar.W002"]


@pytest.mark.django_db
def test_external_id_names_its_user_and_no_other(django_user_model):
    """By default it is the primary key as text, exactly: ``007`` is nobody's."""
    user = django_user_model.objects.create_user("bond", pk=7)

    external_ids = [polar_settings.external_id(user), "007", " 7", "seven", "9" * 40, "8"]

    assert polar_settings.user_from_external_id(external_ids) == {"7": 7}
