"""The way to Polar's customer portal."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.test import Client

from tests.api.conftest import make_person

PORTAL = "/polar/portal/"


@pytest.fixture
def ada(polar, db):
    cache.clear()
    person = make_person(polar, "ada")
    polar.reset_requests()
    return person


@pytest.fixture
def signed_in(client, ada):
    client.force_login(ada.user)
    return client


def test_post_leads_to_the_portal(signed_in, polar, ada):
    """A session of the user's own, an answer that nobody keeps, and no trail to other sites."""
    answer = signed_in.post(PORTAL)

    assert answer.status_code == HTTPStatus.SEE_OTHER
    assert answer.url.startswith(polar.portal_url)
    token = answer.url.split("customer_session_token=")[1].split("&")[0]
    assert polar._sessions[token].customer_id == ada.remote["id"]
    assert "no-store" in answer["Cache-Control"]
    assert answer["Referrer-Policy"] == "no-referrer"


def test_get_asks_first(signed_in, polar):
    """A link or an image somewhere else makes no session."""
    answer = signed_in.get(PORTAL, {"return_url": "/account/"})

    assert answer.status_code == 200
    assert '<form method="post">' in answer.content.decode()
    assert 'name="return_url" value="/account/"' in answer.content.decode()
    assert polar.requests == []


@pytest.mark.parametrize("method", ["get", "post"])
def test_visitor_signs_in_first(client, db, polar, method, settings):
    settings.LOGIN_URL = "/login/"

    answer = getattr(client, method)(PORTAL)

    assert (answer.status_code, answer.url) == (302, "/login/?next=/polar/portal/")
    assert polar.requests == []


def test_post_needs_the_csrf_token(polar, ada):
    client = Client(enforce_csrf_checks=True)
    client.force_login(ada.user)

    assert client.post(PORTAL).status_code == 403
    assert polar.requests == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("/account/?a=1", "http://testserver/account/?a=1"),
        ("http://testserver/account/", "http://testserver/account/"),
        ("https://app.example.com/x", "https://app.example.com/x"),
    ],
)
def test_way_back(signed_in, polar, settings, given, expected):
    """To this site, or to a host from the settings; Polar gets the absolute address."""
    settings.POLAR_RETURN_URL_HOSTS = ["app.example.com"]
    polar.keep_bodies = True

    assert signed_in.post(PORTAL, {"return_url": given}).status_code == HTTPStatus.SEE_OTHER
    assert f'"return_url":"{expected}"'.encode() in polar.requests[-1].body


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "http:evil.example",
        "http:///evil.example",
        "javascript:alert(1)",
        "http://testserver@evil.example/",
        "http://testserver.evil.example/",
        "http://[::1",
        "\x08//evil.example",
    ],
)
def test_no_open_redirect(signed_in, polar, method, url):
    answer = getattr(signed_in, method)(PORTAL, {"return_url": url})

    assert answer.status_code == 400
    assert "evil.example" not in answer.content.decode()
    assert polar.requests == []


def test_https_site_does_not_lead_back_to_http(signed_in, polar):
    answer = signed_in.post(PORTAL, {"return_url": "http://testserver/"}, secure=True)

    assert answer.status_code == 400


def test_user_who_is_no_customer(client, polar, db):
    client.force_login(get_user_model().objects.create_user("stranger"))

    answer = client.post(PORTAL)

    assert answer.status_code == 404
    assert "you have not bought anything" in answer.content.decode()


@pytest.mark.parametrize(("code", "status"), [(429, 503), (503, 503), (401, 502)])
def test_outages_are_told(signed_in, polar, code, status, caplog):
    polar.fail_next(code, headers={"Retry-After": "5"}, times=50)

    answer = signed_in.post(PORTAL)

    assert answer.status_code == status
    assert answer.get("Retry-After") == ("5" if status == 503 else None)
    assert polar.token not in answer.content.decode() + caplog.text
