"""What a user is entitled to, answered from the mirror alone: no request, no N+1.

The first question about a user costs one query, further ones none: what was read stays on the
user object. A user whose customer was prefetched with its state costs none at all.

Prefer benefits to subscriptions when you decide about access. With a grace period, Polar keeps
benefits granted while a subscription is past due, and a one-time purchase grants benefits without
any subscription.
"""

from .access import benefit_required, subscription_required
from .mixins import BenefitRequiredMixin, SubscriptionRequiredMixin
from .questions import (
    aget_entitlements,
    ahas_active_subscription,
    ahas_benefit,
    ameter_balance,
    forget_entitlements,
    get_entitlements,
    has_active_subscription,
    has_benefit,
    load_entitlements,
    meter_balance,
)
from .snapshot import Benefit, Entitlements, Subscription

__all__ = [
    "Benefit",
    "BenefitRequiredMixin",
    "Entitlements",
    "Subscription",
    "SubscriptionRequiredMixin",
    "aget_entitlements",
    "ahas_active_subscription",
    "ahas_benefit",
    "ameter_balance",
    "benefit_required",
    "forget_entitlements",
    "get_entitlements",
    "has_active_subscription",
    "has_benefit",
    "load_entitlements",
    "meter_balance",
    "subscription_required",
]
