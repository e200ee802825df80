"""Polar's JSON as typed, immutable payloads. Pure: no Django, no network.

Reading is tolerant where Polar changes between releases: a field we do not know is kept in
``raw``, an enum value we do not know passes as the string it is. It is strict where the mirror
would be wrong: a missing id or a date that is none is a ``PayloadError`` that names the field and
never its value.

msgspec was chosen by measurement: ``make bench`` prints it beside pydantic and dataclasses.
"""

from .reading import ItemProblem, Page, decode, decode_page
from .shapes import (
    ACTIVE_SUBSCRIPTION_STATUSES,
    BalancePayload,
    BenefitGrantPayload,
    BenefitPayload,
    CustomerMeterPayload,
    CustomerPayload,
    CustomerSessionPayload,
    CustomerStatePayload,
    GrantedBenefitPayload,
    MeterPayload,
    Payload,
    PaymentMethodPayload,
    PaymentMethodSetupPayload,
    PortalCustomerPayload,
    SubscriptionListPayload,
    SubscriptionPayload,
    WalletPayload,
    WebhookDeliveredEventPayload,
    WebhookDeliveryPayload,
    WebhookEndpointPayload,
    WebhookEnvelope,
)

__all__ = [
    "ACTIVE_SUBSCRIPTION_STATUSES",
    "BalancePayload",
    "BenefitGrantPayload",
    "BenefitPayload",
    "CustomerMeterPayload",
    "CustomerPayload",
    "CustomerSessionPayload",
    "CustomerStatePayload",
    "GrantedBenefitPayload",
    "ItemProblem",
    "MeterPayload",
    "Page",
    "Payload",
    "PaymentMethodPayload",
    "PaymentMethodSetupPayload",
    "PortalCustomerPayload",
    "SubscriptionListPayload",
    "SubscriptionPayload",
    "WalletPayload",
    "WebhookDeliveredEventPayload",
    "WebhookDeliveryPayload",
    "WebhookEndpointPayload",
    "WebhookEnvelope",
    "decode",
    "decode_page",
]
