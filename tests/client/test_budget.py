"""The request budget keeps us under Polar's limit, and leaves room for whoever is in a hurry."""

import subprocess
import sys
import threading
import time
import traceback
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest

from django_polar.client import PolarClient, RequestBudget
from django_polar.client import budget as budget_module
from django_polar.client.budget import shared_budget
from django_polar.exceptions import ConfigurationError, RateLimitError
from tests.servers import REDIS_URL

from .server import CUSTOMER_ID, customer, ok

NOW = timedelta(0)
SECOND = timedelta(seconds=1)


@pytest.fixture
def short_minute(monkeypatch):
    """A minute of one second, so that tests can see it pass."""
    monkeypatch.setattr(budget_module, "WINDOW", SECOND)


def take(budget, times):
    for _ in range(times):
        budget.acquire(NOW)


def test_no_more_than_the_limit_passes_in_a_minute():
    budget = RequestBudget(5)
    take(budget, 5)

    with pytest.raises(RateLimitError) as caught:
        budget.acquire(timedelta(seconds=30))

    assert timedelta(seconds=55) < caught.value.retry_after <= timedelta(seconds=61)


def test_whoever_can_wait_gets_a_turn_when_the_window_has_moved(short_minute):
    budget = RequestBudget(2)
    take(budget, 2)
    began = time.monotonic()

    budget.acquire(timedelta(seconds=5))

    assert 0.9 < time.monotonic() - began < 2


def test_waiting_is_sleeping():
    """At most a handful of looks for one turn, not thousands."""
    naps = []

    def sleep(seconds):
        naps.append(seconds)
        time.sleep(0.001)

    budget = RequestBudget(1, sleep=sleep)
    budget.acquire(NOW)
    budget.pause(timedelta(seconds=0.1))
    thread = threading.Thread(target=lambda: attempt(budget, timedelta(seconds=62)))
    thread.start()
    thread.join(0.2)

    assert naps
    assert naps[0] > 0.5
    budget._storage.reset()
    thread.join(5)


def attempt(budget, timeout):
    try:
        budget.acquire(timeout)
    except RateLimitError:
        return False
    return True


def test_threads_together_pass_no_more_than_the_limit():
    budget = RequestBudget(50)
    passed = []
    barrier = threading.Barrier(8)

    def work():
        barrier.wait()
        passed.extend(attempt(budget, NOW) for _ in range(20))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(passed) == 50


def test_bulk_callers_leave_a_share_to_the_others():
    budget = RequestBudget(10)
    take(budget.bulk(), 8)

    with pytest.raises(RateLimitError):
        budget.bulk().acquire(NOW)
    take(budget, 2)
    with pytest.raises(RateLimitError):
        budget.acquire(NOW)


def test_interactive_requests_count_against_bulk_ones_too():
    budget = RequestBudget(10)
    take(budget, 9)
    take(budget.bulk(), 1)

    with pytest.raises(RateLimitError):
        budget.bulk().acquire(NOW)


def test_even_the_smallest_budget_lets_bulk_callers_pass():
    take(RequestBudget(1).bulk(), 1)


def test_a_pause_stops_everybody_and_ends(short_minute):
    budget = RequestBudget(100)
    budget.pause(timedelta(seconds=0.3))

    for caller in (budget, budget.bulk()):
        with pytest.raises(RateLimitError):
            caller.acquire(NOW)
    budget.acquire(timedelta(seconds=3))


def test_a_shorter_pause_does_not_end_a_longer_one():
    budget = RequestBudget(100)
    budget.pause(timedelta(seconds=60))
    budget.pause(timedelta(seconds=1))

    with pytest.raises(RateLimitError) as caught:
        budget.acquire(timedelta(seconds=5))
    assert caught.value.retry_after > timedelta(seconds=50)


def test_a_longer_pause_replaces_a_shorter_one():
    budget = RequestBudget(100)
    budget.pause(SECOND)
    budget.pause(timedelta(seconds=60))

    with pytest.raises(RateLimitError):
        budget.acquire(timedelta(seconds=30))


def make_client(server, budget):
    return PolarClient(
        "polar_oat_secret",
        transport=httpx.MockTransport(server),
        budget=budget,
        sleep=server.sleep,
    )


def test_a_429_stops_all_clients_of_the_budget_before_they_ask(server):
    budget = RequestBudget(100)
    server.answer(httpx.Response(429, headers={"retry-after": "60"}))
    with pytest.raises(RateLimitError):
        make_client(server, budget).customers.get(CUSTOMER_ID)

    other = make_client(server, budget.bulk())
    with pytest.raises(RateLimitError) as caught:
        other.customers.get(CUSTOMER_ID)

    assert other.requests_made == 0
    assert caught.value.retry_after > timedelta(seconds=55)


def test_every_attempt_counts(server):
    budget = RequestBudget(3)
    server.answer(httpx.Response(503), httpx.Response(503), ok(customer()))
    make_client(server, budget).customers.get(CUSTOMER_ID)

    with pytest.raises(RateLimitError, match="our own request budget"):
        budget.acquire(NOW)


def test_clients_with_one_token_on_one_server_share_a_budget():
    token = uuid4().hex
    one = shared_budget(5, "memory://", token, "http://polar.test")

    assert shared_budget(5, "memory://", token, "http://polar.test") is one
    assert shared_budget(5, "memory://", token, "http://other.test") is not one
    assert token not in one.name
    assert shared_budget(5, "memory://", token, "http://other.test").name != one.name


@pytest.mark.parametrize("url", ["nonsense", "nonsense://:secret@host", "async+memory://"])
def test_a_storage_that_cannot_be_used_is_a_configuration_error(url):
    with pytest.raises(ConfigurationError) as caught:
        RequestBudget(5, url).acquire(NOW)
    assert "secret" not in "".join(traceback.format_exception(caught.value))


def test_a_storage_that_is_down_stops_nobody_and_is_reported_once(caplog):
    pytest.importorskip("redis")
    budget = RequestBudget(1, "redis://:secret@127.0.0.1:1/0")

    take(budget, 3)
    budget.pause(SECOND)

    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "secret" not in caplog.text


def test_a_limit_below_one_is_a_configuration_error():
    with pytest.raises(ConfigurationError):
        RequestBudget(0)


@pytest.mark.services("Redis")
def test_processes_share_a_budget_through_redis():
    name = uuid4().hex
    program = (
        "from datetime import timedelta\n"
        "from django_polar.client import RequestBudget\n"
        "from django_polar.exceptions import RateLimitError\n"
        f"budget = RequestBudget(10, {REDIS_URL!r}, name={name!r})\n"
        "passed = 0\n"
        "try:\n"
        "    for _ in range(7):\n"
        "        budget.acquire(timedelta(0))\n"
        "        passed += 1\n"
        "except RateLimitError:\n"
        "    pass\n"
        "print(passed)\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]

    assert sum(int(process.communicate(timeout=60)[0]) for process in processes) == 10


@pytest.mark.services("Redis")
def test_a_pause_reaches_other_processes_through_redis():
    name = uuid4().hex
    one = RequestBudget(10, REDIS_URL, name=name)
    other = RequestBudget(10, REDIS_URL, name=name)

    one.pause(timedelta(seconds=30))

    with pytest.raises(RateLimitError) as caught:
        other.acquire(NOW)
    assert caught.value.retry_after > timedelta(seconds=25)
