"""Finding a customer by what a support mail says about them."""

from __future__ import annotations

from contextlib import suppress
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, Final
from uuid import UUID

from django.db.models import Q

from django_polar.models import Customer

if TYPE_CHECKING:
    from django.db.models import QuerySet

_MOST_EXACT: Final = 100
_MOST_NAMED: Final = 500


def search_customers(queryset: QuerySet[Customer], term: str) -> QuerySet[Customer]:
    """Whoever is named exactly, which indexes answer; only without such, a look at every row."""
    term = term.strip().replace("\x00", "")
    if not term:
        return queryset
    if pks := _named_exactly(term):
        return queryset.filter(pk__in=pks)
    vaguely = reduce(and_, (_vaguely(word) for word in term.split()))
    found = list(Customer.objects.filter(vaguely).values_list("pk", flat=True)[: _MOST_NAMED + 1])
    # The list asks several times: how many, which, from when to when. One look at every row is
    # enough where few are found, and where many are it does not take long to find some.
    return queryset.filter(vaguely if len(found) > _MOST_NAMED else Q(pk__in=found))


def _named_exactly(term: str) -> list[UUID]:
    exactly = Q(external_id=term)
    if "@" in term:
        # Polar keeps the case in which an address was given; most are lower.
        exactly |= Q(email__in={term, term.lower()})
    with suppress(ValueError):
        exactly |= Q(pk=UUID(term))
    return list(Customer.objects.filter(exactly).values_list("pk", flat=True)[:_MOST_EXACT])


def _vaguely(word: str) -> Q:
    return (
        Q(name__icontains=word)
        | Q(billing_name__icontains=word)
        | Q(email__istartswith=word)
        | Q(external_id__startswith=word)
    )
