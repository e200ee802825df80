"""Bytes of list pages in, rows out: ours beside dj-stripe, the ORM and the bare driver."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta

from .databases import clear_tables, set_up_django
from .pages import PAGE, iter_pages
from .timing import Contender, medians, time_in_turns

CUSTOMERS = 2000
SLOW = 100
"""As many of them as the slow ones get."""


def main() -> None:
    set_up_django()
    # Models can be imported only now.
    from .ours import mirror
    from .peers import OUR_MODELS, DjStripe, Floor, mirror_naively

    at = datetime(2026, 1, 1, tzinfo=UTC)
    pages = list(iter_pages(CUSTOMERS))
    few = pages[: SLOW // PAGE]
    floor = Floor(pages, at)
    djstripe = DjStripe(SLOW)

    def clear() -> None:
        clear_tables(*OUR_MODELS)

    def nothing() -> None:
        pass

    contenders = {
        "djstripe_first": Contender(djstripe.sync, SLOW, djstripe.clear),
        "djstripe_again": Contender(djstripe.sync, SLOW, nothing),
        "naive_first": Contender(lambda: mirror_naively(few, at), SLOW, clear),
        "floor": Contender(floor.write, CUSTOMERS, clear),
        "ours_first": Contender(lambda: mirror(pages, at), CUSTOMERS, clear),
        # From the second time on a page that did not change is known by its bytes.
        "ours_second": Contender(lambda: mirror(pages, at + timedelta(days=1)), CUSTOMERS, nothing),
        "ours_again": Contender(lambda: mirror(pages, at + timedelta(days=2)), CUSTOMERS, nothing),
    }
    us = medians(time_in_turns(contenders))
    result = {
        "first_sync_vs_djstripe": us["djstripe_first"] / us["ours_first"],
        "resync_vs_djstripe": us["djstripe_again"] / us["ours_again"],
        "first_sync_vs_naive": us["naive_first"] / us["ours_first"],
        "floor_ratio": us["ours_first"] / us["floor"],
        "us_per_customer": us,
    }
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main()
