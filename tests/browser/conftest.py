"""The example project in a process of its own, a fake Polar in ours, and Chromium in front.

``SCREENSHOTS=docs/screenshots make test-browser`` renews the documentation's pictures.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from django_polar.testing import FakePolar

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
MANAGE = str(ROOT / "example_project" / "manage.py")
PASSWORD = "demo"

CHROMIUM = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)

SET_UP = """
from django.contrib.auth import get_user_model
from django_polar.models import CustomerDeletion
users = get_user_model().objects
users.create_superuser("admin", "admin@example.com", "demo")
users.create_user("ada", "ada@acme-mail.dev", pk=42)
failed = CustomerDeletion.objects.create(external_id="1815", attempts=20)
failed.mark_failed("customers.delete: 403 insufficient_scope. Give the access token the scope"
    " customers:write.")
"""


class Site:
    """The example project, running."""

    def __init__(self, url: str, polar: FakePolar, environment: dict[str, str]) -> None:
        self.url = url
        self.polar = polar
        self._environment = environment

    def manage(self, *arguments: str) -> str:
        return subprocess.run(
            [sys.executable, MANAGE, *arguments],
            env=self._environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        ).stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    polar = FakePolar()
    make_world(polar)
    with polar.serve() as base_url:
        port = free_port()
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "project.settings",
            "DEMO_DATABASE": str(directory / "db.sqlite3"),
            "POLAR_BASE_URL": base_url,
            "POLAR_ACCESS_TOKEN": polar.token,
        }
        site = Site(f"http://127.0.0.1:{port}", polar, environment)
        site.manage("migrate", "--verbosity", "0")
        site.manage("shell", "--command", SET_UP)
        site.manage("polar_sync_customers")
        server = subprocess.Popen(
            [sys.executable, MANAGE, "runserver", "--noreload", f"127.0.0.1:{port}"],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_until_open(port, server)
            yield site
        finally:
            server.terminate()
            server.wait(timeout=10)


def make_world(polar: FakePolar) -> None:
    """Some fifty customers, and one whom a support mail is about."""
    polar.seed_world(customers=50, odd=False)
    for taken in [c for c in polar.customers.values() if c["external_id"] == "42"]:
        polar.delete_customer(taken)
    ada = polar.add_customer(
        email="ada@acme-mail.dev",
        name="Ada Lovelace",
        external_id="42",
        billing_name="Analytical Engines Ltd",
        billing_address={
            "line1": "12 St James's Square",
            "postal_code": "SW1Y 4JH",
            "city": "London",
            "country": "GB",
        },
        metadata={"plan": "pro"},
    )
    polar.add_subscription(ada, amount=1500, currency="usd")
    polar.add_grant(ada, benefit_type="license_keys")
    polar.add_grant(ada, benefit_type="feature_flag", benefit_metadata={"exports": True})
    polar.add_meter(ada, consumed_units=340.0, credited_units=1000.0, balance=660.0)
    polar.add_wallet(ada, balance=1500, currency="usd")


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    from selenium import webdriver  # noqa: PLC0415 - there only where browsers are tested

    options = webdriver.ChromeOptions()
    options.binary_location = find("chromium")
    for flag in (*CHROMIUM, f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1280,900"):
        options.add_argument(flag)
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    service = webdriver.ChromeService(executable_path=find("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    driver.implicitly_wait(5)
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    return tmp_path / "downloads"


class Camera:
    def __init__(self, browser: Any, directory: Path) -> None:
        self.browser = browser
        self.directory = directory

    def look(self, *, dark: bool = False, phone: bool = False) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        size = {"width": 390, "height": 844} if phone else {"width": 1280, "height": 900}
        self.browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {**size, "deviceScaleFactor": 1, "mobile": phone},
        )

    def shoot(self, name: str) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        assert self.browser.save_screenshot(str(self.directory / f"{name}.png"))


@pytest.fixture
def camera(browser: Any, tmp_path: Path) -> Camera:
    directory = os.environ.get("SCREENSHOTS")
    return Camera(browser, ROOT / directory if directory else tmp_path / "screenshots")


def find(program: str) -> str:
    path = shutil.which(program)
    assert path, f"{program} is missing; on Debian: make browser-deps"
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_open(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert server.poll() is None, "the example project stopped"
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("the example project did not start")
