"""The queues, the sync runs and the overview."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.formats import date_format

from django_polar.exceptions import UnavailableError
from django_polar.models import (
    Customer,
    CustomerDeletion,
    CustomerPush,
    LinkConflict,
    SyncRun,
    WebhookEvent,
    work_queued,
)

from .helpers import choose, messages_of, rows_of

pytestmark = pytest.mark.django_db

DELETIONS = "/admin/django_polar/customerdeletion/"
PUSHES = "/admin/django_polar/customerpush/"
EVENTS = "/admin/django_polar/webhookevent/"
CONFLICTS = "/admin/django_polar/linkconflict/"
RUNS = "/admin/django_polar/syncrun/"
OVERVIEW = "/admin/django_polar/"


@pytest.fixture
def deletions():
    failed = CustomerDeletion.objects.create(external_id="failed", attempts=20)
    failed.mark_failed(UnavailableError("customers.delete: 503, Polar is not available"))
    later = CustomerDeletion.objects.create(external_id="later", attempts=3)
    later.postpone(UnavailableError("customers.delete: 500, Polar is not available"))
    CustomerDeletion.objects.create(external_id="due")
    done = CustomerDeletion.objects.create(external_id="done")
    done.mark_done()
    CustomerDeletion.objects.create(
        external_id="busy", attempts=1, leased_until=timezone.now() + timedelta(minutes=5)
    )
    return {row.external_id: row for row in CustomerDeletion.objects.all()}


@pytest.fixture
def nudges(monkeypatch):
    """The queues that somebody was told to work on."""
    heard = []

    def hear(queue, **_):
        heard.append(queue)

    work_queued.connect(hear)
    yield heard
    work_queued.disconnect(hear)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("attention", {"failed"}),
        ("open", {"later", "due", "busy"}),
        ("retried", {"later"}),
        ("done", {"done"}),
    ],
)
def test_what_needs_a_person_is_one_click_away(deletions, admin_client, status, expected):
    response = admin_client.get(f"{DELETIONS}?status={status}")

    assert {row.external_id for row in rows_of(response)} == expected


def test_the_error_and_the_next_attempt_are_shown(deletions, admin_client):
    page = admin_client.get(f"{DELETIONS}?status=retried").content.decode()
    assert "500, Polar is not available" in page
    (later,) = rows_of(admin_client.get(f"{DELETIONS}?status=retried"))
    due = date_format(timezone.localtime(later.due_at), "DATETIME_FORMAT")
    assert f'class="field-next_attempt nowrap">{due}<' in page

    detail = admin_client.get(f"{DELETIONS}{deletions['later'].pk}/change/").content.decode()
    assert "500, Polar is not available" in detail
    assert "due now" in admin_client.get(f"{DELETIONS}?status=open").content.decode()


def test_retry_gives_it_all_its_attempts_again_and_nudges(
    deletions, admin_client, nudges, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        response = choose(
            admin_client, "retry", [deletions["failed"], deletions["later"]], path=DELETIONS
        )

    assert messages_of(response) == ["2 customer deletions will be tried now."]
    assert nudges == ["send_due_deletions"]
    due = CustomerDeletion.objects.all().due()
    assert {row.external_id for row in due} == {"failed", "later", "due"}
    assert set(due.values_list("attempts", flat=True)) == {0}


def test_what_is_done_or_being_worked_on_is_left_alone(deletions, admin_client):
    response = choose(admin_client, "retry", [deletions["done"], deletions["busy"]], path=DELETIONS)

    assert messages_of(response) == ["2 left alone: done already, or being worked on."]
    busy = CustomerDeletion.objects.get(external_id="busy")
    assert busy.attempts == 1
    assert busy.leased_until


def test_retry_works_on_all_that_a_filter_shows(deletions, admin_client):
    response = choose(
        admin_client,
        "retry",
        [deletions["failed"]],
        path=f"{DELETIONS}?status=attention",
        select_across="1",
    )

    assert messages_of(response) == ["1 customer deletion will be tried now."]


@pytest.mark.parametrize(
    ("path", "model"),
    [
        (DELETIONS, "customerdeletion"),
        (PUSHES, "customerpush"),
        (EVENTS, "webhookevent"),
        (CONFLICTS, "linkconflict"),
    ],
)
def test_who_may_only_look_can_retry_nothing(deletions, sign_in, path, model):
    browser = sign_in(f"view_{model}")

    response = browser.get(path)

    assert response.status_code == 200
    assert not response.context["action_form"]


def test_who_may_only_look_cannot_retry_by_hand(deletions, sign_in):
    choose(sign_in("view_customerdeletion"), "retry", [deletions["failed"]], path=DELETIONS)

    assert CustomerDeletion.objects.all().needs_attention().count() == 1


def test_who_may_change_deletions_may_retry_them(deletions, sign_in):
    browser = sign_in("change_customerdeletion")

    choose(browser, "retry", [deletions["failed"]], path=DELETIONS)

    assert not CustomerDeletion.objects.all().needs_attention().exists()


class TestEvents:
    @pytest.fixture
    def event(self):
        return WebhookEvent.objects.create(
            id="msg_1",
            type="customer.updated",
            timestamp=timezone.now(),
            customer_id=uuid4(),
            body=json.dumps({"data": {"email": "ada@acme-mail.dev"}}).encode(),
            done_at=timezone.now(),
        )

    def test_an_event_can_be_applied_again(
        self, event, admin_client, django_capture_on_commit_callbacks
    ):
        with django_capture_on_commit_callbacks() as nudges:
            response = choose(admin_client, "apply_again", [event], path=EVENTS)

        assert messages_of(response) == ["1 webhook event will be tried now."]
        assert len(nudges) == 1
        assert WebhookEvent.objects.all().due().count() == 1

    def test_one_whose_body_was_erased_cannot(self, event, admin_client):
        WebhookEvent.objects.update(body=None)

        (message,) = messages_of(choose(admin_client, "apply_again", [event], path=EVENTS))

        assert "cannot be applied any more" in message
        assert not WebhookEvent.objects.all().open().exists()

    def test_one_that_is_being_applied_is_left_alone(self, event, admin_client):
        WebhookEvent.objects.update(
            done_at=None, attempts=1, leased_until=timezone.now() + timedelta(minutes=1)
        )

        (message,) = messages_of(choose(admin_client, "apply_again", [event], path=EVENTS))

        assert "left alone" in message
        assert WebhookEvent.objects.get().attempts == 1

    def test_its_body_is_for_those_who_may_see_customers(self, event, sign_in):
        browser = sign_in("view_webhookevent")
        path = f"{EVENTS}{event.pk}/change/"

        assert b"acme-mail" not in browser.get(path).content

        get_user_model().objects.all().delete()
        browser = sign_in("view_webhookevent", "view_customer")
        assert b"acme-mail" in browser.get(path).content

    def test_the_list_reads_no_bodies(self, event, admin_client):
        with CaptureQueriesContext(connection) as queries:
            page = admin_client.get(EVENTS)

        assert b"msg_1" in page.content
        assert not [q for q in queries if '"body"' in q["sql"] or "`body`" in q["sql"]]


class TestConflicts:
    @pytest.fixture
    def conflict(self, polar):
        user = get_user_model().objects.create_user("ada", "ada@acme-mail.dev")
        customer = polar.add_customer(email="ada@acme-mail.dev")
        return LinkConflict.objects.create(
            user=user, customer_id=customer["id"], reason="The same email."
        )

    def test_a_person_gives_the_customer_to_the_user(self, polar, conflict, admin_client):
        response = choose(admin_client, "adopt", [conflict], path=CONFLICTS)

        assert messages_of(response) == ["1 now belong together."]
        assert Customer.objects.get().user == conflict.user
        assert polar.customers[str(conflict.customer_id)]["external_id"] == str(conflict.user.pk)
        conflict.refresh_from_db()
        assert conflict.resolution == LinkConflict.Resolution.ADOPTED

    def test_polars_refusal_is_a_message(self, polar, conflict, admin_client):
        polar.fail_next(403)

        (message,) = messages_of(choose(admin_client, "adopt", [conflict], path=CONFLICTS))

        assert "403" in message

    def test_a_person_dismisses_it(self, conflict, admin_client):
        response = choose(admin_client, "dismiss", [conflict], path=CONFLICTS)

        assert messages_of(response) == ["1 dismissed."]
        assert rows_of(admin_client.get(f"{CONFLICTS}?resolved=no")) == []
        assert rows_of(admin_client.get(f"{CONFLICTS}?resolved=yes")) == [conflict]

    def test_its_page_leads_to_both(self, conflict, admin_client):
        page = admin_client.get(f"{CONFLICTS}{conflict.pk}/change/").content.decode()

        assert f"/admin/auth/user/{conflict.user.pk}/change/" in page
        assert f"/admin/django_polar/customer/{conflict.customer_id}/change/" in page


class TestRuns:
    def test_a_run_shows_what_it_did_and_what_was_the_matter(self, admin_client):
        run = SyncRun.objects.create(
            outcome=SyncRun.Outcome.INCOMPLETE,
            finished_at=timezone.now(),
            counts={"customers": {"seen": 2500, "created": 2, "updated": 1, "deleted": 0}},
            problems=["benefits: <b>3 of 5</b> seen"],
            requests=77,
        )

        listed = admin_client.get(RUNS).content.decode()
        assert "incomplete" in listed
        assert "2500" in listed
        shown = admin_client.get(f"{RUNS}{run.pk}/change/").content.decode()
        assert "benefits: &lt;b&gt;3 of 5&lt;/b&gt; seen" in shown
        assert "<td>2500</td>" in shown

    def test_one_that_fell_silent_counts_as_killed(self, admin_client):
        SyncRun.objects.create(heartbeat_at=timezone.now() - timedelta(hours=1))

        assert "killed" in admin_client.get(RUNS).content.decode()
        assert "killed" in admin_client.get(OVERVIEW).content.decode()


class TestOverview:
    def lines(self, browser):
        response = browser.get(OVERVIEW)
        assert response.status_code == 200
        return {line["title"]: line["text"] for line in response.context["lines"]}

    def test_it_says_what_needs_a_person(self, deletions, admin_client):
        user = get_user_model().objects.create_user("ada")
        LinkConflict.objects.create(user=user, customer_id=uuid4(), reason="same email")
        SyncRun.objects.create(
            outcome=SyncRun.Outcome.COMPLETE, started_at=timezone.now() - timedelta(hours=3)
        )
        SyncRun.objects.create(
            outcome=SyncRun.Outcome.FAILED, started_at=timezone.now() - timedelta(hours=1)
        )

        lines = {k: v.replace("\xa0", " ") for k, v in self.lines(admin_client).items()}

        assert lines == {
            "Last sync": "1 hour ago, failed; last complete 3 hours ago",
            "Customer deletions": "1 needs a person, 1 due, 2 waiting",
            "Customer pushes": "nothing to do",
            "Webhook events": "nothing to do",
            "Link conflicts": "1 needs a person",
        }
        assert f'href="{DELETIONS}?status=attention"' in admin_client.get(OVERVIEW).content.decode()

    def test_before_the_first_sync_it_names_the_command(self, admin_client):
        assert self.lines(admin_client)["Last sync"] == "never: manage.py polar_sync_customers"

    def test_everyone_sees_only_what_they_may(self, deletions, sign_in):
        assert list(self.lines(sign_in("view_customerdeletion"))) == ["Customer deletions"]

    def test_it_makes_no_request_and_few_queries(self, polar, deletions, admin_client):
        admin_client.get(OVERVIEW)
        with CaptureQueriesContext(connection) as queries:
            admin_client.get(OVERVIEW)

        assert len(queries) <= 16
        assert not polar.requests


def test_pushes_are_listed_with_their_users(admin_client):
    user = get_user_model().objects.create_user("ada")
    push = CustomerPush.objects.create(user=user, kind=CustomerPush.Kind.UPDATE, fields=["email"])
    push.mark_failed("customers.update: refused")

    page = admin_client.get(f"{PUSHES}?status=attention").content.decode()

    assert "ada" in page
    assert "customers.update: refused" in page
    choose(admin_client, "retry", [push], path=PUSHES)
    assert CustomerPush.objects.all().due().count() == 1


def test_the_index_lists_only_what_may_be_looked_at(sign_in):
    browser = sign_in("view_customer")

    (app,) = [a for a in browser.get("/admin/").context["app_list"] if "Polar" in a["name"]]

    assert [model["object_name"] for model in app["models"]] == ["Customer"]


def test_events_filtered_by_status_can_be_applied_again(admin_client):
    """Applying again takes them out of the filter that chose them."""
    for number in range(3):
        WebhookEvent.objects.create(
            id=f"msg_{number}", type="x", timestamp=timezone.now(), body=b"{}"
        ).mark_done()

    response = choose(
        admin_client,
        "apply_again",
        [WebhookEvent.objects.first()],
        path=f"{EVENTS}?status=done",
        select_across="1",
    )

    assert messages_of(response) == ["3 webhook events will be tried now."]
    assert WebhookEvent.objects.all().due().count() == 3
