"""The site of the webhook measurement: both doors in one server."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [
    path("polar/", include("django_polar.urls")),
    path("stripe/", include("djstripe.urls", namespace="djstripe")),
]


def leave_it(*_: object, **__: object) -> None:
    """Somebody else would process it."""
