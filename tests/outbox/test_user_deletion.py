"""Deleting users, in every way Django has."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import DatabaseError, transaction
from django.db.models.signals import post_delete
from django.test import Client

from django_polar.models import Customer, CustomerDeletion, CustomerState
from tests.outbox.rows import make_customer, make_user

pytestmark = pytest.mark.django_db


def test_instance_is_recorded_with_both_ids():
    user = make_user()
    customer = make_customer(user)

    user.delete()

    deletion = CustomerDeletion.objects.get()
    assert deletion.external_id == customer.external_id
    assert deletion.customer_id == customer.pk
    assert deletion.anonymize
    assert deletion.reason == CustomerDeletion.Reason.USER_DELETED


def test_queryset_records_each_user():
    users = [make_user() for _ in range(3)]
    make_user()

    User.objects.filter(pk__in=[user.pk for user in users]).delete()

    assert set(CustomerDeletion.objects.values_list("external_id", flat=True)) == {
        str(user.pk) for user in users
    }


def test_user_that_the_mirror_does_not_know_is_recorded_too():
    user = make_user()
    external_id = str(user.pk)

    user.delete()

    deletion = CustomerDeletion.objects.get()
    assert (deletion.external_id, deletion.customer_id) == (external_id, None)


def test_linked_customer_with_another_external_id_is_recorded_beside_the_users_own():
    user = make_user()
    external_id = str(user.pk)
    customer = make_customer(user, external_id="from the old shop")

    user.delete()

    assert set(CustomerDeletion.objects.values_list("external_id", "customer_id")) == {
        ("from the old shop", customer.pk),
        (external_id, None),
    }


@pytest.mark.django_db(transaction=True)
def test_rollback_leaves_nothing():
    user = make_user()
    customer = make_customer(user)

    with transaction.atomic():
        user.delete()
        transaction.set_rollback(True)

    assert not CustomerDeletion.objects.exists()
    customer.refresh_from_db()
    assert customer.email
    assert CustomerState.objects.filter(pk=customer.pk).exists()


def test_savepoint_that_is_rolled_back_leaves_nothing_and_the_next_try_is_recorded():
    first, second = make_user(), make_user()
    with transaction.atomic():
        User.objects.all().delete()
        transaction.set_rollback(True)
    assert not CustomerDeletion.objects.exists()

    User.objects.filter(pk=second.pk).delete()

    assert CustomerDeletion.objects.get().external_id == str(second.pk)
    assert User.objects.get() == first


def test_deletion_that_fails_halfway_records_nothing():
    user = make_user()

    def refuse(**kwargs):
        raise DatabaseError

    post_delete.connect(refuse, sender=User)
    try:
        with pytest.raises(DatabaseError), transaction.atomic():
            user.delete()
    finally:
        post_delete.disconnect(refuse, sender=User)

    assert not CustomerDeletion.objects.exists()


def test_confirmation_pages_of_the_admin_record_nothing():
    admin = get_user_model().objects.create_superuser("admin", "admin@example.com", "secret")
    user = make_user()
    make_customer(user)
    browser = Client()
    browser.force_login(admin)

    page = browser.get(f"/admin/auth/user/{user.pk}/delete/")
    action = {"action": "delete_selected", "_selected_action": [user.pk]}
    list_page = browser.post("/admin/auth/user/", action)

    assert b"Are you sure" in page.content
    assert b"Are you sure" in list_page.content
    assert not CustomerDeletion.objects.exists()


@pytest.mark.parametrize("way", ["page", "action"])
def test_deletion_in_the_admin_is_recorded(way):
    admin = get_user_model().objects.create_superuser("admin", "admin@example.com", "secret")
    user = make_user()
    external_id = str(user.pk)
    browser = Client()
    browser.force_login(admin)

    if way == "page":
        browser.post(f"/admin/auth/user/{user.pk}/delete/", {"post": "yes"})
    else:
        action = {"action": "delete_selected", "_selected_action": [user.pk], "post": "yes"}
        browser.post("/admin/auth/user/", action)

    assert CustomerDeletion.objects.get().external_id == external_id


def test_setting_switches_it_off_and_unlinks_only(settings):
    settings.POLAR_DELETE_ON_USER_DELETION = False
    user = make_user()
    customer = make_customer(user)

    user.delete()

    assert not CustomerDeletion.objects.exists()
    customer.refresh_from_db()
    assert customer.user is None
    assert customer.email


def test_anonymization_is_a_setting(settings):
    settings.POLAR_ANONYMIZE_ON_DELETION = False
    make_user().delete()

    assert CustomerDeletion.objects.get().anonymize is False


def external_id_of_staff_is_none(user):
    return None if user.is_staff else f"user-{user.username}"


def test_users_without_an_external_id_never_had_a_customer(settings):
    settings.POLAR_EXTERNAL_ID = "tests.outbox.test_user_deletion.external_id_of_staff_is_none"
    make_user(is_staff=True)
    customer = make_user()

    User.objects.all().delete()

    assert CustomerDeletion.objects.get().external_id == f"user-{customer.username}"


def test_thousand_users_take_a_fixed_number_of_statements(django_assert_max_num_queries):
    """Statements come in batches of 500 and, on SQLite, of what fits into one; none per user."""
    User.objects.bulk_create(User(username=f"user {number}") for number in range(1000))
    customers = [make_customer(user, save=False) for user in User.objects.all()]
    Customer.objects.bulk_create(customers)
    CustomerState.objects.bulk_create(CustomerState(customer=customer) for customer in customers)

    with django_assert_max_num_queries(90):
        User.objects.all().delete()

    assert CustomerDeletion.objects.count() == 1000
    assert not Customer.objects.live().exists()
    assert not CustomerState.objects.exists()


def test_one_user_takes_few_statements_more_than_django_needs(django_assert_max_num_queries):
    user = make_user()
    make_customer(user)

    with django_assert_max_num_queries(27):
        user.delete()
