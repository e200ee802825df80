from __future__ import annotations

import os

import pytest

from .servers import SERVERS, missing_servers

SERVER_OF_DATABASE = {"postgresql": "PostgreSQL", "mariadb": "MariaDB"}


def pytest_collection_finish(session: pytest.Session) -> None:
    """Stop before the first test when a server that one of them needs does not answer.

    ``@pytest.mark.services("Redis")`` names what it needs; without names it is all of them.
    """
    needed = set()
    if server := SERVER_OF_DATABASE.get(os.environ.get("TEST_DATABASE", "sqlite")):
        needed.add(server)
    for item in session.items:
        for mark in item.iter_markers("services"):
            needed.update(mark.args or SERVERS)
    if not needed or session.config.option.collectonly:
        return
    if lines := missing_servers(name for name in SERVERS if name in needed):
        pytest.exit("\n".join(lines), returncode=1)
