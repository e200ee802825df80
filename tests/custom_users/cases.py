"""Run once for each kind of key by ``tests/outbox/test_custom_users.py``."""

from __future__ import annotations

from itertools import count

import pytest
from django.conf import settings as django_settings
from django.db import transaction
from django.db.models.deletion import Collector

from django_polar.client import polar_client
from django_polar.models import Customer, CustomerDeletion, CustomerPush
from django_polar.services import get_or_create_customer, send_due_deletions, sync_customers
from tests.custom_users.models import Account, Company, Employee, Member, Profile

pytestmark = pytest.mark.django_db

_numbers = count(1)


def make(model=Account, **fields):
    number = next(_numbers)
    if django_settings.CUSTOM_USERS_KEY == "text":
        fields["key"] = f"ada/{number} é"
    return model.objects.create(email=f"ada{number}@ada.dev", **fields)


def recorded():
    return set(CustomerDeletion.objects.values_list("external_id", flat=True))


def test_key_is_the_external_id_both_ways(polar):
    user = make()
    polar.add_customer(external_id=str(user.pk))
    sync_customers()

    assert Customer.objects.get().user == user
    user.delete()
    with polar_client() as client:
        assert send_due_deletions(client) == 1
    assert not polar.customers


def test_customer_is_made_for_the_user(polar):
    user = make()

    customer = get_or_create_customer(user)

    assert polar.customers[str(customer.pk)]["external_id"] == str(user.pk)
    assert get_or_create_customer(user) == customer


def test_keys_that_look_alike_are_different_people(polar):
    user = make()
    for other in (str(user.pk).upper(), f"{user.pk} ", str(user.pk).replace("-", "")):
        if other != str(user.pk):
            polar.add_customer(external_id=other)
    sync_customers()

    assert not Customer.objects.linked().exists()


def test_queryset():
    users = [make() for _ in range(3)]

    Account.objects.all().delete()

    assert recorded() == {str(user.pk) for user in users}


def test_cascade(django_assert_max_num_queries):
    company = Company.objects.create(name="Acme")
    users = [make(company=company) for _ in range(50)]

    with django_assert_max_num_queries(45):
        company.delete()

    assert recorded() == {str(user.pk) for user in users}


def test_cascade_of_several_queryset():
    for name in ("Acme", "Initech"):
        make(company=Company.objects.create(name=name))

    Company.objects.all().delete()

    assert CustomerDeletion.objects.count() == 2


def test_proxy():
    user = make(Member)
    Member.objects.filter(pk=user.pk).delete()

    assert recorded() == {str(user.pk)}


def test_child_table():
    user = make(Employee, desk="4b")
    key = str(user.pk)
    user.delete()

    assert recorded() == {key}


def test_child_that_leaves_its_user_behind():
    user = make(Employee, desk="4b")
    user.delete(keep_parents=True)

    assert recorded() == set()
    assert Account.objects.count() == 1


def test_parent_of_a_child_table():
    user = make(Employee, desk="4b")
    Account.objects.all().delete()

    assert recorded() == {str(user.pk)}
    assert not Employee.objects.exists()


def test_collector_of_a_project(django_capture_on_commit_callbacks):
    user = make()
    key = str(user.pk)
    collector = Collector(using="default")
    collector.collect([user])
    assert recorded() == set()

    collector.delete()

    assert recorded() == {key}


def test_external_id_out_of_a_row_that_goes_first(settings, django_assert_max_num_queries):
    """By a cascade, which loads no more of the users than their keys."""
    settings.POLAR_EXTERNAL_ID = "tests.custom_users.models.reference_of"
    company = Company.objects.create(name="Acme")
    for number in range(3):
        Profile.objects.create(account=make(company=company), polar_reference=f"ref-{number}")

    company.delete()

    assert recorded() == {"ref-0", "ref-1", "ref-2"}


def test_external_id_out_of_a_row_that_was_collected_before_the_users(settings):
    settings.POLAR_EXTERNAL_ID = "tests.custom_users.models.reference_of"
    Profile.objects.create(account=make(), polar_reference="ref")
    collector = Collector(using="default")
    collector.collect(Profile.objects.all())
    collector.collect(list(Account.objects.all()))

    collector.delete()

    assert recorded() == {"ref"}


def email_of(user):
    return user.email


def test_external_id_out_of_a_column_costs_no_query_per_user(
    settings, django_assert_max_num_queries
):
    settings.POLAR_EXTERNAL_ID = "tests.custom_users.cases.email_of"
    company = Company.objects.create(name="Acme")
    emails = {make(company=company).email for _ in range(50)}

    with django_assert_max_num_queries(45):
        company.delete()

    assert recorded() == emails


def test_rollback_of_a_cascade_leaves_nothing():
    company = Company.objects.create(name="Acme")
    make(company=company)
    with transaction.atomic():
        company.delete()
        transaction.set_rollback(True)

    assert recorded() == set()


@pytest.mark.parametrize("model", [Account, Member, Employee])
def test_sign_up_of_each_kind_is_queued(settings, model):
    settings.POLAR_CREATE_ON_USER_CREATION = True
    settings.POLAR_UPDATE_ON_USER_CHANGE = True

    user = make(model)

    assert CustomerPush.objects.get().user_id == user.pk
    CustomerPush.objects.all().delete()
    user.email = "grace@ada.dev"
    user.save()
    assert CustomerPush.objects.get().fields == ["email"]
