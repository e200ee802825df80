"""One user's customer: found, made, changed, deleted and looked at, at Polar and here.

Every answer of Polar's goes through the upsert, so that the mirror is right when these return.
None of this belongs into a database transaction: it waits for Polar.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django_polar.client import polar_client
from django_polar.conf import settings
from django_polar.exceptions import (
    ConfigurationError,
    CustomerConflictError,
    DeletionPendingError,
    InvalidRequestError,
    NotFoundError,
)
from django_polar.models import Customer, CustomerDeletion, CustomerState, LinkConflict

from . import mirror, outbox, states

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from django_polar.client import PolarClient
    from django_polar.payloads import CustomerPayload, CustomerStatePayload

_TAKEN = "already exists"


def get_or_create_customer(user: Any, *, client: PolarClient | None = None) -> Customer:
    """The user's customer: the mirror's, else Polar's, else a new one.

    May be called any number of times, by any number of processes at once.

    Raises:
        CustomerConflictError: Polar has a customer with this email that the user may not take
            over. Recorded as a ``LinkConflict`` for a person to decide.
        DeletionPendingError: the customer that Polar has by this external id is being deleted.
        InvalidRequestError: Polar refuses what ``POLAR_CUSTOMER_FIELDS`` gives.
    """
    if customer := Customer.objects.live().for_user(user).first():
        return customer
    external_id = external_id_of(user)
    with use_client(client) as polar:
        try:
            payload = polar.customers.get_external(external_id)
        except NotFoundError:
            payload = _create(polar, user, external_id)
            if not type(user)._base_manager.filter(pk=user.pk).exists():
                _undo_creation(payload)
    return take_in(payload, user)


def update_customer(user: Any, *, client: PolarClient | None = None, **fields: Any) -> Customer:
    """Change these fields of the user's customer, at Polar and here.

    Raises:
        NotFoundError: Polar has no customer for this user.
        InvalidRequestError: Polar refuses a value.
    """
    known = Customer.objects.live().for_user(user).first()
    with use_client(client) as polar:
        if known is None:
            payload = polar.customers.update_external(external_id_of(user), **fields)
        else:
            try:
                payload = polar.customers.update(known.pk, **fields)
            except NotFoundError:
                mirror.mark_deleted([known.pk], deleted_at=mirror.utc_now())
                raise
    return take_in(payload, user)


def delete_customer(external_id: str, *, anonymize: bool = True) -> CustomerDeletion:
    """Forget the person here and now, and have Polar delete the customer soon.

    Queued: it is done when the ``CustomerDeletion`` says so, whatever becomes of this process.
    """
    return outbox.request_deletion(external_id=external_id, anonymize=anonymize)


def sync_customer(external_id: str, *, client: PolarClient | None = None) -> Customer | None:
    """Make the mirror match what Polar has by this external id now: profile and state.

    ``None`` when Polar has no such customer, or when its deletion is waiting to be sent.
    """
    if CustomerDeletion.objects.filter(external_id=external_id, done_at=None).exists():
        return None
    with use_client(client) as polar:
        observed_at = polar.server_time()
        try:
            payload = polar.customers.get_state_external(external_id)
        except NotFoundError:
            gone = Customer.objects.live().filter(external_id=external_id)
            mirror.mark_deleted(list(gone.values_list("pk", flat=True)), deleted_at=observed_at)
            return None
    return _take_in_state(payload, observed_at)


def refresh_state(external_id: str, *, client: PolarClient | None = None) -> CustomerState | None:
    """Fetch the state anew; what it is now, or ``None`` when there is no such customer.

    Polar itself refreshes what it answers a little after a change.
    """
    customer = sync_customer(external_id, client=client)
    return CustomerState.objects.get(pk=customer.pk) if customer else None


def refresh_customer(customer: Customer, *, client: PolarClient | None = None) -> Customer | None:
    """``sync_customer`` for one of the mirror's, which need not have an external id."""
    if customer.deleted_at is not None:
        return None
    with use_client(client) as polar:
        observed_at = polar.server_time()
        try:
            payload = polar.customers.get_state(customer.pk)
        except NotFoundError:
            mirror.mark_deleted([customer.pk], deleted_at=observed_at)
            return None
    return _take_in_state(payload, observed_at)


def _take_in_state(payload: CustomerStatePayload, observed_at: datetime) -> Customer | None:
    states.take_answer(payload, observed_at=observed_at)
    return Customer.objects.live().filter(pk=payload.id).first()


def adopt_customer(conflict: LinkConflict, *, client: PolarClient | None = None) -> Customer:
    """A person decided that the customer with the same email is the user's.

    Raises:
        InvalidRequestError: it has got another external id, which Polar lets nobody change.
    """
    external_id = external_id_of(conflict.user)
    with use_client(client) as polar:
        payload = polar.customers.update(conflict.customer_id, external_id=external_id)
    customer = take_in(payload, conflict.user)
    _resolve(conflict, LinkConflict.Resolution.ADOPTED)
    return customer


def dismiss_conflict(conflict: LinkConflict) -> None:
    """A person decided that they do not belong together."""
    _resolve(conflict, LinkConflict.Resolution.DISMISSED)


def external_id_of(user: Any) -> str:
    external_id = settings.external_id(user)
    if not external_id:
        raise ConfigurationError("POLAR_EXTERNAL_ID gives nothing for this user")
    return external_id


def customer_fields_of(user: Any) -> dict[str, Any]:
    """What ``POLAR_CUSTOMER_FIELDS`` gives."""
    try:
        return dict(settings.customer_fields(user))
    except Exception as error:  # noqa: BLE001 - the project's code
        # Not `from error`: what it says may be personal.
        raise ConfigurationError(f"POLAR_CUSTOMER_FIELDS failed ({type(error).__name__})") from None


def take_in(payload: CustomerPayload, user: Any) -> Customer:
    """An answer about the user's customer into the mirror, linked to the user."""
    mirror.upsert_customers([payload], observed_at=mirror.utc_now())
    customer = Customer.objects.filter(pk=payload.id).first()
    if customer is None or customer.deleted_at is not None:
        raise DeletionPendingError(f"customer {payload.id} is being deleted")
    if customer.user_id != user.pk and payload.external_id:
        # It was in the mirror before there was such a user.
        mirror.link_users({payload.id: payload.external_id})
        customer.refresh_from_db()
    return customer


@contextmanager
def use_client(client: PolarClient | None) -> Iterator[PolarClient]:
    """The caller's client, which stays open, or one from the settings."""
    if client is not None:
        yield client
    else:
        with polar_client() as own:
            yield own


def _create(client: PolarClient, user: Any, external_id: str) -> CustomerPayload:
    fields = customer_fields_of(user)
    try:
        return client.customers.create(**fields, external_id=external_id)
    except InvalidRequestError as error:
        if error.has("external_id", _TAKEN):
            # Somebody else was faster, maybe we ourselves.
            return client.customers.get_external(external_id)
        if not error.has("email", _TAKEN):
            raise
        return _adopt(client, user, external_id, str(fields.get("email", "")), error)


def _undo_creation(payload: CustomerPayload) -> None:
    """The user was deleted while Polar made the customer, too early for that deletion to know."""
    mirror.record_deleted([payload], observed_at=payload.created_at)
    outbox.request_deletion(
        external_id=payload.external_id,
        customer_id=payload.id,
        reason=CustomerDeletion.Reason.USER_DELETED,
    )


def _adopt(
    client: PolarClient, user: Any, external_id: str, email: str, error: InvalidRequestError
) -> CustomerPayload:
    """The email is taken. Never by who asks, unless the project vouches for the address."""
    holders = client.customers.list(email=email).items
    holder = next((c for c in holders if (c.email or "").lower() == email.lower()), None)
    if holder is None:
        raise error
    if holder.external_id == external_id:
        return holder
    may_adopt = settings.adopt_by_email
    if holder.external_id is None and may_adopt is not None and may_adopt(user):
        return client.customers.update(holder.id, external_id=external_id)
    reason = (
        "The customer has another external id."
        if holder.external_id
        else "POLAR_ADOPT_BY_EMAIL does not let this user take over the customer."
    )
    LinkConflict.objects.get_or_create(
        user=user, customer_id=holder.id, defaults={"reason": reason}
    )
    raise CustomerConflictError(f"customer {holder.id} has the same email. {reason}")


def _resolve(conflict: LinkConflict, resolution: str) -> None:
    conflict.resolved_at = mirror.utc_now()
    conflict.resolution = resolution
    conflict.save(update_fields=["resolved_at", "resolution"])
