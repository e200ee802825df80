"""``make test-services`` never passes for want of a server."""

from __future__ import annotations

import socket

import pytest

from tests import servers

pytest_plugins = ["pytester"]


@pytest.fixture
def nobody_listens(monkeypatch):
    """RabbitMQ's address is a port that was free a moment ago."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    monkeypatch.setattr(servers, "RABBITMQ_URL", f"amqp://guest:guest@127.0.0.1:{port}//")


def test_missing_server_is_one_line(nobody_listens):
    """The line names the server and the variable that would point to another one."""
    (line,) = servers.missing_servers(["RabbitMQ"])

    assert line.startswith("RabbitMQ is missing (TEST_RABBITMQ_URL): ")
    assert "\n" not in line


def test_missing_server_fails_the_command(nobody_listens, capsys):
    """``python -m tests.servers RabbitMQ`` exits 1 and says why on standard error."""
    assert servers.main(["RabbitMQ"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_test_that_needs_a_missing_server_fails_the_run(nobody_listens, monkeypatch, pytester):
    """Not a skip: the whole run ends before its first test, with exit code 1."""
    monkeypatch.setenv("TEST_DATABASE", "sqlite")
    pytester.makeconftest("from tests.conftest import pytest_collection_finish")
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.services("RabbitMQ")
        def test_broker(): ...
        """
    )

    result = pytester.runpytest_inprocess("-p", "no:django", "-W", "ignore")

    assert result.ret == 1
    result.stdout.fnmatch_lines(["*RabbitMQ is missing (TEST_RABBITMQ_URL)*"])
    result.stdout.no_fnmatch_line("*passed*")
