"""Async views: neither the mirror nor Polar holds up the event loop."""

from __future__ import annotations

import asyncio
import time

from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection

from django_polar.entitlements import ahas_active_subscription, ahas_benefit
from django_polar.services import get_balance, list_payment_methods
from tests.api.conftest import make_person

from .conftest import PRO, subscribe

PAUSE = 0.1


async def count_ticks_during(work):
    """How often the loop got its turn while ``work`` was awaited."""
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            await asyncio.sleep(PAUSE / 20)
            ticks += 1

    ticking = asyncio.create_task(tick())
    result = await work
    ticking.cancel()
    return result, ticks


def test_slow_database_does_not_hold_up_the_loop(user, customer):
    subscribe(customer)

    def slow(execute, *args):
        time.sleep(PAUSE)
        return execute(*args)

    with connection.execute_wrapper(slow):
        active, ticks = async_to_sync(count_ticks_during)(ahas_active_subscription(user, PRO))

    assert active
    assert ticks >= 5


def test_what_was_read_needs_no_thread(user, customer):
    """The second question is answered at once, within one turn of the loop."""
    subscribe(customer)

    async def ask():
        await ahas_active_subscription(user)
        return await count_ticks_during(ahas_benefit(user))

    assert async_to_sync(ask)() == (False, 0)


def test_slow_polar_does_not_hold_up_the_loop(polar, db):
    """Services and client are used through ``sync_to_async``, as the documentation says."""
    person = make_person(polar, "ada")
    polar.latency = PAUSE

    balances, ticks = async_to_sync(count_ticks_during)(sync_to_async(get_balance)(person.customer))
    methods, more_ticks = async_to_sync(count_ticks_during)(
        sync_to_async(list_payment_methods)(person.user)
    )

    assert balances[0].amount == 1500
    assert methods[0].type == "card"
    assert min(ticks, more_ticks) >= 5
