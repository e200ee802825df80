"""Webhook signatures, checked against the reference package and Polar's own validator."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from polar.base import PolarError as SDKError
from polar.webhooks import validate_event
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from django_polar.exceptions import SignatureError
from django_polar.signatures import sign, verify

NOW = datetime.now(UTC).replace(microsecond=0)
KEY = base64.b64encode(b"0123456789abcdef01234567").decode()
SECRETS = ("polar_whs_free text ü", f"whsec_{KEY}", "whsec_not!base64", KEY)
BODY = '{"type":"customer.updated","data":{"name":"Grüße 🚀"}}'.encode()


def delivery(body=BODY, *, secret=SECRETS[0], scheme="legacy", at=NOW, message_id="msg-1"):
    signature = sign(body, message_id=message_id, timestamp=at, secret=secret, scheme=scheme)
    return {
        "Webhook-Id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "WEBHOOK-SIGNATURE": signature,
    }


def accepts(headers, body=BODY, *, secrets=SECRETS[:1], now=NOW):
    try:
        return verify(body, headers, secrets=secrets, now=now) == "msg-1"
    except SignatureError:
        return False


@pytest.mark.parametrize("secret", SECRETS)
def test_the_legacy_scheme_is_accepted_for_every_secret(secret):
    """Whatever a secret looks like, its own bytes may be the key."""
    assert accepts(delivery(secret=secret), secrets=[secret])


@pytest.mark.parametrize("secret", [f"whsec_{KEY}", KEY, f"whsec_{KEY.rstrip('=')}"])
def test_the_standard_scheme_is_accepted_for_every_secret_that_is_base64(secret):
    """With the prefix or without, padded or not."""
    assert accepts(delivery(secret=secret, scheme="standard"), secrets=[secret])


@pytest.mark.parametrize("secret", [f"whsec_{KEY}", KEY])
def test_the_reference_library_signs_as_we_do(secret):
    """The standard scheme is the reference library's, for the same key."""
    reference = Webhook(secret).sign("msg-1", NOW, BODY.decode())

    assert delivery(secret=secret, scheme="standard")["WEBHOOK-SIGNATURE"] == reference
    Webhook(secret).verify(BODY, delivery(secret=secret, scheme="standard"))
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY, delivery(secret=secret, scheme="legacy"))


def test_the_legacy_scheme_is_the_reference_with_the_bytes_of_the_secret():
    """The reference library takes a key base64-encoded: here it is the whole secret."""
    secret = f"whsec_{KEY}"
    reference = Webhook(base64.b64encode(secret.encode()).decode())

    assert delivery(secret=secret)["WEBHOOK-SIGNATURE"] == reference.sign(
        "msg-1", NOW, BODY.decode()
    )


@pytest.mark.parametrize("scheme", ["legacy", "standard"])
@pytest.mark.parametrize("secret", [f"whsec_{KEY}", KEY])
def test_polars_own_validator_accepts_what_we_sign(scheme, secret):
    """Its verdict is ours for both schemes, and for a forged body."""
    headers = delivery(secret=secret, scheme=scheme)
    types = frozenset({"customer.updated"})

    assert validate_event(BODY, headers, secret, types, json.dumps)
    with pytest.raises(SDKError):
        validate_event(BODY + b" ", headers, secret, types, json.dumps)
    assert not accepts(headers, BODY + b" ", secrets=[secret])


def test_any_of_several_secrets_is_enough():
    """During a rotation the old and the new secret are both good."""
    headers = delivery(secret="new")

    assert accepts(headers, secrets=["old", "new"])
    assert not accepts(headers, secrets=["old", "older"])
    assert not accepts(headers, secrets=[])


def test_a_single_string_is_one_secret_and_not_its_letters():
    """A caller's slip must not turn a secret into keys of one letter."""
    assert accepts(delivery(secret="old"), secrets="old")
    assert not accepts(delivery(secret="o"), secrets="old")


def test_any_of_several_signatures_is_enough():
    """Polar signs with every valid secret and separates the signatures by blanks."""
    headers = delivery()
    signature = headers["WEBHOOK-SIGNATURE"]

    assert accepts(headers | {"WEBHOOK-SIGNATURE": f"v1,AAAA v2,x {signature}"})
    assert not accepts(headers | {"WEBHOOK-SIGNATURE": signature.replace("v1,", "v2,")})


@pytest.mark.parametrize(
    ("seconds", "accepted"), [(0, True), (300, True), (-300, True), (301, False), (-301, False)]
)
def test_five_minutes_are_tolerated_both_ways(seconds, accepted):
    """An older delivery may be a replay, a younger one a clock set wrong."""
    assert accepts(delivery(), now=NOW + timedelta(seconds=seconds)) is accepted


@pytest.mark.parametrize("name", ["Webhook-Id", "webhook-timestamp", "WEBHOOK-SIGNATURE"])
@pytest.mark.parametrize("value", [None, "", " ", "ü", "v1,", "\udcff", "1e9", "²", "9" * 400])
def test_missing_and_malformed_headers_are_refused(name, value):
    """Nothing that comes in a header raises anything but SignatureError."""
    headers = delivery()
    headers[name] = value
    if value is None:
        del headers[name]

    assert not accepts(headers)


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"x" * 20_000_000])
def test_any_bytes_can_be_signed(body):
    """The body is bytes to the signature: empty, broken and big ones too."""
    headers = delivery(body)

    assert accepts(headers, body)
    assert not accepts(headers, body[:-1] if body else b"x")


@pytest.mark.parametrize("message_id", ["msg-2", "msg-1.1"])
def test_the_id_and_the_time_are_signed_too(message_id):
    """A signature cannot be moved to another id or time."""
    headers = delivery()
    later = str(int(NOW.timestamp()) + 1)

    assert not accepts(headers | {"Webhook-Id": message_id})
    assert not accepts(headers | {"webhook-timestamp": later})


@pytest.mark.parametrize("secret", ["", "whsec_"])
def test_an_empty_secret_opens_nothing(secret):
    """An unset setting must not become a key that everybody knows."""
    headers = delivery(secret="x") | {"WEBHOOK-SIGNATURE": f"v1,{_hmac_of_nothing()}"}

    assert not accepts(headers, secrets=[secret])
    with pytest.raises(SignatureError):
        sign(BODY, message_id="m", timestamp=NOW, secret=secret, scheme="standard")


def _hmac_of_nothing():
    reference = Webhook(b"0")
    reference._whsecret = b""
    return reference.sign("msg-1", NOW, BODY.decode()).removeprefix("v1,")


def test_recorded_deliveries_verify(request):
    """Every delivery that a real Polar made is accepted, and refused when one byte differs."""
    directory = request.config.getoption("--polar-recordings")
    if not directory:
        pytest.skip("--polar-recordings was not given")
    secret = json.loads((Path(directory) / "endpoint_secret.json").read_text())
    secrets = [secret["prefix"] + secret["rest"]]
    recorded = sorted((Path(directory) / "webhooks").glob("*.json"))
    assert recorded
    for path in recorded:
        item = json.loads(path.read_text())
        body = base64.b64decode(item["body_base64"])
        headers = dict(item["headers"])
        now = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
        assert verify(body, headers, secrets=secrets, now=now) == headers["webhook-id"]
        with pytest.raises(SignatureError):
            verify(body[:-1] + b"]", headers, secrets=secrets, now=now)
