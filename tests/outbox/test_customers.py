"""The services about one user's customer."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from django_polar import services
from django_polar.exceptions import (
    ConfigurationError,
    CustomerConflictError,
    DeletionPendingError,
    InvalidRequestError,
    NotFoundError,
)
from django_polar.models import Customer, CustomerDeletion, CustomerState, LinkConflict
from django_polar.services.outbox import request_deletion
from tests.outbox.rows import make_customer, make_user

pytestmark = pytest.mark.django_db


def writes(polar):
    return [request.method for request in polar.requests if request.method != "GET"]


class TestGetOrCreate:
    def test_new_customer_carries_the_users_fields_and_is_linked(self, polar):
        user = make_user()

        customer = services.get_or_create_customer(user)

        assert customer.user == user
        there = polar.customers[str(customer.pk)]
        assert there["external_id"] == str(user.pk)
        assert there["email"] == user.email
        assert there["name"] == user.get_full_name()

    def test_second_call_makes_no_request(self, polar):
        user = make_user()
        first = services.get_or_create_customer(user)
        polar.reset_requests()

        assert services.get_or_create_customer(user) == first
        assert polar.requests == []

    def test_customer_that_polar_has_is_found_by_external_id(self, polar):
        user = make_user()
        there = polar.add_customer(external_id=str(user.pk))

        customer = services.get_or_create_customer(user)

        assert str(customer.pk) == there["id"]
        assert customer.user == user
        assert writes(polar) == []

    def test_customer_that_was_mirrored_before_its_user_came_is_linked(self, polar):
        there = polar.add_customer(external_id="4711")
        services.sync_customer("4711")
        user = make_user(pk=4711)

        customer = services.get_or_create_customer(user)

        assert (str(customer.pk), customer.user) == (there["id"], user)

    def test_lost_race_resolves_to_the_customer_that_won(self, polar):
        user = make_user()
        winner = []

        def create_first(request):
            if request.method == "POST" and not winner:
                winner.append(polar.add_customer(external_id=str(user.pk), email=user.email))

        polar.on_request(create_first)

        customer = services.get_or_create_customer(user)

        assert str(customer.pk) == winner[0]["id"]
        assert len(polar.customers) == 1

    def test_same_email_is_never_taken_over_by_default(self, polar):
        user = make_user()
        victim = polar.add_customer(email=user.email.upper())

        with pytest.raises(CustomerConflictError):
            services.get_or_create_customer(user)

        assert polar.customers[victim["id"]]["external_id"] is None
        conflict = LinkConflict.objects.get()
        assert (conflict.user, str(conflict.customer_id)) == (user, victim["id"])
        assert user.email not in conflict.reason

    def test_same_conflict_is_recorded_once(self, polar):
        user = make_user()
        polar.add_customer(email=user.email)

        for _ in range(2):
            with pytest.raises(CustomerConflictError):
                services.get_or_create_customer(user)

        assert LinkConflict.objects.count() == 1

    def test_same_email_is_taken_over_if_the_project_vouches_for_it(self, polar, settings):
        settings.POLAR_ADOPT_BY_EMAIL = "tests.outbox.test_customers.is_verified"
        verified = make_user(last_name="verified")
        other = make_user()
        for user in (verified, other):
            polar.add_customer(email=user.email)

        assert services.get_or_create_customer(verified).external_id == str(verified.pk)
        with pytest.raises(CustomerConflictError):
            services.get_or_create_customer(other)

    def test_customer_with_another_external_id_is_never_taken_over(self, polar, settings):
        settings.POLAR_ADOPT_BY_EMAIL = "tests.outbox.test_customers.is_verified"
        user = make_user(last_name="verified")
        polar.add_customer(email=user.email, external_id="somebody else")

        with pytest.raises(CustomerConflictError):
            services.get_or_create_customer(user)

    def test_customer_whose_deletion_is_waiting_is_nobodys(self, polar):
        """A new user got the primary key of a deleted one."""
        polar.add_customer(external_id="4711")
        services.sync_customer("4711")
        request_deletion(external_id="4711")
        user = make_user(pk=4711)

        with pytest.raises(DeletionPendingError):
            services.get_or_create_customer(user)

        assert not Customer.objects.live().exists()

    def test_user_deleted_while_polar_makes_the_customer_leaves_a_deletion(self, polar):
        user = make_user()

        def delete_user(request):
            if request.method == "POST":
                User.objects.filter(pk=user.pk).delete()

        polar.on_request(delete_user)

        with pytest.raises(DeletionPendingError):
            services.get_or_create_customer(user)

        (made,) = polar.customers
        assert made in {
            str(pk) for pk in CustomerDeletion.objects.values_list("customer_id", flat=True)
        }

    @pytest.mark.usefixtures("polar")
    def test_refused_email_is_an_error_that_names_the_field(self):
        user = make_user(email="not an address")

        with pytest.raises(InvalidRequestError) as refused:
            services.get_or_create_customer(user)

        assert refused.value.has("email")
        assert "not an address" not in str(refused.value)

    @pytest.mark.usefixtures("polar")
    def test_user_without_external_id_cannot_have_one(self, settings):
        settings.POLAR_EXTERNAL_ID = "tests.outbox.test_customers.no_external_id"

        with pytest.raises(ConfigurationError):
            services.get_or_create_customer(make_user())


def is_verified(user):
    return user.last_name == "verified"


def no_external_id(user):
    return None


class TestConflict:
    def test_person_can_give_the_customer_to_the_user(self, polar):
        user = make_user()
        there = polar.add_customer(email=user.email)
        with pytest.raises(CustomerConflictError):
            services.get_or_create_customer(user)

        customer = services.adopt_customer(LinkConflict.objects.get())

        assert (str(customer.pk), customer.user) == (there["id"], user)
        assert polar.customers[there["id"]]["external_id"] == str(user.pk)
        assert LinkConflict.objects.get().resolution == LinkConflict.Resolution.ADOPTED

    def test_person_can_say_that_they_do_not_belong_together(self, polar):
        user = make_user()
        there = polar.add_customer(email=user.email)
        with pytest.raises(CustomerConflictError):
            services.get_or_create_customer(user)

        services.dismiss_conflict(LinkConflict.objects.get())

        assert polar.customers[there["id"]]["external_id"] is None
        assert LinkConflict.objects.get().resolution == LinkConflict.Resolution.DISMISSED


class TestUpdate:
    def test_only_the_given_fields_change_at_both_ends(self, polar):
        user = make_user()
        customer = services.get_or_create_customer(user)

        updated = services.update_customer(user, name="Grace Hopper")

        assert updated.name == "Grace Hopper"
        there = polar.customers[str(customer.pk)]
        assert (there["name"], there["email"]) == ("Grace Hopper", user.email)

    def test_customer_that_is_not_in_the_mirror_is_reached_by_external_id(self, polar):
        user = make_user()
        there = polar.add_customer(external_id=str(user.pk))

        services.update_customer(user, name="Grace Hopper")

        assert polar.customers[there["id"]]["name"] == "Grace Hopper"
        assert Customer.objects.get().user == user

    def test_customer_that_is_gone_is_marked_deleted(self, polar):
        user = make_user()
        customer = services.get_or_create_customer(user)
        polar.delete_customer(str(customer.pk))

        with pytest.raises(NotFoundError):
            services.update_customer(user, name="Grace Hopper")

        assert Customer.objects.get().deleted_at


class TestDelete:
    def test_person_is_forgotten_now_and_polar_told_later(self, polar):
        user = make_user()
        customer = services.get_or_create_customer(user)

        deletion = services.delete_customer(str(user.pk))

        assert deletion.customer_id == customer.pk
        assert not Customer.objects.live().exists()
        assert len(polar.customers) == 1
        with polar.client() as client:
            services.send_due_deletions(client)
        assert not polar.customers
        assert User.objects.filter(pk=user.pk).exists()

    def test_nobody_is_refused(self):
        with pytest.raises(ValueError, match="neither"):
            request_deletion(external_id="")


class TestSync:
    def test_profile_and_state_come_into_the_mirror(self, polar):
        user = make_user()
        there = polar.add_customer(external_id=str(user.pk))
        polar.add_subscription(there)

        customer = services.sync_customer(str(user.pk))

        assert customer.user == user
        assert customer.state.active_subscriptions.count() == 1

    @pytest.mark.usefixtures("polar")
    def test_customer_that_polar_no_longer_has_is_marked_deleted(self):
        make_customer(external_id="42")

        assert services.sync_customer("42") is None

        assert Customer.objects.get().deleted_at

    def test_person_whose_deletion_waits_does_not_come_back(self, polar):
        polar.add_customer(external_id="42")
        request_deletion(external_id="42")

        assert services.sync_customer("42") is None

        assert not Customer.objects.live().exists()

    def test_person_whose_deletion_was_tried_does_not_come_back_with_a_full_sync(self, polar):
        polar.add_customer(external_id="42")
        request_deletion(external_id="42")
        polar.fail_next(500, method="DELETE")
        with polar.client() as client:
            services.send_due_deletions(client)

            services.sync_customers(client)

        assert not Customer.objects.live().exists()

    def test_refreshed_state_is_what_polar_has_now(self, polar):
        there = polar.add_customer(external_id="42")
        services.sync_customer("42")
        polar.add_subscription(there)

        state = services.refresh_state("42")

        assert state.active_subscriptions.count() == 1
        assert services.refresh_state("43") is None

    def test_customer_without_external_id_is_refreshed_by_polars(self, polar):
        there = polar.add_customer()
        customer = make_customer(id=there["id"])
        polar.add_subscription(there)

        assert services.refresh_customer(customer) == customer
        assert CustomerState.objects.get().active_subscriptions.count() == 1
        polar.delete_customer(there["id"])
        assert services.refresh_customer(customer) is None
        assert Customer.objects.get().deleted_at


class TestBalance:
    def test_one_row_per_currency_which_follows_polar(self, polar):
        there = polar.add_customer(external_id="42")
        polar.add_wallet(there, balance=1500, currency="usd")
        assert [(b.amount, b.currency) for b in services.get_balance("42")] == [(1500, "usd")]

        polar.add_wallet(there, balance=-20, currency="eur")
        first, second = services.get_balance(Customer.objects.get())

        assert (first.amount, first.currency) == (-20, "eur")
        assert (second.amount, second.currency) == (1500, "usd")

    def test_currency_that_is_gone_goes(self, polar):
        there = polar.add_customer(external_id="42")
        polar.add_wallet(there, balance=1500, currency="usd")
        services.get_balance("42")
        customer = Customer.objects.get()
        customer.balances.create(currency="eur", amount=1, as_of=customer.created_at)

        assert [b.currency for b in services.get_balance("42")] == ["usd"]

    @pytest.mark.usefixtures("polar")
    def test_deleted_customer_has_none(self):
        with pytest.raises(NotFoundError):
            services.get_balance("42")
        customer = make_customer(deleted_at="2026-02-01T00:00:00Z")
        customer.refresh_from_db()
        with pytest.raises(NotFoundError):
            services.get_balance(customer)


class TestPortal:
    @pytest.mark.usefixtures("polar")
    def test_session_is_the_users_own(self):
        user = make_user()
        customer = services.get_or_create_customer(user)

        session = services.create_portal_session(user, return_url="https://example.com/")

        assert session.customer_id == customer.pk
        assert session.return_url == "https://example.com/"

    def test_customer_that_is_not_in_the_mirror_is_found_by_external_id(self, polar):
        user = make_user()
        there = polar.add_customer(external_id=str(user.pk))

        assert str(services.create_portal_session(user).customer_id) == there["id"]

    @pytest.mark.usefixtures("polar")
    def test_user_who_is_no_customer_is_told_so(self):
        with pytest.raises(NotFoundError):
            services.create_portal_session(make_user())
