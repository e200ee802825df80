"""``api/customers/``: all customers, for staff with the model's permissions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.db.models import Q
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from rest_framework.exceptions import NotFound
from rest_framework.generics import GenericAPIView, get_object_or_404
from rest_framework.pagination import PageNumberPagination
from rest_framework.parsers import JSONParser
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.response import Response

from django_polar.models import Customer, CustomerQuerySet, CustomerState
from django_polar.services import balances, customers, exports
from django_polar.views.streams import csv_response

from .errors import PolarErrorsMixin
from .permissions import MayChangeCustomers, MayViewCustomers
from .schema import BINARY, ERRORS, REMOTE_ERRORS, describe, extend_schema
from .serializers import (
    BalanceSerializer,
    CustomerFilterSerializer,
    CustomerSerializer,
    StaffStateSerializer,
)
from .throttles import PolarThrottle

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from django.http import StreamingHttpResponse
    from rest_framework.pagination import BasePagination
    from rest_framework.request import Request
    from rest_framework.serializers import BaseSerializer

FILTERS: Final = {
    "external_id": "external_id",
    "email": "email__iexact",
}


class CustomerPagination(PageNumberPagination):
    """``?page=2&page_size=50``"""

    page_size = 100
    page_size_query_param = "page_size"
    max_page_size = 100


class CSVRenderer(BaseRenderer):
    """Lets ``Accept: text/csv`` through; the answer is streamed past it."""

    media_type = "text/csv"
    format = "csv"

    def render(self, data: Any, *args: Any, **kwargs: Any) -> bytes:
        """Errors alone are rendered: as JSON, whatever was asked for."""
        rendered: bytes = JSONRenderer().render(data)
        return rendered


@method_decorator(never_cache, name="dispatch")
class CustomersAPIView(PolarErrorsMixin, GenericAPIView[Customer]):
    """Closed by default: staff who may view customers, whatever the project's defaults are."""

    permission_classes = (MayViewCustomers,)
    parser_classes = (JSONParser,)
    renderer_classes: Sequence[type[BaseRenderer]] = (JSONRenderer,)
    throttle_classes = (PolarThrottle,)
    throttle_scope = "polar_read"
    filter_backends = ()
    pagination_class: type[BasePagination] | None = None
    serializer_class: type[BaseSerializer[Any]] | None = CustomerSerializer

    def get_queryset(self) -> CustomerQuerySet:
        return Customer.objects.all()

    def get_customer(self, id: UUID) -> Customer:  # noqa: A002 - Polar's word
        return get_object_or_404(self.get_queryset(), pk=id)


class CustomerListView(CustomersAPIView):
    """The customers of the mirror."""

    pagination_class = CustomerPagination

    @extend_schema(
        operation_id="polar_customers_list",
        parameters=[CustomerFilterSerializer],
        responses={200: CustomerSerializer(many=True), **ERRORS},
    )
    def get(self, request: Request) -> Response:
        """Oldest first."""
        serializer = CustomerFilterSerializer(data=request.query_params)
        serializer.is_valid(raise_exception=True)
        queryset = narrow(self.get_queryset(), serializer.validated_data)
        page = self.paginate_queryset(queryset.order_by("created_at", "pk"))
        return self.get_paginated_response(CustomerSerializer(page or [], many=True).data)


def narrow(queryset: CustomerQuerySet, wanted: dict[str, Any]) -> CustomerQuerySet:
    """Only the customers for which everything wanted is true; ``None`` wants nothing."""
    for name, lookup in FILTERS.items():
        if name in wanted:
            queryset = queryset.filter(**{lookup: wanted[name]})
    if search := wanted.get("search"):
        queryset = queryset.filter(
            Q(external_id__startswith=search)
            | Q(email__icontains=search)
            | Q(name__icontains=search)
        )
    for name, field in (("linked", "user"), ("deleted", "deleted_at")):
        if (wanted_value := wanted.get(name)) is not None:
            queryset = queryset.filter(**{f"{field}__isnull": not wanted_value})
    if (subscribed := wanted.get("subscribed")) is not None:
        subscribers = Customer.objects.with_active_subscription().values("pk")
        queryset = (
            queryset.filter(pk__in=subscribers)
            if subscribed
            else queryset.exclude(pk__in=subscribers)
        )
    if product_id := wanted.get("product_id"):
        queryset = queryset.with_active_subscription(product_id)
    if benefit_id := wanted.get("benefit_id"):
        queryset = queryset.with_benefit(benefit_id)
    return queryset


class CustomerView(CustomersAPIView):
    """One customer of the mirror."""

    @extend_schema(
        operation_id="polar_customers_retrieve", responses={200: CustomerSerializer, **ERRORS}
    )
    def get(self, request: Request, id: UUID) -> Response:  # noqa: A002 - Polar's word
        """By Polar's id; deleted ones too."""
        return Response(CustomerSerializer(self.get_customer(id)).data)


class CustomerStateView(CustomersAPIView):
    """What a customer has now."""

    serializer_class = StaffStateSerializer

    @extend_schema(
        operation_id="polar_customers_state", responses={200: StaffStateSerializer, **ERRORS}
    )
    def get(self, request: Request, id: UUID) -> Response:  # noqa: A002 - Polar's word
        """From the mirror."""
        return Response(StaffStateSerializer(get_state(id)).data)


def get_state(customer_id: UUID) -> CustomerState:
    states = CustomerState.objects.prefetch_related(
        "active_subscriptions", "granted_benefits", "active_meters"
    )
    return get_object_or_404(states, pk=customer_id)


class CustomerRefreshView(CustomersAPIView):
    """Fetch a customer anew."""

    permission_classes = (MayChangeCustomers,)
    serializer_class = StaffStateSerializer
    throttle_scope = "polar_remote"

    @extend_schema(
        operation_id="polar_customers_refresh",
        request=None,
        responses={200: StaffStateSerializer, **REMOTE_ERRORS},
    )
    def post(self, request: Request, id: UUID) -> Response:  # noqa: A002 - Polar's word
        """Ask Polar, update the mirror, and answer with the state."""
        customer = self.get_customer(id)
        if customers.refresh_customer(customer) is None:
            raise NotFound(code="no_customer")
        return Response(StaffStateSerializer(get_state(id)).data)


class CustomerBalanceView(CustomersAPIView):
    """What a customer has with the merchant."""

    serializer_class = BalanceSerializer
    throttle_scope = "polar_remote"

    @extend_schema(
        operation_id="polar_customers_balance",
        responses={200: BalanceSerializer(many=True), **REMOTE_ERRORS},
    )
    def get(self, request: Request, id: UUID) -> Response:  # noqa: A002 - Polar's word
        """One per currency, asked of Polar."""
        customer = self.get_customer(id)
        if customer.deleted_at is not None:
            raise NotFound(code="no_customer")
        return Response(BalanceSerializer(balances.get_balance(customer), many=True).data)


class CustomerExportView(CustomersAPIView):
    """All customers, as Polar exports them."""

    renderer_classes = (CSVRenderer, JSONRenderer)
    throttle_scope = "polar_export"

    @extend_schema(
        operation_id="polar_customers_export",
        responses={
            (200, "text/csv"): describe(BINARY, "CSV, streamed."),
            **REMOTE_ERRORS,
        },
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        """The mirror with state and balances, as CSV."""
        return csv_response(
            request._request,  # noqa: SLF001 - whether the server is asynchronous, only Django knows
            exports.export_customers(),
            name="polar-customers",
        )
