"""Over real connections, to a server on this machine."""

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from django_polar.client import PolarClient
from django_polar.exceptions import UnavailableError, UnexpectedResponseError

from .server import CUSTOMER_ID, customer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_one(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.seen.append((self.client_address[1], self.command, self.path, body))
        self.server.behave(self)

    do_GET = do_POST = do_DELETE = do_PATCH = handle_one  # noqa: N815 - the names that the base class looks for

    def reply(self, status, data=None, **headers):
        body = b"" if data is None else json.dumps(data).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@contextmanager
def serving(behave):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.seen = []
    server.behave = behave
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def found(handler):
    handler.reply(200, customer())


def drop(handler):
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def test_one_connection_serves_many_requests():
    with serving(found) as (server, url), PolarClient("polar_oat_x", base_url=url) as polar:
        for _ in range(5):
            polar.customers.get(CUSTOMER_ID)

    assert len({port for port, *_ in server.seen}) == 1


def test_threads_share_a_client_and_every_request_is_counted():
    with (
        serving(found) as (server, url),
        PolarClient("polar_oat_x", base_url=url) as polar,
        ThreadPoolExecutor(16) as threads,
    ):
        ids = list(threads.map(lambda _: polar.customers.get(CUSTOMER_ID).id, range(200)))
        assert polar.requests_made == 200

    assert set(map(str, ids)) == {CUSTOMER_ID}
    assert len(server.seen) == 200


def test_an_encoded_external_id_arrives_as_it_was_encoded():
    with serving(found) as (server, url), PolarClient("polar_oat_x", base_url=url) as polar:
        polar.customers.get_external("100%2F ü\0")

    assert server.seen[0][2] == "/v1/customers/external/100%252F%20%C3%BC%00"


def test_a_redirect_is_not_followed():
    def redirect(handler):
        handler.reply(307, location=f"{url}/v1/customers/external/trail")

    with (
        serving(redirect) as (server, url),
        PolarClient("polar_oat_x", base_url=url) as polar,
        pytest.raises(UnexpectedResponseError),
    ):
        polar.customers.delete_external("trail ")

    assert len(server.seen) == 1


def test_a_dropped_connection_may_have_applied_a_write():
    with (
        serving(drop) as (server, url),
        PolarClient("polar_oat_x", base_url=url) as polar,
        pytest.raises(UnavailableError) as caught,
    ):
        polar.customers.delete(CUSTOMER_ID)

    assert caught.value.maybe_applied
    assert len(server.seen) == 1


def test_a_server_that_is_not_there_has_applied_nothing():
    with socket.socket() as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{placeholder.getsockname()[1]}"
        polar = PolarClient("polar_oat_x", base_url=url, sleep=lambda _: None)
        with polar, pytest.raises(UnavailableError) as caught:
            polar.customers.delete(CUSTOMER_ID)

    assert not caught.value.maybe_applied
    assert polar.requests_made == 4


def test_an_answer_that_takes_too_long_is_given_up():
    released = threading.Event()
    with (
        serving(lambda handler: (released.wait(10), drop(handler))) as (_, url),
        PolarClient(
            "polar_oat_x",
            base_url=url,
            timeout=timedelta(seconds=0.1),
            max_attempts=1,
        ) as polar,
    ):
        with pytest.raises(UnavailableError, match="ReadTimeout"):
            polar.customers.get(CUSTOMER_ID)
        released.set()


def test_cookies_are_not_kept():
    def behave(handler):
        handler.reply(200, customer(name=handler.headers.get("cookie")), **{"set-cookie": "a=b"})

    with serving(behave) as (_, url), PolarClient("polar_oat_x", base_url=url) as polar:
        assert [polar.customers.get(CUSTOMER_ID).name for _ in range(2)] == [None, None]


def test_an_export_arrives_in_chunks():
    def behave(handler):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for _ in range(50):
            handler.wfile.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
        handler.wfile.write(b"0\r\n\r\n")

    with serving(behave) as (_, url), PolarClient("polar_oat_x", base_url=url) as polar:
        chunks = list(polar.customers.export())

    assert len(chunks) > 1
    assert sum(map(len, chunks)) == 50 * 1024


@pytest.mark.parametrize(
    ("scheme", "no_proxy", "proxied"),
    [("http://", "", True), ("", "", True), ("http://", "polar.test", False)],
)
def test_the_environments_proxy_is_used_unless_it_excludes_the_server(
    monkeypatch, scheme, no_proxy, proxied
):
    with serving(found) as (server, url):
        monkeypatch.setenv("http_proxy", url.replace("http://", scheme))
        monkeypatch.setenv("no_proxy", no_proxy)
        with PolarClient("polar_oat_x", base_url="http://polar.test", max_attempts=1) as polar:
            if proxied:
                polar.customers.get(CUSTOMER_ID)
            else:
                with pytest.raises(UnavailableError):
                    polar.customers.get(CUSTOMER_ID)

    assert bool(server.seen) is proxied
