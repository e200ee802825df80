"""The pytest plugin: the ``polar`` fixture. It loads nothing until a test asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django_polar.testing.polar import FakePolar


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("django-polar")
    group.addoption(
        "--polar-recordings",
        metavar="PATH",
        default=None,
        help="a directory of exchanges recorded with a real Polar, to compare with; as =PATH",
    )


def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    """Refuse the one spelling of the option that would run the tests without their settings."""
    if "--polar-recordings" in args and early_config.inipath is None:
        raise pytest.UsageError(
            "write --polar-recordings=PATH, with an equals sign: after a space pytest takes the"
            " path for that of the tests and looks for its settings there"
        )


@pytest.fixture
def polar() -> Iterator[FakePolar]:
    """A fresh fake Polar, and every client that the services make talks to it."""
    from django.test import override_settings  # noqa: PLC0415  # not before a test needs it

    from django_polar.client import override_transport  # noqa: PLC0415
    from django_polar.testing.polar import FakePolar  # noqa: PLC0415

    fake = FakePolar()
    configured = override_settings(POLAR_ACCESS_TOKEN=fake.token, POLAR_BASE_URL=fake.base_url)
    with configured, override_transport(fake.transport()):
        yield fake
