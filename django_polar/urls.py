"""``path("polar/", include("django_polar.urls"))``"""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from .views.portal import PortalView
from .views.webhook import webhook

app_name = "django_polar"

urlpatterns: list[URLPattern | URLResolver] = [
    # Polar follows no redirect, so both have to be right.
    path("webhook/", webhook, name="webhook"),
    path("webhook", webhook),
    path("portal/", PortalView.as_view(), name="portal"),
    path("api/", include("django_polar.api.urls")),
]
