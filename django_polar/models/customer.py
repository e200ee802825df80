"""Polar's customers, and what they have with the merchant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models
from django.db.models.fields.json import KeyTransform

from .fields import ExactCharField
from .state import ActiveSubscription, GrantedBenefit
from .user_deletion import set_null_and_tell

if TYPE_CHECKING:
    from django_polar.conf import Named

EXTERNAL_ID_MAX_LENGTH = 750
"""MariaDB indexes 3072 bytes at most, four to a character; Polar itself sets no limit."""


class CustomerQuerySet(models.QuerySet["Customer"]):
    """Questions to the mirror. None of these makes a request."""

    def live(self) -> CustomerQuerySet:
        """Those that Polar still has."""
        return self.filter(deleted_at__isnull=True)

    def for_user(self, user: Any) -> CustomerQuerySet:
        """The customer of this user, or none."""
        if user is None or user.pk is None:
            return self.none()
        return self.filter(user_id=user.pk)

    def linked(self) -> CustomerQuerySet:
        """Those that belong to a user of this project."""
        return self.filter(user__isnull=False)

    def unlinked(self) -> CustomerQuerySet:
        """Those that belong to no user of this project, without the deleted ones."""
        return self.live().filter(user__isnull=True)

    def with_active_subscription(self, product_id: Named | None = None) -> CustomerQuerySet:
        """Those with an active or trialing subscription, to that product if one is given.

        ``product_id`` may be a name from ``POLAR_PRODUCTS``, or several of which one suffices.
        """
        subscriptions = ActiveSubscription.objects.filter(state_id=models.OuterRef("pk"))
        if product_id is not None:
            from django_polar.conf import ids_named  # noqa: PLC0415 - no part of start-up

            subscriptions = subscriptions.filter(product_id__in=ids_named("products", product_id))
        return self.filter(models.Exists(subscriptions))

    def with_benefit(
        self,
        benefit_id: Named | None = None,
        type: str | None = None,  # noqa: A002 - Polar's word, and part of the contract
        metadata: dict[str, Any] | None = None,
    ) -> CustomerQuerySet:
        """Those with a granted benefit for which everything given is true at once.

        ``benefit_id`` may be a name from ``POLAR_BENEFITS``, or several of which one suffices.
        ``metadata`` matches when the benefit's metadata has each of its keys with that value.
        """
        grants = GrantedBenefit.objects.filter(state_id=models.OuterRef("pk"))
        if benefit_id is not None:
            from django_polar.conf import ids_named  # noqa: PLC0415 - as above

            grants = grants.filter(benefit_id__in=ids_named("benefits", benefit_id))
        if type is not None:
            grants = grants.filter(benefit_type=type)
        for number, (key, value) in enumerate((metadata or {}).items()):
            # Not as a keyword: a key of Polar's may hold what Django takes for a lookup.
            name = f"metadata_{number}"
            grants = grants.alias(**{name: KeyTransform(key, "benefit_metadata")})
            grants = grants.filter(**{name: value})
        return self.filter(models.Exists(grants))

    def with_state(self) -> CustomerQuerySet:
        """With ``customer.state`` and its three sets of rows read beforehand: five queries."""
        return self.prefetch_related(
            "state__active_subscriptions",
            "state__granted_benefits",
            "state__active_meters",
        )


class Customer(models.Model):
    """One customer of the Polar organization that this project sells through.

    Written by the upsert alone. A customer that was deleted at Polar keeps its ids and dates and
    nothing else.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    organization_id = models.UUIDField()
    # Polar clears an external id on deletion and may hand it out again, so it is
    # indexed but not unique: a late event must not break the mirror.
    external_id = ExactCharField(max_length=EXTERNAL_ID_MAX_LENGTH, null=True, blank=True)
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=set_null_and_tell,
        null=True,
        blank=True,
        related_name="polar_customer",
    )
    type = models.CharField(max_length=255, null=True, blank=True)
    email = models.CharField(max_length=320, null=True, blank=True)
    email_verified = models.BooleanField(default=False)
    name = models.TextField(null=True, blank=True)
    billing_name = models.TextField(null=True, blank=True)
    billing_address = models.JSONField(null=True, blank=True)
    tax_id = models.JSONField(null=True, blank=True)
    locale = models.CharField(max_length=255, null=True, blank=True)
    avatar_url = models.TextField(null=True, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    default_payment_method_id = models.UUIDField(null=True, blank=True)
    first_user_event_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()
    modified_at = models.DateTimeField(null=True, blank=True)
    deleted_at = models.DateTimeField(null=True, blank=True)
    synced_at = models.DateTimeField(
        help_text="When Polar last told something new about this customer's profile."
    )
    raw = models.JSONField(
        default=dict, blank=True, help_text="Fields of Polar's that have no column here."
    )
    digest = models.BigIntegerField(
        default=0, editable=False, help_text="Of what Polar sent, to see whether it changed."
    )

    objects = CustomerQuerySet.as_manager()

    class Meta:
        verbose_name = "customer"
        verbose_name_plural = "customers"
        # One for each thing that the admin does at Polar's end or lets out of the house;
        # deleting at Polar is Django's own delete permission.
        permissions = (
            ("sync_customer", "Can sync customers from Polar"),
            ("refresh_customer", "Can refresh customers' state from Polar"),
            ("fetch_balance_customer", "Can fetch customers' balances from Polar"),
            ("compare_customer", "Can compare customers with Polar"),
            ("export_customer", "Can export customers"),
        )
        indexes = (
            models.Index(fields=["external_id"], name="polar_customer_external_id"),
            models.Index(fields=["email"], name="polar_customer_email"),
            models.Index(fields=["created_at"], name="polar_customer_created_at"),
        )

    def __str__(self) -> str:
        return self.external_id or str(self.id)


class CustomerBalance(models.Model):
    """What a customer has with the merchant, as last fetched: Polar sends no event for it."""

    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="balances")
    currency = models.CharField(max_length=16, help_text="ISO 4217, in lower case.")
    amount = models.BigIntegerField(
        help_text="In the currency's smallest unit; negative when the customer owes."
    )
    as_of = models.DateTimeField(help_text="When it was fetched.")

    class Meta:
        verbose_name = "customer balance"
        verbose_name_plural = "customer balances"
        constraints = (
            models.UniqueConstraint(
                fields=["customer", "currency"], name="polar_balance_one_per_currency"
            ),
        )

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"
