"""The door for Polar's webhooks: verify, store, answer. What they mean comes later."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.contrib.auth.decorators import login_not_required
from django.db import transaction
from django.http import HttpResponse
from django.http.request import UnreadablePostError
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from django_polar.conf import settings
from django_polar.exceptions import ConfigurationError, PayloadError, SignatureError
from django_polar.services.webhooks import receive_event

if TYPE_CHECKING:
    from django.http import HttpRequest

logger = logging.getLogger(__name__)


@csrf_exempt
@login_not_required
@transaction.non_atomic_requests
@require_POST
def webhook(request: HttpRequest) -> HttpResponse:
    """Answers 202 to whatever Polar signed, also to what this version does not know.

    Polar disables an endpoint after ten events that got another answer.
    """
    body = _read_body(request)
    if body is None:
        return _answer("The body is too large.", 413)
    try:
        receive_event(body, request.headers)
    except SignatureError as error:
        logger.info("A webhook delivery was refused: %s", error)
        return _answer("The signature does not fit.", 403)
    except PayloadError as error:
        logger.warning("A signed webhook delivery cannot be read: %s", error)
        return _answer("The body is no webhook.", 400)
    except ConfigurationError as error:
        logger.error("Webhooks cannot be received: %s", error)  # noqa: TRY400 - says it all
        return _answer("Webhooks are not set up here.", 503)
    return HttpResponse(status=202)


def _read_body(request: HttpRequest) -> bytes | None:
    """The raw bytes, or ``None`` where there are more than we take; those are not read."""
    limit = settings.webhook_max_body_bytes
    try:
        if int(request.headers.get("Content-Length") or 0) > limit:
            return None
        # Not ``request.body``, which has a limit of its own, for another purpose.
        body = request.read(limit + 1)
    except (ValueError, UnreadablePostError):
        return b""
    return body if len(body) <= limit else None


def _answer(text: str, status: int) -> HttpResponse:
    return HttpResponse(f"{text}\n", status=status, content_type="text/plain")
