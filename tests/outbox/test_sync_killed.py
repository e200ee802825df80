"""A full sync that is killed, as a process of its own over real HTTP."""

from __future__ import annotations

import signal
import subprocess
from datetime import timedelta

import pytest
from django.utils import timezone

from django_polar.models import SyncRun
from tests.outbox.processes import worker
from tests.truth import mirrored, truth


@pytest.mark.usefixtures("database_on_disk")
def test_killed_sync_goes_on_with_what_it_had_not_read(polar):
    """SIGKILL between two lists: the next sync reads the other lists only, and all is there."""
    polar.seed_world(300)
    running = []

    def kill(list_name, page):
        if list_name == "grants" and page == 2 and running:
            running.pop().send_signal(signal.SIGKILL)

    polar.between_pages(kill)
    with polar.serve() as base_url:
        with worker(polar, base_url, command="polar_sync_customers") as process:
            running.append(process)
            process.wait(timeout=60)
        assert process.returncode == -signal.SIGKILL
        assert SyncRun.objects.get().lock == "sync"

        # Its lease has not run out: whoever comes now is told.
        with worker(
            polar, base_url, command="polar_sync_customers", stdout=subprocess.PIPE
        ) as process:
            output, _ = process.communicate(timeout=60)
        assert process.returncode == 1
        assert f"Sync run {SyncRun.objects.get().pk}" in output

        SyncRun.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=3))
        polar.reset_requests()
        with worker(
            polar, base_url, "--resume", command="polar_sync_customers", stdout=subprocess.PIPE
        ) as process:
            output, _ = process.communicate(timeout=60)

    assert process.returncode == 0, output
    assert mirrored() == truth(polar)
    assert SyncRun.objects.get().outcome == "complete"
    assert not [request for request in polar.requests if request.path == "/v1/customers/"]
