"""Customers as CSV: from the list, from Polar, and from the command line."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import subprocess
import sys
import tracemalloc
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from asgiref.sync import sync_to_async
from django.contrib.admin.models import LogEntry
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.test import AsyncClient
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_polar.models import Customer, CustomerBalance
from django_polar.services.exports import COLUMNS, defuse_csv, export_customers

from .helpers import LIST, act, body_of, choose, messages_of, mirror_all

pytestmark = pytest.mark.django_db

FORMULAS = ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "\uff1d1+1"]


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def add_many(count: int, **fields) -> None:
    Customer.objects.bulk_create(
        (
            Customer(
                id=UUID(int=number + 1),
                organization_id=UUID(int=0),
                external_id=f"u-{number}",
                name=f"Customer {number}",
                email=f"customer-{number}@acme-mail.dev",
                metadata={"number": number},
                # Ties, as an import leaves them.
                created_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=number // 7),
                synced_at=timezone.now(),
                **fields,
            )
            for number in range(count)
        ),
        batch_size=1000,
    )


def test_a_row_has_profile_state_and_balance(polar, ada, admin_client):
    mirror_all(polar)
    act(admin_client, ada, "balance")

    (row,) = read(body_of(admin_client.post(f"{LIST}export/")))

    assert tuple(row) == COLUMNS
    assert row["id"] == ada["id"]
    assert row["name"] == "Ada Lovelace"
    assert json.loads(row["metadata"]) == {"plan": "pro"}
    (subscription,) = polar.state(ada)["active_subscriptions"]
    assert row["active_subscriptions"] == f"{subscription['product_id']} (active)"
    assert row["granted_benefits"].endswith("(license_keys)")
    assert row["active_meters"].endswith("(7.0)")
    assert row["balances"] == "-250 usd"
    assert datetime.fromisoformat(row["balances_as_of"])
    assert datetime.fromisoformat(row["state_as_of"])


@pytest.mark.parametrize("page_size", [1, 3, 7, 1000])
def test_every_customer_is_in_it_once_although_many_are_as_old(page_size):
    add_many(60)

    rows = read(b"".join(export_customers(page_size=page_size)).decode())

    assert [row["external_id"] for row in rows] == [f"u-{number}" for number in range(60)]


def test_the_whole_filtered_list_is_exported(polar, ada, admin_client):
    polar.add_customer(name="Acme", type="team", email=None)
    mirror_all(polar)

    assert len(read(body_of(admin_client.post(f"{LIST}export/")))) == 2
    filtered = read(body_of(admin_client.post(f"{LIST}export/?customer_type=team")))
    assert [row["name"] for row in filtered] == ["Acme"]
    searched = read(body_of(admin_client.post(f"{LIST}export/?q=ada")))
    assert [row["name"] for row in searched] == ["Ada Lovelace"]
    assert admin_client.post(f"{LIST}export/?created_at__year=x").status_code == 302


def test_the_selection_is_exported(polar, ada, admin_client):
    polar.add_customer(name="Acme")
    mirror_all(polar)

    response = choose(admin_client, "export_selected", [ada])

    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Disposition"].startswith('attachment; filename="customers-')
    assert [row["name"] for row in read(body_of(response))] == ["Ada Lovelace"]


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_formula_becomes_text(admin_client, formula):
    add_many(1)
    Customer.objects.update(name=formula, external_id=formula)

    (row,) = read(body_of(admin_client.post(f"{LIST}export/")))

    assert row["name"] == f"'{formula}"
    assert row["external_id"] == f"'{formula}"


def test_a_debt_stays_a_number_in_sight():
    add_many(1)
    CustomerBalance.objects.create(
        customer=Customer.objects.get(), currency="usd", amount=-5, as_of=timezone.now()
    )

    (row,) = read(b"".join(export_customers()).decode())

    assert row["balances"] == "-5 usd"


def test_a_deleted_customer_has_ids_and_dates_alone(polar, ada, admin_client):
    mirror_all(polar)
    act(admin_client, ada, "delete", confirmed="yes")

    text = body_of(admin_client.post(f"{LIST}export/"))

    (row,) = read(text)
    assert row["deleted_at"]
    assert "acme-mail" not in text
    assert "Ada" not in text


def test_polars_own_export_is_passed_through_with_formulas_defused(polar, ada, admin_client):
    polar.add_customer(name='=HYPERLINK("x")', email="mallory@acme-mail.dev")
    with polar.client() as client:
        theirs = b"".join(client.customers.export()).decode()

    ours = body_of(admin_client.post(f"{LIST}polar-export/"))

    # The exact bytes but for the one cell.
    assert ours == theirs.replace('"=HYPERLINK(""x"")"', '"\'=HYPERLINK(""x"")"')
    assert ours != theirs


def test_chunks_of_polars_export_may_end_anywhere():
    text = 'ID,Name\r\n1,"a ""q""\r\nb, 🚀"\r\n2,=1\r\n3,ü'
    body = text.encode()

    for size in range(1, len(body)):
        chunks = [body[start : start + size] for start in range(0, len(body), size)]
        assert b"".join(defuse_csv(chunks)).decode() == text.replace("=1", "'=1") + "\r\n"


@pytest.mark.parametrize("status", [401, 403, 500])
def test_what_polar_refuses_is_a_message_and_not_a_file(polar, admin_client, status):
    polar.fail_next(status, times=10)

    response = admin_client.post(f"{LIST}polar-export/", follow=True)

    assert str(status) in messages_of(response)[0]
    assert not LogEntry.objects.exists()


def test_every_export_is_in_the_log_without_a_name_in_it(polar, ada, admin_client, admin_user):
    mirror_all(polar)

    body_of(admin_client.post(f"{LIST}export/?q=ada@acme-mail.dev"))
    body_of(admin_client.post(f"{LIST}polar-export/"))

    entries = LogEntry.objects.order_by("pk")
    assert [entry.change_message for entry in entries] == [
        "Exported 1 customer from the mirror as CSV.",
        "Exported all customers from Polar as CSV.",
    ]
    assert {entry.user for entry in entries} == {admin_user}
    assert not [e for e in entries if "ada" in f"{e.object_repr}{e.change_message}"]
    assert admin_client.get("/admin/").status_code == 200


def test_the_first_byte_comes_before_the_last_row_is_read():
    add_many(3000)

    with CaptureQueriesContext(connection) as queries:
        chunks = export_customers(page_size=500)
        first = next(chunks)
        at_first = len(queries)
        rest = list(chunks)

    assert first.startswith(b"id,")
    assert at_first < len(queries)
    assert rest


def test_pages_cost_the_same_number_of_queries_each():
    add_many(300)

    with CaptureQueriesContext(connection) as few:
        list(export_customers(page_size=100))

    # Customers, state, subscriptions, benefits, meters and balances, and one look for more.
    assert len(few) == 3 * 6 + 1


def test_memory_does_not_grow_with_the_number_of_customers():
    """Eleven thousand within 2 MB of a thousand, so a hundred thousand within 20 MB."""

    def peak() -> int:
        tracemalloc.start()
        try:
            for _ in export_customers():
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    add_many(1_000)
    small = peak()
    Customer.objects.all().delete()
    add_many(11_000)

    assert peak() - small < 2 * 1024 * 1024


@pytest.mark.django_db(transaction=True)
def test_an_asynchronous_server_gets_a_stream_too(admin_user):
    add_many(3)

    async def fetch():
        browser = AsyncClient()
        await browser.aforce_login(admin_user)
        response = await browser.post(f"{LIST}export/")
        assert response.is_async
        body = b"".join([chunk async for chunk in response])
        await sync_to_async(connections.close_all)()  # of the thread that did the work
        return body

    assert len(read(asyncio.run(fetch()).decode())) == 3


class TestCommand:
    def test_it_writes_the_mirror(self, tmp_path):
        add_many(3)
        file = tmp_path / "customers.csv"

        call_command("polar_export_customers", output=str(file))

        assert [row["external_id"] for row in read(file.read_bytes().decode())] == [
            "u-0",
            "u-1",
            "u-2",
        ]

    def test_to_standard_output_unless_told_otherwise(self):
        add_many(2)
        out = io.StringIO(newline="")

        call_command("polar_export_customers", stdout=out)

        assert len(read(out.getvalue())) == 2

    def test_deleted_and_unlinked_ones_can_be_left_out(self, django_user_model):
        add_many(3)
        user = django_user_model.objects.create_user("ada")
        Customer.objects.filter(external_id="u-0").update(user=user)
        Customer.objects.filter(external_id="u-1").update(deleted_at=timezone.now())

        for option, names in (("live", ["u-0", "u-2"]), ("linked", ["u-0"])):
            out = io.StringIO(newline="")
            call_command("polar_export_customers", stdout=out, **{option: True})
            assert [row["external_id"] for row in read(out.getvalue())] == names

    def test_polars_own(self, polar, ada):
        out = io.StringIO(newline="")

        call_command("polar_export_customers", from_polar=True, stdout=out)

        assert [row["Email"] for row in read(out.getvalue())] == ["ada@acme-mail.dev"]

    def test_what_goes_wrong_is_one_line(self, polar, tmp_path):
        polar.fail_next(401, times=5)
        with pytest.raises(CommandError, match="401"):
            call_command("polar_export_customers", from_polar=True, stdout=io.StringIO())
        with pytest.raises(CommandError, match="No such file"):
            call_command("polar_export_customers", output=str(tmp_path / "no" / "file.csv"))
        with pytest.raises(CommandError, match="not from Polar"):
            call_command("polar_export_customers", from_polar=True, live=True)


def test_the_admin_costs_a_start_up_neither_http_client_nor_celery():
    code = (
        "import django, sys; django.setup(); import django_polar.admin;"
        "print([m for m in ('httpx', 'msgspec', 'celery', 'rest_framework.views')"
        " if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == "[]"


def test_an_id_that_is_none_is_not_found(admin_client):
    assert admin_client.get(f"{LIST}{uuid4()}/change/").status_code == 302
