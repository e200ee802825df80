"""What a customer has now: Polar's CustomerState, as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

if TYPE_CHECKING:
    from uuid import UUID


class CustomerState(models.Model):
    """The head of a customer's state; its parts are ``active_subscriptions``,
    ``granted_benefits`` and ``active_meters``.

    Every part is guarded by its own evidence, so that events may come in any order: a part that
    is there carries ``synced_at``; a part that went away is remembered in ``removals`` for as long
    as Polar might still tell old news of it.
    """

    customer = models.OneToOneField(
        "django_polar.Customer",
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="state",
    )
    as_of = models.DateTimeField(
        null=True, blank=True, help_text="When the whole state was last seen by itself."
    )
    removals = models.JSONField(
        default=dict,
        blank=True,
        editable=False,
        help_text="Ids of parts that ended after as_of, and when.",
    )
    confirm_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="When to ask Polar again, because what events said leaves a doubt.",
    )

    class Meta:
        verbose_name = "customer state"
        verbose_name_plural = "customer states"
        indexes = (models.Index(fields=["confirm_at"], name="polar_state_confirm_at"),)

    def __str__(self) -> str:
        return str(self.pk)


class StateItem(models.Model):
    """A part of a customer's state. Written by the upsert alone."""

    if TYPE_CHECKING:
        state_id: UUID
    id = models.UUIDField(primary_key=True, editable=False)
    created_at = models.DateTimeField()
    modified_at = models.DateTimeField(null=True, blank=True)
    synced_at = models.DateTimeField(help_text="When Polar last told something new about this.")
    raw = models.JSONField(
        default=dict, blank=True, help_text="Fields of Polar's that have no column here."
    )
    digest = models.BigIntegerField(
        default=0, editable=False, help_text="Of what Polar sent, to see whether it changed."
    )

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return str(self.pk)


class ActiveSubscription(StateItem):
    """A subscription that is active or trialing. Gone from here when it is neither."""

    state = models.ForeignKey(
        CustomerState,
        on_delete=models.CASCADE,
        db_column="customer_id",
        related_name="active_subscriptions",
    )
    status = models.CharField(max_length=255)
    amount = models.BigIntegerField(help_text="In the currency's smallest unit.")
    currency = models.CharField(max_length=255)
    recurring_interval = models.CharField(max_length=255, null=True, blank=True)
    current_period_start = models.DateTimeField(null=True, blank=True)
    current_period_end = models.DateTimeField(null=True, blank=True)
    trial_start = models.DateTimeField(null=True, blank=True)
    trial_end = models.DateTimeField(null=True, blank=True)
    cancel_at_period_end = models.BooleanField(default=False)
    canceled_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    ends_at = models.DateTimeField(null=True, blank=True)
    product_id = models.UUIDField(db_index=True)
    discount_id = models.UUIDField(null=True, blank=True)
    price_id = models.UUIDField(
        null=True, blank=True, help_text="Deprecated by Polar; one of the prices."
    )
    seats = models.BigIntegerField(null=True, blank=True)
    units = models.BigIntegerField(null=True, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    custom_field_data = models.JSONField(default=dict, blank=True)
    meters = models.JSONField(default=list, blank=True)

    class Meta:
        verbose_name = "active subscription"
        verbose_name_plural = "active subscriptions"


class GrantedBenefit(StateItem):
    """A benefit that is granted now; ``id`` is the grant's, ``benefit_id`` the benefit's."""

    state = models.ForeignKey(
        CustomerState,
        on_delete=models.CASCADE,
        db_column="customer_id",
        related_name="granted_benefits",
    )
    granted_at = models.DateTimeField(null=True, blank=True)
    benefit_id = models.UUIDField(db_index=True)
    benefit_type = models.CharField(max_length=255)
    benefit_metadata = models.JSONField(default=dict, blank=True)
    properties = models.JSONField(default=dict, blank=True)

    class Meta:
        verbose_name = "granted benefit"
        verbose_name_plural = "granted benefits"


class ActiveMeter(StateItem):
    """A customer's meter; ``id`` is the customer meter's, ``meter_id`` the meter's."""

    state = models.ForeignKey(
        CustomerState,
        on_delete=models.CASCADE,
        db_column="customer_id",
        related_name="active_meters",
    )
    meter_id = models.UUIDField()
    consumed_units = models.FloatField()
    credited_units = models.FloatField()
    balance = models.FloatField(help_text="Credited minus consumed units; may be negative.")

    class Meta:
        verbose_name = "active meter"
        verbose_name_plural = "active meters"
