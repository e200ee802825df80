"""Faults on demand: what goes wrong between a client and Polar, the next time or every time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from django_polar.testing.http import (
    JSON_HEADER,
    Header,
    Response,
    dumps,
    internal_server_error,
    too_many_requests,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from django_polar.testing.builders import JSON
    from django_polar.testing.http import Request

Kind = Literal["fail", "drop", "timeout", "garble"]

_GARBLED = 7
_FIRST_SERVER_ERROR = 500


class ConnectionLostError(Exception):
    """The connection ends without an answer. Whoever serves the request makes it so."""

    def __init__(self, *, timeout: bool) -> None:
        super().__init__("timeout" if timeout else "dropped")
        self.timeout = timeout


@dataclass(slots=True)
class Fault:
    kind: Kind
    times: int
    method: str | None
    path: str | None
    after_apply: bool = False
    answer: Callable[[], Response] | None = None

    def fits(self, request: Request) -> bool:
        if self.method is not None and self.method.upper() != request.method:
            return False
        if self.path is None:
            return True
        return self.path in request.path or re.search(self.path, request.path) is not None


class Faults:
    """What the next requests will run into, first come, first served."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._corrupted: dict[tuple[str, str], JSON] = {}

    def fail_next(
        self,
        status: int,
        *,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        times: int = 1,
        method: str | None = None,
        path: str | None = None,
    ) -> None:
        """Answer the next ``times`` requests with ``status`` and do nothing.

        ``path`` is a part of the path or a regular expression. ``body`` may be text, bytes or
        what goes into JSON; without one a 429 and a 5xx look as the real server's do.
        """

        def answer() -> Response:
            return _failure(status, headers or {}, body)

        self._faults.append(Fault("fail", times, method, path, answer=answer))

    def drop_next(
        self,
        *,
        after_apply: bool,
        times: int = 1,
        method: str | None = None,
        path: str | None = None,
    ) -> None:
        """Lose the connection, before or after the request has done its work."""
        self._faults.append(Fault("drop", times, method, path, after_apply))

    def timeout_next(
        self,
        *,
        after_apply: bool,
        times: int = 1,
        method: str | None = None,
        path: str | None = None,
    ) -> None:
        """Never answer, before or after the request has done its work."""
        self._faults.append(Fault("timeout", times, method, path, after_apply))

    def garble_next(
        self, *, times: int = 1, method: str | None = None, path: str | None = None
    ) -> None:
        """Do the work and answer with JSON that ends too early."""
        self._faults.append(Fault("garble", times, method, path))

    def clear_faults(self) -> None:
        self._faults.clear()
        self._corrupted.clear()

    def corrupt(self, list_name: str, item_id: str, **fields: Any) -> None:
        """From now on show an item of a list with other ``fields``; ``...`` leaves one out.

        ``list_name`` is ``customers``, ``subscriptions``, ``grants`` or ``meters``. Only the
        list is corrupted, not what is behind it.
        """
        self._corrupted[list_name, item_id] = fields

    def corrupted(self, list_name: str, item_id: str, payload: JSON) -> JSON:
        fields = self._corrupted.get((list_name, item_id))
        if fields is None:
            return payload
        return {key: value for key, value in (payload | fields).items() if value is not ...}

    def take_fault(self, request: Request) -> Fault | None:
        for fault in self._faults:
            if fault.fits(request):
                fault.times -= 1
                if fault.times <= 0:
                    self._faults.remove(fault)
                return fault
        return None


def garbled(response: Response) -> Response:
    body = response.body if isinstance(response.body, bytes) else b"".join(response.body)
    response.body = body[:-_GARBLED] if len(body) > _GARBLED else b"{"
    return response


def _failure(status: int, headers: Mapping[str, str], body: Any) -> Response:
    if body is None:
        response = _bare_failure(status)
    else:
        response = Response(status, _as_bytes(body), [_content_type(body)])
    given = {name.lower() for name in headers}
    kept: list[Header] = [item for item in response.headers if item[0] not in given]
    response.headers = kept + list(headers.items())
    return response


def _bare_failure(status: int) -> Response:
    if status == too_many_requests().status:
        return too_many_requests()
    if status >= _FIRST_SERVER_ERROR:
        response = internal_server_error()
        response.status = status
        return response
    return Response(status, dumps({"detail": "Made to fail"}), [JSON_HEADER])


def _as_bytes(body: Any) -> bytes:
    if isinstance(body, str):
        return body.encode()
    return body if isinstance(body, bytes) else dumps(body)


def _content_type(body: Any) -> Header:
    if isinstance(body, str | bytes):
        return ("content-type", "text/plain; charset=utf-8")
    return JSON_HEADER
