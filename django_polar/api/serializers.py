"""The shapes of the API. What comes in is closed: a field that is not named is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework import serializers

from django_polar.models import (
    ActiveMeter,
    ActiveSubscription,
    Customer,
    CustomerBalance,
    CustomerState,
    GrantedBenefit,
)
from django_polar.views.return_url import UnsafeReturnUrlError, make_return_url

from .schema import component

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ITEM_FIELDS = ("id", "created_at", "modified_at")

SUBSCRIPTION_FIELDS = (
    *ITEM_FIELDS,
    "status",
    "amount",
    "currency",
    "recurring_interval",
    "current_period_start",
    "current_period_end",
    "trial_start",
    "trial_end",
    "cancel_at_period_end",
    "canceled_at",
    "started_at",
    "ends_at",
    "product_id",
    "discount_id",
    "seats",
    "units",
)

BENEFIT_FIELDS = (*ITEM_FIELDS, "granted_at", "benefit_id", "benefit_type", "properties")

PROFILE_FIELDS = (
    "id",
    "external_id",
    "type",
    "email",
    "email_verified",
    "name",
    "billing_name",
    "billing_address",
    "tax_id",
    "locale",
    "avatar_url",
    "default_payment_method_id",
    "created_at",
    "modified_at",
)


class ClosedSerializer(serializers.Serializer[Any]):
    """Refuses fields it does not know: a typo, or an attempt at what may not be changed."""

    def to_internal_value(self, data: Mapping[str, Any]) -> Any:
        value = super().to_internal_value(data)
        if unknown := set(data) - set(self.fields):
            raise serializers.ValidationError(
                {name: ["This cannot be set here."] for name in sorted(map(str, unknown))}
            )
        return value


@component
class AddressSerializer(ClosedSerializer):
    """A billing address as Polar takes it; ``country`` is ISO 3166-1 alpha-2."""

    country = serializers.RegexField(r"\A[A-Z]{2}\Z")
    line1 = serializers.CharField(required=False, allow_null=True, max_length=255)
    line2 = serializers.CharField(required=False, allow_null=True, max_length=255)
    postal_code = serializers.CharField(required=False, allow_null=True, max_length=32)
    city = serializers.CharField(required=False, allow_null=True, max_length=255)
    state = serializers.CharField(required=False, allow_null=True, max_length=64)


@component
class MeSerializer(serializers.ModelSerializer[Customer]):
    """The signed-in user's customer, from the mirror. What is the merchant's own is left out."""

    # A pair such as ["FR61954506077", "eu_vat"].
    tax_id = serializers.ListField(child=serializers.CharField(), allow_null=True, read_only=True)
    billing_address = serializers.DictField(
        child=serializers.CharField(allow_null=True), allow_null=True, read_only=True
    )

    class Meta:
        model = Customer
        fields: Sequence[str] = PROFILE_FIELDS
        read_only_fields: Sequence[str] = PROFILE_FIELDS


@component
class MeUpdateSerializer(ClosedSerializer):
    """What Polar lets customers change of themselves."""

    billing_name = serializers.CharField(required=False, max_length=255)
    billing_address = AddressSerializer(required=False)
    tax_id = serializers.CharField(required=False, max_length=64)
    default_payment_method_id = serializers.UUIDField(required=False)


@component
class SubscriptionSerializer(serializers.ModelSerializer[ActiveSubscription]):
    """An active or trialing subscription; ``amount`` in the currency's smallest unit."""

    class Meta:
        model = ActiveSubscription
        fields: Sequence[str] = SUBSCRIPTION_FIELDS
        read_only_fields: Sequence[str] = SUBSCRIPTION_FIELDS


@component
class BenefitSerializer(serializers.ModelSerializer[GrantedBenefit]):
    """A granted benefit; ``id`` is the grant's."""

    properties = serializers.DictField(read_only=True)

    class Meta:
        model = GrantedBenefit
        fields: Sequence[str] = BENEFIT_FIELDS
        read_only_fields: Sequence[str] = BENEFIT_FIELDS


@component
class MeterSerializer(serializers.ModelSerializer[ActiveMeter]):
    """A meter; ``balance`` is credited minus consumed units."""

    class Meta:
        model = ActiveMeter
        fields = (*ITEM_FIELDS, "meter_id", "consumed_units", "credited_units", "balance")
        read_only_fields = fields


@component
class StateSerializer(serializers.ModelSerializer[CustomerState]):
    """What the signed-in user has now, without the merchant's metadata."""

    active_subscriptions = SubscriptionSerializer(many=True, read_only=True)
    granted_benefits = BenefitSerializer(many=True, read_only=True)
    active_meters = MeterSerializer(many=True, read_only=True)

    class Meta:
        model = CustomerState
        fields = ("as_of", "active_subscriptions", "granted_benefits", "active_meters")
        read_only_fields = ("as_of",)


@component
class StaffSubscriptionSerializer(SubscriptionSerializer):
    """With the merchant's metadata."""

    metadata = serializers.DictField(read_only=True)
    custom_field_data = serializers.DictField(read_only=True)
    meters = serializers.ListField(child=serializers.DictField(), read_only=True)

    class Meta(SubscriptionSerializer.Meta):
        fields: Sequence[str] = (
            *SUBSCRIPTION_FIELDS,
            "price_id",
            "metadata",
            "custom_field_data",
            "meters",
        )
        read_only_fields: Sequence[str] = fields


@component
class StaffBenefitSerializer(BenefitSerializer):
    """With the merchant's metadata."""

    benefit_metadata = serializers.DictField(read_only=True)

    class Meta(BenefitSerializer.Meta):
        fields: Sequence[str] = (*BENEFIT_FIELDS, "benefit_metadata")
        read_only_fields: Sequence[str] = fields


@component
class StaffStateSerializer(StateSerializer):
    """All of a customer's state."""

    active_subscriptions = StaffSubscriptionSerializer(many=True, read_only=True)
    granted_benefits = StaffBenefitSerializer(many=True, read_only=True)


@component
class CustomerSerializer(MeSerializer):
    """A customer as staff sees it."""

    metadata = serializers.DictField(read_only=True)
    user = serializers.CharField(source="user_id", read_only=True, allow_null=True)

    class Meta(MeSerializer.Meta):
        fields: Sequence[str] = (
            *PROFILE_FIELDS,
            "organization_id",
            "user",
            "metadata",
            "first_user_event_at",
            "deleted_at",
            "synced_at",
        )
        read_only_fields: Sequence[str] = fields


class CustomerFilterSerializer(serializers.Serializer[Any]):
    """What the list of customers can be narrowed down to."""

    external_id = serializers.CharField(required=False, help_text="Exactly this external id.")
    email = serializers.CharField(required=False, help_text="Exactly this address, in any case.")
    search = serializers.CharField(
        required=False,
        max_length=255,
        help_text="Part of the email or name, or of the external id.",
    )
    linked = serializers.BooleanField(
        required=False, allow_null=True, default=None, help_text="Belongs to a user, or does not."
    )
    deleted = serializers.BooleanField(
        required=False,
        allow_null=True,
        default=False,
        help_text="Deleted at Polar; not by default.",
    )
    subscribed = serializers.BooleanField(
        required=False, allow_null=True, default=None, help_text="Has an active subscription."
    )
    product_id = serializers.UUIDField(required=False, help_text="Has a subscription to it.")
    benefit_id = serializers.UUIDField(required=False, help_text="Has it granted.")


@component
class BalanceSerializer(serializers.ModelSerializer[CustomerBalance]):
    """In the currency's smallest unit; negative when the customer owes."""

    class Meta:
        model = CustomerBalance
        fields = ("currency", "amount", "as_of")
        read_only_fields = fields


class ReturnUrlField(serializers.CharField):
    """A path on this site, or an address on one of ``POLAR_RETURN_URL_HOSTS``."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=2048, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        url = super().to_internal_value(data)
        try:
            return make_return_url(self.context["request"], url) or ""
        except UnsafeReturnUrlError as error:
            raise serializers.ValidationError("This leads to another site.") from error


@component
class PortalSessionRequestSerializer(ClosedSerializer):
    return_url = ReturnUrlField(required=False, help_text="Where the portal's way back leads.")


@component
class PortalSessionSerializer(serializers.Serializer[Any]):
    """The address is a key to the customer's account: send the browser there, keep it nowhere."""

    customer_portal_url = serializers.URLField(read_only=True)
    expires_at = serializers.DateTimeField(read_only=True)


@component
class CardSerializer(serializers.Serializer[Any]):
    brand = serializers.CharField(read_only=True, allow_null=True)
    last4 = serializers.CharField(read_only=True, allow_null=True)
    exp_month = serializers.IntegerField(read_only=True, allow_null=True)
    exp_year = serializers.IntegerField(read_only=True, allow_null=True)


@component
class PaymentMethodSerializer(serializers.Serializer[Any]):
    """``card`` is there for cards only."""

    id = serializers.UUIDField(read_only=True)
    type = serializers.CharField(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)
    card = CardSerializer(source="method_metadata", read_only=True, allow_null=True)


@component
class AddPaymentMethodSerializer(ClosedSerializer):
    """``confirmation_token_id`` comes from Stripe.js."""

    confirmation_token_id = serializers.CharField(max_length=255)
    set_default = serializers.BooleanField(default=False)
    return_url = ReturnUrlField(
        required=False, help_text="Where the bank sends the customer back to; this site's root."
    )


@component
class ConfirmPaymentMethodSerializer(ClosedSerializer):
    setup_intent_id = serializers.CharField(max_length=255)
    set_default = serializers.BooleanField(default=False)


@component
class PaymentMethodSetupSerializer(serializers.Serializer[Any]):
    """``succeeded`` with the payment method, or ``requires_action`` with what Stripe.js needs."""

    status = serializers.CharField(read_only=True)
    client_secret = serializers.CharField(read_only=True, allow_null=True)
    payment_method = PaymentMethodSerializer(read_only=True, allow_null=True)
