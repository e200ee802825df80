"""Recorded exchanges with a real Polar server, where ``--polar-recordings PATH`` says they are."""

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Exchange:
    name: str
    method: str
    path: str
    authorization: str
    body: object
    status: int
    response_headers: list[tuple[str, str]]
    response_body: bytes


def recorded_exchanges(config: pytest.Config) -> list[Exchange]:
    """All of them, by name; skips the test where there are none."""
    directory = config.getoption("--polar-recordings", default=None)
    if not directory:
        pytest.skip("needs --polar-recordings PATH")
    files = sorted(Path(directory).glob("*.json"))
    found = [_load(data) for data in map(_read, files) if "request" in data and "response" in data]
    assert found, f"no recordings in {directory}"
    return found


def _read(file: Path) -> dict:
    return json.loads(file.read_text())


def _load(data: dict) -> Exchange:
    request, response = data["request"], data["response"]
    return Exchange(
        name=data["name"],
        method=request["method"],
        path=request["path"],
        authorization=request["headers"].get("Authorization", ""),
        body=request["body"],
        status=response["status"],
        response_headers=[(name, value) for name, value in response["headers"]],
        response_body=(response["body_raw"] or "").encode(),
    )


def recorded_deliveries(config: pytest.Config) -> list[tuple[str, bytes]]:
    """Names and exact bodies of the recorded webhook deliveries; skips where there are none."""
    directory = config.getoption("--polar-recordings", default=None)
    if not directory:
        pytest.skip("needs --polar-recordings PATH")
    found = [_read(file) for file in sorted((Path(directory) / "webhooks").glob("*.json"))]
    bodies = [(d["name"], base64.b64decode(d["body_base64"])) for d in found if "body_base64" in d]
    assert bodies, f"no deliveries in {directory}"
    return bodies


@dataclass(frozen=True)
class Delivery:
    """One recorded webhook delivery, as it came."""

    name: str
    headers: dict[str, str]
    body: bytes
    received_at: datetime


def signed_deliveries(config: pytest.Config) -> tuple[list[Delivery], str]:
    """In the order in which they came, with the secret that signed them."""
    directory = config.getoption("--polar-recordings", default=None)
    if not directory:
        pytest.skip("needs --polar-recordings PATH")
    found = [_read(file) for file in sorted((Path(directory) / "webhooks").glob("*.json"))]
    deliveries = [
        Delivery(
            name=data["name"],
            headers=dict(data["headers"]),
            body=base64.b64decode(data["body_base64"]),
            received_at=datetime.fromtimestamp(data["received_at"], UTC),
        )
        for data in sorted(
            (data for data in found if "body_base64" in data), key=lambda data: data["seq"]
        )
    ]
    assert deliveries, f"no deliveries in {directory}"
    secret = _read(Path(directory) / "endpoint_secret.json")
    return deliveries, secret["prefix"] + secret["rest"]
