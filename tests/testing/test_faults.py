"""Faults on demand, in-process and over HTTP."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

BODY = {"email": "a@acme-mail.dev"}


@pytest.fixture(params=["in-process", "over HTTP"])
def client(request, fake):
    """A client of either kind: what goes wrong has to look the same."""
    headers = {"Authorization": f"Bearer {fake.token}"}
    if request.param == "in-process":
        with httpx.Client(
            transport=fake.transport(), base_url=fake.base_url, headers=headers
        ) as client:
            yield client
    else:
        with (
            fake.serve() as base_url,
            httpx.Client(base_url=base_url, headers=headers, timeout=0.3) as client,
        ):
            yield client


def test_failures_come_as_often_as_asked_and_change_nothing(fake, client):
    """Then all is well again."""
    fake.fail_next(503, times=2)

    statuses = [client.post("/v1/customers/", json=BODY).status_code for _ in range(3)]

    assert statuses == [503, 503, 201]


def test_a_failure_waits_for_the_request_that_it_is_meant_for(fake, client):
    """By method, and by a part of the path or a regular expression."""
    fake.fail_next(500, method="POST")
    fake.fail_next(429, path=r"/external/\d+$", headers={"Retry-After": "90"})

    assert client.get("/v1/customers/").status_code == 200
    limited = client.get("/v1/customers/external/7")
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "90")
    assert client.post("/v1/customers/", json=BODY).status_code == 500


def test_a_failure_has_the_body_it_was_given(fake, client):
    """JSON, text, or what the real server would say."""
    fake.fail_next(403, body={"error": "NotPermitted"})
    fake.fail_next(502, body="<html>Bad Gateway</html>")
    fake.fail_next(500)

    assert client.get("/v1/customers/").json() == {"error": "NotPermitted"}
    assert client.get("/v1/customers/").text.startswith("<html>")
    assert client.get("/v1/customers/").text == "Internal Server Error"


@pytest.mark.parametrize("after_apply", [False, True])
def test_a_dropped_connection_tells_nobody_whether_it_was_done(fake, client, after_apply):
    """It looks the same before and after."""
    fake.drop_next(after_apply=after_apply)

    with pytest.raises(httpx.RemoteProtocolError):
        client.post("/v1/customers/", json=BODY)

    assert len(fake.customers) == int(after_apply)
    assert fake.requests[-1].status == 0
    assert client.get("/v1/customers/").status_code == 200


@pytest.mark.parametrize("after_apply", [False, True])
def test_a_timeout_tells_nobody_either(fake, client, after_apply):
    """The client gives up, whatever the server did."""
    fake.timeout_next(after_apply=after_apply)

    with pytest.raises(httpx.ReadTimeout):
        client.post("/v1/customers/", json=BODY)

    assert len(fake.customers) == int(after_apply)


def test_a_garbled_answer_is_no_json(fake, client):
    """The work was done, and the answer ends too early."""
    fake.garble_next()

    answered = client.post("/v1/customers/", json=BODY)

    assert answered.status_code == 201
    with pytest.raises(json.JSONDecodeError):
        answered.json()
    assert len(fake.customers) == 1


def test_latency_delays_every_request(fake, client):
    """In seconds."""
    fake.latency = 0.05
    began = time.monotonic()

    client.get("/v1/customers/")

    assert time.monotonic() - began >= 0.05


def test_one_item_of_a_list_can_be_malformed(fake, client):
    """Another value or a missing field, in the list alone."""
    good, bad = fake.add_customer(), fake.add_customer()
    fake.corrupt("customers", bad["id"], created_at=None, email=...)

    items = {item["id"]: item for item in client.get("/v1/customers/").json()["items"]}

    assert items[good["id"]] == good
    assert items[bad["id"]]["created_at"] is None
    assert "email" not in items[bad["id"]]
    assert client.get(f"/v1/customers/{bad['id']}").json() == bad


def test_a_test_may_step_in_before_a_request(fake, client):
    """``on_request`` sees it first."""
    fake.on_request(lambda request: fake.add_customer(external_id=request.path))

    client.get("/v1/customers/")

    assert fake.find_by_external_id("/v1/customers/")


def test_faults_can_be_called_off(fake, client):
    """What was planned does not happen."""
    fake.fail_next(500, times=9)
    fake.clear_faults()

    assert client.get("/v1/customers/").status_code == 200


def test_requests_come_from_several_threads(fake):
    """Nothing is lost when clients work side by side."""
    headers = {"Authorization": f"Bearer {fake.token}"}
    with fake.serve() as base_url, httpx.Client(base_url=base_url, headers=headers) as client:

        def create(number):
            body = {"email": f"{number}@acme-mail.dev"}
            return client.post("/v1/customers/", json=body).status_code

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(create, range(40))) == {201}

    assert len(fake.customers) == fake.request_count == 40
