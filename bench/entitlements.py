"""What it costs to ask whether a user may: here, in dj-stripe, and of Polar itself.

100,000 users, each with a customer, a subscription, two benefits and a meter; in dj-stripe each
with a customer and a subscription with one item. Every check is about another user, chosen at
random, as in requests that come one after the other.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .databases import fresh_database, is_reachable, set_up_django
from .timing import Contender, medians, time_in_turns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

USERS = 10_000 if os.environ.get("BENCH_QUICK") == "1" else 100_000
CHECKS = 500
REMOTE_CUSTOMERS = 50

REMOTE_LATENCY = 0.02
"""Seconds: what Polar's own server takes for a state, the median of 17, no network in between."""


def run() -> dict[str, Any]:
    """Microseconds per check and ratios, by kind of database; ``None`` where that is missing."""
    return {
        "users": USERS,
        **{
            kind: _run_in_process(kind) if is_reachable(kind) else None
            for kind in ("sqlite", "postgresql")
        },
    }


def _run_in_process(kind: str) -> dict[str, Any]:
    """In a process of its own: Django is set up for one database."""
    with fresh_database(kind) as environment:
        result = subprocess.run(
            [sys.executable, "-m", "bench.entitlements", "measure"],
            env={**os.environ, "BENCH_APPS": _apps(), **environment},
            stdout=subprocess.PIPE,
            check=True,
        )
    measured: dict[str, Any] = json.loads(result.stdout)
    return measured


def _apps() -> str:
    try:
        import djstripe  # noqa: F401 - only to see whether it is there
    except ImportError:
        return "django_polar"
    return "django_polar djstripe"


def measure() -> dict[str, Any]:
    set_up_django()
    with _remote() as (base_url, ids):
        os.environ["BENCH_BASE_URL"] = base_url
        contenders = {
            "ours": Contender(_ours(), CHECKS),
            "ours_again": Contender(_ours_again(), CHECKS),
            "polar": Contender(_polar(base_url, ids), REMOTE_CUSTOMERS),
        }
        if "djstripe" in os.environ["BENCH_APPS"]:
            contenders["djstripe"] = Contender(_djstripe(), CHECKS)
        times = medians(time_in_turns(contenders))
    return _report(times)


def _report(times: Mapping[str, float]) -> dict[str, Any]:
    ours = times["ours"]
    return {
        "check_us": round(ours, 1),
        "check_again_us": round(times["ours_again"], 2),
        "checks_per_second": round(1_000_000 / ours),
        "djstripe_us": round(times["djstripe"], 1) if "djstripe" in times else None,
        "vs_djstripe": round(times["djstripe"] / ours, 1) if "djstripe" in times else None,
        "polar_us": round(times["polar"], 1),
        "vs_polar": round(times["polar"] / ours, 1),
    }


def _users(count: int) -> list[Any]:
    """Without a query: what a request has at hand, minus reading the user itself."""
    from django.contrib.auth import get_user_model

    user_model = get_user_model()
    chosen = random.Random(7).sample(range(1, USERS + 1), count)  # noqa: S311
    return [user_model(pk=number) for number in chosen]


def _ours() -> Callable[[], object]:
    from django_polar.entitlements import (
        forget_entitlements,
        has_active_subscription,
    )

    product_id = _fill_ours()
    users = _users(CHECKS)

    def check() -> None:
        for user in users:
            forget_entitlements(user)
            assert has_active_subscription(user, product_id)  # noqa: S101

    return check


def _ours_again() -> Callable[[], object]:
    """The second question in the same request."""
    from django_polar.entitlements import has_benefit

    user = _users(1)[0]

    def check() -> None:
        for _ in range(CHECKS):
            assert has_benefit(user)  # noqa: S101

    return check


def _polar(base_url: str, ids: list[str]) -> Callable[[], object]:
    from datetime import timedelta

    from django_polar.client import PolarClient

    client = PolarClient("polar_oat_fake_full", base_url=base_url, timeout=timedelta(seconds=10))

    def check() -> None:
        for id_ in ids:
            assert client.customers.get_state(id_).active_subscriptions  # noqa: S101

    return check


def _djstripe() -> Callable[[], object]:
    """dj-stripe's way: the subscriber's customer, and whether it is subscribed to a product."""
    from djstripe.models import Customer

    product_id = _fill_djstripe()
    users = _users(CHECKS)

    def check() -> None:
        for user in users:
            customer, _ = Customer.get_or_create(user)
            assert customer.is_subscribed_to(product_id)  # noqa: S101

    return check


def _fill_ours() -> Any:
    from uuid import UUID

    from django.contrib.auth import get_user_model
    from django.utils import timezone

    from django_polar import models

    now = timezone.now()
    product_id, zero = UUID(int=42), UUID(int=0)
    seen = {"created_at": now, "synced_at": now}
    user = get_user_model().objects.create(pk=0, username="0")
    customer = models.Customer.objects.create(
        id=zero, organization_id=zero, user=user, external_id="0", **seen
    )
    state = models.CustomerState.objects.create(customer=customer, as_of=now)
    subscription = models.ActiveSubscription.objects.create(
        id=zero,
        state=state,
        product_id=product_id,
        status="active",
        amount=900,
        currency="usd",
        **seen,
    )
    grants = [
        models.GrantedBenefit.objects.create(
            id=UUID(int=number),
            state=state,
            benefit_id=UUID(int=number + 1),
            benefit_type="custom",
            benefit_metadata={"tier": "gold"},
            **seen,
        )
        for number in (0, 10**12)
    ]
    meter = models.ActiveMeter.objects.create(
        id=zero,
        state=state,
        meter_id=zero,
        consumed_units=1,
        credited_units=2,
        balance=1,
        **seen,
    )
    _multiply(user, id="n", username=_text("n"))
    _multiply(customer, id=_uuid("n"), user_id="n", external_id=_text("n"))
    _multiply(state, customer_id=_uuid("n"))
    _multiply(subscription, id=_uuid("n"), customer_id=_uuid("n"))
    for offset, grant in zip((0, 10**12), grants, strict=True):
        _multiply(grant, id=_uuid(f"n + {offset}"), customer_id=_uuid("n"))
    _multiply(meter, id=_uuid("n"), customer_id=_uuid("n"))
    _analyze()
    return product_id


def _fill_djstripe() -> str:
    from django.utils import timezone
    from djstripe import models

    product = models.Product.objects.create(id="prod_0", livemode=False)
    price = models.Price.objects.create(
        id="price_0", livemode=False, active=True, currency="usd", product=product
    )
    customer = models.Customer.objects.create(id="cus_0", livemode=False, subscriber_id=0)
    subscription = models.Subscription.objects.create(
        id="sub_0",
        livemode=False,
        customer=customer,
        stripe_data={
            "id": "sub_0",
            "status": "active",
            "current_period_end": int(timezone.now().timestamp()) + 10**6,
        },
    )
    item = models.SubscriptionItem.objects.create(
        id="si_0", livemode=False, price=price, subscription=subscription
    )
    _multiply(customer, djstripe_id=None, id=_join("cus_", "n"), subscriber_id="n")
    _multiply(subscription, djstripe_id=None, id=_join("sub_", "n"), customer_id=_join("cus_", "n"))
    _multiply(item, djstripe_id=None, id=_join("si_", "n"), subscription_id=_join("sub_", "n"))
    _analyze()
    return str(product.id)


def _multiply(template: Any, **columns: str | None) -> None:
    """The row again for every n from 1 to USERS, with these columns computed from n.

    ``None`` leaves a column to the database.
    """
    from django.db import connection

    quote = connection.ops.quote_name
    names = [field.column for field in template._meta.concrete_fields]
    kept = [name for name in names if columns.get(name, "") is not None]
    values = [str(columns.get(name) or f"t.{quote(name)}") for name in kept]
    table = quote(template._meta.db_table)
    pk = template._meta.pk
    sql = (
        "WITH RECURSIVE numbers(n) AS"  # noqa: S608 - our own tables
        f" (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {USERS})"
        f" INSERT INTO {table} ({', '.join(map(quote, kept))})"
        f" SELECT {', '.join(values)} FROM numbers, {table} t WHERE t.{quote(pk.column)} = %s"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [pk.get_db_prep_value(template.pk, connection)])


def _analyze() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _is_postgresql() -> bool:
    from django.db import connection

    return connection.vendor == "postgresql"


def _uuid(number: str) -> str:
    if _is_postgresql():
        return f"lpad(to_hex(({number})::bigint), 32, '0')::uuid"
    return f"printf('%%032x', {number})"


def _text(number: str) -> str:
    return f"CAST({number} AS varchar(20))"


def _join(prefix: str, number: str) -> str:
    return f"'{prefix}' || {_text(number)}"


@contextmanager
def _remote() -> Iterator[tuple[str, list[str]]]:
    """A fake Polar in another process, as slow as the real one is without a network."""
    with subprocess.Popen(
        [sys.executable, "-m", "bench.entitlements", "serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None  # noqa: S101
        assert server.stdin is not None  # noqa: S101
        answer = json.loads(server.stdout.readline())
        yield answer["base_url"], answer["ids"]
        server.stdin.close()


def _serve() -> None:
    """Until standard input ends."""
    from django_polar.testing import FakePolar

    polar = FakePolar(latency=REMOTE_LATENCY)
    ids = []
    for number in range(REMOTE_CUSTOMERS):
        customer = polar.add_customer(external_id=str(number), email=f"c{number}@example.com")
        polar.add_subscription(customer)
        polar.add_grant(customer)
        polar.add_grant(customer)
        polar.add_meter(customer)
        ids.append(customer["id"])
    with polar.serve() as base_url:
        sys.stdout.write(json.dumps({"base_url": base_url, "ids": ids}) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        _serve()
    elif sys.argv[1:] == ["measure"]:
        sys.stdout.write(json.dumps(measure()))
    else:
        sys.stdout.write(json.dumps(run(), indent=2) + "\n")
