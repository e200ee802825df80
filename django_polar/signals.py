"""The signals this package sends, after the change is committed to the mirror.

Each is sent once per change, whether the change came by a sync, a webhook or a refresh. The
sender is ``Customer``.
"""

from django.dispatch import Signal

customer_synced = Signal()
"""``customer``, ``created: bool``: the profile is new or changed."""

customer_state_changed = Signal()
"""``customer``, ``before: CustomerStateSnapshot``, ``after: CustomerStateSnapshot``."""

subscription_started = Signal()
"""``customer``, ``subscription: ActiveSubscription``."""

subscription_ended = Signal()
"""``customer``, ``subscription: ActiveSubscription``, no longer in the database."""

benefit_granted = Signal()
"""``customer``, ``benefit: GrantedBenefit``."""

benefit_revoked = Signal()
"""``customer``, ``benefit: GrantedBenefit``, no longer in the database."""

customer_deleted = Signal()
"""``customer``: Polar no longer has it."""

customer_state_stale = Signal()
"""``customer_id: UUID``, ``external_id: str``: its state was asked for and is older than allowed.

Sent outside of any change, at most once a minute for a customer, where the policy says refresh.
"""

webhook_received = Signal()
"""``event: WebhookEvent``: stored, not yet applied. Of any type, also unknown ones."""
