"""Servers that cannot export: the list of customers has to prove itself by its counts."""

from __future__ import annotations

import pytest

from django_polar.services.sync import sync_customers
from tests.truth import mirrored, truth

pytestmark = pytest.mark.django_db


def change_once(polar, react):
    """``react`` after the second page of customers, the first time it is read."""
    left = [react]

    def hook(list_name, page):
        if list_name == "customers" and page == 2 and left:
            left.pop()()

    polar.between_pages(hook)


def oldest(polar, count):
    live = [customer for customer in polar.customers.values() if not customer["deleted_at"]]
    return [row["id"] for row in sorted(live, key=lambda row: row["created_at"])[:count]]


def test_customers_deleted_during_the_first_walk_do_not_spoil_the_second(polar):
    """Who was met before being deleted does not count in the walk that proves the list."""
    polar.seed_world(400)
    polar.fail_next(500, times=100, path="export")

    def delete_some():
        for id_ in oldest(polar, 5):
            polar.delete_customer(id_)

    change_once(polar, delete_some)

    report = sync_customers()

    assert report.problems == []
    assert mirrored() == truth(polar)


def test_as_many_come_as_go(polar):
    """An unchanged number proves nothing when rows went and came, so the list is walked again."""
    polar.seed_world(400)
    polar.fail_next(500, times=100, path="export")

    def replace_some():
        for number, id_ in enumerate(oldest(polar, 5)):
            polar.delete_customer(id_)
            polar.add_customer(external_id=f"late-{number}")

    change_once(polar, replace_some)

    report = sync_customers()

    assert report.problems == []
    assert mirrored() == truth(polar)


def test_a_missing_export_is_noted_once(polar):
    """However many walks it took."""
    polar.seed_world(400)
    polar.fail_next(500, times=100, path="export")
    change_once(polar, lambda: polar.delete_customer(oldest(polar, 1)[0]))

    report = sync_customers()

    assert len([note for note in report.notes if "export" in note]) == 1
