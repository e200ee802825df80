"""A full sync that is told to stop, as a process of its own over real HTTP."""

from __future__ import annotations

import json
import signal
import subprocess

import pytest

from django_polar.models import SyncRun
from tests.outbox.processes import worker
from tests.truth import mirrored, truth


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.usefixtures("database_on_disk")
def test_told_to_stop(polar, number, code):
    """The run ends as interrupted, at once, also while it waits for Polar's next minute."""
    polar.seed_world(300)
    polar.fail_next(429, headers={"Retry-After": "60"}, path="/v1/benefit-grants/")
    running = []

    def stop(request):
        if request.path == "/v1/benefit-grants/" and running:
            running.pop().send_signal(number)

    polar.on_request(stop)
    with polar.serve() as base_url:
        with worker(
            polar, base_url, "--json", command="polar_sync_customers", stdout=subprocess.PIPE
        ) as process:
            running.append(process)
            output, _ = process.communicate(timeout=30)
        assert process.returncode == code
        assert "Traceback" not in output
        result = json.loads(next(line for line in output.splitlines() if line.startswith("{")))
        assert result["outcome"] == "interrupted"
        assert result["customers"]["created"] == 300
        run = SyncRun.objects.get()
        assert run.outcome == "interrupted"
        assert run.lock is None

        polar.reset_requests()
        with worker(
            polar, base_url, "--resume", command="polar_sync_customers", stdout=subprocess.PIPE
        ) as process:
            output, _ = process.communicate(timeout=60)

    assert process.returncode == 0, output
    assert not [request for request in polar.requests if request.path == "/v1/customers/"]
    assert mirrored() == truth(polar)
