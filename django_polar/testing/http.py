"""Requests and answers of the fake Polar, and its errors in Polar's words."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from django_polar.testing.builders import JSON

Header = tuple[str, str]
Body = bytes | Iterable[bytes]

_REALM = 'Bearer realm="polar"'
_WHY_INVALID = (  # an error message
    "The access token provided is expired, revoked, malformed, or invalid for other reasons."
)
_INSUFFICIENT_SCOPE = "The request requires higher privileges than provided by the access token."


@dataclass(slots=True)
class Request:
    method: str
    #: Percent-decoded, as Polar's router sees it: ``%2F`` has become a slash.
    path: str
    query_string: str
    headers: dict[str, str]
    body: bytes
    base_url: str
    #: The parsed body; a text where it was not sent as JSON, ``None`` where there is none.
    data: Any = None
    #: The customer that a portal token belongs to.
    customer_id: str | None = None
    _query: list[tuple[str, str]] | None = None

    @property
    def query(self) -> list[tuple[str, str]]:
        if self._query is None:
            self._query = parse_qsl(self.query_string, keep_blank_values=True)
        return self._query

    def get(self, name: str) -> str | None:
        """The last value of a parameter: the one that counts where Polar takes only one."""
        return next((value for key, value in reversed(self.query) if key == name), None)

    def get_all(self, name: str) -> list[str]:
        return [value for key, value in self.query if key == name]


@dataclass(slots=True)
class Response:
    status: int
    body: Body = b""
    headers: list[Header] = field(default_factory=list)
    #: Where the answer comes from decides which general headers it carries.
    sandbox: bool = True
    cache_control: bool = True
    version: bool = True

    @property
    def status_line(self) -> str:
        try:
            return f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            return f"{self.status} Unknown"


class Refused(Exception):  # noqa: N818  # it is an answer, not a failure
    """Raised by a handler to answer with an error at once."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


JSON_HEADER = ("content-type", "application/json")


def dumps(data: Any) -> bytes:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "surrogatepass"
    )


def answer(data: Any, status: int = 200) -> Response:
    return Response(status, dumps(data), [JSON_HEADER])


def no_content() -> Response:
    return Response(204, b"", [JSON_HEADER])


def resource_not_found() -> Response:
    return answer({"error": "ResourceNotFound", "detail": "Not found"}, 404)


def route_not_found() -> Response:
    return answer({"detail": "Not Found"}, 404)


def version_not_found() -> Response:
    response = route_not_found()
    response.sandbox = response.cache_control = response.version = False
    return response


def method_not_allowed(allowed: str) -> Response:
    response = answer({"detail": "Method Not Allowed"}, 405)
    response.headers.insert(0, ("allow", allowed))
    return response


def redirect(location: str) -> Response:
    return Response(307, b"", [("location", location)])


def unauthorized() -> Response:
    response = answer({"error": "Unauthorized", "detail": "Unauthorized"}, 401)
    response.headers.insert(0, ("www-authenticate", _REALM))
    return response


def invalid_token() -> Response:
    challenge = f'{_REALM}, error="invalid_token", error_description="{_WHY_INVALID}"'
    return _oauth_error(401, "invalid_token", _WHY_INVALID, challenge, sandbox=False)


def insufficient_scope(scopes: Iterable[str]) -> Response:
    challenge = (
        f'{_REALM}, scope="{" ".join(scopes)}", error="insufficient_scope",'
        f' error_description="{_INSUFFICIENT_SCOPE}"'
    )
    return _oauth_error(403, "insufficient_scope", _INSUFFICIENT_SCOPE, challenge, sandbox=True)


def _oauth_error(
    status: int, kind: str, description: str, challenge: str, *, sandbox: bool
) -> Response:
    # Written by another library than the rest: blanks in the JSON, other headers.
    body = json.dumps({"error": kind, "error_description": description}).encode()
    headers = [
        JSON_HEADER,
        ("cache-control", "no-store"),
        ("pragma", "no-cache"),
        ("www-authenticate", challenge),
    ]
    return Response(status, body, headers, sandbox=sandbox, cache_control=False)


def too_many_requests(window_seconds: int = 60) -> Response:
    headers = [("retry-after", str(window_seconds))]
    return Response(429, b"", headers, sandbox=False, cache_control=False)


def internal_server_error() -> Response:
    return Response(
        500,
        b"Internal Server Error",
        [("content-type", "text/plain; charset=utf-8")],
        sandbox=False,
        cache_control=False,
        version=False,
    )


def too_large() -> Response:
    return answer({"detail": "Request body too large"}, 413)


def refuse_schema(errors: list[JSON]) -> None:
    """Raise the 422 of values that do not fit the schema, if there are any."""
    if errors:
        body = {"error": "RequestValidationError", "detail": errors}
        raise Refused(answer(body, 422))


def refuse_rule(errors: list[JSON]) -> None:
    """Raise the 422 of values that break a rule of Polar's business, if there are any."""
    if errors:
        body = {"error": "PolarRequestValidationError", "detail": errors}
        raise Refused(answer(body, 422))
