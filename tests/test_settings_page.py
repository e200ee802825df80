"""docs/settings.md tells of every setting, with its true default and the id of its check."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import NamedTuple

import pytest
from django.conf import settings as django_settings

from django_polar.checks import REQUIRED_CHECKS, SETTING_CHECKS
from django_polar.conf import Settings
from django_polar.exceptions import ConfigurationError

PAGE = Path(__file__).parent.parent / "docs" / "settings.md"


class Row(NamedTuple):
    setting: str
    default: str
    check: str


ROWS = [
    Row(*match)
    for match in re.findall(
        r"^\| `(POLAR_\w+)` \| (.+?) \| `(\w+)` \| .+ \|$", PAGE.read_text(), re.MULTILINE
    )
]
ATTRIBUTES = {
    match[1]: name
    for name, value in vars(Settings).items()
    if isinstance(value, property)
    and (match := re.match(r"``(POLAR_\w+)``", (value.fget.__doc__ or "").strip()))
}


@pytest.fixture
def unset(settings):
    """No setting of ours is set."""
    for name in dir(django_settings):
        if name.startswith("POLAR_"):
            delattr(settings, name)
    return settings


def test_every_setting_is_on_the_page_once():
    """A setting that is added, renamed or removed changes the page too."""
    assert sorted(row.setting for row in ROWS) == sorted(ATTRIBUTES)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.setting)
def test_default_is_true(row, unset):
    """Setting the default that the page names changes nothing; a required one has none."""
    attribute = ATTRIBUTES[row.setting]
    if row.default == "required":
        with pytest.raises(ConfigurationError, match=row.setting):
            getattr(Settings(), attribute)
        return
    when_unset = getattr(Settings(), attribute)

    setattr(unset, row.setting, ast.literal_eval(row.default.strip("`")))

    assert getattr(Settings(), attribute) == when_unset


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.setting)
def test_check_is_true(row):
    """The id on the page is the one that ``manage.py check`` prints for the setting."""
    ids = {name: number for name, (number, *_) in REQUIRED_CHECKS.items()} | SETTING_CHECKS

    assert ids[ATTRIBUTES[row.setting]] == row.check
