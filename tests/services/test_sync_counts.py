"""What the report counts: every distinct item once, whichever way it was read."""

from __future__ import annotations

import pytest

from django_polar.services.sync import sync_customers
from tests.truth import mirrored, truth

pytestmark = pytest.mark.django_db

PARTS = ("subscriptions", "benefits", "meters")


@pytest.mark.parametrize(
    "scopes",
    [
        ("customers:read", "subscriptions:read"),
        ("customers:read", "subscriptions:read", "benefits:read"),
    ],
)
def test_lists_that_were_read_before_the_states_count_once(polar, scopes):
    """A scope that is missing for a later list makes nothing look twice as much."""
    polar.seed_world(60)
    token = polar.add_token(*scopes)
    whole = sync_customers()

    report = sync_customers(polar.client(token))

    for name in PARTS:
        counts = report.counts[name]
        assert counts.seen - counts.skipped == whole.counts[name].created
        assert counts.seen == counts.unchanged + counts.updated + counts.skipped


def test_rows_without_an_order_count_once(polar):
    """Reading a list again by customers does not forget what only the list showed."""
    moment = "2026-03-01T12:00:00Z"
    for number in range(400):
        customer = polar.add_customer(external_id=f"tied-{number}")
        polar.add_grant(customer, created_at=moment, granted_at=moment)
    for id_ in list(polar.customers)[:4]:
        # Polar still lists what deleted customers had.
        polar.customers[id_]["deleted_at"] = "2026-04-01T00:00:00Z"

    report = sync_customers()

    counts = report.counts["benefits"]
    assert counts.created == 396
    assert counts.skipped
    assert counts.seen == counts.created + counts.skipped


@pytest.mark.parametrize("path", ["/v1/customers/", "/v1/benefit-grants/"])
def test_a_page_that_was_cut_off_is_read_again(polar, path):
    """JSON that ends too early is no reason to end the sync."""
    polar.seed_world(150)
    polar.garble_next(path=path, times=2)

    report = sync_customers()

    assert report.outcome == "complete"
    assert mirrored() == truth(polar)
