from __future__ import annotations

import pytest

from django_polar.client import polar_client


@pytest.fixture
def client(polar):
    """Talks to the fake Polar, and waits for nothing."""
    with polar_client() as client:
        yield client
