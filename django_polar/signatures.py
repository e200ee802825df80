"""Webhook signatures: HMAC-SHA256 over ``{id}.{timestamp}.{body}``, both of Polar's key schemes.

Pure: standard library only, and the time is a parameter.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from django_polar.exceptions import SignatureError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

Scheme = Literal["legacy", "standard"]

TOLERANCE = timedelta(minutes=5)
_STANDARD_PREFIX = "whsec_"
# Seconds since 1970 have ten digits until the year 2286; anything much longer is an attack.
_TIMESTAMP_DIGITS = 12


def sign(
    body: bytes, *, message_id: str, timestamp: datetime, secret: str, scheme: Scheme = "legacy"
) -> str:
    """The value of ``webhook-signature`` for one delivery, e.g. ``v1,K5oZ…=``.

    Raises:
        SignatureError: the secret holds no key of this scheme.
    """
    key = _legacy_key(secret) if scheme == "legacy" else _standard_key(secret)
    if not key:
        raise SignatureError(f"The webhook secret holds no key of the {scheme} scheme")
    signed = _signed_content(body, message_id, str(int(timestamp.timestamp())))
    return f"v1,{_digest(key, signed).decode()}"


def verify(
    body: bytes,
    headers: Mapping[str, str],
    *,
    secrets: Iterable[str],
    now: datetime,
    tolerance: timedelta = TOLERANCE,
) -> str:
    """The ``webhook-id`` of a delivery that was signed with one of ``secrets``.

    A secret does not tell which scheme it belongs to (both may start with ``whsec_``), so
    every secret is tried as both.

    Raises:
        SignatureError: a header is missing or malformed, the delivery is too old or from the
            future, or no signature fits.
    """
    message_id, timestamp, signatures = _read_headers(headers)
    sent = _read_timestamp(timestamp)
    if abs(now.timestamp() - sent) > tolerance.total_seconds():
        raise SignatureError("webhook-timestamp: outside the tolerance")

    # A string is an iterable of one-letter secrets: the worst possible reading of it.
    candidates = (secrets,) if isinstance(secrets, str) else tuple(secrets)
    signed = _signed_content(body, message_id, timestamp)
    fits = False
    for secret in candidates:
        for key in {_legacy_key(secret), _standard_key(secret)} - {b""}:
            expected = _digest(key, signed)
            for signature in signatures:
                # No early exit: how long this takes tells nothing about which one fitted.
                fits |= hmac.compare_digest(expected, signature)
    if not fits:
        raise SignatureError("webhook-signature: no signature fits any of our secrets")
    return message_id


def _read_headers(headers: Mapping[str, str]) -> tuple[str, str, list[bytes]]:
    by_name = {name.lower(): value for name, value in headers.items()}
    values = []
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        value = by_name.get(name, "")
        if not value:
            raise SignatureError(f"{name}: missing")
        values.append(value)
    message_id, timestamp, signature_header = values
    signatures = [
        signature.encode("utf-8", "surrogateescape")
        for version, _, signature in (part.partition(",") for part in signature_header.split(" "))
        if version == "v1" and signature
    ]
    if not signatures:
        raise SignatureError("webhook-signature: no v1 signature")
    return message_id, timestamp, signatures


def _read_timestamp(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= _TIMESTAMP_DIGITS):
        raise SignatureError("webhook-timestamp: not a number of seconds")
    return int(value)


def _signed_content(body: bytes, message_id: str, timestamp: str) -> bytes:
    return b".".join(
        (message_id.encode("utf-8", "surrogateescape"), timestamp.encode("ascii"), body)
    )


def _digest(key: bytes, content: bytes) -> bytes:
    return base64.b64encode(hmac.new(key, content, hashlib.sha256).digest())


def _legacy_key(secret: str) -> bytes:
    """Before 2026-09-08: the bytes of the whole secret, its prefix included."""
    return secret.encode("utf-8", "surrogateescape")


def _standard_key(secret: str) -> bytes:
    """Standard Webhooks: what follows ``whsec_``, base64-decoded; empty where it is not base64."""
    encoded = secret.removeprefix(_STANDARD_PREFIX)
    padded = encoded + "=" * (-len(encoded) % 4)
    try:
        return base64.b64decode(padded, validate=True)
    except (binascii.Error, ValueError):
        return b""
