"""Finding customers in the list."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_polar.models import (
    ActiveMeter,
    ActiveSubscription,
    Customer,
    CustomerBalance,
    CustomerState,
    GrantedBenefit,
    SyncRun,
)

from .helpers import LIST, mirror_all, page_of, rows_of

pytestmark = pytest.mark.django_db

ORGANIZATION = uuid4()
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
PRODUCT, BENEFIT = UUID(int=1), UUID(int=2)


def add_customer(number: int = 0, *, subscribed: bool = False, granted: bool = False, **fields):
    now = timezone.now()
    customer = Customer.objects.create(
        **{
            "id": uuid4(),
            "organization_id": ORGANIZATION,
            "type": "individual",
            "created_at": LONG_AGO + timedelta(days=number),
            "synced_at": now,
        }
        | fields
    )
    state = CustomerState.objects.create(customer=customer, as_of=fields.get("synced_at", now))
    part = {"state": state, "created_at": now, "synced_at": now}
    if subscribed:
        ActiveSubscription.objects.create(
            id=uuid4(), status="active", amount=1, currency="usd", product_id=PRODUCT, **part
        )
    if granted:
        GrantedBenefit.objects.create(id=uuid4(), benefit_id=BENEFIT, benefit_type="custom", **part)
    return customer


def add_many(count: int) -> list[Customer]:
    """Customers that each have a user and one of everything."""
    user_model = get_user_model()
    users = user_model.objects.bulk_create(
        user_model(username=f"user-{uuid4()}") for _ in range(count)
    )
    now = timezone.now()
    customers = Customer.objects.bulk_create(
        Customer(
            id=uuid4(),
            organization_id=ORGANIZATION,
            external_id=str(user.pk),
            user=user,
            created_at=LONG_AGO + timedelta(days=number),
            synced_at=now,
        )
        for number, user in enumerate(users)
    )
    CustomerState.objects.bulk_create(CustomerState(customer=c, as_of=now) for c in customers)
    part = {"created_at": now, "synced_at": now}
    for customer in customers:
        part["state_id"] = customer.pk
        ActiveSubscription(
            id=uuid4(), status="active", amount=1, currency="usd", product_id=PRODUCT, **part
        ).save(force_insert=True)
        GrantedBenefit(id=uuid4(), benefit_id=BENEFIT, benefit_type="custom", **part).save(
            force_insert=True
        )
        ActiveMeter(
            id=uuid4(), meter_id=uuid4(), consumed_units=0, credited_units=1, balance=1, **part
        ).save(force_insert=True)
        CustomerBalance(customer=customer, currency="usd", amount=5, as_of=now).save()
    return customers


def count_queries(browser, path) -> int:
    browser.get(path)  # what Django keeps from then on, such as content types
    with CaptureQueriesContext(connection) as queries:
        response = browser.get(path)
    assert response.status_code == 200
    return len(queries)


def test_the_list_shows_who_has_what_and_since_when_it_is_known(polar, ada, admin_client):
    user = get_user_model().objects.create_user("ada")
    mirror_all(polar)
    customer = Customer.objects.get()
    Customer.objects.update(user=user, external_id=str(user.pk))
    CustomerBalance.objects.create(
        customer=customer, currency="usd", amount=-250, as_of=timezone.now()
    )

    page = admin_client.get(LIST).content.decode()

    for shown in (
        "Ada Lovelace",
        "ada@acme-mail.dev",
        f'<a href="/admin/auth/user/{user.pk}/change/">ada</a>',
        "active",
        "license_keys",
        "-2.50 USD",
        "just now",
    ):
        assert shown in page


def test_the_list_takes_as_many_queries_for_a_thousand_customers_as_for_ten(polar, admin_client):
    add_many(10)
    few = count_queries(admin_client, LIST)
    add_many(990)

    assert Customer.objects.count() == 1000
    assert count_queries(admin_client, LIST) == few
    assert few == 16
    assert not polar.requests


def test_a_page_takes_as_many_queries_for_many_subscriptions_as_for_one(polar, ada, admin_client):
    mirror_all(polar)
    few = count_queries(admin_client, page_of(ada))
    for _ in range(20):
        polar.add_subscription(ada)
    mirror_all(polar)
    polar.reset_requests()

    assert count_queries(admin_client, page_of(ada)) == few
    assert few == 11
    assert not polar.requests


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("linked=yes", {"linked"}),
        ("linked=no", {"unlinked", "team", "subscribed", "granted"}),
        ("deleted=yes", {"deleted"}),
        ("deleted=no", {"linked", "unlinked", "team", "subscribed", "granted"}),
        ("customer_type=team", {"team"}),
        ("customer_type=other", {"unlinked", "deleted"}),
        ("subscribed=yes", {"subscribed"}),
        ("subscribed=no", {"linked", "unlinked", "team", "granted", "deleted"}),
        (f"product={PRODUCT}", {"subscribed"}),
        (f"product={UUID(int=3)}", set()),
        (f"benefit={BENEFIT}", {"granted"}),
        ("product=nonsense", {"linked", "unlinked", "team", "subscribed", "granted", "deleted"}),
    ],
)
def test_each_filter_keeps_those_it_names(admin_client, query, expected):
    user = get_user_model().objects.create_user("ada")
    named = {
        "linked": add_customer(user=user),
        "unlinked": add_customer(type="robot"),
        "team": add_customer(type="team"),
        "subscribed": add_customer(subscribed=True),
        "granted": add_customer(granted=True),
        "deleted": add_customer(type=None, deleted_at=timezone.now()),
    }

    found = {row.pk for row in rows_of(admin_client.get(f"{LIST}?{query}"))}

    assert {name for name, customer in named.items() if customer.pk in found} == expected


def test_synced_before_keeps_those_nobody_has_told_us_of_since(admin_client):
    stale = add_customer(synced_at=timezone.now() - timedelta(days=2))
    add_customer()
    refreshed = add_customer(synced_at=timezone.now() - timedelta(days=2))
    CustomerState.objects.filter(pk=refreshed.pk).update(as_of=timezone.now())

    assert [row.pk for row in rows_of(admin_client.get(f"{LIST}?synced_before=1d"))] == [stale.pk]


def test_a_complete_sync_has_seen_everyone_although_it_wrote_no_row(admin_client):
    add_customer(synced_at=timezone.now() - timedelta(days=2), name="Unchanged")
    SyncRun.objects.create(outcome=SyncRun.Outcome.COMPLETE)

    response = admin_client.get(f"{LIST}?synced_before=1d")
    assert rows_of(response) == []

    assert "just now" in admin_client.get(LIST).content.decode()


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        ("ada@acme-mail.dev", {"ada"}),
        ("ADA@acme-mail.dev", {"ada"}),
        ("ada@acme", {"ada"}),
        ("love", {"ada"}),
        ("ADA lovelace", {"ada"}),
        ("u-1", {"ada"}),
        ("u-", {"ada", "grace"}),
        ("11111111-1111-4111-8111-111111111111", {"grace"}),
        ("22222222-2222-4222-8222-222222222222", {"uuid"}),
        ("nobody", set()),
        ("100%", set()),
        ("\x00", {"ada", "grace", "uuid"}),
    ],
)
def test_search_finds_by_email_name_external_id_and_polar_id(admin_client, term, expected):
    named = {
        "ada": add_customer(email="ada@acme-mail.dev", name="Ada Lovelace", external_id="u-1"),
        "grace": add_customer(
            id=UUID("11111111-1111-4111-8111-111111111111"),
            email="grace@acme-mail.dev",
            name="Grace Hopper",
            external_id="u-2",
        ),
        "uuid": add_customer(external_id="22222222-2222-4222-8222-222222222222"),
    }

    found = {row.pk for row in rows_of(admin_client.get(LIST, {"q": term}))}

    assert {name for name, customer in named.items() if customer.pk in found} == expected


def test_an_exact_find_does_not_look_at_every_row(admin_client):
    add_customer(external_id="42")

    with CaptureQueriesContext(connection) as queries:
        admin_client.get(LIST, {"q": "42"})

    assert not [q for q in queries if "LIKE" in q["sql"] and "django_polar_customer" in q["sql"]]


class TestDates:
    """The date hierarchy shows what is there, whatever the number of rows."""

    def choices(self, browser, query=""):
        page = browser.get(f"{LIST}?{query}")
        return [
            choice["title"]
            for context in page.context
            if "choices" in context and "back" in context
            for choice in context["choices"]
        ]

    def test_years_without_customers_are_left_out(self, admin_client):
        for year in (2020, 2023):
            add_customer(created_at=datetime(year, 6, 1, tzinfo=UTC))

        assert self.choices(admin_client) == ["2020", "2023"]

    def test_months_and_days(self, admin_client):
        for moment in (datetime(2023, 2, 3, tzinfo=UTC), datetime(2023, 12, 31, 23, tzinfo=UTC)):
            add_customer(created_at=moment)
        add_customer(created_at=datetime(2021, 5, 5, tzinfo=UTC))

        assert self.choices(admin_client, "created_at__year=2023") == [
            "February 2023",
            "December 2023",
        ]
        days = "created_at__year=2023&created_at__month=12"
        assert self.choices(admin_client, days) == ["December 31"]

    def test_days_are_those_of_the_local_time_zone(self, admin_client, settings):
        settings.TIME_ZONE = "Asia/Tokyo"
        add_customer(created_at=datetime(2023, 2, 3, 20, tzinfo=UTC))
        add_customer(created_at=datetime(2023, 2, 5, 1, tzinfo=UTC))

        assert self.choices(admin_client) == ["February 4", "February 5"]

    def test_they_follow_the_filters(self, admin_client):
        add_customer(created_at=datetime(2020, 6, 1, tzinfo=UTC))
        add_customer(created_at=datetime(2022, 6, 1, tzinfo=UTC), type="team")
        add_customer(created_at=datetime(2023, 6, 1, tzinfo=UTC), type="team")

        assert self.choices(admin_client, "customer_type=team") == ["2022", "2023"]

    def test_an_empty_mirror_has_none(self, admin_client):
        assert self.choices(admin_client) == []

    def test_no_row_is_read_to_find_them(self, admin_client):
        for year in (2020, 2021):
            add_customer(created_at=datetime(year, 6, 1, tzinfo=UTC))

        with CaptureQueriesContext(connection) as queries:
            admin_client.get(LIST)

        assert not [q for q in queries if "TRUNC" in q["sql"].upper()]


def test_a_deleted_customer_shows_nothing_of_the_person(admin_client):
    """Also where a row still has something that it should not."""
    customer = add_customer(
        deleted_at=timezone.now(),
        name="Ada Lovelace",
        email="ada@acme-mail.dev",
        billing_name="Countess",
        metadata={"note": "secret"},
        raw={"note": "secret"},
        subscribed=True,
    )

    for path in (LIST, page_of(customer)):
        page = admin_client.get(path).content.decode()
        assert "deleted" in page.lower()
        for personal in ("Lovelace", "acme-mail.dev", "Countess", "secret", "active<"):
            assert personal not in page
