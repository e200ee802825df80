"""The main job, against a Polar that shuffles equal rows from page to page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_polar.exceptions import (
    AuthenticationError,
    OrganizationMismatchError,
    PermissionDeniedError,
    SyncInProgressError,
    UnavailableError,
)
from django_polar.models import (
    ActiveMeter,
    ActiveSubscription,
    Customer,
    CustomerDeletion,
    GrantedBenefit,
    SyncCheckpoint,
    SyncRun,
)
from django_polar.services import runs
from django_polar.services.mirror import apply_states
from django_polar.services.sync import sync_customers
from tests.truth import mirrored, truth

pytestmark = pytest.mark.django_db


def pages(polar, list_path):
    """How many pages of a list were asked for."""
    return sum(1 for request in polar.requests if request.path == list_path)


def lose_table(polar, customers):
    """Customers that share every sort key of every order, so that pages lose some of them."""
    moment = "2026-01-01T00:00:00.000000Z"
    return [
        polar.add_customer(type="team", email=None, name=None, created_at=moment)
        for _ in range(customers)
    ]


class TestMirror:
    def test_equals_polar_after_one_sync(self, polar):
        """After one sync the mirror equals Polar, field by field."""
        polar.seed_world(300)

        report = sync_customers()

        assert report.problems == []
        assert report.outcome == "complete"
        assert mirrored() == truth(polar)
        assert report.counts["customers"].created == 300 == report.counts["customers"].seen

    def test_second_sync_finds_everything_unchanged(self, polar):
        """A sync of what is already mirrored changes nothing."""
        polar.seed_world(300)
        sync_customers()

        report = sync_customers()

        for counts in report.counts.values():
            assert counts.created == counts.updated == counts.deleted == 0
            assert counts.unchanged + counts.skipped == counts.seen > 0

    def test_follows_changes(self, polar):
        """Changed, ended, revoked and deleted things are so in the mirror after the next sync."""
        polar.seed_world(200)
        sync_customers()
        state = next(s for s in polar.truth().values() if s["active_subscriptions"])
        polar.end_subscription(state["active_subscriptions"][0]["id"])
        granted = next(s for s in polar.truth().values() if s["granted_benefits"])
        polar.revoke_grant(granted["granted_benefits"][0]["id"])
        renamed = next(iter(polar.customers))
        polar.update_customer(renamed, name="Somebody Else")
        deleted = next(id_ for id_ in polar.customers if id_ != renamed)
        polar.delete_customer(deleted)

        report = sync_customers()

        assert report.problems == []
        assert mirrored() == truth(polar)
        assert report.counts["customers"].deleted == 1
        assert Customer.objects.get(pk=deleted).deleted_at is not None

    def test_customers_that_no_order_tells_apart_are_all_found(self, polar):
        """Where pages lose customers that are equal in every way, the export brings them back."""
        lose_table(polar, 350)

        report = sync_customers()

        assert report.problems == []
        assert mirrored() == truth(polar)

    def test_grants_that_no_order_tells_apart_are_all_found(self, polar):
        """Grants have no export: they are walked again, and in the end read by customers."""
        moment = "2026-01-01T00:00:00.000000Z"
        for number in range(250):
            customer = polar.add_customer(external_id=f"u{number}", email=f"u{number}@mail.dev")
            polar.add_grant(customer, created_at=moment, granted_at=moment)

        report = sync_customers()

        assert report.problems == []
        assert mirrored() == truth(polar)

    def test_deleted_customers_grants_are_skipped(self, polar):
        """Polar lists grants of deleted customers; nobody has them."""
        gone = polar.add_customer(email="gone@mail.dev")
        polar.add_grant(gone)
        polar.delete_customer(gone)
        # A grant that was not revoked, as Polar may still list it.
        kept = polar.add_customer(email="kept@mail.dev")
        polar.add_grant(kept)

        report = sync_customers()

        assert report.problems == []
        assert mirrored() == truth(polar)
        assert GrantedBenefit.objects.count() == 1

    def test_unknown_fields_are_kept(self, polar):
        """What Polar adds between releases is in ``raw``."""
        customer = polar.add_customer(email="new@mail.dev")
        polar.corrupt("customers", customer["id"], shoe_size=42)

        sync_customers()

        assert Customer.objects.get().raw == {"shoe_size": 42}


class TestMovingLists:
    def test_deletions_during_the_walk(self, polar):
        """Deleting rows that were already read hides as many others from a page walk."""
        polar.seed_world(500)
        victims = sorted(polar.customers, key=lambda id_: polar.customers[id_]["created_at"])[:8]
        deleted = iter(victims)

        def delete_one(list_name, page):
            if list_name == "customers" and (id_ := next(deleted, None)):
                polar.delete_customer(id_)

        polar.between_pages(delete_one)

        report = sync_customers()

        assert report.problems == []
        assert mirrored() == truth(polar)

    def test_insertions_during_the_walk(self, polar):
        """Customers who come while the list is read are in the mirror afterwards."""
        polar.seed_world(500)

        def add_one(list_name, page):
            if list_name == "customers":
                polar.add_customer(email=f"late{len(polar.customers)}@mail.dev")

        polar.between_pages(add_one)

        report = sync_customers()

        assert report.problems == []
        assert mirrored() == truth(polar)

    def test_a_customer_who_comes_after_its_list_was_read(self, polar):
        """A grant of somebody the customers' pages did not show brings its customer along."""
        polar.seed_world(300)
        late = []

        def add_late(list_name, page):
            if list_name == "grants" and not late:
                customer = polar.add_customer(email="latecomer@mail.dev")
                late.append(polar.add_grant(customer))

        polar.between_pages(add_late)

        report = sync_customers()

        assert report.problems == []
        assert late
        assert mirrored() == truth(polar)

    def test_grants_revoked_during_the_walk_take_nobody_elses_access(self, polar):
        """Rows that move to an earlier page because others went are not taken for gone."""
        for number in range(400):
            customer = polar.add_customer(email=f"g{number}@mail.dev")
            polar.add_grant(customer)
        sync_customers()
        first = sorted(polar.grants.values(), key=lambda grant: grant["created_at"])
        victims = iter([grant["id"] for grant in first[:30]])
        pages_seen = []

        def revoke_some(list_name, page):
            if list_name == "grants" and len(pages_seen) < 3:
                pages_seen.append(page)
                for _ in range(10):
                    polar.revoke_grant(next(victims))

        polar.between_pages(revoke_some)

        report = sync_customers()

        assert len(pages_seen) == 3
        assert report.problems == []
        assert mirrored() == truth(polar)
        assert report.notes == []  # a second walk was enough


class TestFaults:
    def test_a_page_that_fails_five_times(self, polar):
        """A sync is patient: a page that fails for a while is read in the end."""
        polar.seed_world(300)
        polar.fail_next(502, body=b"<html>Bad gateway</html>", times=5, path="page=2")

        report = sync_customers()

        assert report.problems == []
        assert mirrored() == truth(polar)

    def test_too_many_requests(self, polar):
        """A 429 is waited out."""
        polar.seed_world(150)
        polar.fail_next(429, headers={"Retry-After": "60"}, times=2)

        report = sync_customers()

        assert report.problems == []
        assert mirrored() == truth(polar)

    def test_a_malformed_item_is_reported_and_skipped(self, polar):
        """One unreadable customer costs itself and nobody else."""
        polar.seed_world(300)
        by_age = sorted(polar.customers.values(), key=lambda customer: customer["created_at"])
        broken = by_age[250]["id"]
        polar.corrupt("customers", broken, created_at="yesterday")

        report = sync_customers()

        assert report.outcome == "incomplete"
        assert any(broken in problem and "created_at" in problem for problem in report.problems)
        expected = truth(polar)
        del expected[broken]
        assert mirrored() == expected
        assert report.counts["customers"].skipped == 1

    def test_a_malformed_item_is_not_taken_for_gone(self, polar):
        """What was mirrored before it became unreadable stays."""
        customer = polar.add_customer(email="a@mail.dev")
        grant = polar.add_grant(customer)
        sync_customers()
        polar.corrupt("grants", grant["id"], created_at=17)

        report = sync_customers()

        assert report.outcome == "incomplete"
        assert GrantedBenefit.objects.filter(pk=grant["id"]).exists()

    def test_an_outage_is_raised_and_nothing_is_deleted(self, polar):
        """When Polar stays away the run has failed, and the mirror is as it was."""
        polar.seed_world(150)
        sync_customers()
        before = mirrored()
        polar.fail_next(503, times=1000)

        with pytest.raises(UnavailableError):
            sync_customers()

        assert mirrored() == before
        assert SyncRun.objects.latest().outcome == "failed"
        assert SyncRun.objects.latest().lock is None

    def test_an_empty_server_after_a_full_one(self, polar):
        """A server that suddenly has nobody is not believed."""
        polar.seed_world(120)
        sync_customers()
        for id_ in list(polar.customers):
            polar.delete_customer(id_)

        report = sync_customers()

        assert report.outcome == "incomplete"
        assert "POLAR_MAX_DELETED_SHARE" in report.problems[0]
        assert Customer.objects.live().count() == 120

    def test_a_larger_share_may_be_allowed(self, polar):
        """With the setting raised the same run deletes, each after a 404 of its own."""
        polar.seed_world(60)
        sync_customers()
        for id_ in list(polar.customers):
            polar.delete_customer(id_)

        with override_settings(POLAR_MAX_DELETED_SHARE=1.0):
            report = sync_customers()

        assert report.problems == []
        assert report.counts["customers"].deleted == 60
        assert not Customer.objects.live().exists()
        assert not ActiveSubscription.objects.exists()

    def test_no_delete_keeps_what_is_gone(self, polar):
        """Without deletion the mirror only grows and changes."""
        customer = polar.add_customer(email="a@mail.dev")
        grant = polar.add_grant(customer)
        polar.add_customer(email="b@mail.dev")
        sync_customers()
        polar.revoke_grant(grant["id"])
        polar.delete_customer(customer["id"])

        report = sync_customers(delete=False)

        assert report.outcome == "complete"
        assert Customer.objects.live().count() == 2

    def test_a_customer_heard_of_since_is_not_gone(self, polar):
        """A webhook may bring somebody whom the export, asked for before, does not have."""
        for number in range(10):
            polar.add_customer(email=f"c{number}@mail.dev")

        def hear(list_name, done, total):
            Customer.objects.get_or_create(
                pk=UUID(int=5),
                defaults={
                    "organization_id": polar.organization_id,
                    "created_at": timezone.now(),
                    "synced_at": timezone.now() + timedelta(minutes=1),
                },
            )

        report = sync_customers(progress=hear)

        assert report.problems == []
        assert Customer.objects.live().filter(pk=UUID(int=5)).exists()

    def test_an_export_that_cannot_be_read(self, polar):
        """Without the export the counts of a quiet list prove it."""
        polar.seed_world(200)
        polar.fail_next(500, times=100, path="export")

        report = sync_customers()

        assert report.problems == []
        assert any("export" in note for note in report.notes)
        assert mirrored() == truth(polar)


class TestTokens:
    def test_without_the_lists_scopes_states_are_fetched(self, polar):
        """A token for customers alone mirrors the same, one state at a time, and is told so."""
        polar.seed_world(60)
        token = polar.add_token("customers:read")

        report = sync_customers(polar.client(token))

        assert report.problems == []
        assert any("subscriptions:read" in note for note in report.notes)
        for customer in Customer.objects.live():
            state = polar.state(str(customer.pk))
            assert customer.state.active_subscriptions.count() == len(state["active_subscriptions"])
            assert customer.state.granted_benefits.count() == len(state["granted_benefits"])
            assert customer.state.active_meters.count() == len(state["active_meters"])

    @pytest.mark.parametrize(
        ("missing", "kind"),
        [
            ("subscriptions:read", "active_subscriptions"),
            ("benefits:read", "granted_benefits"),
            ("customer_meters:read", "active_meters"),
        ],
    )
    def test_without_one_lists_scope_only_that_part_comes_from_the_states(
        self, polar, missing, kind
    ):
        """The others are read from their lists, so that a second sync finds all unchanged."""
        polar.seed_world(60)
        for row in polar.subscriptions.values():
            polar.update_subscription(row["id"], seats=5)
        scopes = {"customers:read", "subscriptions:read", "benefits:read", "customer_meters:read"}
        client = polar.client(polar.add_token(*(scopes - {missing})))
        sync_customers(client)

        report = sync_customers(client)

        assert report.problems == []
        assert len(report.notes) == 1
        assert missing in report.notes[0]
        for counts in report.counts.values():
            assert counts.created == counts.updated == counts.deleted == 0
            assert counts.seen == counts.unchanged + counts.skipped > 0
        for customer in Customer.objects.live():
            assert getattr(customer.state, kind).count() == len(polar.state(str(customer.pk))[kind])

    def test_without_any_scope(self, polar):
        """A token that may not even list customers is refused at once."""
        token = polar.add_token("orders:read")

        with pytest.raises(PermissionDeniedError, match="customers:read"):
            sync_customers(polar.client(token))

    def test_a_wrong_token(self, polar):
        """A token that Polar does not know ends the run."""
        with pytest.raises(AuthenticationError):
            sync_customers(polar.client("polar_oat_nobody"))
        assert SyncRun.objects.latest().outcome == "failed"


class TestOrganizations:
    def test_another_organizations_token_stops_the_sync(self, polar):
        """Sandbox first, production later: the mirror is not mixed."""
        polar.add_customer(email="a@mail.dev")
        sync_customers()
        Customer.objects.update(organization_id=UUID(int=7))

        with pytest.raises(OrganizationMismatchError, match="--replace-organization"):
            sync_customers()

        assert Customer.objects.get().organization_id == UUID(int=7)

    def test_the_mirror_can_be_started_over(self, polar):
        """With ``replace_organization`` the other organization's customers make room."""
        polar.add_customer(email="a@mail.dev")
        stale = Customer.objects.create(
            id=UUID(int=1),
            organization_id=UUID(int=7),
            created_at=timezone.now(),
            synced_at=timezone.now(),
        )

        report = sync_customers(replace_organization=True)

        assert report.problems == []
        assert not Customer.objects.filter(pk=stale.pk).exists()
        assert mirrored() == truth(polar)


class TestLinks:
    def test_customers_are_linked_by_external_id(self, polar):
        """A customer whose external id is a user's primary key is that user's."""
        user = get_user_model().objects.create(username="ada")
        customer = polar.add_customer(external_id=str(user.pk), email="ada@mail.dev")
        polar.add_customer(external_id=f"0{user.pk}", email="other@mail.dev")
        polar.add_customer(external_id="not a number", email="third@mail.dev")

        report = sync_customers()

        assert str(user.polar_customer.pk) == customer["id"]
        assert report.linked == 1

    def test_users_who_come_later_are_linked_by_the_next_sync(self, polar):
        """Nothing of the customer has to change for it."""
        polar.add_customer(external_id="4711", email="ada@mail.dev")
        sync_customers()
        user = get_user_model().objects.create(pk=4711, username="ada")

        report = sync_customers()

        assert report.linked == 1
        assert user.polar_customer.email == "ada@mail.dev"
        assert report.counts["customers"].updated == 0

    def test_a_customer_created_again_gets_the_user(self, polar):
        """Of two customers of one external id the one that Polar still has is linked."""
        user = get_user_model().objects.create(username="ada")
        first = polar.add_customer(external_id=str(user.pk), email="ada@mail.dev")
        for number in range(5):
            polar.add_customer(email=f"crowd{number}@mail.dev")
        sync_customers()
        polar.delete_customer(first["id"])
        second = polar.add_customer(external_id=str(user.pk), email="ada@mail.dev")

        report = sync_customers()

        assert report.problems == []
        user.refresh_from_db()
        assert str(user.polar_customer.pk) == second["id"]

    def test_whose_deletion_is_on_its_way_is_not_mirrored_again(self, polar):
        """Between a user's deletion and Polar's the person must not come back."""
        polar.add_customer(external_id="13", email="gone@mail.dev")
        CustomerDeletion.objects.create(external_id="13")

        report = sync_customers()

        assert report.problems == []
        assert not Customer.objects.exists()

    def test_whose_deletion_is_asked_for_during_the_sync_is_forgotten(self, polar):
        """Also a deletion that comes after the person's page was read."""
        polar.add_customer(external_id="13", email="gone@mail.dev")

        def ask(list_name, done, total):
            CustomerDeletion.objects.get_or_create(external_id="13")

        report = sync_customers(progress=ask)

        assert report.problems == []
        assert Customer.objects.get().email is None


class TestRuns:
    def test_one_at_a_time(self):
        """A second sync says which one is running."""
        other = runs.begin_run(with_state=True)

        with pytest.raises(SyncInProgressError, match=f"Sync run {other.pk} "):
            sync_customers()

    @pytest.mark.usefixtures("polar")
    def test_a_killed_one_does_not_block(self):
        """Two minutes of silence, and the next sync may run."""
        dead = runs.begin_run(with_state=True)
        SyncRun.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=3))

        report = sync_customers()

        dead.refresh_from_db()
        assert report.outcome == "complete"
        assert dead.outcome == "interrupted"

    def test_a_great_many_ids_are_saved_at_once(self, polar, monkeypatch):
        """However short the time since the last bookmark: what waits for one is in memory."""
        monkeypatch.setattr(runs, "MOST_UNSAVED", 200)
        polar.seed_world(900)
        saved = []

        def look(list_name, done, total):
            saved.extend(SyncCheckpoint.objects.values_list("keys", flat=True))

        sync_customers(progress=look)

        assert max(len(bytes(keys)) for keys in saved) <= 8 * (200 + 300)

    def test_a_run_that_lost_its_lock_stops(self, polar, monkeypatch):
        """Who was taken for dead does not write any more."""
        monkeypatch.setattr(runs, "SAVE_EVERY", timedelta(0))
        polar.seed_world(250)

        def take_over(list_name, done, total):
            SyncRun.objects.update(lock=None)

        with pytest.raises(SyncInProgressError, match="another one took over"):
            sync_customers(progress=take_over)

    @pytest.mark.parametrize("list_name", ["customers", "benefits"])
    def test_resume_goes_on_where_it_was_killed(self, polar, monkeypatch, list_name):
        """A killed sync goes on with the page it was at, and proves the whole list all the same."""
        monkeypatch.setattr(runs, "SAVE_EVERY", timedelta(0))
        monkeypatch.setattr("django_polar.services.sync.requests_in_flight", lambda _: 1)
        polar.seed_world(900)
        whole = self.requests_of_a_sync(polar)
        Customer.objects.all().delete()
        SyncRun.objects.all().delete()

        class KilledError(BaseException):
            pass

        def kill(walked, done, total):
            if walked == list_name and done == 400:
                raise KilledError

        with pytest.raises(KilledError):
            sync_customers(progress=kill)
        SyncRun.objects.update(outcome="running", lock="sync")  # as SIGKILL leaves it
        SyncRun.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=3))
        polar.reset_requests()

        report = sync_customers(resume=True)

        assert report.problems == []
        assert report.outcome == "complete"
        assert mirrored() == truth(polar)
        assert len(polar.requests) < whole
        assert report.counts["customers"].seen == 900
        assert report.counts["customers"].created == 900
        assert SyncRun.objects.count() == 1

    def requests_of_a_sync(self, polar):
        polar.reset_requests()
        sync_customers()
        return len(polar.requests)

    def test_resume_with_nothing_to_resume_begins_anew(self, polar):
        """After a complete run ``resume`` is a full sync."""
        polar.add_customer(email="a@mail.dev")
        sync_customers()
        polar.add_customer(email="b@mail.dev")

        report = sync_customers(resume=True)

        assert report.counts["customers"].seen == 2

    def test_the_run_is_on_record(self, polar):
        """Each run leaves a row with its counts."""
        polar.seed_world(120)

        report = sync_customers()

        run = SyncRun.objects.get()
        assert run.outcome == "complete"
        assert run.state_complete
        assert run.counts["customers"]["seen"] == 120
        assert run.requests == report.requests == len(polar.requests)
        assert run.organization_id == UUID(polar.organization_id)
        assert not run.checkpoints.exists()


class TestCosts:
    def test_requests_are_pages_and_a_constant(self, polar):
        """A sync makes as many requests as the four lists have pages, and one for the export."""
        polar.seed_world(700)
        live_grants = sum(1 for grant in polar.grants.values() if grant["is_granted"])
        sync_customers()
        polar.reset_requests()

        sync_customers()

        assert pages(polar, "/v1/customers/") == 7
        # The world has twins: a page of its own for each pair that two pages tore apart.
        assert -(-live_grants // 100) <= pages(polar, "/v1/benefit-grants/") <= 6 + 3
        others = [
            request
            for request in polar.requests
            if request.path
            not in (
                "/v1/customers/",
                "/v1/benefit-grants/",
                "/v1/subscriptions/",
                "/v1/customer-meters/",
            )
        ]
        assert len(others) <= 4

    def test_statements_of_the_first_sync(self, polar):
        """A page of a hundred new customers costs five statements at most."""
        for number in range(1000):
            polar.add_customer(email=f"c{number}@mail.dev", external_id=f"{number}")
        few, many = 500, 1000
        base = self.statements(polar, few)
        more = self.statements(polar, many)

        assert (more - base) / ((many - few) / 100) <= 5

    def test_statements_where_nothing_changed(self, polar):
        """A page on which nothing changed costs one read."""
        for number in range(1000):
            polar.add_customer(email=f"c{number}@mail.dev")
        sync_customers()

        with CaptureQueriesContext(connection) as queries:
            sync_customers()

        customers = [
            q["sql"]
            for q in queries
            if '"django_polar_customer"' in q["sql"] or "`django_polar_customer`" in q["sql"]
        ]
        digests = [sql for sql in customers if "digest" in sql]
        assert 1 <= len(digests) <= 10
        assert not [sql for sql in customers if not sql.startswith("SELECT")]

    def statements(self, polar, customers):
        Customer.objects.all().delete()
        kept = dict(list(polar.customers.items())[:customers])
        everyone, polar.customers = polar.customers, kept
        polar.changed()
        with CaptureQueriesContext(connection) as queries:
            sync_customers()
        polar.customers = everyone
        polar.changed()
        return len([q for q in queries if "SAVEPOINT" not in q["sql"]])

    @override_settings(DEBUG=True)
    def test_the_query_log_does_not_grow(self, polar):
        """Under DEBUG Django keeps what it executed; a sync leaves no trace there."""
        polar.seed_world(200)
        before = len(connection.queries_log)

        sync_customers()

        assert len(connection.queries_log) <= before + 10


class TestDryRun:
    def test_writes_nothing_and_names_every_difference(self, polar):
        """Each kind of drift is found, and still there afterwards."""
        polar.seed_world(120)
        sync_customers()
        runs_before = SyncRun.objects.count()
        added = polar.add_customer(email="added@mail.dev")
        renamed = next(iter(polar.customers))
        polar.update_customer(renamed, name="Somebody Else")
        gone = list(polar.customers)[5]
        polar.delete_customer(gone)
        linkable = next(c for c in polar.customers.values() if (c["external_id"] or "").isdigit())
        user = get_user_model()(pk=int(linkable["external_id"]), username="u")
        user.save()
        before = mirrored()

        report = sync_customers(dry_run=True)

        found = {(drift.kind, drift.list_name, drift.id) for drift in report.drift}
        assert ("remote_only", "customers", added["id"]) in found
        assert ("local_only", "customers", gone) in found
        assert ("unlinked", "customers", linkable["id"]) in found
        changed = next(drift for drift in report.drift if drift.id == renamed)
        assert set(changed.fields) == {"name", "modified_at"} | (
            set(changed.fields) & {"billing_name", "avatar_url"}
        )
        assert report.outcome == "drift"
        assert mirrored() == before
        assert SyncRun.objects.count() == runs_before

    def test_no_drift(self, polar):
        """After a sync there is nothing to report."""
        polar.seed_world(150)
        sync_customers()

        report = sync_customers(dry_run=True)

        assert report.drift == []
        assert report.outcome == "in_sync"


class TestArchivedMeters:
    def test_stay_where_the_state_has_them(self, polar):
        """A meter that the merchant archived is in no list, but a customer still has it."""
        customer = polar.add_customer(email="a@mail.dev")
        meter = polar.add_meter(customer, archived=True)
        client = polar.client()
        sync_customers()
        apply_states([client.customers.get_state(customer["id"])], observed_at=datetime.now(UTC))

        report = sync_customers()

        assert report.problems == []
        assert ActiveMeter.objects.filter(pk=meter["id"]).exists()


def test_what_goes_while_a_killed_sync_waits_is_noticed(polar, monkeypatch):
    """Between kill and resume rows may go and others come, so that their number stays the same."""
    monkeypatch.setattr(runs, "SAVE_EVERY", timedelta(0))
    monkeypatch.setattr("django_polar.services.sync.requests_in_flight", lambda _: 1)
    grants = [polar.add_grant(polar.add_customer()) for _ in range(400)]

    class KilledError(BaseException):
        pass

    def kill(list_name, done, total):
        if list_name == "benefits" and done == 200:
            raise KilledError

    with pytest.raises(KilledError):
        sync_customers(progress=kill)
    for grant in grants[:5]:
        polar.revoke_grant(grant["id"])
    for customer in list(polar.customers)[:5]:
        polar.add_grant(customer)

    report = sync_customers(resume=True)

    assert report.problems == []
    assert mirrored() == truth(polar)
