import httpx
import pytest

from django_polar.client import PolarClient
from tests.client.server import Server


@pytest.fixture
def server():
    """A Polar that answers what the test tells it to, and remembers what it was asked."""
    return Server()


@pytest.fixture
def polar(server):
    """A client of ``server`` that waits for nothing."""
    with PolarClient(
        "polar_oat_secret",
        base_url="http://polar.test",
        transport=httpx.MockTransport(server),
        sleep=server.sleep,
    ) as client:
        yield client
