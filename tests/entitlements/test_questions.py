"""What a user is entitled to: the answers, and what they cost."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.db import connections
from django.utils import timezone

from django_polar.entitlements import (
    Benefit,
    Subscription,
    forget_entitlements,
    get_entitlements,
    has_active_subscription,
    has_benefit,
    load_entitlements,
    meter_balance,
)
from django_polar.entitlements import questions as questions_module
from django_polar.entitlements.reading import read_entitlements, read_many
from django_polar.exceptions import ConfigurationError
from django_polar.models import Customer, SyncRun

from .conftest import (
    CALLS,
    DOWNLOADS,
    PRO,
    TEAM,
    grant,
    make_customer,
    make_user,
    meter,
    subscribe,
)


def test_subscription_to_the_product(user, customer):
    """A subscription answers for its own product and for any, not for another product."""
    subscribe(customer, PRO)

    assert has_active_subscription(user)
    assert has_active_subscription(user, PRO)
    assert has_active_subscription(user, str(PRO))
    assert has_active_subscription(user, [TEAM, PRO])
    assert not has_active_subscription(user, TEAM)
    assert not has_active_subscription(user, [])


def test_nothing_of_a_customer_without_anything(user, customer):
    assert not has_active_subscription(user)
    assert not has_benefit(user)
    assert meter_balance(user, CALLS) is None


@pytest.mark.parametrize("nobody", [None, AnonymousUser(), SimpleNamespace()])
def test_nobody_has_nothing(nobody, db, django_assert_num_queries):
    """Who is not signed in has nothing, and that is known without a query."""
    with django_assert_num_queries(0):
        assert not has_active_subscription(nobody)
        assert not has_benefit(nobody)
        assert meter_balance(nobody, CALLS) is None


def test_unsaved_user_has_nothing(db, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert not has_active_subscription(get_user_model()(username="new"))


def test_user_who_is_no_customer_has_nothing(user):
    assert not has_active_subscription(user)


def test_other_users_entitlements_are_not_theirs(user, customer):
    """What one user has says nothing about another."""
    subscribe(customer)
    grant(customer)
    meter(customer)
    other = make_user("bob")
    make_customer(other)

    assert not has_active_subscription(other)
    assert not has_benefit(other)
    assert meter_balance(other, CALLS) is None


def test_deleted_customer_has_nothing(user, customer):
    """A customer that Polar deleted is entitled to nothing, whatever rows are left."""
    subscribe(customer)
    Customer.objects.filter(pk=customer.pk).update(deleted_at=timezone.now())

    assert not has_active_subscription(user)


def test_deleted_customer_has_nothing_when_prefetched_either(user, customer):
    subscribe(customer)
    Customer.objects.filter(pk=customer.pk).update(deleted_at=timezone.now())
    prefetched = Customer.objects.with_state().select_related("user").get().user

    assert not has_active_subscription(prefetched)


def test_benefit_stays_while_past_due(user, customer):
    """Polar leaves past due subscriptions out of the state and, in a grace period, benefits in
    it: the granted benefit decides.
    """
    grant(customer, DOWNLOADS)

    assert not has_active_subscription(user)
    assert has_benefit(user, DOWNLOADS)


def test_benefit_has_to_match_in_everything(user, customer):
    """Id, type and metadata must be those of one and the same benefit."""
    grant(customer, DOWNLOADS, "downloadables", tier="gold", seats=3)
    grant(customer, TEAM, "custom", tier="silver")

    assert has_benefit(user, DOWNLOADS, "downloadables", {"tier": "gold"})
    assert has_benefit(user, type="custom")
    assert has_benefit(user, metadata={"tier": "gold", "seats": 3})
    assert not has_benefit(user, DOWNLOADS, "custom")
    assert not has_benefit(user, DOWNLOADS, metadata={"tier": "silver"})
    assert not has_benefit(user, metadata={"tier": "gold", "other": None})
    assert not has_benefit(user, type="license_keys")


def test_true_is_not_one(user, customer):
    """Metadata is compared as JSON, where ``true`` and ``1`` differ."""
    grant(customer, flag=1)

    assert has_benefit(user, metadata={"flag": 1})
    assert not has_benefit(user, metadata={"flag": True})


def test_meter_balance(user, customer):
    meter(customer, CALLS, 12.5)
    meter(customer, TEAM, -2)

    assert meter_balance(user, CALLS) == 12.5
    assert meter_balance(user, [CALLS, TEAM]) == 10.5
    assert meter_balance(user, uuid4()) is None


def test_names_from_the_settings(user, customer, settings):
    """A name stands for one id or for several, of which one suffices."""
    settings.POLAR_PRODUCTS = {"pro": [TEAM, str(PRO)], "other": str(TEAM)}
    settings.POLAR_BENEFITS = {"downloads": DOWNLOADS}
    settings.POLAR_METERS = {"calls": CALLS}
    subscribe(customer)
    grant(customer)
    meter(customer)

    assert has_active_subscription(user, "pro")
    assert not has_active_subscription(user, "other")
    assert has_benefit(user, "downloads")
    assert meter_balance(user, "calls") == 12.5


@pytest.mark.parametrize(
    "ask",
    [
        lambda user: has_active_subscription(user, "typo"),
        lambda user: has_benefit(user, "typo"),
        lambda user: meter_balance(user, "typo"),
    ],
)
def test_unknown_name_is_an_error(user, ask):
    """A misspelt name is neither granted nor silently denied."""
    with pytest.raises(ConfigurationError, match=r"'typo'.*POLAR_"):
        ask(user)


def test_querysets_take_the_same_names(customer, settings):
    settings.POLAR_PRODUCTS = {"pro": [PRO]}
    settings.POLAR_BENEFITS = {"downloads": DOWNLOADS}
    subscribe(customer)
    grant(customer)

    assert Customer.objects.with_active_subscription("pro").get() == customer
    assert not Customer.objects.with_active_subscription(TEAM).exists()
    assert Customer.objects.with_benefit("downloads").get() == customer


def test_queryset_takes_metadata_keys_as_they_are(customer):
    """A metadata key that looks like one of Django's lookups is still only a key."""
    grant(customer, seats=3, seats__gt=1)

    assert Customer.objects.with_benefit(metadata={"seats__gt": 1}).get() == customer
    assert not Customer.objects.with_benefit(metadata={"seats__gt": 2}).exists()


def test_one_query_for_all_questions(user, customer, django_assert_num_queries):
    subscribe(customer)
    grant(customer)
    meter(customer)

    with django_assert_num_queries(1):
        assert has_active_subscription(user, PRO)
        assert has_benefit(user, DOWNLOADS)
        assert meter_balance(user, CALLS) == 12.5
        assert not has_active_subscription(user, TEAM, max_age=timedelta(hours=1))


def test_no_query_when_prefetched_from_the_customer(user, customer, django_assert_num_queries):
    subscribe(customer)
    grant(customer)
    meter(customer)
    prefetched = Customer.objects.with_state().select_related("user").get().user

    with django_assert_num_queries(0):
        assert has_active_subscription(prefetched, PRO)
        assert has_benefit(prefetched, DOWNLOADS)
        assert meter_balance(prefetched, CALLS) == 12.5


def test_no_query_when_prefetched_from_the_user(user, customer, django_assert_num_queries):
    subscribe(customer)
    make_user("bob")
    users = get_user_model().objects.prefetch_related(
        *(
            f"polar_customer__state__{part}"
            for part in ("active_subscriptions", "granted_benefits", "active_meters")
        )
    )
    ada, bob = users.order_by("username")

    with django_assert_num_queries(0):
        assert has_active_subscription(ada, PRO)
        assert not has_active_subscription(bob, PRO)


def test_partly_prefetched_is_not_trusted(user, customer, django_assert_num_queries):
    """A customer without its state in memory says nothing about benefits: one query."""
    grant(customer)
    selected = get_user_model().objects.select_related("polar_customer__state").get()

    with django_assert_num_queries(1):
        assert has_benefit(selected, DOWNLOADS)


def test_one_query_for_many_users(db, django_assert_num_queries):
    users = [make_user(f"user{number}") for number in range(5)]
    for user in users[:3]:
        subscribe(make_customer(user))

    with django_assert_num_queries(1):
        load_entitlements([*users, AnonymousUser()])
        answers = [has_active_subscription(user, PRO) for user in users]

    assert answers == [True, True, True, False, False]


def test_forgetting_looks_again(user, customer):
    assert not has_active_subscription(user)
    subscribe(customer)
    assert not has_active_subscription(user)

    forget_entitlements(user)

    assert has_active_subscription(user)
    forget_entitlements(AnonymousUser())


def test_long_lived_user_object_is_asked_again(user, customer, monkeypatch):
    """A websocket consumer keeps its user for hours; what was read for it does not live as long."""
    assert not has_active_subscription(user)
    subscribe(customer)
    later = questions_module.time.time() + questions_module.KEPT_FOR.total_seconds() + 1
    monkeypatch.setattr(questions_module, "time", SimpleNamespace(time=lambda: later))

    assert has_active_subscription(user)


def test_pickled_user_keeps_what_was_read(user, customer, django_assert_num_queries):
    """Users end up in caches; what was read for one goes along and stays valid for its minute."""
    subscribe(customer)
    assert has_active_subscription(user)
    restored = pickle.loads(pickle.dumps(user))

    with django_assert_num_queries(0):
        assert has_active_subscription(restored)


def test_copied_user_does_not_inherit(user, customer):
    """Django code copies an object by changing its primary key; entitlements stay behind."""
    subscribe(customer)
    assert has_active_subscription(user)
    bob = make_user("bob")

    user.pk = bob.pk

    assert not has_active_subscription(user)


def test_both_ways_of_reading_agree(user, customer):
    """The query that is compiled once reads what the ORM reads, on every database."""
    run_started_at = datetime(2026, 11, 20, 10, 0, 0, 123456, tzinfo=UTC)
    SyncRun.objects.create(
        started_at=run_started_at, outcome=SyncRun.Outcome.COMPLETE, state_complete=True
    )
    period_end = datetime(2026, 12, 1, 1, 2, 3, 456789, tzinfo=UTC)
    subscribe(customer, current_period_end=period_end, status="trialing")
    grant(customer, note='an "é" and a \\', count=3, on=True)
    meter(customer)

    fast = read_entitlements(user)

    assert fast == read_many([user])[user.pk]
    assert fast.customer_id == customer.pk
    assert fast.external_id == customer.external_id
    assert fast.subscriptions == (Subscription(PRO, "trialing", period_end),)
    assert fast.benefits == (
        Benefit(DOWNLOADS, "downloadables", {"note": 'an "é" and a \\', "count": 3, "on": True}),
    )
    assert fast.meters == {CALLS: 12.5}
    assert isinstance(fast.customer_id, UUID)


def test_answers_hold_on_every_thread_and_time_zone(user, customer, settings):
    """``as_of`` is the time that was stored, also where the database has no time zones."""
    as_of = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
    customer.state.as_of = as_of
    customer.state.save()
    connections["default"].timezone_name  # noqa: B018 - computed once, before the change
    settings.TIME_ZONE = "Asia/Tokyo"

    assert get_entitlements(user).as_of == as_of
