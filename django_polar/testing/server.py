"""The fake Polar over HTTP on 127.0.0.1: threads, keep-alive, quick to stop."""

from __future__ import annotations

import io
import socket
import socketserver
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from django_polar.testing.faults import ConnectionLostError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from django_polar.testing.polar import FakePolar

HOST = "127.0.0.1"
_POLL_SECONDS = 0.02
# A client that is waiting for an answer gives up long before; the server never waits longer.
_NEVER_SECONDS = 60.0


class PolarServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, polar: FakePolar, port: int) -> None:
        self.polar = polar
        self.stopping = threading.Event()
        self._connections: set[socket.socket] = set()
        super().__init__((HOST, port), PolarRequestHandler)

    @property
    def base_url(self) -> str:
        return f"http://{HOST}:{self.server_address[1]}"

    def run(self) -> None:
        """Serve until ``stop()`` is called from another thread."""
        self.serve_forever(poll_interval=_POLL_SECONDS)

    def stop(self) -> None:
        """Stop at once, kept-alive connections included."""
        self.stopping.set()
        self.shutdown()
        self.server_close()
        for connection in list(self._connections):
            _hang_up(connection)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)


class PolarRequestHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: PolarServer
    # An answer is written in one piece or in chunks that are ready: nothing to wait for.
    disable_nagle_algorithm = True
    wbufsize = -1

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            # The client went away, which is its good right.
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Says nothing: paths hold external ids, and tests watch standard error."""

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        try:
            chunks = self.server.polar(self._environ(body), self._start)
        except ConnectionLostError as lost:
            if lost.timeout:
                self.server.stopping.wait(_NEVER_SECONDS)
            self.close_connection = True
            _hang_up(self.connection)
            return
        self._write(chunks)

    do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = do_HEAD = do_OPTIONS = _answer  # noqa: N815

    def _start(self, status: str, headers: list[tuple[str, str]], *_: Any) -> Any:
        self._status = int(status.partition(" ")[0])
        self._reason = status.partition(" ")[2]
        self._headers_to_send = headers

    def _write(self, chunks: Iterable[bytes]) -> None:
        self.send_response(self._status, self._reason)
        names = set()
        for name, value in self._headers_to_send:
            names.add(name.lower())
            self.send_header(name, value)
        bodiless = self._status in {204, 304} or self.command == "HEAD"
        chunked = "content-length" not in names and not bodiless
        if chunked:
            self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for chunk in chunks:
            if not chunk or bodiless:
                continue
            self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def _environ(self, body: bytes) -> dict[str, Any]:
        path, _, query = self.path.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "SERVER_NAME": HOST,
            "SERVER_PORT": str(self.server.server_address[1]),
            "SERVER_PROTOCOL": self.request_version,
            "REMOTE_ADDR": self.client_address[0],
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "fake_polar.can_hang_up": True,
        }
        for name, value in self.headers.items():
            key = name.upper().replace("-", "_")
            if key not in {"CONTENT_TYPE", "CONTENT_LENGTH"}:
                environ[f"HTTP_{key}"] = value
        return environ


@contextmanager
def serve(polar: FakePolar, *, port: int = 0) -> Iterator[str]:
    """The base URL of a server that runs until the block ends."""
    server = PolarServer(polar, port)
    thread = threading.Thread(target=server.run, name="fake-polar", daemon=True)
    thread.start()
    try:
        yield server.base_url
    finally:
        server.stop()
        thread.join()


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        # It was closed already, from the other side.
        return
