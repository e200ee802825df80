"""Filters and tags."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser
from django.template import Context, Template
from django.test import RequestFactory

from .conftest import CALLS, DOWNLOADS, PRO, TEAM, grant, meter, subscribe


@pytest.fixture(autouse=True)
def names(settings):
    settings.POLAR_PRODUCTS = {"pro": PRO, "team": TEAM}
    settings.POLAR_BENEFITS = {"downloads": DOWNLOADS}
    settings.POLAR_METERS = {"calls": CALLS}


def render(source, **context):
    return Template("{% load polar %}" + source).render(Context(context))


CASES = pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ user|has_active_subscription }}", "True"),
        ('{{ user|has_active_subscription:"pro" }}', "True"),
        ('{{ user|has_active_subscription:"team" }}', "False"),
        ('{{ user|has_benefit:"downloads" }}', "True"),
        ("{{ user|has_benefit }}", "True"),
        ('{{ user|has_benefit_type:"downloadables" }}', "True"),
        ('{{ user|has_benefit_type:"custom" }}', "False"),
        ('{{ user|meter_balance:"calls" }}', "12.5"),
        ('{% polar_subscription "pro" as it %}{{ it }}', "True"),
        ('{% polar_benefit "downloads" as it %}{{ it }}', "True"),
        ('{% polar_benefit type="custom" as it %}{{ it }}', "False"),
        ('{% polar_meter "calls" %}', "12.5"),
    ],
)


@CASES
def test_filter_or_tag(source, expected, user, customer):
    subscribe(customer)
    grant(customer)
    meter(customer)

    assert render(source, user=user) == expected


def test_tags_find_the_user_of_the_request(user, customer):
    """Without a ``user`` in the context they take the request's, without that nobody's."""
    subscribe(customer)
    request = RequestFactory().get("/")
    request.user = user
    source = '{% polar_subscription "pro" as it %}{{ it }}'

    assert render(source, request=request) == "True"
    assert render(source) == "False"


def test_nobody_in_a_template():
    source = '{{ user|has_active_subscription }} {{ user|meter_balance:"calls" }}'

    assert render(source, user=AnonymousUser()) == "False None"


def test_portal_url():
    assert render("{% polar_portal_url %}") == "/polar/portal/"
