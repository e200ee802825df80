"""What is safe to repeat is repeated, patiently; what may have been applied is not."""

import time
from datetime import timedelta

import httpx
import pytest

from django_polar.client import PolarClient
from django_polar.exceptions import PermissionDeniedError, RateLimitError, UnavailableError

from .server import CUSTOMER_ID, customer, ok

GOOD = ok(customer())
LOST = [
    httpx.ReadTimeout("t"),
    httpx.ReadError("r"),
    httpx.WriteError("w"),
    httpx.WriteTimeout("w"),
    httpx.RemoteProtocolError("gone"),
    httpx.Response(500),
    httpx.Response(503),
]
NEVER_SENT = [
    httpx.ConnectError("c"),
    httpx.ConnectTimeout("c"),
    httpx.PoolTimeout("p"),
    httpx.Response(429),
]
WRITES = [
    pytest.param(lambda polar: polar.customers.create(email="a@example.com"), id="create"),
    pytest.param(lambda polar: polar.customers.update(CUSTOMER_ID, name="A"), id="update"),
    pytest.param(lambda polar: polar.customers.delete(CUSTOMER_ID), id="delete"),
    pytest.param(lambda polar: polar.customer_sessions.create(customer_id="x"), id="session"),
]


def name(failure):
    return str(getattr(failure, "status_code", type(failure).__name__))


@pytest.mark.parametrize("failure", LOST + NEVER_SENT, ids=name)
def test_reads_are_repeated(polar, server, failure):
    server.answer(failure, failure, GOOD)

    assert str(polar.customers.get(CUSTOMER_ID).id) == CUSTOMER_ID
    assert polar.requests_made == 3


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("failure", LOST, ids=name)
def test_writes_are_not_repeated_after_a_lost_answer(polar, server, failure, write):
    server.always(failure)

    with pytest.raises(UnavailableError) as caught:
        write(polar)

    assert caught.value.maybe_applied
    assert polar.requests_made == 1


@pytest.mark.parametrize("failure", NEVER_SENT, ids=name)
def test_writes_that_cannot_have_been_applied_are_repeated(polar, server, failure):
    server.answer(failure, httpx.Response(204))

    polar.customers.delete(CUSTOMER_ID)

    assert polar.requests_made == 2


@pytest.mark.parametrize("failure", NEVER_SENT, ids=name)
def test_such_a_write_is_known_not_to_have_happened(polar, server, failure):
    server.always(failure)

    with pytest.raises(UnavailableError) as caught:
        polar.customers.delete(CUSTOMER_ID)

    assert not caught.value.maybe_applied


def test_attempts_are_counted_and_the_waits_grow(polar, server):
    server.always(httpx.Response(502))

    with pytest.raises(UnavailableError):
        polar.customers.get(CUSTOMER_ID)

    assert polar.requests_made == 4
    assert len(server.slept) == 3
    for slept, longest in zip(server.slept, (0.2, 0.4, 0.8), strict=True):
        assert longest / 2 <= slept <= longest


def test_waits_differ_so_that_clients_do_not_come_back_in_step(polar, server):
    server.always(httpx.Response(502))
    for _ in range(3):
        with pytest.raises(UnavailableError):
            polar.customers.get(CUSTOMER_ID)

    assert len(set(server.slept)) == len(server.slept)


@pytest.mark.parametrize("status", [429, 503])
def test_polars_own_word_on_the_wait_is_kept(polar, server, status):
    server.answer(httpx.Response(status, headers={"retry-after": "7"}), GOOD)

    polar.customers.get(CUSTOMER_ID)

    assert server.slept == [7.0]


def test_a_wait_longer_than_our_patience_is_left_to_the_caller(polar, server):
    server.always(httpx.Response(429, headers={"retry-after": "60"}))

    with pytest.raises(RateLimitError) as caught:
        polar.customers.delete(CUSTOMER_ID)

    assert caught.value.retry_after == timedelta(seconds=60)
    assert server.slept == []


def test_the_time_that_attempts_take_counts_as_waiting(server):
    """Ten attempts of ten seconds each are not what somebody in front of a screen expects."""

    def slow(request):
        time.sleep(0.06)
        raise httpx.ReadTimeout("t")

    server.always(slow)
    polar = PolarClient(
        "polar_oat_secret",
        transport=httpx.MockTransport(server),
        max_attempts=100,
        max_wait=timedelta(seconds=0.3),
        sleep=server.sleep,
    )

    with pytest.raises(UnavailableError):
        polar.customers.get(CUSTOMER_ID)

    assert 1 <= polar.requests_made <= 6


def test_refusals_are_not_repeated(polar, server):
    server.answer(httpx.Response(422, json={}), GOOD)

    with pytest.raises(Exception, match="422"):
        polar.customers.get(CUSTOMER_ID)

    assert polar.requests_made == 1


def test_an_export_that_breaks_off_says_so(polar, server):
    class Broken(httpx.SyncByteStream):
        def __iter__(self):
            yield b"ID,External ID\r\n"
            raise httpx.ReadError("gone")

    server.answer(lambda _: httpx.Response(200, stream=Broken()))
    chunks = polar.customers.export()

    assert next(chunks) == b"ID,External ID\r\n"
    with pytest.raises(UnavailableError):
        next(chunks)
    assert polar.requests_made == 1


def test_an_export_is_repeated_until_it_begins(polar, server):
    server.answer(httpx.Response(503), httpx.Response(200, content=b"ID"))

    assert b"".join(polar.customers.export()) == b"ID"


def test_an_export_that_is_not_read_to_its_end_is_closed(polar, server):
    closed = []

    class Endless(httpx.SyncByteStream):
        def __iter__(self):
            while True:
                yield b"x"

        def close(self):
            closed.append(True)

    server.answer(lambda _: httpx.Response(200, stream=Endless()))
    chunks = polar.customers.export()
    next(chunks)
    chunks.close()

    assert closed


def test_a_page_that_breaks_off_is_asked_for_again(polar, server):
    """Its body is read after the request has returned, and is whole all the same."""
    closed = []

    class Broken(httpx.SyncByteStream):
        def __iter__(self):
            yield b"{"
            raise httpx.ReadError("gone")

        def close(self):
            closed.append(True)

    server.answer(
        lambda _: httpx.Response(200, stream=Broken()), httpx.Response(200, content=b"{}")
    )

    body = polar.customers.open_page(page=2)

    assert polar.requests_made == 1
    assert body.read() == b"{}"
    assert closed
    assert server.targets == ["GET /v1/customers/?page=2&limit=100"] * 2


@pytest.mark.parametrize("use", ["read", "load", "close"])
def test_a_page_gives_its_connection_back(polar, server, use):
    closed = []

    class Whole(httpx.SyncByteStream):
        def __iter__(self):
            yield b"{}"

        def close(self):
            closed.append(True)

    server.answer(lambda _: httpx.Response(200, stream=Whole()))
    body = polar.subscriptions.open_page()
    assert not closed

    getattr(body, use)()

    assert closed


def test_a_page_is_refused_before_its_body_is_read(polar, server):
    server.answer(httpx.Response(403, json={"error": "insufficient_scope"}))

    with pytest.raises(PermissionDeniedError):
        polar.benefit_grants.open_page()
