"""Dates to drill down by, found without reading the table."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Max, Min, Subquery
from django.utils import timezone

from django_polar.models import CustomerQuerySet

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_PROBES: Final = 100
"""Years; of months and days there are never so many."""


class ProbingQuerySet(CustomerQuerySet):
    """``datetimes`` by the index alone, for the admin's date hierarchy.

    Django's own truncates every row's date to find the distinct ones: at a million customers
    about a second, and several on SQLite, for each page of the list. Here each candidate between
    the first and the last date is probed, all in one query, which the index answers.
    """

    def datetimes(self, field_name: str, kind: str, *args: Any, **kwargs: Any) -> Any:
        first, last = self._range(field_name)
        if first is None or last is None:
            return []
        periods = list(_periods(timezone.localtime(first), timezone.localtime(last), kind))
        periods = periods[-_MOST_PROBES:]
        inside = self.order_by(field_name).values(field_name)
        # Not EXISTS: PostgreSQL takes a scan of the table for the quicker way to any one row.
        probes = {
            f"period_{number}": Subquery(
                inside.filter(**{f"{field_name}__gte": begin, f"{field_name}__lt": end})[:1]
            )
            for number, (begin, end) in enumerate(periods)
        }
        # One row, whichever: it only carries the answers.
        anyone = self.model._base_manager.using(self.db).order_by()
        answers = next(iter(anyone.annotate(**probes).values_list(*probes)[:1]), ())
        return [begin for (begin, _), found in zip(periods, answers, strict=True) if found]

    def aggregate(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The one question that the date hierarchy asks, from both ends of the index: asked for
        both at once, SQLite reads all of it.
        """
        shape = {name: type(expression) for name, expression in kwargs.items()}
        if args or shape != {"first": Min, "last": Max}:
            return super().aggregate(*args, **kwargs)
        names = {expression.source_expressions[0].name for expression in kwargs.values()}
        return dict(zip(("first", "last"), self._range(*names), strict=True))

    def _range(self, field_name: str) -> tuple[datetime | None, datetime | None]:
        # On the list's own queryset, which is asked again within the same page.
        ranges = self.__dict__.setdefault("_ranges", {})
        if field_name not in ranges:
            dates = self.order_by(field_name).values_list(field_name, flat=True)
            first = next(iter(dates[:1]), None)
            last = next(iter(dates.reverse()[:1]), None) if first else None
            ranges[field_name] = (first, last)
        found: tuple[datetime | None, datetime | None] = ranges[field_name]
        return found


def _periods(first: datetime, last: datetime, kind: str) -> Iterator[tuple[datetime, datetime]]:
    """Beginning and end of each year, month or day from ``first`` to ``last``, local time."""
    zone = timezone.get_current_timezone()
    begin = _truncate(first.replace(tzinfo=None), kind)
    last = last.replace(tzinfo=None)
    while begin <= last:
        end = _next(begin, kind)
        yield timezone.make_aware(begin, zone), timezone.make_aware(end, zone)
        begin = end


def _truncate(moment: datetime, kind: str) -> datetime:
    return datetime(  # noqa: DTZ001 - local; its callers make it aware
        moment.year,
        moment.month if kind in ("month", "day") else 1,
        moment.day if kind == "day" else 1,
    )


def _next(begin: datetime, kind: str) -> datetime:
    if kind == "year":
        return begin.replace(year=begin.year + 1)
    if kind == "month":
        # Day 28 exists in every month, and four days later it is the next one.
        return (begin.replace(day=28) + timedelta(days=4)).replace(day=1)
    return begin + timedelta(days=1)
