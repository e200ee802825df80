"""The verbs on the mirror: whatever the order of the news, the same rows."""

import itertools
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest
from django.contrib.auth import get_user_model

from django_polar.models import (
    ActiveMeter,
    ActiveSubscription,
    Customer,
    CustomerBalance,
    CustomerState,
    GrantedBenefit,
    SyncRun,
    WebhookEvent,
)
from django_polar.payloads import (
    CustomerPayload,
    CustomerStatePayload,
    GrantedBenefitPayload,
    MeterPayload,
    SubscriptionPayload,
)
from django_polar.services import mirror
from django_polar.services.tables import BENEFITS, METERS, SUBSCRIPTIONS
from django_polar.testing import FakePolar

from .mirror_content import mirror_content

pytestmark = pytest.mark.django_db

T0 = datetime(2026, 11, 20, 12, tzinfo=UTC)
ORGANIZATION = UUID(int=1)
CUSTOMER = UUID(int=10)
GRANT = UUID(int=20)
SUBSCRIPTION = UUID(int=30)


def at(seconds):
    return T0 + timedelta(seconds=seconds)


def customer(id_=CUSTOMER, *, modified=None, deleted=None, **fields):
    return CustomerPayload(
        id=id_,
        organization_id=ORGANIZATION,
        created_at=fields.pop("created_at", T0),
        modified_at=None if modified is None else at(modified),
        deleted_at=None if deleted is None else at(deleted),
        **{"external_id": "7", "email": "a@acme-mail.dev"} | fields,
    )


def state(*, grants=(), subscriptions=(), meters=(), **fields):
    return CustomerStatePayload(
        **msgspec.structs.asdict(customer(**fields)),
        granted_benefits=list(grants),
        active_subscriptions=list(subscriptions),
        active_meters=list(meters),
    )


def grant(id_=GRANT, *, modified=None, **fields):
    return GrantedBenefitPayload(
        id=id_,
        created_at=T0,
        modified_at=None if modified is None else at(modified),
        benefit_id=UUID(int=21),
        benefit_type="custom",
        **fields,
    )


def subscription(id_=SUBSCRIPTION, *, modified=None, **fields):
    return SubscriptionPayload(
        id=id_,
        created_at=T0,
        modified_at=None if modified is None else at(modified),
        status="active",
        product_id=UUID(int=31),
        **fields,
    )


def meter():
    return MeterPayload(id=UUID(int=40), created_at=T0, meter_id=UUID(int=41))


def take(payload, seconds, *, touch=True):
    mirror.upsert_customers([payload], observed_at=at(seconds), touch=touch)


def give(payload, seconds, *, floor=None):
    """As an event about one grant tells it."""
    return mirror.upsert_items(
        BENEFITS, [payload], [CUSTOMER], observed_at=at(seconds), floor=floor, touch=True
    )


def end(payload, seconds, *, floor=None):
    return mirror.end_item(BENEFITS, payload, CUSTOMER, observed_at=at(seconds), floor=floor)


def show(payload, seconds, **options):
    """As an event about a whole state tells it."""
    return mirror.apply_states([payload], observed_at=at(seconds), **options)


def granted():
    return set(GrantedBenefit.objects.values_list("pk", flat=True))


# Profiles


def test_a_customer_comes_with_an_empty_state_of_which_nothing_is_known():
    """That there is a customer says nothing about what it has."""
    take(customer(), 1)

    assert CustomerState.objects.get().as_of is None


def test_the_profile_that_polar_modified_last_wins():
    """Even if it is told with an earlier time of the event."""
    for order in itertools.permutations([(2, 5, "new"), (1, 9, "old"), (None, 3, "first")]):
        Customer.objects.all().delete()
        for modified, seconds, name in order:
            take(customer(modified=modified, name=name), seconds)

        assert Customer.objects.get().name == "new"


def test_of_profiles_with_one_time_of_modification_the_one_seen_last_wins():
    """Also when it is the same as one seen earlier, which writes no new content."""
    news = [(1, "a"), (2, "b"), (3, "a")]
    for order in itertools.permutations(news):
        Customer.objects.all().delete()
        for seconds, name in order:
            take(customer(name=name), seconds)

        assert Customer.objects.get().name == "a"


def test_a_customer_is_linked_to_the_user_its_external_id_names():
    """By the user's primary key unless the settings say otherwise."""
    user = get_user_model().objects.create(pk=7, username="seven")

    take(customer(), 1)

    assert user.polar_customer.pk == CUSTOMER


def test_of_two_customers_with_one_external_id_the_one_created_later_gets_the_user():
    """One was deleted and made again; the news of the deletion is late."""
    user = get_user_model().objects.create(pk=7, username="seven")
    old, new = customer(), customer(UUID(int=11), created_at=at(5))
    for order in ([old, new], [new, old]):
        Customer.objects.all().delete()
        for payload in order:
            take(payload, 6)

        user.refresh_from_db()
        assert user.polar_customer.pk == UUID(int=11)


# Parts


def test_a_grant_is_not_taken_in_for_a_customer_that_is_unknown():
    """The caller is told whom it does not know."""
    changes, missing = give(grant(), 1)

    assert missing == {CUSTOMER}
    assert not changes.written


def test_a_revoked_grant_does_not_come_back_with_an_older_event():
    """In any order of granting, changing and revoking, as often as it is told."""
    news = [
        lambda: give(grant(), 1),
        lambda: give(grant(modified=2), 2),
        lambda: end(grant(modified=3), 3),
    ]
    for order in list(itertools.permutations([*news, *news], 4))[::3]:
        if news[2] not in order:
            continue
        Customer.objects.all().delete()
        take(customer(), 0)
        for tell in order:
            tell()

        assert granted() == set()


def test_a_grant_that_was_revoked_and_granted_again_is_there():
    """The later news wins over the removal, whichever came first."""
    for order in itertools.permutations(
        [
            lambda: give(grant(), 1),
            lambda: end(grant(modified=2), 2),
            lambda: give(grant(modified=3), 3),
        ]
    ):
        Customer.objects.all().delete()
        take(customer(), 0)
        for tell in order:
            tell()

        assert granted() == {GRANT}


def test_parts_and_whole_states_give_the_same_rows_in_any_order():
    """A state that lists a grant, one that does not, and events of the grants in between."""
    other = UUID(int=22)
    news = [
        lambda: give(grant(), 1),
        lambda: show(state(grants=[grant()], subscriptions=[subscription()]), 2),
        lambda: give(grant(other, modified=3), 3),
        lambda: show(state(grants=[grant(other, modified=3)], meters=[meter()]), 4),
        lambda: give(grant(modified=5), 5),
        lambda: show(state(grants=[grant(modified=5)], meters=[meter()]), 6),
    ]
    contents = []
    # Every seventh of them: no news is at the same place in all.
    for order in list(itertools.permutations(news))[::7]:
        Customer.objects.all().delete()
        take(customer(), 0)
        for tell in order:
            tell()
        contents.append(mirror_content())

    assert granted() == {GRANT}
    assert ActiveMeter.objects.count() == 1
    assert ActiveSubscription.objects.count() == 0
    assert all(content == contents[0] for content in contents)


def test_a_grant_that_is_told_again_outlives_a_state_from_before():
    """Though nothing about it is new: that it was seen later counts."""
    news = [lambda: give(grant(), 1), lambda: show(state(), 2), lambda: give(grant(), 3)]
    for order in itertools.permutations(news):
        Customer.objects.all().delete()
        take(customer(), 0)
        for tell in order:
            tell()

        assert granted() == {GRANT}


def test_a_state_that_is_told_late_takes_nothing_away():
    """A later one was seen already."""
    show(state(grants=[grant()]), 5)
    changes = show(state(), 4)

    assert granted() == {GRANT}
    assert changes.stale == {CUSTOMER}


def test_an_old_state_with_a_late_timestamp_does_not_bring_a_revoked_grant_back():
    """Polar builds states out of a cache: the grant's own time of modification counts."""
    take(customer(), 0)
    end(grant(modified=3), 3)

    show(state(grants=[grant(modified=1)]), 4)
    show(state(grants=[grant(modified=1)]), 5)

    assert granted() == set()


def test_a_part_that_a_state_took_away_is_not_brought_back_by_older_content():
    """Told with a later time."""
    show(state(grants=[grant(modified=2)]), 2)
    show(state(), 3)

    give(grant(modified=1), 4)

    assert granted() == set()


def test_removals_are_forgotten_when_no_old_news_can_come_any_more():
    """The column does not grow for ever."""
    take(customer(), 0)
    end(grant(modified=3), 3)
    show(state(), 4)
    assert CustomerState.objects.get().removals

    show(state(), 3 * 86400)

    assert CustomerState.objects.get().removals == {}


def test_losing_what_was_heard_of_shortly_before_leaves_a_doubt():
    """Polar's answer may be as old as its cache."""
    show(state(grants=[grant()]), 0)

    assert show(state(), 60).doubtful == {CUSTOMER}


def test_losing_what_was_heard_of_long_ago_leaves_no_doubt():
    """That is how things end."""
    show(state(grants=[grant()]), 0)

    assert show(state(), 2 * 3600).doubtful == set()


def test_what_a_complete_sync_did_not_find_is_not_brought_back_by_an_older_event():
    """The sync wrote nothing about it: its run is the proof."""
    take(customer(), 0)

    give(grant(), 1, floor=at(2))
    assert granted() == set()
    give(grant(), 3, floor=at(2))
    assert granted() == {GRANT}


def test_what_a_complete_sync_found_is_not_taken_away_by_an_older_state():
    """Though the row was not written."""
    take(customer(), 0)
    give(grant(), 1)

    show(state(), 2, floor=at(3))

    assert granted() == {GRANT}


def test_what_a_complete_sync_found_is_not_ended_by_an_older_event_of_the_same_modification():
    """The sync looked later."""
    take(customer(), 0)
    give(grant(modified=1), 1)

    assert not end(grant(modified=1), 2, floor=at(3))
    assert granted() == {GRANT}


def test_only_syncs_that_read_every_state_prove_anything():
    """An interrupted one, or one without states, says nothing of what it did not see."""
    for outcome, state_complete, started in [
        (SyncRun.Outcome.COMPLETE, True, 1),
        (SyncRun.Outcome.COMPLETE, False, 2),
        (SyncRun.Outcome.INTERRUPTED, True, 3),
        (SyncRun.Outcome.RUNNING, True, 4),
    ]:
        SyncRun.objects.create(
            outcome=outcome, state_complete=state_complete, started_at=at(started)
        )

    assert mirror.known_since() == at(1)


def test_parts_missing_from_a_complete_list_go_unless_heard_of_since():
    """A grant made while the list was read is not in it."""
    take(customer(), 0)
    other = UUID(int=22)
    give(grant(), 1)
    give(grant(other), 9)

    assert mirror.remove_items(BENEFITS, [GRANT, other], observed_at=at(5)) == [GRANT]
    assert granted() == {other}


def test_subscriptions_and_meters_go_the_same_way():
    """One rule for all three kinds of parts."""
    take(customer(), 0)
    for table, part in ((SUBSCRIPTIONS, subscription()), (METERS, meter())):
        mirror.upsert_items(table, [part], [CUSTOMER], observed_at=at(1))
        assert mirror.end_item(table, part, CUSTOMER, observed_at=at(2))
        mirror.upsert_items(table, [part], [CUSTOMER], observed_at=at(1))

    assert not ActiveSubscription.objects.exists()
    assert not ActiveMeter.objects.exists()


# Deletion


def fill(external_id="7"):
    show(
        state(
            grants=[grant()],
            subscriptions=[subscription()],
            meters=[meter()],
            name="A Person",
            metadata={"secret": "A Person"},
            raw={"new": "A Person"},
            external_id=external_id,
        ),
        1,
    )
    CustomerBalance.objects.create(customer_id=CUSTOMER, currency="usd", amount=1, as_of=T0)


def test_a_deleted_customer_leaves_its_ids_and_dates():
    """Nothing about the person, what it had, or what was said of it."""
    user = get_user_model().objects.create(pk=7, username="seven")
    fill()
    WebhookEvent.objects.create(
        id="e", type="x", timestamp=T0, customer_id=CUSTOMER, body=b"A Person", unsent=["A Person"]
    )

    assert mirror.mark_deleted([CUSTOMER], deleted_at=at(5)) == [CUSTOMER]

    row = Customer.objects.get()
    assert (row.pk, row.organization_id, row.created_at) == (CUSTOMER, ORGANIZATION, T0)
    assert (row.deleted_at, row.user, row.external_id, row.email) == (at(5), None, None, None)
    assert (row.name, row.metadata, row.raw) == (None, {}, {})
    for model in (ActiveSubscription, GrantedBenefit, ActiveMeter, CustomerState, CustomerBalance):
        assert not model.objects.exists()
    event = WebhookEvent.objects.get()
    assert (event.body, event.unsent) == (None, [])
    assert not hasattr(get_user_model().objects.get(pk=user.pk), "polar_customer")


def test_deletion_is_final_in_any_order():
    """Whatever else is told of the customer, before or after, however late."""
    news = [
        lambda: take(customer(modified=1), 1),
        lambda: give(grant(), 2),
        lambda: take(customer(modified=3, deleted=3, external_id=None), 3),
        lambda: show(state(modified=3, deleted=3, grants=[grant()]), 4),
        lambda: take(customer(modified=9, name="back again"), 9),
    ]
    contents = []
    for order in list(itertools.permutations(news))[::3]:
        Customer.objects.all().delete()
        for tell in order:
            tell()
        contents.append(mirror_content())

    assert Customer.objects.get().deleted_at == at(3)
    assert all(content == contents[0] for content in contents)
    assert contents[0]["states"] == set()


def test_a_customer_that_was_never_known_is_recorded_when_it_was_deleted():
    """Or a late event would bring it to life."""
    assert mirror.record_deleted([customer(deleted=3)], observed_at=at(4)) == []

    assert Customer.objects.get().deleted_at == at(3)


def test_of_two_times_of_deletion_the_earlier_is_kept():
    """Ours, when the user was deleted here, or Polar's."""
    take(customer(), 0)
    mirror.mark_deleted([CUSTOMER], deleted_at=at(5))

    assert mirror.record_deleted([customer(deleted=3)], observed_at=at(9)) == []
    assert Customer.objects.get().deleted_at == at(3)


def test_deleting_many_costs_as_many_queries_as_deleting_one(django_assert_max_num_queries):
    """Set by set."""
    ids = [UUID(int=100 + n) for n in range(50)]
    for id_ in ids:
        take(customer(id_, external_id=str(id_)), 0)

    with django_assert_max_num_queries(14):
        assert len(mirror.mark_deleted(ids, deleted_at=at(1))) == 50


def test_a_state_of_the_fake_polar_is_mirrored_field_by_field():
    """Payload attributes and columns have one name."""
    polar = FakePolar()
    row = polar.add_customer(external_id="42", name="A")
    polar.add_subscription(row, metadata={"a": 1})
    polar.add_grant(row, benefit_metadata={"b": 2})
    polar.add_meter(row, consumed_units=2, credited_units=5)
    with polar.client() as client:
        payload = client.customers.get_state(row["id"])

    mirror.apply_states([payload], observed_at=mirror.utc_now())

    mirrored = Customer.objects.with_state().get().state
    assert mirrored.active_subscriptions.get().metadata == {"a": 1}
    assert mirrored.granted_benefits.get().benefit_metadata == {"b": 2}
    assert mirrored.active_meters.get().balance == 3
