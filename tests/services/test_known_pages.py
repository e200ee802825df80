"""Pages that a sync knows by their bytes, and when it must not trust them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
from django.db import connection

from django_polar.models import (
    ActiveMeter,
    ActiveSubscription,
    Customer,
    CustomerDeletion,
    GrantedBenefit,
    SyncedPage,
)
from django_polar.payloads import CustomerPayload, Page
from django_polar.services import known_pages, runs, sync_customers_list, sync_state_lists
from django_polar.services.known_pages import PageMemory, TakenPages, summarize
from django_polar.services.pages import FetchedPage, Walk
from django_polar.services.proof import Reading
from django_polar.services.seams import Seams
from django_polar.services.statements import statements_for
from django_polar.services.sync import sync_customers
from django_polar.services.sync_walk import walk_list
from django_polar.services.tables import CUSTOMERS, make_rows
from django_polar.services.upsert import upsert
from tests.truth import mirrored, truth

pytestmark = pytest.mark.django_db

LISTS = ("customers", "subscriptions", "benefits", "meters")


@pytest.fixture
def world(polar):
    """Mirrored, and read once more, so that its pages are known. No two rows are equal to the
    orders of the lists, so a page is the same whenever it is asked for.
    """
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(230):
        moment = (start + timedelta(minutes=number)).isoformat()
        customer = polar.add_customer(external_id=str(number), created_at=moment)
        polar.add_subscription(customer, started_at=moment, created_at=moment)
        polar.add_grant(customer, created_at=moment, granted_at=moment)
        polar.add_meter(customer, created_at=moment)
    sync_customers()
    sync_customers()
    return polar


@pytest.fixture
def decoded(monkeypatch):
    """How many pages of each list were decoded."""
    counts = dict.fromkeys(LISTS, 0)
    names = {"customer": "customers", "subscription": "subscriptions"}
    names |= {"benefit_grant": "benefits", "customer_meter": "meters"}

    for module in (sync_customers_list, sync_state_lists):

        def decode_page(body, payload_type, real=module.decode_page):
            counts[names[payload_type.kind]] += 1
            return real(body, payload_type)

        monkeypatch.setattr(module, "decode_page", decode_page)
    return counts


class TestSync:
    def test_reads_no_page_that_is_as_it_was(self, world, decoded):
        """What was unchanged once is known by its bytes from then on."""
        report = sync_customers()

        assert decoded == dict.fromkeys(LISTS, 0)
        assert report.outcome == "complete"
        assert mirrored() == truth(world)
        for counts in report.counts.values():
            assert counts.unchanged == counts.seen == 230
            assert counts.created == counts.updated == counts.deleted == counts.skipped == 0

    def test_writes_nothing(self, world):
        """Neither to the mirror nor to what is known of the pages."""
        tables = [
            connection.ops.quote_name(model._meta.db_table)
            for model in (Customer, ActiveSubscription, GrantedBenefit, ActiveMeter, SyncedPage)
        ]
        statements = []

        def note(execute, sql, params, many, context):
            statements.append(sql)
            return execute(sql, params, many, context)

        with connection.execute_wrapper(note):
            sync_customers()

        about = [sql for sql in statements if any(table in sql for table in tables)]
        assert about
        assert [sql for sql in about if not sql.startswith(("SELECT", "WITH"))] == []

    def test_reads_the_page_that_changed(self, world, decoded):
        """And no other."""
        customer = list(world.customers)[150]
        world.update_customer(customer, name="Somebody else")

        report = sync_customers()

        assert mirrored() == truth(world)
        assert report.counts["customers"].updated == 1
        assert decoded["customers"] == 1

    def test_repairs_what_was_lost_here(self, world):
        """The mirror decides, not the memory: rows that are missing are written again."""
        ActiveSubscription.objects.order_by("created_at")[5].delete()
        Customer.objects.filter(external_id="7").update(digest=1)
        Customer.objects.filter(external_id="120").delete()

        report = sync_customers()

        assert mirrored() == truth(world)
        assert report.counts["customers"].created == 1
        assert report.counts["subscriptions"].created == 2
        assert report.problems == []

    def test_notices_what_went_away(self, world):
        """Customers and parts that are on no page any more go, though other pages are known."""
        customers = list(world.customers)
        world.delete_customer(customers[-1])
        world.revoke_grant(list(world.grants)[-2])

        report = sync_customers()

        assert mirrored() == truth(world)
        assert report.counts["customers"].deleted == 1

    def test_forgets_pages_beyond_the_last(self, world):
        """A list that became shorter leaves nothing behind."""
        assert SyncedPage.objects.filter(list_name="benefits", number=3).exists()
        for grant in list(world.grants)[150:]:
            world.revoke_grant(grant)

        sync_customers()

        assert not SyncedPage.objects.filter(list_name="benefits", number=3).exists()

    def test_forgets_pages_that_are_not_so_any_more(self, world):
        """Nothing stays of a customer who was deleted, not even a digest."""
        first = next(iter(world.customers))
        digest = Customer.objects.get(pk=first).digest
        assert any(str(digest) in page.rows for page in SyncedPage.objects.all())
        for customer in list(world.customers)[1:]:
            world.update_customer(customer, name="Changed, so that no page is kept")
        world.delete_customer(first)

        sync_customers()

        assert not SyncedPage.objects.filter(list_name="customers").exists()

    def test_forgetting_costs_nothing_but_time(self, world, decoded):
        """The table may be emptied at any time."""
        SyncedPage.objects.all().delete()

        report = sync_customers()

        assert decoded == dict.fromkeys(LISTS, 3)
        assert report.outcome == "complete"
        assert SyncedPage.objects.count() == 12

    def test_another_release_reads_everything(self, world, decoded, monkeypatch):
        """It may make other rows of the same bytes."""
        monkeypatch.setattr(known_pages, "_EDITION", b"9.9.9/1/")

        sync_customers()

        assert decoded == dict.fromkeys(LISTS, 3)

    def test_somebody_being_erased_is_looked_for(self, world, decoded):
        """Whose deletion waits may be on a known page, so customers are all read then."""
        CustomerDeletion.objects.create(external_id="5")

        report = sync_customers()

        assert decoded["customers"] == 3
        assert report.counts["customers"].skipped == 1

    def test_a_dry_run_neither_trusts_nor_writes(self, world, decoded):
        """Drift is found by reading."""
        SyncedPage.objects.filter(list_name="meters").delete()
        Customer.objects.filter(external_id="7").update(digest=1)

        report = sync_customers(dry_run=True)

        assert decoded == dict.fromkeys(LISTS, 3)
        assert [drift.id for drift in report.drift] == [
            str(Customer.objects.get(external_id="7").pk)
        ]
        assert not SyncedPage.objects.filter(list_name="meters").exists()

    def test_a_killed_sync_goes_on_among_known_pages(self, world, monkeypatch, decoded):
        """What was seen on them counts for the proof of the list, before the kill and after."""
        monkeypatch.setattr(runs, "SAVE_EVERY", timedelta(0))
        monkeypatch.setattr("django_polar.services.sync.requests_in_flight", lambda _: 1)

        class KilledError(BaseException):
            pass

        def kill(list_name, done, total):
            if list_name == "benefits" and done == 100:
                raise KilledError

        with pytest.raises(KilledError):
            sync_customers(progress=kill)

        report = sync_customers(resume=True)

        assert report.problems == []
        assert report.counts["benefits"].seen == 230
        assert report.counts["benefits"].deleted == 0
        assert GrantedBenefit.objects.count() == 230
        assert decoded == dict.fromkeys(LISTS, 0)

    def test_a_page_with_a_broken_item_is_read_every_time(self, world):
        """Or the problem would be reported once and then forgotten."""
        world.corrupt("grants", list(world.grants)[5], created_at="yesterday")

        outcomes = [sync_customers().outcome for _ in range(3)]

        assert outcomes == ["incomplete"] * 3

    def test_unknown_fields_do_not_matter(self, world, decoded):
        """Pages with fields that came later, which are slow to read, are known all the same."""
        for customer in list(world.customers):
            world.corrupt("customers", customer, shoe_size=42)
        sync_customers()
        sync_customers()
        decoded.update(dict.fromkeys(LISTS, 0))

        sync_customers()

        assert decoded == dict.fromkeys(LISTS, 0)
        assert {str(customer.raw) for customer in Customer.objects.all()} == {"{'shoe_size': 42}"}


def a_customer(created_at=datetime(2026, 3, 2, tzinfo=UTC)):
    return CustomerPayload(id=uuid4(), created_at=created_at, organization_id=UUID(int=1))


class TestMemory:
    """Of one page, by itself."""

    AT = datetime(2026, 4, 1, tzinfo=UTC)

    def fetched(self, *payloads, number=1, body=b"a page"):
        walk = Walk("customers", open=bytes, sorting=())
        return FetchedPage(walk, number, body, self.AT, len(payloads))

    def taken(self, *pages, began_at=AT):
        """As if these lists of payloads had been read for the second time."""
        payloads = [payload for page in pages for payload in page]
        upsert(CUSTOMERS, make_rows(CUSTOMERS, payloads), observed_at=self.AT)
        changes = upsert(CUSTOMERS, make_rows(CUSTOMERS, payloads), observed_at=self.AT)
        contents = [Page(list(page), [], total_count=len(page), max_page=1) for page in pages]
        summaries = [
            summarize(
                content,
                began_at,
                came_at=lambda customer: customer.created_at,
                key=lambda customer: (customer.created_at, customer.id),
                shared=lambda customer: customer.organization_id,
            )
            for content in contents
        ]
        return TakenPages(contents, summaries, changes)

    def keep(self, pages, taken):
        memory = PageMemory("customers", CUSTOMERS)
        memory.keep(pages, taken)
        memory.finish(len(pages))

    def recall(self, *pages, began_at=AT):
        return PageMemory("customers", CUSTOMERS).recall(pages, began_at)

    def test_returns_what_it_was_given(self):
        """Ids, edges and all."""
        customers = [a_customer(), a_customer()]
        taken = self.taken(customers)
        self.keep([self.fetched()], taken)

        known = self.recall(self.fetched())

        assert known == {1: taken.summaries[0]}
        assert isinstance(known[1].edges.first, bytes)
        assert len(known[1].keys) == 2 * 8

    def test_other_bytes_are_another_page(self):
        """One byte suffices."""
        self.keep([self.fetched()], self.taken([a_customer()]))

        assert self.recall(self.fetched(body=b"A page")) == {}
        assert self.recall(self.fetched(number=2)) == {}

    def test_a_row_of_another_digest_or_none_at_all(self):
        """The mirror has to have every row of the page."""
        first, second = a_customer(), a_customer()
        self.keep([self.fetched()], self.taken([first, second]))

        Customer.objects.filter(pk=first.id).update(digest=5)
        assert self.recall(self.fetched()) == {}
        self.taken([first])
        Customer.objects.filter(pk=first.id).update(digest=make_rows(CUSTOMERS, [first])[0].digest)
        assert self.recall(self.fetched()) != {}
        Customer.objects.filter(pk=second.id).delete()
        assert self.recall(self.fetched()) == {}

    def test_a_page_with_something_new_is_not_kept(self):
        """It may be one that changes every time. The one beside it is kept."""
        old, older, new = a_customer(), a_customer(), a_customer()
        taken = self.taken([old], [older, new])
        Customer.objects.filter(pk=new.id).delete()
        payloads = [old, older, new]
        changes = upsert(CUSTOMERS, make_rows(CUSTOMERS, payloads), observed_at=self.AT)
        pages = [self.fetched(), self.fetched(number=2, body=b"another")]

        self.keep(pages, taken._replace(changes=changes))

        assert [page.number for page in SyncedPage.objects.all()] == [1]

    def test_what_came_during_the_walk_has_to_be_counted(self):
        """Or nobody would notice that something else went away."""
        early = self.AT - timedelta(days=300)
        customers = [a_customer(created_at=self.AT - timedelta(days=200))]

        self.keep([self.fetched()], self.taken(customers, began_at=early))
        assert not SyncedPage.objects.exists()

        self.keep([self.fetched()], self.taken(customers))
        assert self.recall(self.fetched(), began_at=early) == {}
        assert self.recall(self.fetched()) != {}

    def test_a_row_on_two_pages_is_no_page_to_trust(self):
        """One of them may have an older version."""
        twice = a_customer()
        pages = [self.fetched(), self.fetched(number=2, body=b"another")]

        self.keep(pages, self.taken([a_customer(), twice], [twice]))

        assert not SyncedPage.objects.exists()

    def test_only_the_pages_that_are_the_same(self):
        """Several pages are compared with one read."""
        taken = self.taken([a_customer()], [a_customer()], [a_customer()])
        pages = [self.fetched(number=n, body=str(n).encode()) for n in (1, 2, 3)]
        self.keep(pages, taken)
        pages[1] = pages[1]._replace(body=b"changed")

        assert self.recall(*pages) == {1: taken.summaries[0], 3: taken.summaries[2]}

    def test_equal_rows_between_known_pages_are_noticed(self):
        """Where they meet may be a row that no page shows, whether or not the pages are known."""
        moment = datetime(2026, 3, 2, tzinfo=UTC)
        lists = [[a_customer(moment)], [a_customer(moment)]]
        pages = [self.fetched(number=n, body=str(n).encode()) for n in (1, 2)]
        began_at = self.AT

        def take(_):
            taken = self.taken(*lists)
            return taken._replace(
                summaries=[
                    summarize(
                        content,
                        began_at,
                        came_at=lambda c: c.created_at,
                        key=lambda c: c.created_at,
                    )
                    for content in taken.contents
                ]
            )

        def walk(take):
            seams = Seams(100)
            session = SimpleNamespace(
                reader=SimpleNamespace(pages=lambda _: [pages]),
                begin_walk=lambda began_at, total: (began_at, total),
                note_pages=lambda *_: None,
            )
            memory = PageMemory("customers", CUSTOMERS)
            reading = Reading(began_at)
            walk_list(
                session, pages[0].walk, reading, take, memory=memory, seams=seams, is_first=True
            )
            return seams.windows

        pages[0].walk.max_page = 2
        windows = walk(take)

        assert SyncedPage.objects.count() == 2
        assert len(windows) == 1
        assert walk(None) == windows  # nothing is taken: both are known

    def test_far_pages_are_found_too(self):
        """Pages are looked up some fifty at a time, from wherever a walk begins."""
        count = 2 * known_pages.READ_AHEAD + 5
        taken = self.taken(*([a_customer()] for _ in range(count)))
        pages = [self.fetched(number=n + 1, body=str(n).encode()) for n in range(count)]
        self.keep(pages, taken)

        memory = PageMemory("customers", CUSTOMERS)
        assert [*memory.recall(pages[70:73], self.AT)] == [71, 72, 73]
        assert all(memory.recall([page], self.AT) for page in pages[73:])
        assert len(memory._stored) == 0


@pytest.mark.parametrize("count", [1, 250])
def test_are_stored_compares_ids_and_digests(count):
    """Of several packs at once, on every database."""
    rows = make_rows(CUSTOMERS, [a_customer() for _ in range(count)])
    upsert(CUSTOMERS, rows, observed_at=TestMemory.AT)
    statements = statements_for(CUSTOMERS, "default")
    other = make_rows(CUSTOMERS, [a_customer()])

    assert statements.are_stored([statements.pack(rows)])
    assert statements.are_stored([statements.pack([row]) for row in rows])
    assert not statements.are_stored([statements.pack(rows), statements.pack(other)])
    Customer.objects.filter(pk=rows[-1].id).update(digest=rows[-1].digest ^ 1)
    assert not statements.are_stored([statements.pack(rows)])
