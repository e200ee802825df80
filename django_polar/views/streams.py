"""Files that are sent while they are made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import StreamingHttpResponse
from django.utils import timezone

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from django.http import HttpRequest


def csv_response(
    request: HttpRequest, chunks: Iterator[bytes], *, name: str
) -> StreamingHttpResponse:
    """A download. The first chunk is made before this returns, so that an error can still be
    told; one that comes later breaks the download off, because half a file must not look whole.
    """
    chunks = _all(next(chunks, b""), chunks)
    # Django reads an iterator whole before it sends anything to an asynchronous server.
    content: Any = _asynchronous(chunks) if isinstance(request, ASGIRequest) else chunks
    today = timezone.localdate().isoformat()
    return StreamingHttpResponse(
        content,
        content_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{name}-{today}.csv"',
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        },
    )


def _all(first: bytes, others: Iterator[bytes]) -> Iterator[bytes]:
    """A generator, which closes ``others`` when the browser goes away."""
    yield first
    yield from others


async def _asynchronous(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    following: Any = sync_to_async(next)
    while (chunk := await following(chunks, None)) is not None:
        yield chunk
