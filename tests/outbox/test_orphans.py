"""What no signal told of: found by a dry run, and put right where one asks for it."""

from __future__ import annotations

import io
import json

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection

from django_polar.client import polar_client
from django_polar.models import Customer, CustomerDeletion, CustomerPush
from django_polar.services import (
    get_or_create_customer,
    send_due_deletions,
    send_due_pushes,
    sync_customers,
)
from django_polar.services.orphans import iter_orphans, request_orphan_deletions
from tests.outbox.rows import make_user

pytestmark = pytest.mark.django_db


def run(*arguments):
    output = io.StringIO()
    try:
        call_command("polar_sync_customers", *arguments, stdout=output)
    except SystemExit as stopped:
        return output.getvalue(), stopped.code
    return output.getvalue(), 0


@pytest.fixture
def orphan(polar):
    """A customer whose user was deleted by SQL, beside one that has its user."""
    user, other = make_user(), make_user()
    customer = get_or_create_customer(user)
    get_or_create_customer(other)
    Customer.objects.filter(pk=customer.pk).update(user=None)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM auth_user WHERE id = %s", [user.pk])
    polar.add_customer(name="Bought without an account")
    return customer


def test_dry_run_names_orphans_and_changes_nothing(orphan):
    text, _ = run("--dry-run", "--delete-orphans", "--no-input")

    assert f"customers {orphan.pk} (external id {orphan.external_id})" in text
    assert "orphans, whose external id belongs to no user: 1" in text
    assert not CustomerDeletion.objects.exists()


def test_orphans_are_deleted_when_asked_for(polar, orphan):
    text, code = run("--delete-orphans", "--no-input")

    assert code == 0
    assert "queued: 1 deletions" in text
    with polar_client() as client:
        send_due_deletions(client)
    assert str(orphan.pk) not in polar.customers
    assert len(polar.customers) == 2
    assert CustomerDeletion.objects.get().reason == CustomerDeletion.Reason.ORPHAN


@pytest.mark.parametrize(("answer", "queued"), [("n", 0), ("", 0), ("y", 1)])
def test_person_is_asked_with_the_number(orphan, monkeypatch, answer, queued):
    asked = []
    monkeypatch.setattr("builtins.input", lambda text: asked.append(text) or answer)

    run("--delete-orphans")

    assert "Delete 1 customers" in asked[0]
    assert CustomerDeletion.objects.count() == queued


def test_changes_that_no_signal_told_of_are_named_and_pushed(polar):
    user = make_user()
    customer = get_or_create_customer(user)
    get_or_create_customer(make_user())
    User.objects.filter(pk=user.pk).update(first_name="Grace")

    text, _ = run("--dry-run")
    assert f"customers {customer.pk} (external id {user.pk}): name" in text
    assert "Grace" not in text
    assert not CustomerPush.objects.exists()

    run("--push")
    with polar_client() as client:
        assert send_due_pushes(client) == 1
    user.refresh_from_db()
    assert polar.customers[str(customer.pk)]["name"] == user.get_full_name()
    assert "differ from" not in run("--dry-run")[0]


def test_other_case_of_an_address_is_no_difference(polar):
    user = make_user()
    get_or_create_customer(user)
    User.objects.filter(pk=user.pk).update(email=user.email.upper())

    assert "differ from" not in run("--dry-run")[0]


def name_only(user):
    return {"name": user.last_name, "billing_name": None}


def test_blank_here_is_no_difference(polar, settings):
    user = make_user()
    get_or_create_customer(user)
    settings.POLAR_CUSTOMER_FIELDS = "tests.outbox.test_orphans.name_only"
    User.objects.filter(pk=user.pk).update(last_name="")

    assert "differ from" not in run("--dry-run")[0]


def test_numbers_and_names_are_in_the_json_too(orphan):
    text, _ = run("--dry-run", "--json")

    summary = json.loads(text)
    assert summary["orphans"] == {
        "count": 1,
        "items": [{"id": str(orphan.pk), "external_id": orphan.external_id}],
    }
    assert summary["differing"]["count"] == 0


def test_orphans_do_not_count_as_drift_of_the_mirror(orphan):
    sync_customers()

    assert run("--dry-run")[1] == 0


def test_users_are_asked_for_in_chunks(polar, django_assert_max_num_queries):
    for number in range(30):
        polar.add_customer(external_id=f"nobody {number}")
    sync_customers()

    with django_assert_max_num_queries(22):
        assert request_orphan_deletions(iter_orphans()) == 30

    assert CustomerDeletion.objects.count() == 30
