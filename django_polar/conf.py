"""The settings: one typed property each, read from Django's settings on every use.

``from django_polar.conf import settings`` and ``settings.timeout``; ``override_settings`` works
because nothing is cached. A wrong value raises ``ConfigurationError`` here and is a system check
with a stable id in ``checks``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.utils.module_loading import import_string

from .exceptions import ConfigurationError

if TYPE_CHECKING:
    from uuid import UUID

ENVIRONMENTS: Final = {
    "production": ("https://api.polar.sh", 500),
    "sandbox": ("https://sandbox-api.polar.sh", 100),
}
"""Base URL and requests per minute of each of Polar's environments."""

DASHBOARDS: Final = {
    "production": "https://polar.sh",
    "sandbox": "https://sandbox.polar.sh",
}

WHEN_STALE: Final = ("allow", "deny", "refresh")

UserFields = Callable[[Any], Mapping[str, Any]]
ExternalIdOfUser = Callable[[Any], str]
UsersOfExternalIds = Callable[[list[str]], Mapping[str, Any]]

Named: TypeAlias = "UUID | str | Iterable[UUID | str]"
"""One of Polar's ids, a name from the settings for one or several of them, or several of both."""

T = TypeVar("T")


class Settings:
    """``POLAR_*``. A property that is documented as required raises when it is missing."""

    @property
    def access_token(self) -> str:
        """``POLAR_ACCESS_TOKEN``: an organization access token. Required for API calls."""
        token = self._get("POLAR_ACCESS_TOKEN", None, (str, type(None)))
        if not token:
            raise ConfigurationError(
                "POLAR_ACCESS_TOKEN is not set. Create an organization access token in Polar's"
                " dashboard (Settings, Developers) and put it into your settings."
            )
        if token != token.strip() or not token.isascii():
            raise ConfigurationError(
                "POLAR_ACCESS_TOKEN has characters around it or in it that no token has;"
                " paste it again."
            )
        return str(token)

    @property
    def webhook_secrets(self) -> list[str]:
        """``POLAR_WEBHOOK_SECRET``: one secret, or several while they rotate. Required."""
        value = self._get("POLAR_WEBHOOK_SECRET", None, (str, list, tuple, type(None)))
        secrets = [value] if isinstance(value, str) else list(value or ())
        if not secrets or not all(isinstance(secret, str) and secret for secret in secrets):
            raise ConfigurationError(
                "POLAR_WEBHOOK_SECRET is not set. Copy the secret of the webhook endpoint in"
                " Polar's dashboard (Settings, Webhooks); a list of secrets works during rotation."
            )
        return secrets

    @property
    def environment(self) -> str:
        """``POLAR_ENVIRONMENT``: ``"production"`` or ``"sandbox"``."""
        value = self._get("POLAR_ENVIRONMENT", "production", (str,))
        if value not in ENVIRONMENTS:
            raise ConfigurationError(
                f"POLAR_ENVIRONMENT is {value!r}; use 'production' or 'sandbox'."
            )
        return str(value)

    @property
    def base_url(self) -> str:
        """``POLAR_BASE_URL``: any other server; by default that of the environment."""
        value = self._get("POLAR_BASE_URL", None, (str, type(None)))
        if value is None:
            return ENVIRONMENTS[self.environment][0]
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ConfigurationError(
                f"POLAR_BASE_URL is {value!r}; use a URL such as 'https://api.polar.sh',"
                " without the /v1."
            )
        if parts.query or parts.fragment or parts.path.rstrip("/").endswith("/v1"):
            raise ConfigurationError(
                "POLAR_BASE_URL ends in more than the server's address; leave out the /v1 and"
                " what follows a ? or #."
            )
        return str(value.rstrip("/"))

    @property
    def api_version(self) -> str:
        """``POLAR_API_VERSION``: sent as ``Polar-Version`` with every request."""
        return str(self._get("POLAR_API_VERSION", "2026-04", (str,)))

    @property
    def organization_id(self) -> str | None:
        """``POLAR_ORGANIZATION_ID``: needed only with a personal access token."""
        from uuid import UUID  # noqa: PLC0415 - on use, as everything here

        value: str | UUID | None = self._get("POLAR_ORGANIZATION_ID", None, (str, UUID, type(None)))
        if value is None:
            return None
        try:
            return str(UUID(str(value)))
        except ValueError as error:
            raise ConfigurationError(
                "POLAR_ORGANIZATION_ID is not a UUID; copy it from the organization's settings."
            ) from error

    @property
    def external_id(self) -> ExternalIdOfUser:
        """``POLAR_EXTERNAL_ID``: dotted path of ``callable(user) -> str``; the pk by default."""
        return self._callable("POLAR_EXTERNAL_ID", _external_id_from_pk)

    @property
    def user_from_external_id(self) -> UsersOfExternalIds:
        """``POLAR_USER_FROM_EXTERNAL_ID``: its inverse, in bulk.

        ``callable(list[str]) -> dict[str, user pk]``; external ids of no user are left out.
        """
        return self._callable("POLAR_USER_FROM_EXTERNAL_ID", _users_by_pk)

    @property
    def customer_fields(self) -> UserFields:
        """``POLAR_CUSTOMER_FIELDS``: dotted path of ``callable(user) -> dict`` for Polar."""
        return self._callable("POLAR_CUSTOMER_FIELDS", _email_and_name)

    @property
    def create_on_user_creation(self) -> bool:
        """``POLAR_CREATE_ON_USER_CREATION``"""
        return self._flag("POLAR_CREATE_ON_USER_CREATION", default=False)

    @property
    def update_on_user_change(self) -> bool:
        """``POLAR_UPDATE_ON_USER_CHANGE``"""
        return self._flag("POLAR_UPDATE_ON_USER_CHANGE", default=False)

    @property
    def delete_on_user_deletion(self) -> bool:
        """``POLAR_DELETE_ON_USER_DELETION``"""
        return self._flag("POLAR_DELETE_ON_USER_DELETION", default=True)

    @property
    def anonymize_on_deletion(self) -> bool:
        """``POLAR_ANONYMIZE_ON_DELETION``"""
        return self._flag("POLAR_ANONYMIZE_ON_DELETION", default=True)

    @property
    def adopt_by_email(self) -> Callable[[Any], bool] | None:
        """``POLAR_ADOPT_BY_EMAIL``: dotted path of ``callable(user) -> bool``; ``None`` is never.

        Says whether this user may take over an unlinked customer with the same email. Answer
        true only for a verified address, or whoever registers with a victim's address inherits
        what the victim paid for.
        """
        if self._get("POLAR_ADOPT_BY_EMAIL", None, object) is None:
            return None
        return self._callable("POLAR_ADOPT_BY_EMAIL", bool)

    @property
    def requests_per_minute(self) -> int:
        """``POLAR_REQUESTS_PER_MINUTE``: the budget that all processes share."""
        default = ENVIRONMENTS[self.environment][1]
        value = self._get("POLAR_REQUESTS_PER_MINUTE", default, (int,))
        if isinstance(value, bool) or value < 1:
            raise ConfigurationError("POLAR_REQUESTS_PER_MINUTE must be a whole number above 0.")
        return int(value)

    @property
    def rate_limit_storage(self) -> str:
        """``POLAR_RATE_LIMIT_STORAGE``: where the budget is counted, as a ``limits`` URL.

        ``memory://`` counts per process; ``redis://host:6379/0`` is shared by all of them.
        """
        return str(self._get("POLAR_RATE_LIMIT_STORAGE", "memory://", (str,)))

    @property
    def timeout(self) -> timedelta:
        """``POLAR_TIMEOUT``: of one request; a ``timedelta`` or seconds."""
        return self._duration("POLAR_TIMEOUT", timedelta(seconds=10))

    @property
    def event_retention(self) -> timedelta:
        """``POLAR_EVENT_RETENTION``: stored webhook bodies are pruned after; days if a number."""
        return self._duration("POLAR_EVENT_RETENTION", timedelta(days=90), unit="days")

    @property
    def max_deleted_share(self) -> float:
        """``POLAR_MAX_DELETED_SHARE``: a sync that would delete more of the mirror stops."""
        value = self._get("POLAR_MAX_DELETED_SHARE", 0.2, (int, float))
        if isinstance(value, bool) or not 0 <= value <= 1:
            raise ConfigurationError("POLAR_MAX_DELETED_SHARE must be a number from 0 to 1.")
        return float(value)

    @property
    def webhook_max_body_bytes(self) -> int:
        """``POLAR_WEBHOOK_MAX_BODY_BYTES``: larger deliveries are refused before they are read."""
        value = self._get("POLAR_WEBHOOK_MAX_BODY_BYTES", 1024 * 1024, (int,))
        if isinstance(value, bool) or value < 1:
            raise ConfigurationError("POLAR_WEBHOOK_MAX_BODY_BYTES must be above 0.")
        return int(value)

    @property
    def queue_max_attempts(self) -> int:
        """``POLAR_QUEUE_MAX_ATTEMPTS``: after so many failures queued work needs a person."""
        value = self._get("POLAR_QUEUE_MAX_ATTEMPTS", 20, (int,))
        if isinstance(value, bool) or value < 1:
            raise ConfigurationError("POLAR_QUEUE_MAX_ATTEMPTS must be above 0.")
        return int(value)

    @property
    def products(self) -> Mapping[str, frozenset[UUID]]:
        """``POLAR_PRODUCTS``: names of your own for products: ``{"pro": "<id>"}``.

        One name may stand for several ids, as for a monthly and a yearly product.
        """
        return self._names("POLAR_PRODUCTS")

    @property
    def benefits(self) -> Mapping[str, frozenset[UUID]]:
        """``POLAR_BENEFITS``: names of your own for benefits, as for products."""
        return self._names("POLAR_BENEFITS")

    @property
    def meters(self) -> Mapping[str, frozenset[UUID]]:
        """``POLAR_METERS``: names of your own for meters, as for products."""
        return self._names("POLAR_METERS")

    @property
    def entitlement_max_age(self) -> timedelta | None:
        """``POLAR_ENTITLEMENT_MAX_AGE``: an older state is stale; by default none ever is."""
        if getattr(django_settings, "POLAR_ENTITLEMENT_MAX_AGE", None) is None:
            return None
        return self._duration("POLAR_ENTITLEMENT_MAX_AGE", timedelta(hours=1))

    @property
    def entitlement_when_stale(self) -> str:
        """``POLAR_ENTITLEMENT_WHEN_STALE``: what a stale state does.

        ``"allow"`` believes it, ``"deny"`` does not, and ``"refresh"`` believes it and has it
        refreshed in the background.
        """
        value = self._get("POLAR_ENTITLEMENT_WHEN_STALE", "allow", (str,))
        if value not in WHEN_STALE:
            raise ConfigurationError(
                f"POLAR_ENTITLEMENT_WHEN_STALE is {value!r}; use 'allow', 'deny' or 'refresh'."
            )
        return str(value)

    @property
    def return_url_hosts(self) -> frozenset[str]:
        """``POLAR_RETURN_URL_HOSTS``: other hosts that Polar's portal may send users back to.

        The host of the request itself is always allowed.
        """
        value = self._get("POLAR_RETURN_URL_HOSTS", (), (list, tuple, set, frozenset))
        if not all(isinstance(host, str) and host and "/" not in host for host in value):
            raise ConfigurationError(
                "POLAR_RETURN_URL_HOSTS must be a list of hosts such as 'app.example.com'."
            )
        return frozenset(value)

    @property
    def dashboard_url(self) -> str:
        """Polar's dashboard in this environment."""
        return DASHBOARDS[self.environment]

    def _get(self, name: str, default: Any, types: Any) -> Any:
        value = getattr(django_settings, name, default)
        if not isinstance(value, types):
            expected = " or ".join(
                t.__name__ for t in (types if isinstance(types, tuple) else (types,))
            ).replace("NoneType", "None")
            raise ConfigurationError(f"{name} must be {expected}, not {type(value).__name__}.")
        return value

    def _flag(self, name: str, *, default: bool) -> bool:
        return bool(self._get(name, default, (bool,)))

    def _duration(self, name: str, default: timedelta, *, unit: str = "seconds") -> timedelta:
        value = self._get(name, default, (timedelta, int, float))
        duration = value if isinstance(value, timedelta) else timedelta(**{unit: value})
        if duration <= timedelta(0):
            raise ConfigurationError(f"{name} must be longer than nothing.")
        return duration

    def _names(self, name: str) -> Mapping[str, frozenset[UUID]]:
        from uuid import UUID  # noqa: PLC0415 - on use, as everything here

        names: dict[str, frozenset[UUID]] = {}
        for key, value in self._get(name, {}, (Mapping,)).items():
            ids = value if isinstance(value, (list, tuple, set, frozenset)) else [value]
            try:
                names[key] = frozenset(UUID(str(each)) for each in ids)
            except ValueError as error:
                raise ConfigurationError(f"{name}[{key!r}] is not an id of Polar's.") from error
        return names

    def _callable(self, name: str, default: Callable[..., T]) -> Callable[..., T]:
        value = getattr(django_settings, name, None)
        if value is None:
            return default
        if isinstance(value, str):
            try:
                value = import_string(value)
            except ImportError as error:
                raise ConfigurationError(f"{name}: {error}") from error
        if not callable(value):
            raise ConfigurationError(f"{name} must be the dotted path of a callable.")
        found: Callable[..., T] = value
        return found


settings = Settings()


def ids_named(setting: str, named: Named) -> frozenset[UUID]:
    """The ids that a name from ``POLAR_PRODUCTS``, an id, or several of both stand for.

    ``setting`` is ``"products"``, ``"benefits"`` or ``"meters"``.

    Raises:
        ConfigurationError: it is neither an id nor a name in the setting.
    """
    from uuid import UUID  # noqa: PLC0415 - on use, as everything here

    if isinstance(named, UUID):
        return frozenset((named,))
    if not isinstance(named, str):
        return frozenset().union(*(ids_named(setting, each) for each in named))
    names: Mapping[str, frozenset[UUID]] = getattr(settings, setting)
    if named in names:
        return names[named]
    try:
        return frozenset((UUID(named),))
    except ValueError as error:
        raise ConfigurationError(
            f"{named!r} is no id of Polar's, and POLAR_{setting.upper()} has no such name."
        ) from error


def _external_id_from_pk(user: Any) -> str:
    return str(user.pk)


def _users_by_pk(external_ids: list[str]) -> dict[str, Any]:
    """One query. An external id that is no value of the pk's type belongs to no user."""
    from django.contrib.auth import get_user_model  # noqa: PLC0415 - needs the apps to be ready
    from django.core.exceptions import ValidationError  # noqa: PLC0415 - with it

    user_model = get_user_model()
    pk_field = user_model._meta.pk
    by_pk: dict[Any, str] = {}
    for external_id in external_ids:
        try:
            pk = pk_field.to_python(external_id)
            pk_field.run_validators(pk)
        except (ValidationError, OverflowError):
            continue
        # "007" and "7" are one integer, but only one of them is what str(user.pk) gives.
        if str(pk) == external_id:
            by_pk[pk] = external_id
    found = user_model._default_manager.filter(pk__in=by_pk).values_list("pk", flat=True)
    return {by_pk[pk]: pk for pk in found if pk in by_pk}


def _email_and_name(user: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if email := getattr(user, user.get_email_field_name(), None):
        fields["email"] = email
    get_full_name = getattr(user, "get_full_name", None)
    if get_full_name and (name := get_full_name()):
        fields["name"] = name
    return fields
