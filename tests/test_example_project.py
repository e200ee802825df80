"""The example project's pages follow what Polar says of the visitor."""

from __future__ import annotations

import re
import runpy
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib import admin
from django.core.management import call_command
from django.urls import include, path

ROOT = Path(__file__).parent.parent
EXAMPLE = runpy.run_path(str(ROOT / "example_project" / "project" / "settings.py"))
PRO = "957b0b87-4524-409a-9d03-5007f821a094"


@pytest.fixture
def shop(settings):
    """The example project's pages, in the settings of the tests."""
    settings.SHOP_PLANS = EXAMPLE["SHOP_PLANS"]
    settings.POLAR_PRODUCTS = EXAMPLE["POLAR_PRODUCTS"]
    # As in project.urls, whose package also makes its Celery app everybody's.
    urls = [
        path("", include("shop.urls")),
        path("accounts/", include("django.contrib.auth.urls")),
        path("admin/", admin.site.urls),
        path("polar/", include("django_polar.urls")),
    ]
    settings.ROOT_URLCONF = type("Urls", (), {"urlpatterns": urls})
    shop = ROOT / "example_project" / "shop" / "templates"
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [shop]}]


@pytest.fixture
def visitor(shop, client, django_user_model):
    """A signed-in user that Polar knows nothing of."""
    user = django_user_model.objects.create_user("ada", "ada@example.com", pk=42)
    client.force_login(user)
    return client


@pytest.fixture
def mirror(polar):
    """Mirrors the fake Polar as the command line does."""

    def run():
        call_command("polar_sync_customers", "--json")

    return run


@pytest.mark.django_db
def test_stranger_is_not_let_in(visitor):
    """Without a benefit the members' page leads to the plans."""
    response = visitor.get("/members/", follow=True)

    assert response.redirect_chain == [("/pricing/", 302)]
    assert "Choose a plan" in response.content.decode()


@pytest.mark.django_db
def test_member_is_let_in(visitor, polar, mirror, capsys):
    """A granted benefit opens the members' page after a sync."""
    customer = polar.add_customer(external_id="42", email="ada@example.com")
    polar.add_grant(customer)
    mirror()

    assert "For members" in visitor.get("/members/").content.decode()


@pytest.mark.django_db
def test_pricing_marks_the_plan_that_was_bought(visitor, polar, mirror, capsys):
    """The pricing page names the visitor's plan."""
    customer = polar.add_customer(external_id="42", email="ada@example.com", name="Ada")
    polar.add_subscription(customer, product_id=PRO)
    mirror()

    assert "You are on Pro" in visitor.get("/pricing/").content.decode()
    assert "Welcome back, Ada" in visitor.get("/").content.decode()


@pytest.mark.django_db
def test_subscriber_sees_it_on_every_page(visitor, polar, mirror, capsys):
    """The header changes with the state, by a template filter."""
    assert "Larch Pro" not in visitor.get("/").content.decode()
    customer = polar.add_customer(external_id="42", email="ada@example.com")
    polar.add_subscription(customer, product_id=PRO)
    mirror()

    assert "Larch Pro" in visitor.get("/").content.decode()


@pytest.mark.django_db
def test_billing_leads_to_polar_and_back(visitor, polar, mirror, capsys):
    """The button opens Polar's portal with a session of this customer."""
    polar.add_customer(external_id="42", email="ada@example.com")
    mirror()
    form = re.search(
        r'<form method="post" action="(/polar/portal/)">.*?name="return_url" value="([^"]+)"',
        visitor.get("/").content.decode(),
    )

    response = visitor.post(form[1], {"return_url": form[2]})

    assert response.status_code == 303
    assert response["Location"].startswith(polar.portal_url)


@pytest.mark.django_db
def test_billing_of_somebody_who_bought_nothing(visitor, polar):
    """Whoever is no customer is shown the way to the plans, in the shop's own dress."""
    page = visitor.post("/polar/portal/").content.decode()

    assert "not bought anything" in page
    assert "Larch" in page


@pytest.mark.django_db
def test_billing_survives_an_outage(visitor, polar, mirror, capsys):
    """When Polar is down the visitor is told so."""
    polar.add_customer(external_id="42", email="ada@example.com")
    mirror()
    polar.fail_next(503, times=10)

    assert "Polar does not answer" in visitor.post("/polar/portal/").content.decode()


@pytest.mark.django_db
def test_account_page_asks_the_api(visitor, polar, mirror, capsys):
    """What the page fetches is there, for the visitor alone."""
    customer = polar.add_customer(external_id="42", email="ada@example.com")
    polar.add_subscription(customer, product_id=PRO)
    mirror()
    address = re.search(r'fetch\("([^"]+)"', visitor.get("/account/").content.decode())[1]

    state = visitor.get(address).json()

    assert [each["product_id"] for each in state["active_subscriptions"]] == [PRO]


def test_beat_schedule_is_the_documented_one():
    """docs/celery.md shows the schedule that the example project runs."""
    page = (ROOT / "docs" / "celery.md").read_text()
    (block,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    documented = {"timedelta": timedelta}

    exec(block, documented)

    assert documented["CELERY_BEAT_SCHEDULE"] == EXAMPLE["CELERY_BEAT_SCHEDULE"]
