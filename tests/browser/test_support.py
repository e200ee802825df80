"""A support mail's way through the admin, in a real browser."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Camera, Site

pytestmark = pytest.mark.browser

CUSTOMERS = "/admin/django_polar/customer/"
DELETIONS = "/admin/django_polar/customerdeletion/"


class Page:
    """What a person does with the browser."""

    def __init__(self, browser: Any, site: Site) -> None:
        self.browser = browser
        self.site = site

    def open(self, path: str) -> None:
        self.browser.get(f"{self.site.url}{path}")

    def sign_in(self) -> None:
        self.open("/admin/login/?next=/admin/")
        self.type("username", "admin")
        self.type("password", PASSWORD)
        self.click("//input[@type='submit']")
        self.wait_for("Site administration")

    def type(self, name: str, text: str) -> None:
        self.browser.find_element("name", name).send_keys(text)

    def click(self, xpath: str) -> None:
        self.browser.find_element("xpath", xpath).click()

    def press(self, label: str) -> None:
        self.click(f"//button[contains(., '{label}')] | //input[contains(@value, '{label}')]")

    def follow(self, text: str) -> None:
        self.click(f"//main//a[normalize-space()='{text}']")

    def find_ada(self) -> None:
        self.open(CUSTOMERS)
        self.type("q", "ada@acme-mail.dev")
        self.click("//form[@id='changelist-search']//input[@type='submit']")
        self.wait_until(lambda: "?q=" in self.browser.current_url)
        self.follow("Ada Lovelace")
        self.wait_for("Analytical Engines Ltd")

    def run_action(self, label: str) -> None:
        self.click("//tbody//input[@name='_selected_action']")
        self.click(f"//select[@name='action']/option[.='{label}']")
        self.click("//button[@name='index']")

    def wait_for(self, text: str) -> None:
        self.wait_until(lambda: text in self.text, f"never saw {text!r}")

    def wait_until(self, condition: Callable[[], bool], otherwise: str = "waited long") -> None:
        deadline = time.monotonic() + 15
        while not condition():
            assert time.monotonic() < deadline, f"{otherwise} at {self.browser.current_url}"
            time.sleep(0.1)

    @property
    def text(self) -> str:
        return str(self.browser.execute_script("return document.body.innerText"))

    @property
    def is_wider_than_the_screen(self) -> bool:
        script = "return document.documentElement.scrollWidth > window.innerWidth"
        return bool(self.browser.execute_script(script))


@pytest.fixture
def page(browser: Any, site: Site) -> Page:
    page = Page(browser, site)
    page.sign_in()
    return page


def test_find_a_customer_see_the_state_and_fetch_the_balance(page: Page, camera: Camera):
    camera.look()
    page.open(CUSTOMERS)
    page.wait_for("Select customer to view")
    camera.shoot("customers")
    page.site.polar.reset_requests()

    page.find_ada()
    for shown in ("15.00 USD a month", "license_keys", "feature_flag", "660.0"):
        assert shown in page.text
    assert not page.site.polar.requests

    page.press("Fetch balance")
    page.wait_for("Fetched the balance of 1 customer.")
    assert "15.00 USD (just now)" in page.text
    camera.shoot("customer")


def test_compare_with_polar(page: Page, camera: Camera):
    camera.look()
    ada = page.site.polar.find_by_external_id("42")
    page.site.polar.update_customer(ada, name="Ada King")
    page.find_ada()

    page.press("Compare with Polar")
    page.wait_for("The mirror and Polar differ.")
    assert page.browser.find_elements("css selector", "tr.polar-differs")
    camera.shoot("compare")
    page.site.polar.update_customer(ada, name="Ada Lovelace")


def test_export_the_list(page: Page, downloads: Path):
    page.open(f"{CUSTOMERS}?q=ada%40acme-mail.dev")
    page.press("Export these as CSV")

    text = wait_for_file(downloads, "customers-*.csv")
    assert text.count("\n") == 2
    assert "ada@acme-mail.dev" in text


def test_export_from_polar(page: Page, downloads: Path):
    page.open(CUSTOMERS)
    page.press("own export")

    text = wait_for_file(downloads, "polar-customers-*.csv")
    assert len(text.splitlines()) == len(page.site.polar.customers) + 1


def test_retry_a_failed_deletion(page: Page, camera: Camera):
    camera.look()
    page.open("/admin/django_polar/")
    page.wait_for("1 needs a person")
    camera.shoot("overview")

    page.click("//div[@id='polar-overview']//a[.='Customer deletions']")
    page.wait_for("insufficient_scope")
    assert "status=attention" in page.browser.current_url
    camera.shoot("deletions")
    page.run_action("Retry now")

    page.wait_for("1 customer deletion will be tried now.")
    page.open(f"{DELETIONS}?status=open")
    page.wait_for("due now")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("phone", [False, True])
def test_pages_fit_the_screen_in_light_and_dark(
    page: Page, camera: Camera, *, dark: bool, phone: bool
):
    camera.look(dark=dark, phone=phone)
    look = f"{'phone' if phone else 'desktop'}-{'dark' if dark else 'light'}"

    page.find_ada()
    background = page.browser.execute_script(
        "return getComputedStyle(document.body).backgroundColor"
    )
    assert (background == "rgb(18, 18, 18)") is dark
    camera.shoot(f"customer-{look}")
    assert not page.is_wider_than_the_screen
    for path in ("/admin/django_polar/", CUSTOMERS, DELETIONS):
        page.open(path)
        assert not page.is_wider_than_the_screen, path
    page.open("/admin/django_polar/")
    camera.shoot(f"overview-{look}")


def test_delete_with_confirmation(page: Page, camera: Camera):
    """The last one, because Ada is gone after it."""
    camera.look()
    page.find_ada()
    page.press("Delete at Polar")
    page.wait_for("This cannot be undone.")
    camera.shoot("delete")

    page.follow("No, take me back")
    page.wait_for("Analytical Engines Ltd")
    page.press("Delete at Polar")
    page.press("Yes, delete at Polar")
    page.wait_for("1 customer will be deleted at Polar")

    assert "ada@acme-mail.dev" not in page.text
    page.click("//a[.='See how it goes']")
    page.wait_for("due now")
    page.open(f"{CUSTOMERS}?q=ada%40acme-mail.dev")
    page.wait_for("0 customers")


def wait_for_file(directory: Path, pattern: str) -> str:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        for file in directory.glob(pattern):
            return file.read_bytes().decode()
        time.sleep(0.1)
    raise AssertionError(f"no {pattern} was downloaded")
