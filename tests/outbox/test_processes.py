"""Workers that are killed, and workers that compete, as real processes over real HTTP."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import threading
import time
from collections import Counter

import pytest
from django.db import connection
from django.utils import timezone

from django_polar.models import Customer, CustomerDeletion, CustomerState
from django_polar.services.outbox import Target, request_deletions
from tests.outbox.processes import worker
from tests.outbox.rows import MADE_AT, make_customer

DELETIONS = 500


def seed(polar, number):
    """Customers to delete, half of them unknown to the mirror, among others. Ids by external id."""
    ids = {}
    for n in range(number):
        ids[f"user-{n}"] = polar.add_customer(external_id=f"user-{n}")["id"]
        polar.add_customer(external_id=f"other-{n}")
    known = [
        make_customer(id=id_, external_id=external_id, save=False)
        for n, (external_id, id_) in enumerate(ids.items())
        if n % 2
    ]
    Customer.objects.bulk_create(known)
    CustomerState.objects.bulk_create(
        CustomerState(customer=customer, as_of=MADE_AT) for customer in known
    )
    request_deletions([Target(external_id) for external_id in ids])
    return ids


def expire_leases():
    """As if the time of a lease, or of a backoff, had passed."""
    CustomerDeletion.objects.open().update(leased_until=timezone.now(), due_at=timezone.now())


@pytest.mark.usefixtures("database_on_disk")
def test_worker_killed_at_random_points_loses_nothing_and_hits_nobody_else(polar):
    """Also when the server still applies the request of the dead, and when the external ids of
    the deleted are given to new customers at once.
    """
    ids = seed(polar, DELETIONS)
    chance = random.Random(4)
    running = []
    successors = {}

    def kill_sometimes(request):
        """Now, with the request on its way, or a little later, wherever the worker is then."""
        if not running or chance.random() > 1 / 90:
            return
        kill = running.pop().kill
        if chance.random() < 0.5:
            kill()
        else:
            threading.Timer(chance.uniform(0, 0.02), kill).start()

    polar.on_request(kill_sometimes)
    kills = 0
    with polar.serve() as base_url:
        while CustomerDeletion.objects.filter(done_at=None).exists():
            with worker(polar, base_url) as process:
                running[:] = [process]
                kills += process.wait(60) == -signal.SIGKILL
            running.clear()
            with polar.lock:
                gone = [e for e, id_ in ids.items() if id_ not in polar.customers]
                for external_id in gone:
                    if external_id not in successors:
                        made = polar.add_customer(external_id=external_id)
                        successors[external_id] = made["id"]
            expire_leases()

    assert kills >= 3
    assert CustomerDeletion.objects.filter(done_at__isnull=False).count() == DELETIONS
    assert len(successors) == DELETIONS
    left = Counter(row["external_id"].split("-")[0] for row in polar.customers.values())
    assert left == {"other": DELETIONS, "user": DELETIONS}
    assert {successors[e] for e in ids} <= set(polar.customers)
    deletes = [(r.path.rsplit("/")[-1], r.status) for r in polar.requests if r.method == "DELETE"]
    assert {path for path, _ in deletes} == set(ids.values())
    assert {status for _, status in deletes} <= {204, 404}
    applied = Counter(path for path, status in deletes if status == 204)
    assert applied == dict.fromkeys(ids.values(), 1)


@pytest.mark.usefixtures("database_on_disk")
def test_loop_ends_cleanly_at_sigterm(polar):
    seed(polar, 10)
    with (
        polar.serve() as base_url,
        worker(polar, base_url, "--loop", "--interval", "0.1", stdout=subprocess.PIPE) as process,
    ):
        deadline = time.monotonic() + 20
        while CustomerDeletion.objects.open().exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert process.poll() is None

        process.terminate()

        output, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    assert "10 deletions" in output
    assert not CustomerDeletion.objects.open().exists()


@pytest.mark.usefixtures("database_on_disk")
def test_sigterm_finishes_the_row_at_hand_and_takes_no_other(polar):
    seed(polar, 200)
    polar.latency = 0.02
    with polar.serve() as base_url, worker(polar, base_url) as process:
        deadline = time.monotonic() + 20
        while len(polar.requests) < 5 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.terminate()
        assert process.wait(10) == 0

    assert CustomerDeletion.objects.open().exists()
    assert not CustomerDeletion.objects.open().filter(leased_until__isnull=False).exists()


@pytest.mark.services("PostgreSQL", "MariaDB")
@pytest.mark.django_db(transaction=True)
def test_eight_workers_never_send_one_row_twice_at_the_same_time(polar):
    if connection.vendor == "sqlite":
        pytest.fail("run this with TEST_DATABASE=postgresql or mariadb")
    ids = seed(polar, DELETIONS)
    polar.latency = 0.005
    with polar.serve() as base_url:
        workers = [worker(polar, base_url, stdout=subprocess.PIPE) for _ in range(8)]
        processes = [entered.__enter__() for entered in workers]
        outputs = [process.communicate(timeout=120)[0] for process in processes]
        for entered in workers:
            entered.__exit__(None, None, None)

    assert [process.returncode for process in processes] == [0] * 8
    done = [int(re.search(r"(\d+) deletions", output)[1]) for output in outputs]
    assert sum(done) == DELETIONS
    assert sum(count > 0 for count in done) > 1
    deletes = Counter(r.path for r in polar.requests if r.method == "DELETE")
    assert set(deletes.values()) == {1}
    assert len(deletes) == len(ids)
    assert set(CustomerDeletion.objects.values_list("attempts", flat=True)) == {1}
