"""Events in any order, any number of times, beside a running sync: the same mirror in the end."""

import random
from concurrent.futures import Executor, Future
from itertools import count
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from django_polar.client import override_transport
from django_polar.exceptions import PolarError
from django_polar.models import Customer, CustomerState, SyncRun, WebhookEvent
from django_polar.services import pages, webhooks
from django_polar.services.sync import sync_customers
from django_polar.testing import FakePolar
from tests.recordings import signed_deliveries

from .mirror_content import mirror_against, mirror_content

pytestmark = pytest.mark.django_db

ORDERS = 200


def empty_the_mirror():
    WebhookEvent.objects.all().delete()
    Customer.objects.all().delete()
    SyncRun.objects.all().delete()


def apply(events):
    for event_id, body in events:
        webhooks.store_event(event_id, body)
    webhooks.apply_due_events()
    assert not WebhookEvent.objects.filter(done_at=None).exists()


def test_every_recorded_delivery_is_verified_stored_and_applied(pytestconfig, settings):
    """With the exact bytes and headers of the real server, at the time at which they came."""
    deliveries, secret = signed_deliveries(pytestconfig)
    settings.POLAR_WEBHOOK_SECRET = secret

    for delivery in deliveries:
        event = webhooks.receive_event(delivery.body, delivery.headers, now=delivery.received_at)
        webhooks.apply_due_events()
        event.refresh_from_db()
        assert event.status == "done", delivery.name

    assert WebhookEvent.objects.count() == len({d.headers["webhook-id"] for d in deliveries})
    assert Customer.objects.live().exists()
    assert Customer.objects.exclude(deleted_at=None).exists()


def test_recorded_deliveries_give_the_same_rows_in_any_order(pytestconfig):
    """200 random orders, with random repetitions, against the order in which they came."""
    deliveries, _ = signed_deliveries(pytestconfig)
    events = [(delivery.headers["webhook-id"], delivery.body) for delivery in deliveries]
    apply(events)
    expected = mirror_content()
    chance = random.Random(7)

    for _ in range(ORDERS):
        empty_the_mirror()
        order = [*events, *chance.choices(events, k=chance.randrange(len(events) // 2))]
        chance.shuffle(order)
        # In several goes, so that repetitions come after the event was applied too.
        cut = chance.randrange(len(order))
        apply(order[:cut])
        WebhookEvent.objects.all().delete()
        apply(order[cut:] + order[: cut // 4])

        assert mirror_content() == expected


class InTurn(Executor):
    """Requests one after the other: what happens meanwhile has to be the same for one seed."""

    def __init__(self, *_, **__):
        pass

    def submit(self, function, /, *args, **kwargs):
        future = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except PolarError as error:
            future.set_exception(error)
        return future


class History:
    """Random things that happen at Polar, and how the news of them reaches the mirror."""

    def __init__(self, chance, *, loses=False):
        self.chance = chance
        self.polar = FakePolar(seed=chance.randrange(1000))
        self.share_lost = 0.3 if loses else 0
        self.numbers = count()
        self.news = []

    def happen(self):
        """One thing."""
        chance, polar = self.chance, self.polar
        customers = list(polar.customers.values())
        if not customers:
            self._create()
            return
        row = chance.choice(customers)
        subscriptions = [
            s for s in polar.owned("subscriptions", row["id"]) if s["status"] == "active"
        ]
        grants = [g for g in polar.owned("grants", row["id"]) if g["is_granted"]]
        revoked = [g for g in polar.owned("grants", row["id"]) if not g["is_granted"]]
        possible = [
            self._create,
            lambda: polar.update_customer(row, name=f"name {next(self.numbers)}"),
            lambda: polar.add_subscription(row),
            lambda: polar.add_grant(row),
            lambda: polar.add_meter(row),
            lambda: polar.delete_customer(row, anonymize=chance.random() < 0.5),
        ]
        if subscriptions:
            subscription = chance.choice(subscriptions)
            possible += [
                lambda: polar.update_subscription(subscription, amount=next(self.numbers)),
                lambda: polar.end_subscription(subscription),
            ]
        if grants:
            grant = chance.choice(grants)
            possible += [lambda: polar.revoke_grant(grant)] * 2
        if revoked:
            again = {"is_granted": True, "is_revoked": False, "revoked_at": None}
            grant_again = chance.choice(revoked)
            possible.append(
                lambda: polar.update_grant(grant_again, **again, granted_at=polar.clock.stamp())
            )
        chance.choice(possible)()

    def _create(self):
        # Few external ids, so that those of deleted customers are used again.
        external_id = str(self.chance.randrange(4))
        if self.polar.find_by_external_id(external_id) is None:
            self.polar.add_customer(external_id=external_id, name=f"name {next(self.numbers)}")

    def tell(self, *, everything=False):
        """Some of the news reaches us, in a random order and some of it twice."""
        pending = self.polar.webhooks.pending
        self.news += [event for event in pending if self.chance.random() >= self.share_lost]
        pending.clear()
        self.chance.shuffle(self.news)
        cut = len(self.news) if everything else self.chance.randrange(len(self.news) + 1)
        now, self.news = self.news[:cut], self.news[cut:]
        for event in now + now[::3]:
            webhooks.store_event(event.id, event.body)
        webhooks.apply_due_events()
        # Those that are told again are applied again.
        again = WebhookEvent.objects.filter(pk__in=[event.id for event in now[::3]])
        again.update(done_at=None)
        webhooks.apply_due_events()


def chances():
    return st.randoms(use_true_random=False)


SETTINGS = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@SETTINGS
@given(chance=chances())
def test_after_a_final_sync_the_mirror_is_the_truth(chance, settings):
    """Whatever was lost, shuffled and repeated, also while earlier syncs were reading pages."""
    settings.POLAR_MAX_DELETED_SHARE = 1
    empty_the_mirror()
    history = History(chance, loses=True)
    polar = history.polar
    settings.POLAR_ACCESS_TOKEN = polar.token
    # Enough for several pages of the list of customers and of the list of grants.
    with polar.webhooks.pause():
        for _ in range(chance.choice([0, 110, 210])):
            polar.add_grant(polar.add_customer())

    def meanwhile(*_):
        history.happen()
        if chance.random() < 0.5:
            history.tell()

    with override_transport(polar.transport()), patch.object(pages, "ThreadPoolExecutor", InTurn):
        for _ in range(2):
            for _ in range(chance.randrange(1, 12)):
                history.happen()
            history.tell()
            sync_customers(progress=meanwhile)
        history.tell(everything=True)
        report = sync_customers()

    assert report.outcome == "complete"
    ours, theirs = mirror_against(polar.truth())
    assert ours == theirs


@SETTINGS
@given(chance=chances())
def test_without_losses_no_sync_is_needed(chance):
    """All events, in any order, are enough for profiles, deletions and states."""
    empty_the_mirror()
    history = History(chance)
    for _ in range(chance.randrange(1, 25)):
        history.happen()
        if chance.random() < 0.3:
            history.tell()
    history.tell(everything=True)

    ours, theirs = mirror_against(history.polar.truth())
    assert ours == theirs
    live = Customer.objects.live().values_list("pk", flat=True)
    assert set(CustomerState.objects.values_list("pk", flat=True)) == set(live)
