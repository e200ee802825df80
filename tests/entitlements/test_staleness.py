"""What a mirror that has not heard from Polar for long is still believed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from celery import current_app
from django.core.cache import cache
from django.utils import timezone

from django_polar.entitlements import (
    Entitlements,
    forget_entitlements,
    get_entitlements,
    has_active_subscription,
    has_benefit,
    meter_balance,
)
from django_polar.entitlements.reading import LAST_COMPLETE_RUN_KEY
from django_polar.models import Customer, CustomerState, SyncRun
from django_polar.signals import customer_state_stale
from tests.api.conftest import make_person

from .conftest import CALLS, DOWNLOADS, PRO, grant, make_customer, make_user, meter, subscribe

HOUR = timedelta(hours=1)


@pytest.fixture
def stale(user):
    """A customer whose state was last confirmed two hours ago."""
    customer = make_customer(user, as_of=timezone.now() - 2 * HOUR)
    subscribe(customer)
    grant(customer)
    meter(customer)
    return customer


@pytest.fixture
def refreshes():
    """The external ids for which a refresh was asked."""
    asked = []

    def remember(*, external_id, **kwargs):
        asked.append(external_id)

    customer_state_stale.connect(remember)
    yield asked
    customer_state_stale.disconnect(remember)


def complete_run(*, ago=timedelta(0), **fields):
    return SyncRun.objects.create(
        **{
            "started_at": timezone.now() - ago,
            "outcome": SyncRun.Outcome.COMPLETE,
            "state_complete": True,
            **fields,
        }
    )


def test_age_does_not_matter_by_default(user, stale):
    assert has_active_subscription(user, PRO)


def test_deny(user, stale):
    """Too old and denied: nothing is granted, whatever the mirror says."""
    assert not has_active_subscription(user, max_age=HOUR, when_stale="deny")
    assert not has_benefit(user, DOWNLOADS, max_age=HOUR, when_stale="deny")
    assert meter_balance(user, CALLS, max_age=HOUR, when_stale="deny") is None


def test_deny_does_not_touch_what_is_fresh(user, stale):
    assert has_active_subscription(user, max_age=3 * HOUR, when_stale="deny")


def test_allow(user, stale, refreshes):
    assert has_active_subscription(user, max_age=HOUR, when_stale="allow")
    assert refreshes == []


def test_refresh_believes_and_asks_once(user, stale, refreshes):
    """However many requests find a state stale, its refresh is asked for once a minute."""
    for _ in range(3):
        assert has_active_subscription(user, max_age=HOUR, when_stale="refresh")
        forget_entitlements(user)

    assert refreshes == [stale.external_id]


def test_refresh_of_one_does_not_hold_up_another(user, stale, refreshes):
    bob = make_user("bob")
    make_customer(bob, as_of=timezone.now() - 2 * HOUR)

    has_benefit(user, max_age=HOUR, when_stale="refresh")
    has_benefit(bob, max_age=HOUR, when_stale="refresh")

    assert refreshes == [str(user.pk), str(bob.pk)]


def test_policy_from_the_settings(user, stale, settings):
    """The settings hold where a question does not say otherwise; seconds or a timedelta."""
    settings.POLAR_ENTITLEMENT_MAX_AGE = 3600
    settings.POLAR_ENTITLEMENT_WHEN_STALE = "deny"

    assert not has_active_subscription(user)
    assert has_active_subscription(user, when_stale="allow")
    assert has_active_subscription(user, max_age=3 * HOUR)


def test_unknown_policy_is_an_error(user, stale):
    with pytest.raises(ValueError, match="'guess'"):
        has_benefit(user, max_age=HOUR, when_stale="guess")


def test_complete_sync_confirms_everybody(user, stale):
    """A sync writes nothing that did not change, and yet all of the mirror is as fresh as it."""
    complete_run()

    assert has_active_subscription(user, max_age=HOUR, when_stale="deny")


@pytest.mark.parametrize(
    "fields",
    [
        {"ago": 2 * HOUR},
        {"outcome": SyncRun.Outcome.INCOMPLETE},
        {"outcome": SyncRun.Outcome.RUNNING},
        {"with_state": False},
        {"state_complete": False},
    ],
    ids=str,
)
def test_other_syncs_confirm_nothing(user, stale, fields):
    """An old sync, one that did not finish, and one that did not read all of the state."""
    complete_run(**fields)

    assert not has_active_subscription(user, max_age=HOUR, when_stale="deny")


def test_state_that_was_never_read_is_stale(user):
    customer = make_customer(user)
    subscribe(customer)
    CustomerState.objects.update(as_of=None)

    assert get_entitlements(user).as_of is None
    assert not has_active_subscription(user, max_age=HOUR, when_stale="deny")


def test_user_who_is_no_customer_is_never_stale(user, refreshes):
    """Most users of most sites are no customers: no refresh for each of them."""
    assert not has_active_subscription(user, max_age=HOUR, when_stale="refresh")
    assert refreshes == []


def test_prefetched_state_is_judged_by_syncs_too(user, stale, django_assert_num_queries):
    """For a page of prefetched users, the last sync is looked up once and kept for a moment."""
    prefetched = Customer.objects.with_state().select_related("user").get().user
    assert not has_active_subscription(prefetched, max_age=HOUR, when_stale="deny")
    complete_run()
    cache.delete(LAST_COMPLETE_RUN_KEY)

    with django_assert_num_queries(1):
        assert has_active_subscription(prefetched, max_age=HOUR, when_stale="deny")
    with django_assert_num_queries(0):
        assert has_benefit(prefetched, max_age=HOUR, when_stale="deny")


def test_nobody_is_never_stale():
    """Of who is no customer there is nothing to be confirmed."""
    assert not Entitlements().is_stale(timedelta(0), timezone.now())


@pytest.fixture
def eager():
    """Celery runs tasks at once, in this process."""
    current_app.conf.task_always_eager = True
    yield
    current_app.conf.task_always_eager = False


def test_refresh_goes_through_celery(polar, db, eager):
    """A worker, here an eager one, fetches the state that a request found stale."""
    person = make_person(polar, "ada")
    CustomerState.objects.update(as_of=timezone.now() - 2 * HOUR)
    polar.add_grant(person.remote)

    assert has_active_subscription(person.user, max_age=HOUR, when_stale="refresh")

    forget_entitlements(person.user)
    refreshed = get_entitlements(person.user)
    assert not refreshed.is_stale(HOUR, timezone.now())
    assert len(refreshed.benefits) == 2
