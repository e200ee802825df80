"""One customer's page, the user's page, and what can be done there."""

from __future__ import annotations

import pytest
from celery import current_app
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import UserAdmin
from django.core import checks
from django.test import RequestFactory

from django_polar.admin import CustomerInline
from django_polar.models import Customer, CustomerBalance, CustomerDeletion, CustomerPush
from django_polar.services.deletions import send_due_deletions

from .helpers import LIST, act, choose, messages_of, mirror_all, page_of

pytestmark = pytest.mark.django_db

VERBS = {
    "sync": "sync_customer",
    "state": "refresh_customer",
    "balance": "fetch_balance_customer",
    "compare": "compare_customer",
    "delete": "delete_customer",
}
ACTIONS = {
    "sync_selected": "sync_customer",
    "refresh_selected": "refresh_customer",
    "fetch_balances": "fetch_balance_customer",
    "compare_selected": "compare_customer",
    "export_selected": "export_customer",
    "delete_at_polar": "delete_customer",
}


@pytest.fixture
def mirrored(polar, ada):
    mirror_all(polar)
    return ada


def test_the_page_shows_what_the_customer_has(polar, mirrored, admin_client):
    page = admin_client.get(page_of(mirrored)).content.decode()

    for shown in (
        "ada@acme-mail.dev",
        "12 Analytical St",
        "15.00 USD a month",
        "license_keys",
        "7.0",
        "&quot;plan&quot;: &quot;pro&quot;",
        f"https://polar.sh/to/dashboard/customers/{mirrored['id']}",
    ):
        assert shown in page
    assert not polar.requests


def test_the_dashboard_of_the_sandbox_is_another(mirrored, admin_client, settings):
    settings.POLAR_ENVIRONMENT = "sandbox"

    page = admin_client.get(page_of(mirrored)).content.decode()

    assert f"https://sandbox.polar.sh/to/dashboard/customers/{mirrored['id']}" in page


def test_nothing_can_be_typed_in(mirrored, admin_client):
    page = admin_client.get(page_of(mirrored))

    assert b'name="email"' not in page.content
    assert b'name="_save"' not in page.content
    assert admin_client.post(page_of(mirrored), {"email": "x@y.zz"}).status_code == 403
    assert admin_client.get(f"{LIST}add/").status_code == 403
    assert admin_client.get(f"{LIST}{mirrored['id']}/delete/").status_code == 403


def test_a_script_in_what_a_customer_wrote_is_only_text(polar, admin_client):
    evil = "<script>alert(1)</script>"
    customer = polar.add_customer(
        name=evil,
        metadata={"note": evil},
        billing_name=evil,
        billing_address={"line1": evil, "country": "FR"},
        external_id=evil,
    )
    mirror_all(polar)
    Customer.objects.update(avatar_url="javascript:alert(1)")

    pages = [admin_client.get(LIST), admin_client.get(page_of(customer))]
    pages.append(act(admin_client, customer, "compare"))
    pages.append(act(admin_client, customer, "delete"))

    for page in pages:
        assert page.status_code == 200
        assert evil not in page.content.decode()
        assert 'href="javascript' not in page.content.decode()


def test_sync_now_brings_profile_state_and_balance(polar, mirrored, admin_client):
    polar.update_customer(mirrored, name="Ada King")
    polar.add_subscription(mirrored)

    response = act(admin_client, mirrored, "sync")

    assert messages_of(response) == ["Synced 1 customer."]
    page = response.content.decode()
    assert "Ada King" in page
    assert "-2.50 USD" in page
    assert Customer.objects.get().state.active_subscriptions.count() == 2


def test_sync_now_of_a_team_leaves_its_balance_alone(polar, admin_client):
    """Polar shows a team's balance to its members only."""
    team = polar.add_customer(type="team", email=None, name="Acme")
    mirror_all(polar)
    polar.update_customer(team, name="Acme Ltd")

    assert messages_of(act(admin_client, team, "sync")) == ["Synced 1 customer."]
    assert Customer.objects.get().name == "Acme Ltd"
    (refused,) = messages_of(act(admin_client, team, "balance"))
    assert "member_id" in refused


def test_refresh_state_asks_for_the_state_alone(polar, mirrored, admin_client):
    polar.reset_requests()

    assert messages_of(act(admin_client, mirrored, "state")) == [
        "Refreshed the state of 1 customer."
    ]
    assert [request.path for request in polar.requests] == [f"/v1/customers/{mirrored['id']}/state"]


def test_fetch_balance_shows_it_with_its_age(mirrored, admin_client):
    response = act(admin_client, mirrored, "balance")

    assert messages_of(response) == ["Fetched the balance of 1 customer."]
    assert "-2.50 USD <small>(<time" in response.content.decode()
    assert CustomerBalance.objects.get().amount == -250


@pytest.mark.parametrize("verb", ["sync", "state", "balance", "compare"])
@pytest.mark.parametrize("status", [401, 403, 500])
def test_what_polar_refuses_is_a_message(polar, mirrored, admin_client, verb, status):
    polar.fail_next(status, times=10)

    response = act(admin_client, mirrored, verb)

    assert response.status_code == 200
    (message,) = messages_of(response)
    assert str(status) in message


def test_a_missing_token_is_a_message(mirrored, admin_client, settings):
    settings.POLAR_ACCESS_TOKEN = None

    for verb in ("sync", "compare"):
        (message,) = messages_of(act(admin_client, mirrored, verb))
        assert "POLAR_ACCESS_TOKEN is not set" in message


def test_a_customer_that_polar_no_longer_has_is_recorded_as_deleted(polar, mirrored, admin_client):
    polar.delete_customer(mirrored)

    response = act(admin_client, mirrored, "sync")

    (message,) = messages_of(response)
    assert "no longer has 1 customer" in message
    assert "ada@acme-mail.dev" not in response.content.decode()
    assert Customer.objects.get().deleted_at is not None


def test_compare_marks_what_differs_and_changes_nothing(polar, mirrored, admin_client):
    polar.update_customer(mirrored, name="Ada King")
    polar.add_subscription(mirrored, status="trialing")

    response = act(admin_client, mirrored, "compare")

    ((_, _, comparison),) = response.context["compared"]
    assert {
        (item.kind, field.name)
        for item in comparison.items
        if item.in_mirror and item.in_polar
        for field in item.fields
        if field.differs
    } == {("customer", "name"), ("customer", "billing_name"), ("customer", "modified_at")}
    page = response.content.decode()
    assert "Ada Lovelace" in page
    assert "Ada King" in page
    assert page.count('class="polar-differs"') == 3
    assert page.count("Only Polar has this.") == 1
    assert Customer.objects.get().name == "Ada Lovelace"


def test_compare_says_when_all_is_the_same(mirrored, admin_client):
    assert "agree in every field" in act(admin_client, mirrored, "compare").content.decode()


def test_compare_says_when_polar_has_no_such_customer(polar, mirrored, admin_client):
    polar.delete_customer(mirrored)

    assert "Polar has no such customer" in act(admin_client, mirrored, "compare").content.decode()


def test_deleting_asks_first_and_says_what_it_does(polar, mirrored, admin_client):
    page = act(admin_client, mirrored, "delete").content.decode()

    for said in ("cancels every active subscription", "erased here", "stays as it is", "ada@"):
        assert said in page
    assert not CustomerDeletion.objects.exists()
    assert Customer.objects.live().exists()


@pytest.mark.parametrize("anonymize", [True, False])
def test_a_confirmed_deletion_is_queued_and_the_person_forgotten(
    polar, mirrored, admin_client, anonymize, django_capture_on_commit_callbacks
):
    confirmed = {"confirmed": "yes"} | ({"anonymize": "yes"} if anonymize else {})

    response = act(admin_client, mirrored, "delete", **confirmed)

    assert "will be deleted at Polar" in messages_of(response)[0]
    assert "ada@acme-mail.dev" not in response.content.decode()
    deletion = CustomerDeletion.objects.get()
    assert (str(deletion.customer_id), deletion.anonymize) == (mirrored["id"], anonymize)
    assert LogEntry.objects.get().object_id == mirrored["id"]
    with polar.client() as client:
        assert send_due_deletions(client) == 1
    assert mirrored["id"] not in polar.customers


def test_deleting_from_the_list_takes_the_ticked_ones(polar, ada, admin_client):
    kept = polar.add_customer(name="Grace")
    mirror_all(polar)
    already = polar.add_customer(name="Gone")
    mirror_all(polar)
    polar.delete_customer(already)
    act(admin_client, already, "sync")

    asked = choose(admin_client, "delete_at_polar", [ada, already])
    assert "Delete 1 customer at Polar?" in asked.content.decode()
    done = choose(admin_client, "delete_at_polar", [ada, already], confirmed="yes")

    assert "1 customer will be deleted" in messages_of(done)[0]
    assert [str(d.customer_id) for d in CustomerDeletion.objects.all()] == [ada["id"]]
    assert str(Customer.objects.live().get().pk) == kept["id"]


def test_all_that_a_filter_shows_can_be_deleted(polar, ada, admin_client):
    """The confirmation keeps "select all": it deletes what was shown, not only the page."""
    other = polar.add_customer(name="Grace", type="team", email=None)
    mirror_all(polar)

    choose(
        admin_client,
        "delete_at_polar",
        [ada],
        path=f"{LIST}?customer_type=individual",
        select_across="1",
        confirmed="yes",
    )

    assert str(Customer.objects.live().get().pk) == other["id"]


def test_a_few_selected_are_fetched_at_once(polar, ada, admin_client):
    grace = polar.add_customer(name="Grace")
    mirror_all(polar)
    polar.update_customer(grace, name="Grace Hopper")

    response = choose(admin_client, "refresh_selected", [ada, grace])

    assert messages_of(response) == ["Refreshed the state of 2 customers."]
    assert Customer.objects.filter(name="Grace Hopper").exists()


def test_one_failure_does_not_keep_the_others_from_being_fetched(polar, admin_client):
    customers = [polar.add_customer(name=f"C {number}") for number in range(3)]
    mirror_all(polar)
    polar.fail_next(422, path=f"{customers[1]['id']}/state")
    polar.reset_requests()

    messages = messages_of(choose(admin_client, "refresh_selected", customers))

    assert messages[0] == "Refreshed the state of 2 customers."
    assert messages[1].startswith("1 customer: ")


def test_when_polar_is_down_the_others_are_not_tried(polar, admin_client):
    customers = [polar.add_customer(name=f"C {number}") for number in range(5)]
    mirror_all(polar)
    polar.reset_requests()
    polar.fail_next(401, times=100)

    messages = messages_of(choose(admin_client, "refresh_selected", customers))

    assert len(polar.requests) == 1
    assert messages[-1] == "Left as they were: 4 customers."


class TestMany:
    @pytest.fixture
    def many(self, polar):
        customers = [polar.add_customer(name=f"C {number}") for number in range(25)]
        mirror_all(polar)
        for customer in customers:
            polar.update_customer(customer, name="Renamed")
        polar.reset_requests()
        return customers

    def test_many_are_left_to_a_task(self, many, admin_client):
        current_app.conf.task_always_eager = True
        try:
            response = choose(admin_client, "refresh_selected", many)
        finally:
            current_app.conf.task_always_eager = False

        assert messages_of(response) == [
            "25 customers are being fetched by a task; look again in a while."
        ]
        assert Customer.objects.filter(name="Renamed").count() == 25

    def test_without_a_broker_it_says_so_and_asks_polar_nothing(self, polar, many, admin_client):
        (message,) = messages_of(choose(admin_client, "refresh_selected", many))

        assert "task queue cannot be reached" in message
        assert not polar.requests

    def test_only_a_few_are_compared_side_by_side(self, polar, many, admin_client):
        (message,) = messages_of(choose(admin_client, "compare_selected", many))

        assert "10 customers at most" in message
        assert not polar.requests


class TestPermissions:
    def test_who_may_only_look_is_offered_nothing(self, mirrored, sign_in):
        browser = sign_in("view_customer")

        listed = browser.get(LIST)
        shown = browser.get(page_of(mirrored)).content.decode()

        assert "ada@acme-mail.dev" in shown
        assert "license_keys" in shown
        assert not listed.context["action_form"]
        assert "formaction" not in shown
        assert "Export" not in listed.content.decode()

    @pytest.mark.parametrize("verb", VERBS)
    def test_who_may_only_look_can_do_nothing(self, polar, mirrored, sign_in, verb):
        browser = sign_in("view_customer")
        polar.reset_requests()

        assert act(browser, mirrored, verb, confirmed="yes").status_code == 403
        assert not polar.requests
        assert not CustomerDeletion.objects.exists()

    @pytest.mark.parametrize("action", ACTIONS)
    def test_who_may_only_look_can_run_no_action(self, polar, mirrored, sign_in, action):
        browser = sign_in("view_customer")
        polar.reset_requests()

        response = choose(browser, action, [mirrored], confirmed="yes")

        assert "attachment" not in response.headers.get("Content-Disposition", "")
        assert not polar.requests
        assert not CustomerDeletion.objects.exists()

    @pytest.mark.parametrize("path", ["export/", "polar-export/"])
    def test_who_may_only_look_can_export_nothing(self, sign_in, path):
        assert sign_in("view_customer").post(f"{LIST}{path}").status_code == 403

    @pytest.mark.parametrize(("verb", "codename"), VERBS.items())
    def test_each_permission_allows_its_own_action_and_no_other(
        self, mirrored, sign_in, verb, codename
    ):
        browser = sign_in("view_customer", codename)

        page = browser.get(page_of(mirrored)).content.decode()

        assert page.count("formaction") == 1
        assert act(browser, mirrored, verb).status_code == 200
        for other in VERBS.keys() - {verb}:
            assert act(browser, mirrored, other).status_code == 403

    def test_without_any_permission_there_is_no_customer(self, mirrored, sign_in):
        browser = sign_in()

        assert browser.get(LIST).status_code == 403
        assert browser.get(page_of(mirrored)).status_code == 403

    def test_a_permission_to_act_is_none_to_look(self, polar, mirrored, sign_in):
        browser = sign_in("sync_customer", "export_customer")
        polar.reset_requests()

        assert browser.post(f"{LIST}{mirrored['id']}/act/sync/").status_code == 403
        assert browser.post(f"{LIST}export/").status_code == 403
        assert not polar.requests

    def test_buttons_need_a_post(self, mirrored, admin_client):
        assert admin_client.get(f"{LIST}{mirrored['id']}/act/sync/").status_code == 405
        assert admin_client.get(f"{LIST}export/").status_code == 405
        assert admin_client.get(f"{LIST}polar-export/").status_code == 405

    def test_an_unknown_button_or_customer_is_not_found(self, mirrored, admin_client):
        assert act(admin_client, mirrored, "dance").status_code == 404
        nobody = {"id": "11111111-1111-4111-8111-111111111111"}
        assert act(admin_client, nobody, "sync").status_code == 404


class TestUserPage:
    @pytest.fixture
    def user(self, polar, ada):
        user = get_user_model().objects.create_user("ada")
        mirror_all(polar)
        Customer.objects.update(user=user, external_id=str(user.pk))
        return user

    @pytest.fixture
    def with_inline(self, monkeypatch):
        user_admin = admin.site.get_model_admin(get_user_model())
        monkeypatch.setattr(type(user_admin), "inlines", [CustomerInline])

    @pytest.mark.usefixtures("with_inline")
    def test_the_inline_shows_the_customer_and_leads_to_it(self, user, admin_client):
        page = admin_client.get(f"/admin/auth/user/{user.pk}/change/").content.decode()

        assert "ada@acme-mail.dev" in page
        assert "license_keys" in page
        assert page_of(Customer.objects.get()) in page

    @pytest.mark.usefixtures("with_inline")
    def test_the_user_can_still_be_saved(self, user, admin_client):
        path = f"/admin/auth/user/{user.pk}/change/"
        form = admin_client.get(path)
        fields = form.context["adminform"].form.initial
        data = {
            "username": "renamed",
            "date_joined_0": "2026-01-01",
            "date_joined_1": "00:00:00",
            **{
                f"polar_customer-{name}": str(fields.get(name, 1 if "INITIAL" in name else 0))
                for name in ("TOTAL_FORMS", "INITIAL_FORMS", "MIN_NUM_FORMS", "MAX_NUM_FORMS")
            },
        }
        data["polar_customer-TOTAL_FORMS"] = "1"
        data["polar_customer-0-id"] = str(Customer.objects.get().pk)
        data["polar_customer-0-user"] = str(user.pk)

        response = admin_client.post(path, data)

        assert response.status_code == 302
        user.refresh_from_db()
        assert user.username == "renamed"
        assert Customer.objects.get().user == user

    def test_who_may_not_look_at_customers_sees_none_there(self, rf):
        request = rf.get("/")
        request.user = get_user_model().objects.create_user("looks-not")

        inline = CustomerInline(get_user_model(), admin.site)

        assert not inline.has_view_permission(request)

    def test_it_fits_into_djangos_user_admin(self):
        class WithCustomer(UserAdmin):
            inlines = (CustomerInline,)

        model_admin = WithCustomer(get_user_model(), admin.AdminSite())
        model_admin.admin_site.register(get_user_model(), WithCustomer)

        assert [e for e in model_admin.check() if e.level >= checks.ERROR] == []

    def test_who_may_delete_users_is_not_stopped_by_our_rows(self, user, sign_in):
        """The admin asks every model that goes with a user whether it may."""
        CustomerPush.objects.create(user=user, kind=CustomerPush.Kind.UPDATE)
        browser = sign_in("view_user", "delete_user")

        page = browser.post(f"/admin/auth/user/{user.pk}/delete/", {"post": "yes"})

        assert page.status_code == 302
        assert not get_user_model().objects.filter(pk=user.pk).exists()


def test_our_own_pages_offer_no_deletion_to_a_superuser(admin_user):
    request = RequestFactory().get("/")
    request.user = admin_user

    assert not admin.site.get_model_admin(CustomerPush).has_delete_permission(request)
