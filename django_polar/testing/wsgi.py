"""WSGI's side of the fake Polar: what a request is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from django_polar.testing import http

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

    from django_polar.testing.http import Request

MAX_BODY = 10 * 1024 * 1024


def read_request(environ: WSGIEnvironment) -> Request:
    path = environ["PATH_INFO"]
    try:
        # WSGI gives a path's bytes as latin-1; some callers give the text itself.
        path = path.encode("latin-1").decode()
    except UnicodeError:
        path = environ["PATH_INFO"]
    headers = {
        key[5:].replace("_", "-").lower(): value
        for key, value in environ.items()
        if key.startswith("HTTP_")
    }
    if environ.get("CONTENT_TYPE"):
        headers["content-type"] = environ["CONTENT_TYPE"]
    length = environ.get("CONTENT_LENGTH")
    # Without a length only an in-process caller's whole body can be meant.
    body = environ["wsgi.input"].read(min(int(length), MAX_BODY + 1) if length else MAX_BODY + 1)
    if path.startswith("/api/v1/"):
        path = path.removeprefix("/api")
        headers["x-fake-polar-old-prefix"] = "1"
    scheme = headers.get("x-forwarded-proto", environ["wsgi.url_scheme"])
    host = headers.get("host") or f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
    return http.Request(
        method=environ["REQUEST_METHOD"],
        path=path,
        query_string=environ.get("QUERY_STRING", ""),
        headers=headers,
        body=body,
        base_url=f"{scheme}://{host}",
    )


def absolute_location(request: Request, path: str) -> str:
    query = f"?{request.query_string}" if request.query_string else ""
    return f"{request.base_url}{quote(path, safe='/:@!$&*+,;=~-._()')}{query}"


def httpx_error(*, timeout: bool) -> Exception:
    """What httpx raises where a real connection is lost; in-process there is none to lose."""
    import httpx  # noqa: PLC0415  # keeps this module light

    if timeout:
        return httpx.ReadTimeout("The fake Polar never answered")
    return httpx.RemoteProtocolError("Server disconnected without sending a response.")
