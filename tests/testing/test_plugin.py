"""The ``polar`` fixture, the client it makes, and the command that serves a fake Polar."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx
import pytest

from django_polar.client import PolarClient, polar_client
from django_polar.exceptions import (
    NotFoundError,
    PolarError,
    RateLimitError,
    UnavailableError,
)
from django_polar.testing.seeding import ODD_EXTERNAL_IDS

from .receiver import listening


def test_clients_of_the_services_talk_to_the_fixture(polar):
    """Nothing has to be configured."""
    row = polar.add_customer(external_id="42")

    with polar_client() as client:
        assert str(client.customers.get_external("42").id) == row["id"]

    assert [record.path for record in polar.requests] == ["/v1/customers/external/42"]


def test_a_client_of_its_own_talks_to_it_too(polar):
    """With the full token, or another."""
    polar.add_customer(external_id="42")

    with polar.client() as client:
        assert client.customers.get_state_external("42").external_id == "42"
        client.customers.delete_external("42", anonymize=True)
        with pytest.raises(NotFoundError):
            client.customers.get_external("42")


@pytest.mark.parametrize("external_id", ODD_EXTERNAL_IDS)
def test_the_client_finds_every_customer_that_a_url_can_or_cannot_name(polar, external_id):
    """An external id with a slash goes through the list, and the answer is the right customer."""
    polar.seed_world(60)
    row = polar.find_by_external_id(external_id)

    with polar.client() as client:
        if external_id in {".", ".."}:
            with pytest.raises(PolarError):
                client.customers.get_external(external_id)
        else:
            assert str(client.customers.get_external(external_id).id) == row["id"]


def test_faults_reach_the_client_without_any_waiting(polar):
    """Retries happen at once."""
    polar.fail_next(429, times=99, headers={"Retry-After": "1"})
    with polar.client() as client, pytest.raises(RateLimitError):
        client.customers.get_external("42")
    polar.clear_faults()
    polar.drop_next(after_apply=True, times=99)
    with polar.client() as client, pytest.raises(UnavailableError):
        client.customers.get_external("42")


def test_every_fixture_is_fresh(polar):
    """What another test did is not there."""
    assert (polar.customers, polar.requests) == ({}, [])


@contextmanager
def served(*arguments):
    """``manage.py polar_fake_server`` in another process, and the line that it prints."""
    process = subprocess.Popen(
        [sys.executable, "-m", "django", "polar_fake_server", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"},
    )
    try:
        yield process, process.stdout.readline().split()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_it_is_told_to_stop(number):
    """One line with base URL and token; afterwards exit code 0 and nothing to complain about."""
    with served("--customers", "120") as (process, (base_url, token)):
        with PolarClient(token, base_url=base_url) as client:
            customers = list(client.customers.iter())
        process.send_signal(number)
        output, errors = process.communicate(timeout=10)

    assert len({customer.id for customer in customers}) >= 100
    assert (process.returncode, output, errors) == (0, "", "")


def test_the_command_limits_and_delays_on_request():
    """For trying out what a slow or busy Polar does."""
    with served("--customers", "1", "--rate-limit", "1", "--latency", "0.01") as (_, words):
        base_url, token = words
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=base_url, headers=headers) as client:
            statuses = [client.get("/v1/customers/").status_code for _ in range(2)]

    assert statuses == [200, 429]


def test_the_command_delivers_webhooks():
    """What changes through the API reaches the URL, signed with the secret."""
    with (
        listening() as (url, bodies),
        served("--customers", "1", "--webhook-url", url, "--webhook-secret", "s") as (_, words),
        PolarClient(words[1], base_url=words[0]) as client,
    ):
        client.customers.create(email="new@acme-mail.dev")
        deadline = time.monotonic() + 10
        while len(bodies) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)

    assert [json.loads(body)["type"] for _, body in bodies] == [
        "customer.created",
        "customer.state_changed",
    ]
