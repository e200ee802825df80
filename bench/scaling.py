"""Whether the hundred-thousandth customer costs what the first one does."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from statistics import median

from .databases import set_up_django
from .pages import PAGE, iter_pages


def main(few: int, many: int) -> None:
    """Microseconds per customer of a first sync of ``many``, against one of ``few``.

    Both are read off one run: the first ``few`` customers, and all of them, a page at a time as
    they come where Polar's rate limit rules. Making the pages up is not timed.
    """
    set_up_django()
    from .ours import mirror

    at = datetime(2026, 1, 1, tzinfo=UTC)
    times = []
    for number, page in enumerate(iter_pages(many)):
        start = time.perf_counter()
        mirror([page], at, before=number)
        times.append((time.perf_counter() - start) / PAGE * 1_000_000)
    us_few = sum(times[: few // PAGE]) / (few // PAGE)
    us_many = sum(times) / len(times)
    tenth = len(times) // 10
    result = {
        "scaling": us_many / us_few,
        "scaling_us": {
            str(few): us_few,
            str(many): us_many,
            "median_of_first_tenth": median(times[:tenth]),
            "median_of_last_tenth": median(times[-tenth:]),
        },
    }
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
