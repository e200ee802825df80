"""What Polar is told of users that come and change, where the project wants that."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.core import serializers
from django.utils import timezone

from django_polar.client import polar_client
from django_polar.models import Customer, CustomerPush, LinkConflict
from django_polar.services import send_due_pushes, update_customer
from tests.outbox.rows import make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def wanted(settings):
    settings.POLAR_CREATE_ON_USER_CREATION = True
    settings.POLAR_UPDATE_ON_USER_CHANGE = True


@pytest.fixture
def sent(polar):
    """Bodies of what was written to Polar."""
    polar.keep_bodies = True
    return lambda: [(r.method, r.body) for r in polar.requests if r.method in ("POST", "PATCH")]


def run():
    CustomerPush.objects.open().update(due_at=timezone.now())
    with polar_client() as client:
        return send_due_pushes(client)


@pytest.fixture
def user(polar):
    """A user whose customer is at Polar and here."""
    user = make_user()
    assert run() == 1
    polar.reset_requests()
    return user


def test_new_user_becomes_a_customer(polar):
    user = make_user()
    assert not polar.customers

    assert run() == 1

    (there,) = polar.customers.values()
    assert there["external_id"] == str(user.pk)
    assert Customer.objects.get().user == user


@pytest.mark.usefixtures("polar")
def test_nothing_is_queued_unless_wanted(settings):
    settings.POLAR_CREATE_ON_USER_CREATION = False
    settings.POLAR_UPDATE_ON_USER_CHANGE = False
    user = make_user()
    user.first_name = "Grace"
    user.save()

    assert not CustomerPush.objects.exists()


@pytest.mark.parametrize("status", [500, 503, 429, 401])
def test_failing_polar_breaks_no_sign_up_and_loses_nothing(polar, status):
    make_user()
    polar.fail_next(status, method="POST")

    assert run() == 0
    assert run() == 1

    assert len(polar.customers) == 1


def test_creation_whose_answer_was_lost_makes_no_second_customer(polar):
    make_user()
    polar.timeout_next(after_apply=True, method="POST")

    assert run() == 0
    assert run() == 1

    assert len(polar.customers) == 1


def test_conflict_ends_the_push_and_waits_for_a_person(polar):
    user = make_user()
    polar.add_customer(email=user.email)

    assert run() == 1

    assert LinkConflict.objects.get().user == user


@pytest.mark.usefixtures("polar")
def test_email_that_polar_refuses_is_shown_to_a_person():
    make_user(email="nobody")

    run()

    push = CustomerPush.objects.get()
    assert push.status == "needs attention"
    assert "email" in push.last_error
    assert "nobody" not in push.last_error


def test_only_what_changed_is_sent(polar, user, sent):
    user.first_name = "Grace"
    user.save()
    run()

    assert sent() == [("PATCH", f'{{"name":"{user.get_full_name()}"}}'.encode())]
    assert Customer.objects.get().name == user.get_full_name()


def test_saving_without_a_change_queues_nothing(user):
    user.last_login = timezone.now()
    user.save()
    user.save(update_fields=["last_login"])

    assert not CustomerPush.objects.open().exists()


def test_change_that_was_not_saved_is_not_sent(user, sent):
    user.email = "elsewhere@ada.dev"
    user.first_name = "Grace"
    user.save(update_fields=["first_name"])
    run()

    assert sent() == [("PATCH", f'{{"name":"{user.get_full_name()}"}}'.encode())]


def test_several_changes_become_one_request_with_the_last_values(user, sent):
    for name in ("Grace", "Barbara", "Adele"):
        user.first_name = name
        user.save()
    user.email = "adele@ada.dev"
    user.save()

    assert CustomerPush.objects.open().count() == 1
    run()

    ((_, body),) = sent()
    assert b"adele@ada.dev" in body
    assert b"Adele" in body


def test_name_that_was_taken_away_here_is_not_taken_from_polar(polar, user, sent):
    user.first_name = user.last_name = ""
    user.save()
    run()

    assert sent() == []
    assert next(iter(polar.customers.values()))["name"]


def test_what_came_from_polar_is_not_sent_back(polar, user, sent):
    (there,) = polar.customers.values()
    with polar_client() as client:
        polar.update_customer(there["id"], name="Grace Hopper")
        Customer.objects.all().update(name="Grace Hopper")
        user.first_name, user.last_name = "Grace", "Hopper"
        user.save()
        send_due_pushes(client)

    assert sent() == []
    assert not CustomerPush.objects.open().exists()


def test_what_polar_learned_meanwhile_is_not_overwritten_by_an_unchanged_field(polar, user, sent):
    update_customer(user, name="Known At Polar")
    polar.reset_requests()
    user.email = "elsewhere@ada.dev"
    user.save()
    run()

    assert sent() == [("PATCH", b'{"email":"elsewhere@ada.dev"}')]


def test_update_of_a_user_who_is_no_customer_makes_one_only_where_wanted(polar, settings):
    settings.POLAR_CREATE_ON_USER_CREATION = False
    user = make_user()
    user.first_name = "Grace"
    user.save()

    assert run() == 1

    assert not polar.customers
    settings.POLAR_CREATE_ON_USER_CREATION = True
    user.first_name = "Barbara"
    user.save()
    run()
    assert len(polar.customers) == 1


def test_user_that_is_deleted_takes_its_pushes_along(polar):
    user = make_user()
    claimed = CustomerPush.objects.claim(1)
    User.objects.filter(pk=user.pk).delete()

    claimed[0].mark_done()

    assert not CustomerPush.objects.exists()
    assert run() == 0
    assert not polar.customers


def fails(user):
    raise RuntimeError(user.email)


def test_broken_function_of_the_project_does_not_break_saving(settings, caplog):
    settings.POLAR_CUSTOMER_FIELDS = "tests.outbox.test_pushes.fails"
    user = make_user()

    user.first_name = "Grace"
    user.save()

    assert "POLAR_CUSTOMER_FIELDS" in caplog.text
    assert user.email not in caplog.text


@pytest.mark.usefixtures("polar")
def test_broken_function_of_the_project_is_shown_to_a_person(settings):
    user = make_user()
    settings.POLAR_CUSTOMER_FIELDS = "tests.outbox.test_pushes.fails"

    run()

    push = CustomerPush.objects.get()
    assert push.status == "needs attention"
    assert "POLAR_CUSTOMER_FIELDS" in push.last_error
    assert user.email not in push.last_error


def test_fixtures_queue_nothing(settings):
    data = serializers.serialize("json", [User(pk=99, username="from a fixture")])
    for loaded in serializers.deserialize("json", data):
        loaded.save()

    assert not CustomerPush.objects.exists()
