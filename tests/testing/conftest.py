from __future__ import annotations

import httpx
import pytest

from django_polar.testing import FakePolar


@pytest.fixture
def fake():
    """A fake Polar that no service knows of."""
    return FakePolar()


@pytest.fixture
def http(fake):
    """What an outsider with the full token sees."""
    headers = {"Authorization": f"Bearer {fake.token}"}
    with httpx.Client(
        transport=fake.transport(), base_url=fake.base_url, headers=headers
    ) as client:
        yield client
