"""What a real Polar answered, the fake answers too (``--polar-recordings PATH``)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from django_polar.testing import FakePolar

from .recordings import Exchange, Situation, iter_customers, read_exchanges

# Free-form JSON: its keys are somebody's data, not a shape.
FREE_FORM = {
    "metadata",
    "benefit_metadata",
    "properties",
    "custom_field_data",
    "input",
    "ctx",
    "method_metadata",
}
HEADERS = (
    "content-type",
    "content-disposition",
    "www-authenticate",
    "cache-control",
    "pragma",
    "polar-version",
    "x-polar-sandbox",
    "x-polar-deprecation-notice",
    "retry-after",
    "allow",
)

NOT_APPLICABLE = {
    "setting up the recorded organization, which the fake does without HTTP": (
        "benefits_create_",
        "events_ingest",
        "hook_flow_subscribe",
        "meters_",
        "products_",
        "subscriptions_create_",
    ),
    "portal pages that the package does not use": (
        "portal_benefit_grants",
        "portal_meters",
        "portal_orders",
        "portal_subscriptions",
    ),
    "the recorded server could not reach Stripe; the fake's payments succeed": (
        "portal_payment_methods_add_stripe_unreachable",
        "portal_payment_methods_confirm_stripe_unreachable",
    ),
    "a bucket per second for elevated organizations": ("rate_limit_429_elevated_per_second",),
}


def reason_not_to(name: str) -> str | None:
    return next(
        (reason for reason, names in NOT_APPLICABLE.items() if name.startswith(names)), None
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    directory = metafunc.config.getoption("--polar-recordings")
    exchanges = list(read_exchanges(Path(directory))) if directory else []
    applicable = [item for item in exchanges if reason_not_to(item.name) is None]
    if "exchange" in metafunc.fixturenames:
        metafunc.parametrize("exchange", applicable, ids=[item.name for item in applicable])


@pytest.fixture(scope="module")
def known(request: pytest.FixtureRequest) -> dict[str, dict[str, Any]]:
    """Recorded customers by id and by external id."""
    found: dict[str, dict[str, Any]] = {}
    for exchange in read_exchanges(Path(request.config.getoption("--polar-recordings"))):
        for customer in iter_customers(exchange.body):
            if customer["deleted_at"] is None:
                found[customer["id"]] = customer
                found[customer["external_id"]] = customer
    return found


def test_same_status_headers_and_shape(
    exchange: Exchange, known: dict[str, dict[str, Any]]
) -> None:
    """In the same situation the fake answers with the same status, headers and shape."""
    response = Situation(exchange, known).replay()

    assert response.status_code == exchange.status, response.text
    expected = {name: exchange.headers[name] for name in HEADERS if name in exchange.headers}
    assert {name: response.headers[name] for name in HEADERS if name in response.headers} == (
        expected
    )
    if "location" in exchange.headers:
        assert _path(response.headers["location"]) == _path(exchange.headers["location"])
    if isinstance(exchange.body, dict):
        compare(response.json(), exchange.body, exchange.name)
    elif "text/" in exchange.headers.get("content-type", ""):
        recorded = exchange.response["body_raw"]
        assert response.text.split("\r\n")[0] == recorded.split("\r\n")[0]
    else:
        assert response.content in {b"", b"null"}


def compare(ours: Any, theirs: Any, where: str) -> None:
    """Same keys in the same order, same types; null fits anything, values may differ."""
    if ours is None or theirs is None:
        return
    if isinstance(theirs, bool) or not isinstance(theirs, dict | list):
        number = (int, float)
        same = type(ours) is type(theirs) or (type(ours) in number and type(theirs) in number)
        assert same, f"{where}: {type(ours)} instead of {type(theirs)}"
    elif isinstance(theirs, dict):
        assert isinstance(ours, dict), where
        if where.rpartition(".")[2] in FREE_FORM:
            return
        assert list(ours) == list(theirs), where
        for key in theirs:
            compare(ours[key], theirs[key], f"{where}.{key}")
        for exact in ("total_count", "error", "type", "loc", "max_page"):
            if exact in theirs and isinstance(theirs[exact], str | int | list):
                assert ours[exact] == theirs[exact], f"{where}.{exact}"
    else:
        assert isinstance(ours, list), where
        if where.endswith((".loc", ".tax_id", ".benefits", ".prices", ".meters")):
            return
        assert len(ours) == len(theirs), where
        for position, (mine, item) in enumerate(zip(ours, theirs, strict=True)):
            compare(mine, item, f"{where}[{position}]")


def _path(location: str) -> str:
    return location.partition("//")[2].partition("/")[2]


def test_events_have_the_recorded_shape(request: pytest.FixtureRequest) -> None:
    """Envelope and data of every kind of event that was recorded, key by key."""
    directory = request.config.getoption("--polar-recordings")
    if not directory:
        pytest.skip("--polar-recordings was not given")
    recorded = {
        item["body"]["type"]: item["body"]
        for path in sorted((Path(directory) / "webhooks").glob("*.json"))
        for item in [json.loads(path.read_text())]
    }
    fake = FakePolar()
    row = fake.add_customer(external_id="x", name="N")
    fake.add_subscription(row)
    fake.add_grant(row)
    fake.add_meter(row)
    fake.update_customer(row, name="M")
    fake.delete_customer(row)
    ours = {event.type: event.payload for event in fake.deliveries}

    assert set(recorded) <= set(ours)
    for kind, body in recorded.items():
        assert list(ours[kind]) == list(body), kind
        assert list(ours[kind]["data"]) == list(body["data"]), kind
        for name in ("customer", "member", "product", "user"):
            if name in body["data"]:
                assert list(ours[kind]["data"][name]) == list(body["data"][name]), kind
