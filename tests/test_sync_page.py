"""docs/sync.md and docs/celery.md name what there is, all of it, and nothing else."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from pathlib import Path

from celery import current_app
from django.core.management import load_command_class
from django.core.management.base import DjangoHelpFormatter

from django_polar import tasks

DOCS = Path(__file__).parent.parent / "docs"


def test_every_option_is_on_the_page():
    """The table has the options of the command, without those that Django adds."""
    parser = ArgumentParser(formatter_class=DjangoHelpFormatter, add_help=False)
    load_command_class("django_polar", "polar_sync_customers").add_arguments(parser)
    options = {string for action in parser._actions for string in action.option_strings}

    shown = re.findall(r"^\| `(--[a-z-]+)", (DOCS / "sync.md").read_text(), re.MULTILINE)

    assert sorted(shown) == sorted(options)


def test_every_task_is_on_the_page():
    """The table has the tasks that Celery knows of this package."""
    assert tasks.shared_task
    names = {name for name in current_app.tasks if name.startswith("django_polar.")}

    shown = re.findall(r"^\| `(django_polar\.\w+)`", (DOCS / "celery.md").read_text(), re.MULTILINE)

    assert sorted(shown) == sorted(names)


def test_every_scheduled_task_exists():
    """Beat schedules no task that a worker would not find."""
    scheduled = re.findall(r'"task": "([\w.]+)"', (DOCS / "celery.md").read_text())

    assert scheduled
    assert set(scheduled) <= set(current_app.tasks)
