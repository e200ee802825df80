"""``manage.py polar_doctor``: what is wrong, and the fix for each."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    help = (
        "Examine token, environment, scopes, API version, queues and broker. One line for each"
        " finding with its fix; exits with 1 if anything is wrong."
    )
    # They are among what is examined, and must not end it.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--broker", action="store_true", help="Fail also when Celery's broker does not answer."
        )

    def handle(self, *, broker: bool, **_: Any) -> None:
        from django_polar.services.doctor import Finding, examine  # noqa: PLC0415 - loads httpx

        findings = list(examine())
        if broker:
            from django_polar import tasks  # noqa: PLC0415 - loads Celery

            problem = tasks.find_broker_problem()
            findings.append(
                Finding("broker", problem, "Start it, or check CELERY_BROKER_URL.")
                if problem
                else Finding("broker", "answers", is_wrong=False)
            )
        for finding in findings:
            mark = self.style.ERROR("wrong") if finding.is_wrong else self.style.SUCCESS("ok   ")
            fix = f" Fix: {finding.fix}" if finding.fix else ""
            self.stdout.write(f"{mark} {finding.name}: {finding.message}.{fix}")
        if any(finding.is_wrong for finding in findings):
            sys.exit(1)
