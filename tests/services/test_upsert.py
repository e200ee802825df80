"""The fast way to write the mirror, against the ORM's slow one and on every database."""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime, timedelta
from functools import partial
from unittest.mock import patch
from uuid import UUID, uuid4

import pytest
from django.db import connection, connections, models, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from django_polar.models import (
    ActiveMeter,
    Customer,
    CustomerState,
)
from django_polar.payloads import (
    CustomerPayload,
    GrantedBenefitPayload,
    MeterPayload,
    SubscriptionPayload,
)
from django_polar.services.mirror import upsert_customers, upsert_items
from django_polar.services.statements import statements_for
from django_polar.services.tables import BENEFITS, CUSTOMERS, METERS, SUBSCRIPTIONS, make_rows
from django_polar.services.upsert import compare, upsert

ORGANIZATION = uuid4()
MONDAY = datetime(2026, 3, 2, 9, 30, 15, 123456, tzinfo=UTC)
TUESDAY = MONDAY + timedelta(days=1)
WEDNESDAY = MONDAY + timedelta(days=2)


def a_customer(**fields):
    return CustomerPayload(
        **{
            "id": uuid4(),
            "created_at": MONDAY,
            "organization_id": ORGANIZATION,
            "email": "somebody@example.com",
            **fields,
        }
    )


def a_meter(**fields):
    return MeterPayload(**{"id": uuid4(), "created_at": MONDAY, "meter_id": uuid4(), **fields})


def put(*payloads, at=TUESDAY, table=CUSTOMERS, owners=()):
    return upsert(table, make_rows(table, payloads, owners), observed_at=at)


# The fast way and the ORM's.

times = st.datetimes(
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001 - the strategy adds the zone
    max_value=datetime(2090, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone.get_fixed_timezone(330)]),
)
# No database here takes NUL or half a surrogate pair, which is another test's matter.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
leaves = (
    st.none()
    | st.booleans()
    | texts
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
)
objects = st.dictionaries(
    texts,
    st.recursive(leaves, lambda c: st.lists(c, max_size=3) | st.dictionaries(texts, c, max_size=3)),
    max_size=3,
)
# MariaDB refuses UUIDs of no known version.
ids = st.uuids(version=4)
numbers = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e15, max_value=1e15)


def payloads(payload_type, **strategies):
    common = {"id": ids, "created_at": times, "modified_at": st.none() | times, "raw": objects}
    return st.lists(
        st.builds(payload_type, **{**common, **strategies}),
        max_size=4,
        unique_by=lambda payload: payload.id,
    )


customers = payloads(
    CustomerPayload,
    organization_id=ids,
    metadata=objects,
    external_id=st.none() | texts,
    email=st.none() | texts,
    email_verified=st.booleans(),
    type=st.none() | texts,
    name=st.none() | texts,
    billing_name=st.none() | texts,
    billing_address=st.none() | objects,
    tax_id=st.none() | st.lists(texts, max_size=2),
    locale=st.none() | texts,
    default_payment_method_id=st.none() | ids,
    deleted_at=st.none(),
    first_user_event_at=st.none() | times,
    avatar_url=st.none() | texts,
)
subscriptions = payloads(
    SubscriptionPayload,
    status=texts,
    product_id=ids,
    custom_field_data=objects,
    metadata=objects,
    amount=numbers,
    currency=texts,
    current_period_start=st.none() | times,
    trial_end=st.none() | times,
    cancel_at_period_end=st.booleans(),
    discount_id=st.none() | ids,
    seats=st.none() | numbers,
    meters=st.lists(objects, max_size=2),
)
grants = payloads(
    GrantedBenefitPayload,
    benefit_id=ids,
    benefit_type=texts,
    granted_at=st.none() | times,
    benefit_metadata=objects,
    properties=objects,
)
meters = payloads(
    MeterPayload, meter_id=ids, consumed_units=floats, credited_units=floats, balance=floats
)


def rows_by_orm(table, payloads, at, owner=None):
    """What the ORM makes of it, read back; the rows are gone again afterwards."""
    with transaction.atomic():
        for row in make_rows(table, payloads, [owner] * len(payloads) if owner else ()):
            values = dict(zip(table.columns, (*row.values, at, row.digest), strict=True))
            if table.owner:
                values["state_id"] = values.pop(table.owner)
            table.model.objects.create(**values)
        found = content(table.model)
        transaction.set_rollback(True)
    return found


def content(model):
    """The rows as Django reads them, and as they are in the database.

    Django would read a time that it cannot compare with others. JSON may be spaced differently.
    """
    columns = [
        connection.ops.quote_name(field.column)
        for field in model._meta.concrete_fields
        if not isinstance(field, models.JSONField)
    ]
    table = connection.ops.quote_name(model._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {columns[0]}")
        raw = cursor.fetchall()
    return list(model.objects.order_by("pk").values()), raw


@pytest.mark.django_db
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(customers=customers, subscriptions=subscriptions, grants=grants, meters=meters, at=times)
def test_fast_way_writes_what_the_orm_writes(customers, subscriptions, grants, meters, at):
    """Every value of every column of random rows is read back the same."""
    with transaction.atomic():
        expected = rows_by_orm(CUSTOMERS, customers, at)
        put(*customers, at=at)
        assert content(Customer) == expected

        owner = uuid4()
        put(a_customer(id=owner))
        for table, parts in ((SUBSCRIPTIONS, subscriptions), (BENEFITS, grants), (METERS, meters)):
            expected = rows_by_orm(table, parts, at, owner)
            put(*parts, at=at, table=table, owners=[owner] * len(parts))
            assert content(table.model) == expected
        transaction.set_rollback(True)


@pytest.mark.django_db
@settings(max_examples=25, deadline=None)
@given(
    versions=st.lists(
        st.tuples(
            st.integers(0, 2),
            st.sampled_from([None, MONDAY, TUESDAY, WEDNESDAY]),
            st.sampled_from([MONDAY, TUESDAY, WEDNESDAY]),
        ),
        max_size=8,
    ),
    random=st.randoms(use_true_random=False),
)
def test_order_does_not_matter(versions, random):
    """Whatever order versions of the same customers come in, the tables end up the same."""
    shuffled = list(versions)
    random.shuffle(shuffled)

    assert customers_after(shuffled) == customers_after(versions)


def customers_after(versions):
    with transaction.atomic():
        for number, modified_at, at in versions:
            payload = a_customer(
                id=UUID(int=number),
                created_at=MONDAY - timedelta(days=1),
                modified_at=modified_at,
                name=f"As of {modified_at}, seen {at}",
            )
            put(payload, at=at)
        rows = list(Customer.objects.order_by("pk").values())
        transaction.set_rollback(True)
    return rows


# Which version wins.


@pytest.mark.django_db
def test_newer_version_is_written():
    """What Polar modified later replaces what is there, and is reported as updated."""
    customer = a_customer(modified_at=MONDAY, name="Before")
    put(customer)
    changes = put(a_customer(id=customer.id, modified_at=TUESDAY, name="After"))

    assert changes.updated == [customer.id]
    assert Customer.objects.get().name == "After"


@pytest.mark.django_db
def test_older_version_is_stale():
    """What Polar modified earlier changes nothing, however late it was seen."""
    customer = a_customer(modified_at=TUESDAY, name="Newer")
    put(customer, at=TUESDAY)
    changes = put(a_customer(id=customer.id, modified_at=MONDAY, name="Older"), at=WEDNESDAY)

    assert changes.stale == [customer.id]
    assert not changes.written
    assert Customer.objects.get().name == "Newer"


@pytest.mark.django_db
@pytest.mark.parametrize("first", [0, 1])
def test_tie_goes_to_the_one_seen_later(first):
    """Two versions of one moment: the one that Polar told last stays, whichever came first."""
    id_ = uuid4()
    versions = [
        (a_customer(id=id_, modified_at=MONDAY, name="Seen first"), TUESDAY),
        (a_customer(id=id_, modified_at=MONDAY, name="Seen last"), WEDNESDAY),
    ]
    for payload, at in (versions[first], versions[1 - first]):
        put(payload, at=at)

    assert Customer.objects.get().name == "Seen last"


@pytest.mark.django_db
def test_same_again_is_no_write():
    """An unchanged page costs one read and nothing else."""
    customers = [a_customer(external_id=str(n)) for n in range(100)]
    upsert_customers(customers, observed_at=MONDAY)

    with CaptureQueriesContext(connection) as queries:
        changes = upsert_customers(customers, observed_at=TUESDAY)

    assert len(changes.unchanged) == 100
    assert [query["sql"].split()[0] for query in queries] == ["SELECT"]


@pytest.mark.django_db
def test_row_given_twice_counts_once():
    """A page may repeat an item; its newest version is the one that is written."""
    id_ = uuid4()
    changes = put(
        a_customer(id=id_, modified_at=TUESDAY, name="Newer"),
        a_customer(id=id_, modified_at=MONDAY, name="Older"),
    )

    assert changes.created == [id_]
    assert Customer.objects.get().name == "Newer"


@pytest.mark.django_db
def test_deleted_customer_stays_deleted():
    """No profile, however new, is written over a customer that Polar deleted."""
    customer = a_customer(modified_at=MONDAY)
    put(customer)
    Customer.objects.update(deleted_at=TUESDAY, email=None)
    changes = put(a_customer(id=customer.id, modified_at=WEDNESDAY), at=WEDNESDAY)

    assert not changes.written
    assert Customer.objects.get().email is None


@pytest.mark.django_db
def test_compare_writes_nothing():
    """It tells what an upsert would do, and the tables stay as they were."""
    there = a_customer(modified_at=MONDAY, name="Before")
    put(there)
    new = a_customer()
    rows = make_rows(CUSTOMERS, [new, a_customer(id=there.id, modified_at=TUESDAY, name="After")])

    changes = compare(CUSTOMERS, rows, observed_at=TUESDAY)

    assert (changes.created, changes.updated) == ([new.id], [there.id])
    assert Customer.objects.get().name == "Before"


# What the database will not take.


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite takes text of any length and NUL")
def test_refused_row_costs_no_other():
    """One value too long for its column is reported; the ninety-nine others are written."""
    bad = a_customer(email="x" * 400)
    good = [a_customer() for _ in range(99)]

    changes = put(*good[:50], bad, *good[50:])

    assert list(changes.refused) == [bad.id]
    assert set(changes.created) == {customer.id for customer in good}
    assert set(Customer.objects.values_list("pk", flat=True)) == set(changes.created)
    assert set(CustomerState.objects.values_list("pk", flat=True)) == set(changes.created)


# Time zones.


@pytest.mark.django_db
def test_without_time_zones_times_are_local(settings):
    """With ``USE_TZ = False`` a column holds the local time without an offset, as Django's do."""
    settings.USE_TZ = False
    settings.TIME_ZONE = "Asia/Kolkata"
    put(a_customer(created_at=MONDAY))

    assert Customer.objects.get().created_at == MONDAY.replace(tzinfo=None) + timedelta(
        hours=5, minutes=30
    )


@pytest.mark.django_db
@pytest.mark.skipif(
    connection.vendor == "postgresql", reason="PostgreSQL keeps offsets, so Django refuses it"
)
def test_connection_may_have_a_time_zone_of_its_own():
    """``DATABASES[...]["TIME_ZONE"]`` is what the column's text is in, and reads back the same."""
    try:
        with patch.dict(connection.settings_dict, TIME_ZONE="America/New_York"):
            forget_time_zone()
            put(a_customer(created_at=MONDAY))
            with connection.cursor() as cursor:
                cursor.execute("SELECT created_at FROM django_polar_customer")
                (stored,) = cursor.fetchone()
            assert str(stored) == "2026-03-02 04:30:15.123456"
            assert Customer.objects.get().created_at == MONDAY
    finally:
        forget_time_zone()


def forget_time_zone():
    """The connection keeps what it read from its settings, for all tests that come after."""
    for name in ("timezone", "timezone_name"):
        connections["default"].__dict__.pop(name, None)


# Statements.


def statements(queries):
    """The kind of each, without those that begin and end transactions.

    An ``executemany`` is one line of Django's log, with the number of its rows in front.
    """
    kinds = [re.sub(r"^\d+ times: ", "", query["sql"]).split()[0] for query in queries]
    return [k for k in kinds if k not in ("BEGIN", "SAVEPOINT", "RELEASE", "COMMIT")]


@pytest.mark.django_db
@pytest.mark.parametrize("size", [1, 100])
def test_new_customers_cost_five_statements(size, django_user_model):
    """Read, insert, states, users, links: for a page as for a single customer."""
    users = django_user_model.objects.bulk_create(
        [django_user_model(username=str(n)) for n in range(size)]
    )
    customers = [a_customer(external_id=str(user.pk)) for user in users]

    with CaptureQueriesContext(connection) as queries:
        upsert_customers(customers, observed_at=TUESDAY)

    assert Customer.objects.linked().count() == size
    assert statements(queries) == ["SELECT", "INSERT", "INSERT", "SELECT", "UPDATE"]


@pytest.mark.django_db
@pytest.mark.parametrize("size", [1, 100])
def test_new_parts_cost_three_statements(size):
    """Read, states, insert."""
    customers = [a_customer() for _ in range(size)]
    put(*customers)
    owners = [customer.id for customer in customers]

    with CaptureQueriesContext(connection) as queries:
        upsert_items(METERS, [a_meter() for _ in owners], owners, observed_at=TUESDAY)

    assert ActiveMeter.objects.count() == size
    assert len(statements(queries)) == 3


@pytest.mark.django_db
def test_changed_parts_cost_three_statements():
    """Read the digests, read what is newer, write."""
    customer = a_customer()
    put(customer)
    meters = [a_meter() for _ in range(100)]
    owners = [customer.id] * 100
    upsert_items(METERS, meters, owners, observed_at=TUESDAY)
    changed = [
        a_meter(id=m.id, meter_id=m.meter_id, balance=5, modified_at=TUESDAY) for m in meters
    ]

    with CaptureQueriesContext(connection) as queries:
        upsert_items(METERS, changed, owners, observed_at=WEDNESDAY)

    assert ActiveMeter.objects.filter(balance=5).count() == 100
    assert len(statements(queries)) == 3


# Two writers.


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite lets one writer in at a time")
def test_older_version_loses_in_the_statement_itself():
    """A newer version that another connection writes between our look and our write stays."""
    customer = a_customer(modified_at=MONDAY, name="First")
    put(customer)
    newest = a_customer(id=customer.id, modified_at=WEDNESDAY, name="Newest")
    middle = a_customer(id=customer.id, modified_at=TUESDAY, name="Middle")

    in_thread(partial(put, newest, at=WEDNESDAY))
    # As an upsert would that had read the row before the other one wrote it.
    with transaction.atomic():
        statements_for(CUSTOMERS, "default").write(make_rows(CUSTOMERS, [middle]), TUESDAY)

    assert Customer.objects.get().name == "Newest"


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite lets one writer in at a time")
def test_two_writers_end_up_with_the_newest():
    """Two connections write the same customers in opposite orders: no deadlock, newest wins."""
    customers = [uuid4() for _ in range(50)]
    barrier = threading.Barrier(2)

    def write(at, name, order):
        barrier.wait(timeout=10)
        put(
            *(a_customer(id=id_, modified_at=at, name=name) for id_ in order),
            at=at,
        )

    threads = [
        Thread(partial(write, MONDAY, "Older", customers)),
        Thread(partial(write, TUESDAY, "Newer", customers[::-1])),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.finish()

    assert set(Customer.objects.values_list("name", flat=True)) == {"Newer"}
    assert Customer.objects.count() == 50


class Thread(threading.Thread):
    """Closes its connection, and raises in ``finish`` what was raised in it."""

    def __init__(self, work):
        super().__init__()
        self.work = work
        self.error = None

    def run(self):
        try:
            self.work()
        except BaseException as error:  # noqa: BLE001 - raised again in `finish`
            self.error = error
        finally:
            connections.close_all()

    def finish(self):
        self.join(timeout=20)
        assert not self.is_alive()
        if self.error:
            raise self.error


def in_thread(work):
    thread = Thread(work)
    thread.start()
    thread.finish()
