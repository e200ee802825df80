"""What the README shows is what happens."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from django.core.management import call_command

README = (Path(__file__).parent.parent / "README.md").read_text()


@pytest.mark.django_db
def test_output_of_the_main_job(polar, django_user_model):
    """The table in the README is the one that a first sync of the demo's world prints."""
    (shown,) = re.findall(
        r"^\$ python manage.py polar_sync_customers\n(.*?)^```$", README, re.MULTILINE | re.DOTALL
    )
    django_user_model.objects.bulk_create(
        django_user_model(pk=number, username=f"user{number}") for number in range(1, 1001)
    )
    polar.seed_world(2500)
    printed = io.StringIO()

    call_command("polar_sync_customers", stdout=printed)

    assert _without_cost(printed.getvalue()) == _without_cost(shown)


def _without_cost(output: str) -> str:
    """How many requests and seconds it took depends on the order of ties and the machine."""
    return re.sub(r"\d+ requests in [\d.]+ s", "", output)


def test_targets_exist():
    """Every ``make`` target that the README names is in the Makefile."""
    makefile = (Path(__file__).parent.parent / "Makefile").read_text()
    named = set(re.findall(r"`(?:\$ )?make ([a-z-]+)", README))
    named |= set(re.findall(r"^\$ make ([a-z-]+)", README, re.MULTILINE))

    assert {"demo", "test"} <= named
    assert named <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


def test_links_lead_somewhere():
    """Every file that the README links to is there."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (Path(__file__).parent.parent / target).is_file(), target
