"""One whole sync, in a process of its own. Prints requests, seconds and the peak of its memory."""

from __future__ import annotations

import json
import resource
import sys
import time

from .databases import set_up_django
from .pages import PAGE


def main(runs: int) -> None:
    set_up_django()
    # Models can be imported only now.
    from django_polar.models import (
        ActiveMeter,
        ActiveSubscription,
        Customer,
        GrantedBenefit,
    )
    from django_polar.services.sync import sync_customers

    results = []
    for _ in range(runs):
        start, cpu = time.perf_counter(), time.process_time()
        report = sync_customers()
        results.append(
            {
                "requests": report.requests,
                "outcome": report.outcome,
                "seconds": time.perf_counter() - start,
                "cpu_seconds": time.process_time() - cpu,
                "customers": Customer.objects.count(),
                "pages": sum(
                    -(-model.objects.count() // PAGE)
                    for model in (Customer, ActiveSubscription, GrantedBenefit, ActiveMeter)
                ),
                "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
