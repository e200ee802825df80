"""How many statements the database sees for a page of one hundred."""

from __future__ import annotations

import json
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from .databases import set_up_django
from .pages import PAGE, iter_pages

if TYPE_CHECKING:
    from collections.abc import Callable

_TRANSACTION = ("BEGIN", "SAVEPOINT", "RELEASE", "COMMIT")


def main() -> None:
    set_up_django()
    # Models can be imported only now.
    from django.contrib.auth.models import User
    from django.db import connection

    from django_polar.payloads import (
        BenefitGrantPayload,
        CustomerMeterPayload,
        CustomerPayload,
        SubscriptionListPayload,
        decode_page,
    )
    from django_polar.services.mirror import upsert_customers, upsert_items
    from django_polar.services.tables import BENEFITS, METERS, SUBSCRIPTIONS

    User.objects.bulk_create([User(pk=number + 1, username=str(number)) for number in range(PAGE)])

    def count(work: Callable[[], object]) -> dict[str, int]:
        counts: Counter[str] = Counter()

        def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001
            kind = sql.split(None, 1)[0]
            if kind not in _TRANSACTION:
                counts["reads" if kind == "SELECT" else "writes"] += 1
            return execute(sql, params, many, context)

        with connection.execute_wrapper(note):
            work()
        return {
            "statements": counts.total(),
            "reads": counts["reads"],
            "writes": counts["writes"],
        }

    def step(body: bytes, payload_type: Any, table: Any, at: datetime) -> Callable[[], object]:
        items = decode_page(body, payload_type).items
        if table is None:
            return lambda: upsert_customers(items, observed_at=at)
        return lambda: upsert_items(
            table, items, [item.customer_id for item in items], observed_at=at
        )

    start = datetime(2026, 1, 1, tzinfo=UTC)
    result: dict[str, dict[str, dict[str, int]]] = {}
    for case, (revision, days) in {"first": (0, 0), "unchanged": (0, 1), "changed": (1, 2)}.items():
        (page,) = iter_pages(PAGE, revision=revision)
        at = start + timedelta(days=days)
        result[case] = {
            name: count(step(body, payload_type, table, at))
            for name, body, payload_type, table in (
                ("customers", page.customers, CustomerPayload, None),
                ("subscriptions", page.subscriptions, SubscriptionListPayload, SUBSCRIPTIONS),
                ("grants", page.grants[0], BenefitGrantPayload, BENEFITS),
                ("meters", page.meters, CustomerMeterPayload, METERS),
            )
        }
    most = {
        case: {
            kind: max(counts[kind] for counts in lists.values())
            for kind in ("statements", "reads", "writes")
        }
        for case, lists in result.items()
    }
    sys.stdout.write(json.dumps({"statements_per_page": most, "statements_of": result}))


if __name__ == "__main__":
    main()
