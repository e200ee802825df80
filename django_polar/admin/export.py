"""Customers as a file. Each export is written into the admin's log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.http import HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import reverse

from django_polar.models import Customer

from .actions import CustomerActions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponseBase


class CustomerExport(CustomerActions):
    """Mixed into the customers' admin."""

    def export(self, request: HttpRequest, queryset: QuerySet[Customer]) -> HttpResponseBase:
        # On use, as in the other views: what makes a file is no part of start-up.
        from django_polar.services.exports import export_customers  # noqa: PLC0415 - on use
        from django_polar.views.streams import csv_response  # noqa: PLC0415 - on use

        from .messages import customers as count_text  # noqa: PLC0415 - on use

        self._log(request, f"Exported {count_text(queryset.count())} from the mirror as CSV.")
        return csv_response(request, export_customers(queryset), name="customers")

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """The whole list as it is filtered and searched in the query string."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        self._require_permission(request)
        try:
            changelist = self.get_changelist_instance(request)
        except IncorrectLookupParameters:
            return HttpResponseRedirect(f"{self._list_url()}?e=1")
        return self.export(request, changelist.get_queryset(request))

    def polar_export_view(self, request: HttpRequest) -> HttpResponseBase:
        """Polar's own export, as it arrives."""
        from django_polar.exceptions import PolarError  # noqa: PLC0415 - as in export
        from django_polar.views.streams import csv_response  # noqa: PLC0415 - as in export

        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        self._require_permission(request)
        try:
            response = csv_response(request, _chunks_from_polar(), name="polar-customers")
        except PolarError as error:
            messages.error(request, f"Polar could not be asked: {error}")
            return HttpResponseRedirect(self._list_url())
        self._log(request, "Exported all customers from Polar as CSV.")
        return response

    def _require_permission(self, request: HttpRequest) -> None:
        if not (self.has_view_permission(request) and self.has_export_permission(request)):
            raise PermissionDenied

    def _list_url(self) -> str:
        return reverse(f"{self.admin_site.name}:django_polar_customer_changelist")

    def _log(self, request: HttpRequest, message: str) -> None:
        LogEntry.objects.create(
            user_id=_user_id(request),
            content_type=ContentType.objects.get_for_model(Customer),
            object_repr="export",
            action_flag=CHANGE,
            change_message=message,
        )


def _user_id(request: HttpRequest) -> Any:
    return request.user.pk


def _chunks_from_polar() -> Iterator[bytes]:
    """Keeps its client open for as long as it is read."""
    from django_polar.client import polar_client  # noqa: PLC0415 - httpx on use
    from django_polar.services.exports import export_from_polar  # noqa: PLC0415 - with it

    with polar_client() as client:
        yield from export_from_polar(client)
