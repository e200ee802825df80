"""Where Polar may send a user back to: this site and the hosts in the settings, nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from django.utils.http import url_has_allowed_host_and_scheme

from django_polar.conf import settings

if TYPE_CHECKING:
    from django.http import HttpRequest


class UnsafeReturnUrlError(ValueError):
    """It leads to another site. Whoever sent the user here chose it."""


def make_return_url(request: HttpRequest, url: str | None) -> str | None:
    """The absolute address that Polar wants, from one that came with the request.

    Raises:
        UnsafeReturnUrlError: it does not lead back here.
    """
    if not url:
        return None
    allowed_hosts = {request.get_host(), *settings.return_url_hosts}
    if not _is_safe(url, allowed_hosts, request):
        raise UnsafeReturnUrlError("return_url leads to another site.")
    absolute = request.build_absolute_uri(url)
    if not urlsplit(absolute).netloc or not _is_safe(absolute, allowed_hosts, request):
        raise UnsafeReturnUrlError("return_url leads to another site.")
    return absolute


def _is_safe(url: str, allowed_hosts: set[str], request: HttpRequest) -> bool:
    return url_has_allowed_host_and_scheme(url, allowed_hosts, require_https=request.is_secure())
