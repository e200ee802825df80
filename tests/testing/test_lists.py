"""The fake's lists: pages, filters, sorting, and the disorder of ties."""

from __future__ import annotations

import httpx
import pytest

from django_polar.testing import FakePolar


@pytest.fixture
def tied(fake):
    """A hundred customers of one moment."""
    for number in range(100):
        fake.add_customer(
            created_at="2026-01-01T00:00:00Z",
            email=f"c{number:03}@acme-mail.dev",
            external_id=f"user-{number:03}",
        )
    return fake


def walk(http, path="/v1/customers/", **parameters):
    """The ids on all pages."""
    found, page, last = [], 1, 1
    while page <= last:
        answered = http.get(path, params=parameters | {"page": page}).json()
        last = answered["pagination"]["max_page"]
        found += [item["id"] for item in answered["items"]]
        page += 1
    return found


def test_a_walk_over_ties_misses_some_and_repeats_others(tied, http):
    """Without a tie-breaker every request has an order of its own."""
    found = walk(http, sorting="created_at")

    assert len(found) == 100
    assert len(set(found)) < 100


def test_a_second_sort_key_makes_a_walk_complete(tied, http):
    """Several criteria are honoured, the first one first."""
    found = walk(http, sorting=["created_at", "email"])

    assert found == list(tied.customers)


def test_stable_switches_the_disorder_off(tied, http):
    """For tests of something else."""
    tied.stable = True

    assert set(walk(http)) == set(tied.customers)


def test_the_same_seed_gives_the_same_disorder():
    """A failing test can be repeated."""
    walks = []
    for _ in range(2):
        fake = FakePolar(seed=7)
        for number in range(50):
            fake.add_customer(created_at="2026-01-01T00:00:00Z", email=f"{number}@acme-mail.dev")
        headers = {"Authorization": f"Bearer {fake.token}"}
        with httpx.Client(
            transport=fake.transport(), base_url=fake.base_url, headers=headers
        ) as http:
            walks.append(walk(http))

    assert walks[0] == walks[1]


def test_rows_that_go_during_a_walk_make_others_unseen(fake, http):
    """``between_pages`` runs after every page but the last."""
    for number in range(40):
        fake.add_customer(email=f"{number}@acme-mail.dev")
    pages = []

    def delete_one_that_was_seen(name, page):
        pages.append((name, page))
        fake.delete_customer(max(fake.customers.values(), key=lambda row: row["created_at"]))

    fake.between_pages(delete_one_that_was_seen)
    found = walk(http)

    assert pages[0] == ("customers", 1)
    assert set(fake.customers) - set(found)


@pytest.mark.parametrize(
    ("limit", "items", "max_page"), [(1000, 100, 2), (100, 100, 2), (10, 10, 12), (None, 10, 12)]
)
def test_the_limit_is_clamped_to_a_hundred(tied, http, limit, items, max_page):
    """Without one it is ten."""
    for number in range(20):
        tied.add_customer(email=f"more-{number}@acme-mail.dev")

    answered = http.get("/v1/customers/", params={"limit": limit} if limit else {}).json()

    assert len(answered["items"]) == items
    assert answered["pagination"] == {"total_count": 120, "max_page": max_page}


def test_past_the_end_and_an_empty_result_are_answers(tied, http):
    """An empty result has no pages."""
    past = http.get("/v1/customers/", params={"page": 99}).json()
    empty = http.get("/v1/customers/", params={"email": "x@acme-mail.dev"}).json()

    assert (past["items"], past["pagination"]["max_page"]) == ([], 10)
    assert empty["pagination"] == {"total_count": 0, "max_page": 0}


@pytest.mark.parametrize("name", ["page", "limit"])
@pytest.mark.parametrize("value", ["0", "-1", "two"])
def test_pages_and_limits_count_from_one(http, name, value):
    """Anything else is a 422 that names the parameter."""
    answered = http.get("/v1/customers/", params={name: value})

    assert answered.json()["detail"][0]["loc"] == ["query", name]


def test_a_page_beyond_all_numbers_breaks_the_server(http):
    """500 as plain text."""
    answered = http.get("/v1/customers/", params={"page": "9" * 20})

    assert (answered.status_code, answered.text) == (500, "Internal Server Error")
    assert answered.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("path", "good", "bad"),
    [
        ("/v1/customers/", "name", "modified_at"),
        ("/v1/subscriptions/", "current_period_end", "created_at"),
        ("/v1/benefit-grants/", "revoked_at", "modified_at"),
        ("/v1/customer-meters/", "customer_name", "name"),
    ],
)
def test_each_list_has_its_own_sort_keys(http, path, good, bad):
    """An unknown one is refused with its position, and the known ones are listed."""
    assert http.get(path, params={"sorting": [good, f"-{good}"]}).status_code == 200
    refused = http.get(path, params={"sorting": [good, bad]})

    (error,) = refused.json()["detail"]
    assert error["loc"] == ["query", "sorting", 1]
    assert f"'-{good}'" in error["msg"]


def test_nulls_sort_last_ascending_and_first_descending(fake, http):
    """As PostgreSQL does."""
    fake.add_customer(name="B")
    fake.add_customer(name=None)
    fake.add_customer(name="a")

    def names(sorting):
        items = http.get("/v1/customers/", params={"sorting": sorting}).json()["items"]
        return [item["name"] for item in items]

    assert names("name") == ["B", "a", None]
    assert names("-name") == [None, "a", "B"]


def test_customers_are_filtered(tied, http):
    """By email whatever its case, a prefix of the external id, metadata, and activity."""
    row = tied.add_customer(
        external_id="a/b", email="ada@acme-mail.dev", metadata={"n": 7, "flag": True}
    )
    tied.add_subscription(row, status="past_due")

    def found(**parameters):
        items = http.get("/v1/customers/", params={"limit": 100} | parameters).json()["items"]
        return [item["id"] for item in items]

    assert found(email="ADA@acme-mail.dev") == [row["id"]]
    assert found(email="ada") == []
    assert found(query="a/") == [row["id"]]
    assert len(found(query="user-09")) == 10
    assert found(query="ser-0") == []
    assert found(**{"metadata[n]": "7", "metadata[flag]": "true"}) == [row["id"]]
    assert found(**{"metadata[n]": ["8", "7"]}) == [row["id"]]
    assert found(**{"metadata[n]": "7", "metadata[flag]": "false"}) == []
    assert found(active="true") == [row["id"]]
    assert found(organization_id="1c6a00d9-fbe0-4467-9966-72494d93f53f") == []
    assert len(found(unknown="x")) == 100


def test_what_belongs_to_customers_is_filtered(fake, http):
    """By several customers, statuses, product and activity at once."""
    one, two, three = (fake.add_customer(external_id=f"e{n}") for n in range(3))
    active = fake.add_subscription(one, product_id=fake.add_product(name="Pro")["id"])
    past_due = fake.add_subscription(two, status="past_due")
    fake.add_subscription(three, status="incomplete", started_at=None)
    granted = fake.add_grant(one)
    fake.revoke_grant(fake.add_grant(one))
    meter = fake.add_meter(two)
    fake.add_meter(two, archived=True)

    def found(path, **parameters):
        items = http.get(f"/v1/{path}/", params=parameters).json()["items"]
        return {item["id"] for item in items}

    assert found("subscriptions") == {active["id"], past_due["id"]}
    assert found("subscriptions", customer_id=[one["id"], two["id"]], active="true") == {
        active["id"]
    }
    assert found("subscriptions", external_customer_id="e1") == {past_due["id"]}
    assert found("subscriptions", status=["past_due", "active"]) == {active["id"], past_due["id"]}
    assert found("subscriptions", product_id=active["product_id"]) == {active["id"]}
    assert found("benefit-grants", is_granted="true") == {granted["id"]}
    assert len(found("benefit-grants", customer_id=one["id"])) == 2
    assert found("customer-meters", customer_id=two["id"]) == {meter["id"]}
    assert http.get("/v1/subscriptions/", params={"status": "great"}).status_code == 422


def test_pages_of_a_big_list_are_cheap(fake, http):
    """An order is sorted once and kept until something changes."""
    fake.seed_world(1000)
    http.get("/v1/customers/", params={"sorting": "email"})
    kept = fake.orders._kept.copy()

    http.get("/v1/customers/", params={"sorting": "email", "page": 2})
    assert fake.orders._kept == kept
    fake.add_customer(email="0@acme-mail.dev")

    first = http.get("/v1/customers/", params={"sorting": "email"}).json()["items"][0]
    assert first["email"] == "0@acme-mail.dev"


def test_a_fraction_of_zero_sorts_as_zero(fake, http):
    """Polar leaves it out, which must not change the order."""
    later = fake.add_customer(created_at="2026-01-01T00:00:00.000001Z", email="b@acme-mail.dev")
    sooner = fake.add_customer(created_at="2026-01-01T00:00:00Z", email="a@acme-mail.dev")

    assert walk(http, sorting="created_at") == [sooner["id"], later["id"]]


def test_the_first_criterion_counts_most(fake, http):
    """The second decides among those that the first leaves equal, in its own direction."""
    rows = [
        fake.add_customer(name=name, email=f"{letter}@acme-mail.dev")
        for name, letter in (("Z", "a"), ("A", "b"), ("A", "c"), ("Z", "d"))
    ]
    order = [2, 1, 3, 0]

    assert walk(http, sorting=["name", "-email"]) == [rows[index]["id"] for index in order]
