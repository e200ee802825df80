"""Compare the mirror with what Polar says, customer by customer, field by field.

Asks Polar with Python's own HTTP client and reads its JSON as it comes, so that a mistake of
django-polar's in asking or reading would show.
"""

from __future__ import annotations

import csv
import http.client
import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.db import models

from django_polar.models import Customer

if TYPE_CHECKING:
    from collections.abc import Iterable

PARTS = ("active_subscriptions", "granted_benefits", "active_meters")
THREADS = 4


@dataclass
class Comparison:
    customers: int = 0
    parts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))
    archived_meters: int = 0
    differences: list[str] = field(default_factory=list)


class Polar:
    """One connection that stays open; not for several threads at once."""

    def __init__(self, base_url: str, token: str) -> None:
        self.connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=30)
        self.headers = {"Authorization": f"Bearer {token}"}

    def get(self, path: str) -> bytes:
        self.connection.request("GET", path, headers=self.headers)
        response = self.connection.getresponse()
        body = response.read()
        if response.status != http.client.OK:
            raise RuntimeError(f"GET {path}: {response.status}")
        return body


def compare(base_url: str, token: str) -> Comparison:
    ids = [row["ID"] for row in _export(Polar(base_url, token))]
    with ThreadPoolExecutor(THREADS) as pool:
        shares = pool.map(
            lambda share: _states(Polar(base_url, token), share),
            [ids[start::THREADS] for start in range(THREADS)],
        )
        truth = {state["id"]: state for share in shares for state in share}
    result = Comparison(customers=len(truth))
    polar = Polar(base_url, token)
    seen = set()
    for customer in Customer.objects.live().with_state().iterator(chunk_size=500):
        seen.add(str(customer.pk))
        state = truth.get(str(customer.pk))
        if state is None:
            result.differences.append(f"{customer.pk}: Polar has no such customer")
            continue
        _compare_customer(result, polar, customer, state)
    result.differences += [f"{id_}: not in the mirror" for id_ in truth.keys() - seen]
    return result


def _export(polar: Polar) -> Iterable[dict[str, str]]:
    return csv.DictReader(io.StringIO(polar.get("/v1/customers/export").decode()))


def _states(polar: Polar, ids: Iterable[str]) -> list[dict[str, Any]]:
    return [json.loads(polar.get(f"/v1/customers/{id_}/state")) for id_ in ids]


def _compare_customer(
    result: Comparison, polar: Polar, customer: Customer, state: dict[str, Any]
) -> None:
    profile = {key: value for key, value in state.items() if key not in PARTS}
    _compare_row(result, str(customer.pk), customer, profile)
    for part in PARTS:
        theirs = {item["id"]: item for item in state[part]}
        ours = {str(row.pk): row for row in getattr(customer.state, part).all()}
        if part == "active_meters" and theirs.keys() > ours.keys():
            # A meter that the merchant archived is still in the state, and in no list.
            listed = _listed_meters(polar, str(customer.pk))
            result.archived_meters += len(theirs.keys() - listed)
            theirs = {id_: item for id_, item in theirs.items() if id_ in listed}
        result.parts[part] += len(theirs)
        if theirs.keys() != ours.keys():
            result.differences.append(f"{customer.pk}: {part} are not the same")
            continue
        for id_, item in theirs.items():
            _compare_row(result, f"{customer.pk}: {part} {id_}", ours[id_], item)


def _listed_meters(polar: Polar, customer_id: str) -> set[str]:
    page = json.loads(polar.get(f"/v1/customer-meters/?customer_id={customer_id}&limit=100"))
    return {item["id"] for item in page["items"]}


def _compare_row(
    result: Comparison, label: str, row: models.Model, payload: dict[str, Any]
) -> None:
    columns = {column.name: column for column in row._meta.concrete_fields}
    raw: dict[str, Any] = getattr(row, "raw", {})
    for key, theirs in payload.items():
        column = columns.get(key)
        ours = raw.get(key) if column is None else getattr(row, key)
        expected = theirs
        if isinstance(column, models.DateTimeField) and theirs is not None:
            expected = datetime.fromisoformat(theirs).astimezone(UTC)
        elif isinstance(column, models.UUIDField) and ours is not None:
            ours = str(ours)
        if ours != expected:
            result.differences.append(f"{label}: {key} is not the same")
