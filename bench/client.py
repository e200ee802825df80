"""Pages per second: our client beside Polar's SDK, one request at a time, on a local server.

The server is a process that answers every request with the same page of one hundred customers
and does nothing else, so that what is measured are the clients.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .pages import iter_pages
from .timing import Contender, medians, time_in_turns

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGES = 100


class _CannedAnswer(asyncio.Protocol):
    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.waiting = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.waiting += data
        while b"\r\n\r\n" in self.waiting:
            _, _, self.waiting = self.waiting.partition(b"\r\n\r\n")
            self.transport.write(self.answer)


async def _serve() -> None:
    (page,) = iter_pages(100)
    head = (
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\npolar-version: 2026-04\r\n"
        f"content-length: {len(page.customers)}\r\n\r\n"
    )
    answer = head.encode() + page.customers
    server = await asyncio.get_running_loop().create_server(
        lambda: _CannedAnswer(answer), "127.0.0.1", 0
    )
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)


@contextmanager
def _canned_server() -> Iterator[str]:
    with subprocess.Popen(
        [sys.executable, "-m", "bench.client", "serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the server has no pipes")
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()
            process.wait(timeout=10)


def main() -> None:
    from polar.v2026_04.client import Polar

    from django_polar.client import PolarClient

    with (
        _canned_server() as url,
        PolarClient("polar_oat_made_up", base_url=url) as ours,
        Polar("polar_oat_made_up", base_url=url) as sdk,
    ):

        def read_with_ours() -> None:
            for number in range(1, PAGES + 1):
                if len(ours.customers.list(page=number, limit=100).items) != 100:
                    raise RuntimeError("a page came back short")

        def read_with_sdk() -> None:
            for number in range(1, PAGES + 1):
                if len(sdk.customers.list(page=number, limit=100).items) != 100:
                    raise RuntimeError("a page came back short")

        us = medians(
            time_in_turns(
                {
                    "ours": Contender(read_with_ours, PAGES),
                    "sdk": Contender(read_with_sdk, PAGES),
                }
            )
        )
    result = {
        "client_vs_sdk": us["sdk"] / us["ours"],
        "pages_per_second": {name: 1_000_000 / value for name, value in us.items()},
    }
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        asyncio.run(_serve())
    else:
        main()
