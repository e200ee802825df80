"""``api/me/``: what the signed-in user may see and change of their own customer.

Nothing here takes an id of a customer: whose data it is follows from who is signed in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from rest_framework import status
from rest_framework.exceptions import NotFound
from rest_framework.parsers import JSONParser
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView

from django_polar.models import Customer
from django_polar.services import balances, portal, portal_customers

from .errors import PolarErrorsMixin
from .schema import ERRORS, REMOTE_ERRORS, extend_schema
from .serializers import (
    AddPaymentMethodSerializer,
    BalanceSerializer,
    ConfirmPaymentMethodSerializer,
    MeSerializer,
    MeUpdateSerializer,
    PaymentMethodSerializer,
    PaymentMethodSetupSerializer,
    PortalSessionRequestSerializer,
    PortalSessionSerializer,
    StateSerializer,
)
from .throttles import PolarThrottle

if TYPE_CHECKING:
    from uuid import UUID

    from rest_framework.request import Request
    from rest_framework.serializers import BaseSerializer


@method_decorator(never_cache, name="dispatch")
class MeAPIView(PolarErrorsMixin, APIView):
    """Closed by default: whatever the project's defaults are, this needs a signed-in user."""

    permission_classes = (IsAuthenticated,)
    parser_classes = (JSONParser,)
    renderer_classes = (JSONRenderer,)
    throttle_classes = (PolarThrottle,)
    throttle_scope = "polar_remote"

    def get_customer(self) -> Customer:
        customer = Customer.objects.live().for_user(self.request.user).first()
        if customer is None:
            raise NotFound(_("You are no customer yet."), code="no_customer")
        return customer

    def read(self, serializer_class: type[BaseSerializer[Any]]) -> dict[str, Any]:
        """The request's body, or a 400 that names the fields."""
        serializer = serializer_class(data=self.request.data, context={"request": self.request})
        serializer.is_valid(raise_exception=True)
        data: dict[str, Any] = serializer.validated_data
        return data


class MeView(MeAPIView):
    """The user's own customer."""

    def get_throttles(self) -> list[Any]:
        if self.request.method == "GET":
            self.throttle_scope = "polar_read"
        return super().get_throttles()

    @extend_schema(operation_id="polar_me_retrieve", responses={200: MeSerializer, **ERRORS})
    def get(self, request: Request) -> Response:
        """The customer as the mirror has it."""
        return Response(MeSerializer(self.get_customer()).data)

    @extend_schema(
        operation_id="polar_me_update",
        request=MeUpdateSerializer,
        responses={200: MeSerializer, **REMOTE_ERRORS},
    )
    def patch(self, request: Request) -> Response:
        """Change what Polar lets customers change of themselves."""
        fields = self.read(MeUpdateSerializer)
        customer = self.get_customer()
        if fields:
            if method_id := fields.get("default_payment_method_id"):
                fields["default_payment_method_id"] = str(method_id)
            portal_customers.update_portal_customer(request.user, **fields)
            customer.refresh_from_db()
        return Response(MeSerializer(customer).data)


class StateView(MeAPIView):
    """What the user has now."""

    throttle_scope = "polar_read"

    @extend_schema(operation_id="polar_me_state", responses={200: StateSerializer, **ERRORS})
    def get(self, request: Request) -> Response:
        """Active subscriptions, granted benefits and meters, from the mirror."""
        customers = Customer.objects.live().with_state().for_user(request.user)
        customer = customers.filter(state__isnull=False).first()
        if customer is None:
            raise NotFound(_("You are no customer yet."), code="no_customer")
        return Response(StateSerializer(customer.state).data)


class BalanceView(MeAPIView):
    """What the user has with the merchant."""

    @extend_schema(
        operation_id="polar_me_balance",
        responses={200: BalanceSerializer(many=True), **REMOTE_ERRORS},
    )
    def get(self, request: Request) -> Response:
        """One per currency, asked of Polar."""
        customer = self.get_customer()
        return Response(BalanceSerializer(balances.get_balance(customer), many=True).data)


class PortalSessionView(MeAPIView):
    """The way into Polar's customer portal."""

    @extend_schema(
        operation_id="polar_me_portal_session",
        request=PortalSessionRequestSerializer,
        responses={201: PortalSessionSerializer, **REMOTE_ERRORS},
    )
    def post(self, request: Request) -> Response:
        """An address that opens the portal for an hour."""
        fields = self.read(PortalSessionRequestSerializer)
        session = portal.create_portal_session(
            request.user, return_url=fields.get("return_url") or None
        )
        return Response(PortalSessionSerializer(session).data, status=status.HTTP_201_CREATED)


class PaymentMethodsView(MeAPIView):
    """The user's saved payment methods."""

    @extend_schema(
        operation_id="polar_me_payment_methods_list",
        responses={200: PaymentMethodSerializer(many=True), **REMOTE_ERRORS},
    )
    def get(self, request: Request) -> Response:
        """All of them."""
        methods = portal_customers.list_payment_methods(request.user)
        return Response(PaymentMethodSerializer(methods, many=True).data)

    @extend_schema(
        operation_id="polar_me_payment_methods_add",
        request=AddPaymentMethodSerializer,
        responses={201: PaymentMethodSetupSerializer, **REMOTE_ERRORS},
    )
    def post(self, request: Request) -> Response:
        """Save one that Stripe.js confirmed."""
        fields = self.read(AddPaymentMethodSerializer)
        if not fields.get("return_url"):
            fields["return_url"] = request.build_absolute_uri("/")
        setup = portal_customers.add_payment_method(request.user, **fields)
        return Response(PaymentMethodSetupSerializer(setup).data, status=status.HTTP_201_CREATED)


class ConfirmPaymentMethodView(MeAPIView):
    """The second step, where the bank wanted one."""

    @extend_schema(
        operation_id="polar_me_payment_methods_confirm",
        request=ConfirmPaymentMethodSerializer,
        responses={201: PaymentMethodSetupSerializer, **REMOTE_ERRORS},
    )
    def post(self, request: Request) -> Response:
        """Finish what answered ``requires_action``."""
        fields = self.read(ConfirmPaymentMethodSerializer)
        setup = portal_customers.confirm_payment_method(request.user, **fields)
        return Response(PaymentMethodSetupSerializer(setup).data, status=status.HTTP_201_CREATED)


class PaymentMethodView(MeAPIView):
    """One of the user's payment methods."""

    @extend_schema(
        operation_id="polar_me_payment_methods_delete",
        request=None,
        responses={204: None, **REMOTE_ERRORS},
    )
    def delete(self, request: Request, id: UUID) -> Response:  # noqa: A002 - Polar's word
        """Forget it. One that pays an active subscription stays."""
        portal_customers.delete_payment_method(request.user, id)
        return Response(status=status.HTTP_204_NO_CONTENT)
