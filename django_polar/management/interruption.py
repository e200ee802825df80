"""What a command does when it is told to stop."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from django.db import connections

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STOPPING = (signal.SIGTERM, signal.SIGINT)


class Interrupted(SystemExit):
    """A signal said to stop. The exit code is the one that shells use for it."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.name = signal.Signals(number).name

    def leave(self) -> NoReturn:
        """End the process, once everything is in order.

        A usual exit would wait for threads, and those for Polar's next minute, by which time a
        supervisor has lost its patience.
        """
        connections.close_all()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(str(self.code)))


@contextmanager
def on_stop_signals(react: Callable[[int], None]) -> Iterator[None]:
    """``react`` is called with the number of SIGTERM or SIGINT. In the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in STOPPING}
    for number in STOPPING:
        signal.signal(number, lambda number, _: react(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def interrupt(number: int) -> NoReturn:
    """Unwind from where the signal came. A second one must not cut the clearing up short."""
    for other in STOPPING:
        signal.signal(other, _ignore)
    raise Interrupted(number)


def _ignore(*_: Any) -> None:
    """Already stopping."""
