"""The shapes of Polar's JSON: one class each, immutable."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar, Final
from uuid import UUID

import msgspec

# Not a name that an API would ever give a field, so `raw` is ours alone to set.
RAW_KEY: Final = "(unknown fields)"

Timestamp = Annotated[datetime, msgspec.Meta(tz=True)]
"""Always with an offset, so that no guess about a time zone is ever needed."""

ACTIVE_SUBSCRIPTION_STATUSES: Final = ("active", "trialing")
"""Subscriptions in these statuses are part of a customer's state; past due ones are not."""


class Payload(msgspec.Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    """The base of all payloads.

    The decoder first refuses unknown fields, which is the fast path; ``decode`` then reads an
    object that has some again and keeps them in ``raw``.
    """

    kind: ClassVar[str] = "object"

    raw: dict[str, Any] = msgspec.field(name=RAW_KEY, default_factory=dict)
    """Fields of Polar's that this class does not know, as decoded JSON."""


class CustomerPayload(Payload, frozen=True, kw_only=True, gc=False):
    """A customer, as ``/v1/customers/``, webhooks and embedded objects carry it."""

    kind: ClassVar[str] = "customer"

    id: UUID
    created_at: Timestamp
    organization_id: UUID
    modified_at: Timestamp | None = None
    metadata: dict[str, Any] = {}
    external_id: str | None = None
    email: str | None = None
    email_verified: bool = False
    type: str | None = None
    name: str | None = None
    billing_name: str | None = None
    billing_address: dict[str, Any] | None = None
    tax_id: list[Any] | None = None
    locale: str | None = None
    default_payment_method_id: UUID | None = None
    deleted_at: Timestamp | None = None
    first_user_event_at: Timestamp | None = None
    avatar_url: str | None = None


class SubscriptionPayload(Payload, frozen=True, kw_only=True, gc=False):
    """One of ``active_subscriptions`` in a customer's state.

    ``amount`` is in the currency's smallest unit. ``price_id`` is deprecated by Polar and names
    one of the prices; which one differs between the state and the list.
    """

    kind: ClassVar[str] = "subscription"

    id: UUID
    created_at: Timestamp
    status: str
    product_id: UUID
    modified_at: Timestamp | None = None
    custom_field_data: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    amount: int = 0
    currency: str = ""
    recurring_interval: str | None = None
    current_period_start: Timestamp | None = None
    current_period_end: Timestamp | None = None
    trial_start: Timestamp | None = None
    trial_end: Timestamp | None = None
    cancel_at_period_end: bool = False
    canceled_at: Timestamp | None = None
    started_at: Timestamp | None = None
    ends_at: Timestamp | None = None
    discount_id: UUID | None = None
    price_id: UUID | None = None
    seats: int | None = None
    units: int | None = None
    meters: list[dict[str, Any]] = []


class SubscriptionListPayload(SubscriptionPayload, frozen=True, kw_only=True, gc=False):
    """A subscription of any status, as ``/v1/subscriptions/`` and ``subscription.*`` carry it.

    The embedded objects are kept unread: most of the bytes are theirs and nobody asks.
    """

    customer_id: UUID
    customer: msgspec.Raw = msgspec.Raw()
    recurring_interval_count: msgspec.Raw = msgspec.Raw()
    current_meter_period_start: msgspec.Raw = msgspec.Raw()
    current_meter_period_end: msgspec.Raw = msgspec.Raw()
    ended_at: Timestamp | None = None
    past_due_at: msgspec.Raw = msgspec.Raw()
    pause_at_period_end: msgspec.Raw = msgspec.Raw()
    paused_at: msgspec.Raw = msgspec.Raw()
    resumes_at: msgspec.Raw = msgspec.Raw()
    checkout_id: msgspec.Raw = msgspec.Raw()
    customer_cancellation_reason: msgspec.Raw = msgspec.Raw()
    customer_cancellation_comment: msgspec.Raw = msgspec.Raw()
    user_id: msgspec.Raw = msgspec.Raw()
    user: msgspec.Raw = msgspec.Raw()
    product: msgspec.Raw = msgspec.Raw()
    discount: msgspec.Raw = msgspec.Raw()
    price: msgspec.Raw = msgspec.Raw()
    prices: msgspec.Raw = msgspec.Raw()
    pending_update: msgspec.Raw = msgspec.Raw()

    @property
    def is_active(self) -> bool:
        """Whether it belongs to the customer's state."""
        return self.status in ACTIVE_SUBSCRIPTION_STATUSES


class GrantedBenefitPayload(Payload, frozen=True, kw_only=True, gc=False):
    """One of ``granted_benefits`` in a customer's state; ``id`` is the grant's."""

    kind: ClassVar[str] = "benefit_grant"

    id: UUID
    created_at: Timestamp
    benefit_id: UUID
    benefit_type: str
    modified_at: Timestamp | None = None
    granted_at: Timestamp | None = None
    benefit_metadata: dict[str, Any] = {}
    properties: dict[str, Any] = {}


class BenefitPayload(
    msgspec.Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=False
):
    """The two fields of an embedded benefit that a customer's state repeats."""

    type: str
    metadata: dict[str, Any] = {}


class BenefitGrantPayload(Payload, frozen=True, kw_only=True, gc=False):
    """A grant, given or revoked, as ``/v1/benefit-grants/`` and ``benefit_grant.*`` carry it."""

    kind: ClassVar[str] = "benefit_grant"

    id: UUID
    created_at: Timestamp
    customer_id: UUID
    benefit_id: UUID
    benefit: BenefitPayload
    modified_at: Timestamp | None = None
    granted_at: Timestamp | None = None
    is_granted: bool = False
    revoked_at: Timestamp | None = None
    is_revoked: bool = False
    properties: dict[str, Any] = {}
    customer: msgspec.Raw = msgspec.Raw()
    subscription_id: msgspec.Raw = msgspec.Raw()
    order_id: msgspec.Raw = msgspec.Raw()
    member_id: msgspec.Raw = msgspec.Raw()
    member: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()
    user_id: msgspec.Raw = msgspec.Raw()

    @property
    def is_active(self) -> bool:
        """Whether it belongs to the customer's state."""
        return self.is_granted and not self.is_revoked

    @property
    def benefit_type(self) -> str:
        return self.benefit.type

    @property
    def benefit_metadata(self) -> dict[str, Any]:
        return self.benefit.metadata


class MeterPayload(Payload, frozen=True, kw_only=True, gc=False):
    """One of ``active_meters`` in a customer's state. Units may be negative and fractional."""

    kind: ClassVar[str] = "customer_meter"

    id: UUID
    created_at: Timestamp
    meter_id: UUID
    modified_at: Timestamp | None = None
    consumed_units: float = 0.0
    credited_units: float = 0.0
    balance: float = 0.0


class CustomerMeterPayload(MeterPayload, frozen=True, kw_only=True, gc=False):
    """A customer's meter, as ``/v1/customer-meters/`` carries it."""

    customer_id: UUID
    customer: msgspec.Raw = msgspec.Raw()
    meter: msgspec.Raw = msgspec.Raw()

    is_active: ClassVar[bool] = True


class CustomerStatePayload(CustomerPayload, frozen=True, kw_only=True, gc=False):
    """``/v1/customers/{id}/state``: the customer, and what it has now. Arrays are unordered."""

    kind: ClassVar[str] = "customer_state"

    active_subscriptions: list[SubscriptionPayload] = []
    granted_benefits: list[GrantedBenefitPayload] = []
    active_meters: list[MeterPayload] = []


class BalancePayload(Payload, frozen=True, kw_only=True, gc=False):
    """What a customer has with the merchant, in the currency's smallest unit.

    Negative means that the customer owes. ``currency`` is lower case.
    """

    kind: ClassVar[str] = "balance"

    balance: int
    currency: str


class WalletPayload(Payload, frozen=True, kw_only=True, gc=False):
    """``/v1/customer-portal/wallets/``: one balance in one currency."""

    kind: ClassVar[str] = "wallet"

    id: UUID
    customer_id: UUID
    balance: int
    currency: str
    created_at: Timestamp | None = None
    modified_at: Timestamp | None = None


class CustomerSessionPayload(Payload, frozen=True, kw_only=True, gc=False):
    """``POST /v1/customer-sessions/``. Token and portal address are secrets, good for an hour."""

    kind: ClassVar[str] = "customer_session"

    id: UUID
    token: str
    expires_at: Timestamp
    customer_portal_url: str
    customer_id: UUID
    customer: CustomerPayload | None = None
    return_url: str | None = None
    created_at: Timestamp | None = None
    modified_at: Timestamp | None = None

    def __repr__(self) -> str:
        return f"CustomerSessionPayload(id={self.id!s}, token=<hidden>)"


class PortalCustomerPayload(Payload, frozen=True, kw_only=True, gc=False):
    """``/v1/customer-portal/customers/me``: what a customer may see of itself."""

    kind: ClassVar[str] = "portal_customer"

    id: UUID
    created_at: Timestamp
    modified_at: Timestamp | None = None
    email: str | None = None
    email_verified: bool = False
    type: str | None = None
    name: str | None = None
    billing_name: str | None = None
    billing_address: dict[str, Any] | None = None
    tax_id: list[Any] | None = None
    locale: str | None = None
    default_payment_method_id: UUID | None = None
    oauth_accounts: dict[str, Any] = {}


class PaymentMethodPayload(Payload, frozen=True, kw_only=True, gc=False):
    """A saved payment method. ``method_metadata`` is there for cards only."""

    kind: ClassVar[str] = "payment_method"

    id: UUID
    created_at: Timestamp
    type: str
    modified_at: Timestamp | None = None
    processor: str | None = None
    customer_id: UUID | None = None
    method_metadata: dict[str, Any] | None = None


class PaymentMethodSetupPayload(Payload, frozen=True, kw_only=True, gc=False):
    """The answer to adding or confirming a payment method.

    ``status`` is ``succeeded`` with a ``payment_method``, or ``requires_action`` with a
    ``client_secret`` for the browser to finish with.
    """

    kind: ClassVar[str] = "payment_method_setup"

    status: str
    client_secret: str | None = None
    payment_method: PaymentMethodPayload | None = None

    def __repr__(self) -> str:
        return f"PaymentMethodSetupPayload(status={self.status!r})"


class WebhookEndpointPayload(Payload, frozen=True, kw_only=True, gc=False):
    """``/v1/webhooks/endpoints``. ``enabled`` turns false after ten failed events in a row."""

    kind: ClassVar[str] = "webhook_endpoint"

    id: UUID
    url: str
    format: str
    events: list[str] = []
    enabled: bool = True
    name: str | None = None
    organization_id: UUID | None = None
    created_at: Timestamp | None = None
    modified_at: Timestamp | None = None
    secret: str | None = None

    def __repr__(self) -> str:
        return f"WebhookEndpointPayload(id={self.id!s}, secret=<hidden>)"


class WebhookDeliveredEventPayload(Payload, frozen=True, kw_only=True, gc=False):
    """The event inside a delivery; ``payload`` is its body as text, absent once archived."""

    kind: ClassVar[str] = "webhook_event"

    id: UUID
    created_at: Timestamp
    modified_at: Timestamp | None = None
    last_http_code: int | None = None
    succeeded: bool | None = None
    skipped: bool = False
    payload: str | None = None
    type: str | None = None
    is_archived: bool = False
    api_version: str | None = None

    def __repr__(self) -> str:
        return f"WebhookDeliveredEventPayload(id={self.id!s})"


class WebhookDeliveryPayload(Payload, frozen=True, kw_only=True, gc=False):
    """``/v1/webhooks/deliveries``: one attempt to deliver an event."""

    kind: ClassVar[str] = "webhook_delivery"

    id: UUID
    created_at: Timestamp
    succeeded: bool
    webhook_event: WebhookDeliveredEventPayload
    modified_at: Timestamp | None = None
    http_code: int | None = None
    response: str | None = None


class WebhookEnvelope(Payload, frozen=True, kw_only=True, gc=False):
    """The outside of every webhook body. ``data`` stays unread until ``type`` is known."""

    kind: ClassVar[str] = "webhook"

    type: str
    timestamp: Timestamp
    data: msgspec.Raw
    api_version: str | None = None

    def __repr__(self) -> str:
        return f"WebhookEnvelope(type={self.type!r}, timestamp={self.timestamp!s})"
