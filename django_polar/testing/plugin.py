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
