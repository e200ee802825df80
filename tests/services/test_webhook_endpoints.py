"""Whether Polar delivers to this site."""

import pytest

from django_polar.services.webhook_endpoints import NEEDED_EVENTS, find_endpoint_problems

SECRET = "polar_whs_made_up_for_tests"


@pytest.fixture(autouse=True)
def site(settings):
    settings.ALLOWED_HOSTS = [".example.com"]


def add(polar, **fields):
    url = fields.pop("url", "https://www.example.com/polar/webhook/")
    defaults = {"events": list(NEEDED_EVENTS), "secret": SECRET, "kind": "raw"}
    return polar.add_webhook_endpoint(url, **defaults | fields)


def problems(polar, token=None):
    with polar.client(token) as client:
        return [f"{problem.message} {problem.fix}" for problem in find_endpoint_problems(client)]


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_good_endpoint_is_no_problem(polar, slash):
    """With or without the slash; others for other sites do not matter."""
    add(polar, url=f"https://www.example.com/polar/webhook{slash}")
    add(polar, url="https://www.example.com/elsewhere/", events=[])
    add(polar, url="https://www.example.org/polar/webhook/", events=[])

    assert problems(polar) == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"url": "https://www.example.org/polar/webhook/"}, "no webhook endpoint for /polar/"),
        ({"kind": "slack"}, "format slack"),
        ({"events": ["customer.updated"]}, "does not subscribe to customer.created, "),
        ({"secret": "another"}, "POLAR_WEBHOOK_SECRET is not the secret"),
    ],
)
def test_what_is_wrong_with_an_endpoint_is_said_with_its_fix(polar, fields, words):
    """One finding each."""
    add(polar, **fields)

    (problem,) = problems(polar)

    assert words in problem
    assert "Polar's dashboard" in problem
    assert SECRET not in problem


def test_a_disabled_endpoint_asks_for_a_sync_too(polar):
    """Polar makes no events while it is disabled."""
    add(polar)["enabled"] = False

    (problem,) = problems(polar)

    assert "disabled" in problem
    assert "polar_sync_customers" in problem


def test_a_token_that_may_not_look_says_so(polar):
    """It is good enough for everything else."""
    assert "webhooks:read" in problems(polar, polar.add_token("customers:read"))[0]


def test_a_site_without_our_urls_says_so(polar, settings):
    """The most common omission of all."""
    settings.ROOT_URLCONF = "tests.services.no_urls"

    assert "include" in problems(polar)[0]
