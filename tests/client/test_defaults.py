"""Where a client takes from what it was not told."""

import subprocess
import sys
import textwrap
import threading
from datetime import timedelta

import httpx
import pytest

from django_polar.client import PolarClient, RequestBudget, override_transport, polar_client
from django_polar.client import defaults as defaults_module
from django_polar.exceptions import ConfigurationError, RateLimitError, UnavailableError

from .server import CUSTOMER_ID, customer, ok, page


def run(program, **environment):
    """Run a program where Django cannot be imported."""
    block = """
        import sys

        for name in ("django", "celery", "rest_framework"):
            sys.modules[name] = None  # importing it is a ModuleNotFoundError
    """
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(block) + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=False,
    )


def test_the_client_works_where_there_is_no_django():
    done = run(
        """
        import httpx
        from django_polar.client import PolarClient

        def answer(request):
            return httpx.Response(
                200,
                json={"id": "afa9f40b-619e-45e7-9bcc-dadade466217",
                      "created_at": "2026-11-20T09:34:09Z",
                      "organization_id": "ad141963-993f-4c68-a3c3-7c68e7fd3a89",
                      "name": request.headers["authorization"] + " " + str(request.url)},
            )

        with PolarClient(transport=httpx.MockTransport(answer)) as polar:
            print(polar.customers.get_state_external("42").name)
        assert "django_polar.conf" not in sys.modules
        """,
        POLAR_ACCESS_TOKEN="polar_oat_from_environment",
    )

    assert done.stdout.split() == [
        "Bearer",
        "polar_oat_from_environment",
        "https://api.polar.sh/v1/customers/external/42/state",
    ], done.stderr


@pytest.mark.parametrize("environment", [{}, {"POLAR_ACCESS_TOKEN": ""}])
def test_without_any_token_the_error_names_both_places(environment):
    done = run(
        """
        from django_polar.client import PolarClient
        from django_polar.exceptions import ConfigurationError

        try:
            PolarClient()
        except ConfigurationError as error:
            print(error)
        """,
        **environment,
    )

    assert "Django's settings" in done.stdout
    assert "environment variable POLAR_ACCESS_TOKEN" in done.stdout


def test_a_settings_module_that_django_is_missing_for_is_no_obstacle():
    done = run(
        """
        from django_polar.client import PolarClient
        print(PolarClient().base_url)
        """,
        POLAR_ACCESS_TOKEN="polar_oat_x",
        DJANGO_SETTINGS_MODULE="nowhere",
    )

    assert done.stdout.strip() == "https://api.polar.sh", done.stderr


def test_django_s_settings_are_used_where_django_is_configured(settings, server):
    settings.POLAR_ACCESS_TOKEN = "polar_pat_from_settings"
    settings.POLAR_BASE_URL = "http://polar.test/"
    settings.POLAR_API_VERSION = "2026-10"
    settings.POLAR_ORGANIZATION_ID = "ad141963-993f-4c68-a3c3-7c68e7fd3a89"
    settings.POLAR_TIMEOUT = 3
    server.answer(page())

    polar = PolarClient(transport=httpx.MockTransport(server))
    polar.customers.list()

    request = server.requests[0]
    assert request.headers["authorization"] == "Bearer polar_pat_from_settings"
    assert request.headers["polar-version"] == "2026-10"
    assert request.extensions["timeout"]["read"] == 3
    assert str(request.url) == (
        "http://polar.test/v1/customers/"
        "?organization_id=ad141963-993f-4c68-a3c3-7c68e7fd3a89&page=1&limit=100"
    )


def test_arguments_win_over_settings(settings, server):
    settings.POLAR_BASE_URL = "http://polar.test"
    server.answer(ok(customer()))

    polar = PolarClient(
        base_url="http://other.test",
        api_version="2027-01",
        timeout=timedelta(seconds=1),
        transport=httpx.MockTransport(server),
    )
    polar.customers.get(CUSTOMER_ID)

    assert server.requests[0].url.host == "other.test"
    assert server.requests[0].headers["polar-version"] == "2027-01"
    assert server.requests[0].extensions["timeout"]["connect"] == 1


def test_a_client_with_a_token_of_its_own_takes_nothing_from_the_settings(settings):
    """The settings' server and organization belong to the settings' token."""
    settings.POLAR_BASE_URL = "http://polar.test"

    assert PolarClient("polar_oat_other").base_url == "https://api.polar.sh"


def test_a_missing_setting_is_a_configuration_error(settings):
    settings.POLAR_ACCESS_TOKEN = None

    with pytest.raises(ConfigurationError, match="POLAR_ACCESS_TOKEN"):
        polar_client()


@pytest.mark.parametrize(
    ("base_url", "limit"),
    [
        ("https://api.polar.sh", 500),
        ("https://sandbox-api.polar.sh/", 100),
    ],
)
def test_polars_own_servers_have_polars_limits(base_url, limit):
    defaults = defaults_module.Defaults("polar_oat_x")

    assert defaults.budget_for(base_url).requests_per_minute == limit


def test_other_servers_have_none_unless_the_settings_say_so():
    assert defaults_module.Defaults("polar_oat_x").budget_for("http://127.0.0.1:8000") is None
    limited = defaults_module.Defaults("polar_oat_x", requests_per_minute=7)
    assert limited.budget_for("http://127.0.0.1:8000").requests_per_minute == 7


def test_a_server_in_this_process_has_no_limit_unless_one_is_handed_in(server):
    transport = httpx.MockTransport(server)
    budget = RequestBudget(7)

    assert PolarClient("polar_oat_x", transport=transport)._connection._budget is None
    limited = PolarClient("polar_oat_x", transport=transport, budget=budget)
    assert limited._connection._budget is budget


def test_clients_from_the_settings_share_a_budget(settings):
    settings.POLAR_REQUESTS_PER_MINUTE = 7

    one, two, bulk = polar_client(), polar_client(), polar_client(bulk=True)

    assert one._connection._budget is two._connection._budget
    assert one._connection._budget.requests_per_minute == 7
    assert bulk._connection._budget._whole is one._connection._budget


def test_an_override_leads_every_client_to_the_test_also_from_threads(server):
    server.always(ok(customer()))

    def work():
        with polar_client() as polar:
            polar.customers.get(CUSTOMER_ID)

    with override_transport(httpx.MockTransport(server)):
        work()
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    assert len(server.requests) == 2


def test_the_innermost_override_counts_until_it_ends(server):
    def refuse(request):
        raise AssertionError(request.url)

    server.always(ok(customer()))
    with override_transport(httpx.MockTransport(refuse)):
        with override_transport(httpx.MockTransport(server)):
            polar_client().customers.get(CUSTOMER_ID)
        with pytest.raises(AssertionError):
            polar_client().customers.get(CUSTOMER_ID)


def test_an_override_ends_with_an_error_too(server):
    with pytest.raises(ZeroDivisionError), override_transport(httpx.MockTransport(server)):
        raise ZeroDivisionError

    assert polar_client()._connection._is_ours


def test_in_tests_nobody_waits_between_attempts_and_there_is_no_budget(server):
    server.always(httpx.Response(503))

    with override_transport(httpx.MockTransport(server)), polar_client(bulk=True) as polar:
        with pytest.raises(UnavailableError):
            polar.customers.get(CUSTOMER_ID)
        assert polar.requests_made == 8


def test_an_override_may_bring_a_budget(server):
    server.always(ok(customer()))
    budget = RequestBudget(1)

    with override_transport(httpx.MockTransport(server), budget=budget):
        polar_client().customers.get(CUSTOMER_ID)
        with pytest.raises(RateLimitError):
            polar_client().customers.get(CUSTOMER_ID)


def test_bulk_clients_of_an_override_use_their_share(server):
    budget = RequestBudget(10)

    with override_transport(httpx.MockTransport(server), budget=budget):
        assert polar_client(bulk=True)._connection._budget._whole is budget


def test_closing_a_client_leaves_a_transport_that_was_handed_in_open(server):
    class Transport(httpx.MockTransport):
        closed = False

        def close(self):
            self.closed = True

    transport = Transport(server)
    with PolarClient("polar_oat_x", transport=transport):
        pass

    assert not transport.closed


def test_the_token_is_in_no_representation():
    polar = PolarClient("polar_oat_secret")

    assert "polar_oat_secret" not in repr(polar) + repr(
        defaults_module.Defaults("polar_oat_secret")
    )
