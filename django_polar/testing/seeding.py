"""Worlds as they really are: ties, teams without email, odd external ids, lapsed subscriptions."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django_polar.testing import builders

if TYPE_CHECKING:
    from collections.abc import Callable

    from django_polar.testing.builders import JSON
    from django_polar.testing.world import World

#: External ids that every mirror has to cope with. A slash cannot be put into a URL at all.
ODD_EXTERNAL_IDS = (
    "a/b/c",
    "abc/state",
    "trail/",
    ".",
    "..",
    "with space",
    "100%off",
    "x%2Fy",
    "q?x=1",
    "h#frag",
    "a+b",
    "a&b=c",
    "a;b",
    "a:b",
    "back\\slash",
    'it\'s "q"',
    "a\nb",
    "me@x.y",
    "Case_ID",
    "case_id",
    "ünï-コード-🚀",
    "L" * 300,
)
#: No release of Polar has this benefit type. The next one may have another that we do not know.
UNKNOWN_BENEFIT_TYPE = "teleportation"
_BENEFIT_TYPES = ("feature_flag", "custom", "license_keys", "meter_credit", UNKNOWN_BENEFIT_TYPE)
_GIVEN_NAMES = ("Ada", "Grace", "Alan", "Edsger", "Barbara", "Donald", "Margaret", "Dennis")
_FAMILY_NAMES = ("Lovelace", "Hopper", "Turing", "Liskov", "Knuth", "Hamilton", "Ritchie", "Ng")
_LAPSED = ("past_due", "canceled", "unpaid", "incomplete")
_TIE_SIZE = 25


def seed_world(  # noqa: PLR0913  # a share each, all by name
    world: World,
    customers: int = 2500,
    *,
    external_ids: Callable[[int], str | None] = str,
    subscribed: float = 0.3,
    granted: float = 0.6,
    metered: float = 0.3,
    teams: float = 0.02,
    unlinked: float = 0.05,
    deleted: int = 5,
    odd: bool = True,
    seed: int = 1,
) -> None:
    """Add ``customers`` live customers and what belongs to them, the same for the same ``seed``.

    ``external_ids`` gives the n-th ordinary customer's external id, counting from 1; a share of
    ``unlinked`` has none. The other shares say who has an active or trialing subscription,
    granted benefits, and a meter. ``odd`` replaces the last customers' external ids by those
    that are hard to put into a URL. ``deleted`` customers more are gone but left grants behind.
    No webhooks are queued.
    """
    chance = random.Random(seed)  # noqa: S311  # repeatable, not secret
    plans = _Plans(world, chance)
    strange = ODD_EXTERNAL_IDS[:customers] if odd else ()
    with world.lock, world.webhooks.pause():
        for number in range(1, customers + deleted + 1):
            left = customers - number
            external_id = None if chance.random() < unlinked else external_ids(number)
            if 0 <= left < len(strange):
                external_id = strange[left]
            elif left < 0:
                external_id = f"deleted-{number}"
            created_at = _created_at(number)
            customer = _add_customer(world, chance, number, external_id, teams, created_at)
            if chance.random() < subscribed:
                plans.subscribe(customer, created_at)
            elif chance.random() < subscribed / 4:
                plans.lapse(customer, created_at)
            if left < 0 or chance.random() < granted:
                plans.grant(customer, created_at)
            if chance.random() < metered:
                plans.meter(customer, created_at, archived=number % 50 == 0)
            if left < 0:
                world.delete_customer(customer, anonymize=number % 2 == 0, revoke=False)


def _created_at(number: int) -> datetime:
    """Every twentieth group of customers was imported at once, within one microsecond."""
    group, place = divmod(number, _TIE_SIZE)
    return builders.EPOCH + timedelta(
        hours=group, milliseconds=0 if group % 20 == 0 else 7 * place, microseconds=group
    )


def _add_customer(
    world: World,
    chance: random.Random,
    number: int,
    external_id: str | None,
    teams: float,
    created_at: datetime,
) -> JSON:
    name = f"{chance.choice(_GIVEN_NAMES)} {chance.choice(_FAMILY_NAMES)}"
    team = chance.random() < teams
    fields: dict[str, Any] = {
        "id": builders.new_id(chance),
        "created_at": created_at,
        "external_id": external_id,
        "email": f"customer-{number}@acme-mail.dev",
        "name": None if number % 11 == 0 else name,
        "metadata": {"n": number, "flag": number % 3 == 0, "group": "even"} if number % 7 else {},
    }
    if team:
        fields |= {"type": "team", "name": f"{name} & Co"}
        fields["email"] = None if number % 2 else fields["email"]
    if number % 9 == 0:
        fields["billing_address"] = {
            "line1": f"{number} Analytical St",
            "line2": None,
            "postal_code": "75001",
            "city": "Paris",
            "state": None,
            "country": "FR",
        }
        fields["tax_id"] = ["FR61954506077", "eu_vat"]
        fields["locale"] = "fr"
    return world.add_customer(**fields)


class _Plans:
    """The products, benefits and meters of a seeded world, and who has them."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.world = world
        self.chance = chance
        self.products = [
            world.add_product(id=builders.id_from(name), name=name, price_amount=amount)
            for name, amount in (("Free plan", 0), ("Pro", 1500), ("Business", 9900))
        ]
        self.benefits = [
            world.add_benefit(
                id=builders.id_from(f"a {kind}"), type=kind, metadata={"code": kind[:4]}
            )
            for kind in _BENEFIT_TYPES
        ]

    def subscribe(self, customer: JSON, since: datetime) -> None:
        product = self.chance.choice(self.products)
        trialing = self.chance.random() < 0.1  # noqa: PLR2004
        later = since + timedelta(days=14)
        self.world.add_subscription(
            customer,
            id=builders.new_id(self.chance),
            product_id=product["id"],
            created_at=since,
            started_at=since,
            amount=product["prices"][0]["price_amount"],
            status="trialing" if trialing else "active",
            trial_start=since if trialing else None,
            trial_end=later if trialing else None,
            cancel_at_period_end=self.chance.random() < 0.05,  # noqa: PLR2004
            metadata={"source": "checkout"},
        )

    def lapse(self, customer: JSON, since: datetime) -> None:
        status = self.chance.choice(_LAPSED)
        self.world.add_subscription(
            customer,
            id=builders.new_id(self.chance),
            product_id=self.products[1]["id"],
            created_at=since,
            started_at=None if status == "incomplete" else since,
            status=status,
        )

    def grant(self, customer: JSON, since: datetime) -> None:
        for benefit in self.chance.sample(self.benefits, self.chance.randint(1, 2)):
            key = f"****-{self.chance.getrandbits(24):06X}"
            licensed = benefit["type"] == "license_keys"
            self.world.add_grant(
                customer,
                id=builders.new_id(self.chance),
                benefit_id=benefit["id"],
                created_at=since,
                is_granted=self.chance.random() > 0.1,  # noqa: PLR2004
                properties={"display_key": key} if licensed else {},
            )

    def meter(self, customer: JSON, since: datetime, *, archived: bool) -> None:
        self.world.add_meter(
            customer,
            id=builders.new_id(self.chance),
            archived=archived,
            created_at=since,
            consumed_units=self.chance.randint(0, 2000) / 2,
            credited_units=self.chance.choice((0, 100, 1000)),
        )
