"""The OpenAPI schema, and the API against whatever can be made from it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode

import hypothesis
import pytest
import schemathesis
from drf_spectacular import drainage
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema
from hypothesis import strategies as st
from schemathesis.core import NotSet

from django_polar.api.urls import urlpatterns
from django_polar.models import Customer

from .conftest import make_person, make_staff

drainage.GENERATOR_STATS.silence = True
SPEC = SchemaGenerator().get_schema(request=None, public=True)
schema = schemathesis.openapi.from_dict(json.loads(json.dumps(SPEC, default=str)))

# Answers that any endpoint may give to what is not even a request of its kind.
ALWAYS_POSSIBLE = {400, 404, 405, 406, 415}


def test_schema_is_valid_and_complete():
    """Every endpoint is in it, typed, without a warning; its components carry our name."""
    validate_schema(SPEC)

    assert len(SPEC["paths"]) == len(urlpatterns)
    assert dict(drainage.GENERATOR_STATS._warn_cache) == {}
    assert dict(drainage.GENERATOR_STATS._error_cache) == {}
    assert all(
        name.startswith(("Polar", "PatchedPolar", "PaginatedPolar"))
        for name in SPEC["components"]["schemas"]
    )


SCHEMA_OF_THE_EXAMPLE = """
import os, sys
sys.path.insert(0, "example_project")
os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"
import django
django.setup()
import json
from django.test import Client
print(Client().get("/schema/", headers={"accept": "application/vnd.oai.openapi+json"}).text)
"""


def test_example_project_serves_this_schema():
    """What is tried below is what the example project tells the world under /schema/."""
    result = subprocess.run(
        [sys.executable, "-c", SCHEMA_OF_THE_EXAMPLE],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent.parent.parent,
    )
    paths = json.loads(result.stdout)["paths"]
    del paths["/schema/"]

    assert paths == schema.raw_schema["paths"]


@pytest.fixture
def world(polar, settings):
    """Somebody to whom everything is open: a customer who is staff, and asks without limits."""
    settings.REST_FRAMEWORK = {
        **settings.REST_FRAMEWORK,
        "DEFAULT_THROTTLE_RATES": dict.fromkeys(("polar_read", "polar_remote", "polar_export")),
    }
    person = make_person(polar, "ada")
    person.client = make_staff("view_customer", "change_customer")
    Customer.objects.filter(pk=person.customer.pk).update(
        user=person.client.handler._force_user, external_id=person.remote["external_id"]
    )
    return person


def encode(body):
    if isinstance(body, NotSet):
        return b""
    return body if isinstance(body, bytes) else json.dumps(body).encode()


@pytest.mark.django_db
@schema.parametrize()
@schema.given(data=st.data())
@hypothesis.settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
    database=None,
)
def test_no_request_makes_a_server_error(case, world, data):
    """Whatever the schema allows, and what it does not: an answer that the schema knows."""
    real_ids = [str(world.customer.pk), world.payment_method["id"]]
    if "id" in case.path_parameters and data.draw(st.booleans()):
        case.path_parameters["id"] = data.draw(st.sampled_from(real_ids))

    answer = world.client.generic(
        case.method,
        case.formatted_path,
        data=encode(case.body),
        content_type="application/json",
        QUERY_STRING=urlencode(case.query or {}, doseq=True),
    )

    documented = {int(status) for status in case.operation.definition.raw["responses"]}
    assert answer.status_code < 500
    assert answer.status_code in documented | ALWAYS_POSSIBLE


WITHOUT_SPECTACULAR = """
import sys
sys.modules["drf_spectacular"] = None
import django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django_polar"],
    ROOT_URLCONF="django_polar.urls",
)
django.setup()
assert not any(name.startswith("rest_framework") for name in sys.modules), "loaded too early"
from django.urls import resolve
print(resolve("/api/me/").url_name, "rest_framework" in sys.modules)
"""


def test_neither_spectacular_nor_drf_is_needed_to_start():
    """Without drf-spectacular the API works; DRF is not imported before the URLs are."""
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_SPECTACULAR], capture_output=True, text=True, check=False
    )

    assert result.stderr == ""
    assert result.stdout.split() == ["api-me", "True"]
