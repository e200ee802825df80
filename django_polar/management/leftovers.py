"""``polar_sync_customers``' options about users that changed behind Django's back."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable

    from django_polar.services.orphans import Difference, Orphan

SHOWN: Final = 20
LISTED: Final = 1000
"""As with drift: lines for people, and items in ``--json``."""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--delete-orphans",
        action="store_true",
        help="Queue the deletion of customers whose external id belongs to no user; asks first.",
    )
    parser.add_argument(
        "--push",
        action="store_true",
        help="Queue updates of customers that differ from their users.",
    )
    parser.add_argument(
        "--no-input", action="store_true", help="Do not ask before deleting orphans."
    )


@dataclass(slots=True)
class Leftovers:
    """What was found, and what was queued about it."""

    orphans: list[Orphan]
    differences: list[Difference]
    queued: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        return {
            "orphans": {
                "count": len(self.orphans),
                "items": [
                    {"id": str(orphan.id), "external_id": orphan.external_id}
                    for orphan in self.orphans[:LISTED]
                ],
            },
            "differing": {
                "count": len(self.differences),
                "items": [
                    {
                        "id": str(difference.id),
                        "external_id": difference.external_id,
                        "fields": list(difference.fields),
                    }
                    for difference in self.differences[:LISTED]
                ],
            },
            "queued": self.queued,
        }

    def render(self) -> list[str]:
        lines = _shown(
            "orphans, whose external id belongs to no user",
            self.orphans,
            lambda orphan: f"  customers {orphan.id} (external id {orphan.external_id})",
        )
        lines += _shown(
            "customers that differ from their users",
            self.differences,
            lambda found: (
                f"  customers {found.id} (external id {found.external_id}): "
                + ", ".join(found.fields)
            ),
        )
        lines += [f"queued: {count:,} {name}" for name, count in self.queued.items()]
        return lines


def handle(options: dict[str, Any], *, confirm: Callable[[str], bool]) -> Leftovers | None:
    """Name them in a dry run; queue what was asked for otherwise. After the sync."""
    from django_polar.services import orphans  # noqa: PLC0415 - loads httpx

    is_dry = options["dry_run"]
    wants = {name: options[name] and not is_dry for name in _OPTIONS}
    if not is_dry and not any(wants.values()):
        return None
    found = Leftovers([], [], {})
    if is_dry or wants["delete_orphans"]:
        found.orphans = list(orphans.iter_orphans())
    if is_dry or wants["push"]:
        found.differences = list(orphans.iter_differences())
    if wants["push"]:
        found.queued["updates"] = orphans.request_updates(found.differences)
    if wants["delete_orphans"]:
        count = len(found.orphans)
        question = f"Delete {count:,} customers at Polar whose external id belongs to no user?"
        if count and (options["no_input"] or confirm(question)):
            found.queued["deletions"] = orphans.request_orphan_deletions(found.orphans)
        else:
            found.queued["deletions"] = 0
    return found


_OPTIONS: Final = ("delete_orphans", "push")


def _shown(what: str, items: list[Any], line_of: Callable[[Any], str]) -> list[str]:
    if not items:
        return []
    lines = [f"{what}: {len(items):,}", *map(line_of, islice(items, SHOWN))]
    if len(items) > SHOWN:
        lines.append(f"  and {len(items) - SHOWN:,} more")
    return lines
