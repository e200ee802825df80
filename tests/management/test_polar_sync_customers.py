"""The main job from the command line: output, exit codes, and one-line errors."""

from __future__ import annotations

import io
import json

import pytest
from celery import current_app
from django.core.management import CommandError, call_command
from django.test import override_settings

from django_polar.models import Customer
from django_polar.services import runs

pytestmark = pytest.mark.django_db


def run(*arguments):
    """What the command prints, and its exit code."""
    out = io.StringIO()
    try:
        call_command("polar_sync_customers", *arguments, stdout=out, stderr=io.StringIO())
    except SystemExit as exit_:
        return out.getvalue(), exit_.code
    return out.getvalue(), 0


def fails(*arguments):
    """The one line that the command fails with, and its exit code."""
    with pytest.raises(CommandError) as caught:
        call_command("polar_sync_customers", *arguments, stdout=io.StringIO())
    message = str(caught.value)
    assert "\n" not in message
    return message, caught.value.returncode


def test_prints_a_table(polar):
    """People get a summary with a row for each list."""
    polar.seed_world(120)

    output, code = run()

    assert code == 0
    customers = next(line for line in output.splitlines() if line.startswith("customers"))
    assert customers.split() == ["customers", "120", "120", "0", "0", "0", "0"]
    assert "complete" in output


def test_json_is_one_object(polar):
    """Machines get one object with everything, and nothing else."""
    polar.seed_world(120)

    output, code = run("--json")

    result = json.loads(output)
    assert code == 0
    assert result["outcome"] == "complete"
    for name in ("customers", "subscriptions", "benefits", "meters"):
        assert set(result[name]) == {
            "seen",
            "created",
            "updated",
            "unchanged",
            "deleted",
            "skipped",
        }
    assert result["customers"]["created"] == 120
    assert result["problems"] == []
    assert result["requests"] == len(polar.requests)
    assert result["linked"] == 0
    assert result["seconds"] > 0


def test_dry_run_reports_drift_and_exits_with_1(polar):
    """What would change is listed by kind; nothing is written."""
    customer = polar.add_customer(external_id="x-1", email="a@mail.dev")

    output, code = run("--dry-run")

    assert code == 1
    assert "remote only: 1" in output
    assert customer["id"] in output
    assert "x-1" in output
    assert "a@mail.dev" not in output
    assert not Customer.objects.exists()


def test_dry_run_without_drift_exits_with_0(polar):
    """A mirror that is right is said to be."""
    polar.seed_world(50)
    run()

    output, code = run("--dry-run", "--json")

    assert code == 0
    assert json.loads(output)["outcome"] == "in_sync"
    assert json.loads(output)["drift"] == {"counts": {}, "items": []}


def test_incomplete_exits_with_1(polar):
    """A run with problems says which, and fails."""
    polar.add_customer(email="ok@mail.dev")
    broken = polar.add_customer(email="bad@mail.dev")
    polar.corrupt("customers", broken["id"], email=17)

    output, code = run()

    assert code == 1
    assert f"problem: customers: an item of {broken['id']} was skipped: customer.email" in output


@pytest.mark.usefixtures("polar")
def test_a_missing_token_exits_with_2():
    """No token: say which setting."""
    with override_settings(POLAR_ACCESS_TOKEN=None):
        message, code = fails()

    assert "POLAR_ACCESS_TOKEN" in message
    assert code == 2


@pytest.mark.usefixtures("polar")
def test_a_wrong_token_exits_with_2():
    """A token that Polar refuses: say what kind is wanted, and do not show it."""
    with override_settings(POLAR_ACCESS_TOKEN="polar_oat_revoked"):
        message, code = fails()

    assert "POLAR_ACCESS_TOKEN" in message
    assert "polar_oat_revoked" not in message
    assert code == 2


def test_a_missing_scope_exits_with_2(polar):
    """A token without the scope: say which."""
    with override_settings(POLAR_ACCESS_TOKEN=polar.add_token("orders:read")):
        message, code = fails()

    assert "customers:read" in message
    assert code == 2


@pytest.mark.usefixtures("polar")
def test_an_unknown_api_version_exits_with_2():
    """A version that Polar does not have: say which setting."""
    with override_settings(POLAR_API_VERSION="1999-01"):
        message, code = fails()

    assert "POLAR_API_VERSION" in message
    assert code == 2


def test_an_outage_exits_with_1(polar):
    """Polar away: nothing to configure, so resume later."""
    polar.fail_next(503, times=1000)

    message, code = fails()

    assert "--resume" in message
    assert code == 1


@pytest.mark.usefixtures("polar")
def test_a_second_sync_exits_with_1():
    """One at a time."""
    other = runs.begin_run(with_state=True)

    message, code = fails()

    assert f"Sync run {other.pk}" in message
    assert code == 1


def test_no_state_leaves_the_state_out(polar):
    """Customers alone, for a token that may see no more."""
    customer = polar.add_customer(email="a@mail.dev")
    polar.add_grant(customer)

    output, code = run("--no-state", "--json")

    assert code == 0
    assert json.loads(output)["benefits"]["seen"] == 0
    assert Customer.objects.get().state.granted_benefits.count() == 0


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_on_a_terminal_only(polar):
    """Progress goes to a terminal's error stream, and nowhere else."""
    polar.seed_world(150)
    terminal, file = Terminal(), io.StringIO()

    call_command("polar_sync_customers", "--json", stdout=io.StringIO(), stderr=terminal)
    call_command("polar_sync_customers", "--json", stdout=io.StringIO(), stderr=file)

    assert "customers" in terminal.getvalue()
    assert file.getvalue() == ""


class TestOneCustomer:
    def test_by_external_id(self, polar):
        """One customer is made as Polar has it; nobody else is touched."""
        polar.add_customer(external_id="a/b", email="a@mail.dev")
        polar.add_customer(external_id="c", email="c@mail.dev")

        output, code = run("--external-id", "a/b", "--json")

        assert code == 0
        customer = Customer.objects.get()
        assert customer.external_id == "a/b"
        assert json.loads(output) == {
            "outcome": "complete",
            "external_id": "a/b",
            "customer": str(customer.pk),
        }

    def test_by_user(self, polar, django_user_model):
        """The customer of a user, who is linked by it."""
        user = django_user_model.objects.create(username="ada")
        polar.add_customer(external_id=str(user.pk), email="ada@mail.dev")

        _, code = run("--user", str(user.pk))

        assert code == 0
        assert user.polar_customer.email == "ada@mail.dev"

    @pytest.mark.usefixtures("polar")
    def test_that_polar_does_not_have(self):
        """A customer that is not there: said so, and exit 1."""
        output, code = run("--external-id", "nobody")

        assert code == 1
        assert "no customer with the external id nobody" in output

    @pytest.mark.parametrize("pk", ["4711", "not a number"])
    def test_of_a_user_who_is_not_there(self, pk):
        """A user that does not exist: name it."""
        message, code = fails("--user", pk)

        assert pk in message
        assert code == 2

    def test_ignored_options_are_refused(self):
        """Rather than doing something else than what was asked."""
        message, code = fails("--external-id", "x", "--dry-run")

        assert "--dry-run" in message
        assert code == 2


class TestCreateMissing:
    def test_users_without_a_customer_get_one(self, polar, django_user_model):
        """After the sync, for those who have an email; a second time nobody is left."""
        has_one = django_user_model.objects.create(username="a", email="a@mail.dev")
        polar.add_customer(external_id=str(has_one.pk), email="a@mail.dev")
        missing = django_user_model.objects.create(username="b", email="b@mail.dev")
        django_user_model.objects.create(username="c")

        output, code = run("--create-missing")

        assert code == 0
        assert "1 customers were to be created" in output
        assert polar.find_by_external_id(str(missing.pk))["email"] == "b@mail.dev"
        assert len(polar.customers) == 2
        assert "0 customers were to be created" in run("--create-missing")[0]

    def test_not_in_a_dry_run(self, polar, django_user_model):
        """It only says how many."""
        django_user_model.objects.create(username="b", email="b@mail.dev")

        output, _ = run("--create-missing", "--dry-run")

        assert "1 users have no customer" in output
        assert not polar.customers


class TestEnqueue:
    def test_without_a_broker(self):
        """No broker: one line that says so."""
        message, code = fails("--enqueue")

        assert "broker" in message
        assert code == 1

    @pytest.mark.usefixtures("celery_eager")
    def test_a_worker_does_it(self, polar):
        """The task is the same sync."""
        polar.add_customer(email="a@mail.dev")

        output, code = run("--enqueue")

        assert code == 0
        assert "worker" in output
        assert Customer.objects.count() == 1


@pytest.fixture
def celery_eager():
    """Tasks run where they are enqueued."""
    before = current_app.conf.task_always_eager
    current_app.conf.task_always_eager = True
    yield
    current_app.conf.task_always_eager = before
