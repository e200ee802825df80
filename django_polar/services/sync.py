"""The main job: the mirror made equal to Polar, with as few requests as there are pages.

Four lists are read instead of a state per customer. None of them is a snapshot, so none is
believed until it has proved itself:

* Customers are compared with ``/export``, one request that lists them all. Who was not met on the
  pages is fetched; who is in the mirror but not in the export is marked deleted only after a 404
  of its own.
* Subscriptions, grants and meters have no export. Their walk counts if as many distinct ids were
  seen as the list says it has, the number never changed meanwhile, and nothing was added that
  could hide something that went away. Otherwise the list is walked again in another order, and
  in the end read in batches of customers, each complete by construction.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from django_polar.conf import settings
from django_polar.exceptions import PolarError
from django_polar.models import Customer, CustomerDeletion, SyncRun

from .pages import reading, requests_in_flight
from .query_log import without_query_log
from .runs import Bookmark, begin_run, end_run, resume_run
from .sync_customers_list import read_customers
from .sync_report import SyncReport
from .sync_session import Session
from .sync_state_lists import read_state_lists
from .targets import DriftFinder, Mirror
from .upsert import database

if TYPE_CHECKING:
    from django_polar.client import PolarClient

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
"""Called with a list's name, how many of its items were read, and how many there are."""


def _no_progress(list_name: str, done: int, total: int) -> None:
    """Nobody is watching."""


LINK_BATCH: Final = 1000


def sync_customers(
    client: PolarClient | None = None,
    *,
    dry_run: bool = False,
    resume: bool = False,
    with_state: bool = True,
    delete: bool = True,
    replace_organization: bool = False,
    progress: Progress = _no_progress,
    report: SyncReport | None = None,
) -> SyncReport:
    """Mirror every customer and its state. See the module's text for how it is kept complete.

    ``dry_run`` writes nothing and fills ``report.drift``. ``resume`` goes on with the last run
    if it was killed, and begins anew if there is none. Without ``delete`` nothing that is gone at
    Polar is taken out of the mirror; such a run is complete all the same.

    The report's outcome is ``complete`` only if everything was read and proved; ``problems``
    says what is missing. A ``report`` that was handed in is filled also where this raises.

    Raises:
        SyncInProgressError: another sync is running.
        OrganizationMismatchError: the mirror holds another organization's customers.
        AuthenticationError, PermissionDeniedError: the token may not list customers.
        UnavailableError: Polar did not answer, in spite of all retries. Resume later.
    """
    if client is None:
        from django_polar.client import polar_client  # noqa: PLC0415 - httpx is loaded on use

        with polar_client(bulk=True) as own_client:
            return sync_customers(
                own_client,
                dry_run=dry_run,
                resume=resume,
                with_state=with_state,
                delete=delete,
                replace_organization=replace_organization,
                progress=progress,
                report=report,
            )
    report = SyncReport() if report is None else report
    started = time.monotonic()
    run: SyncRun | None = None
    if not dry_run:
        run = (resume_run() if resume else None) or begin_run(with_state=with_state)
        report.run_id = run.pk
        report.load_from(run)
        with_state = run.with_state
    session = Session(
        client=client,
        report=report,
        target=DriftFinder(report) if dry_run else Mirror(),
        run=run,
        bookmark=Bookmark(run) if run else None,
        delete=delete,
        replace_organization=replace_organization,
        progress=progress,
        erased=_ids_being_erased(),
        requests_before=report.requests - client.requests_made,
    )
    outcome = SyncRun.Outcome.FAILED
    try:
        with (
            without_query_log(database()) as query_log,
            reading(
                client,
                in_flight=requests_in_flight(settings.requests_per_minute),
                on_wait=session.beat,
            ) as reader,
        ):
            session.attach(reader, query_log)
            _read_everything(session, with_state=with_state)
        outcome = SyncRun.Outcome.INCOMPLETE if report.problems else SyncRun.Outcome.COMPLETE
    except PolarError as error:
        report.problem(str(error))
        raise
    except (KeyboardInterrupt, SystemExit):
        outcome = SyncRun.Outcome.INTERRUPTED
        raise
    finally:
        report.seconds = time.monotonic() - started
        session.count_requests()
        if run is not None:
            report.save_to(run)
            end_run(run, outcome)
        report.outcome = str(outcome)
    if dry_run:
        report.outcome = "drift" if report.drift_counts else "in_sync"
    logger.info(
        "Sync run %s: %s, %d requests in %.1f s",
        report.run_id,
        report.outcome,
        report.requests,
        report.seconds,
    )
    return report


def _read_everything(session: Session, *, with_state: bool) -> None:
    report = session.report
    if not session.is_done("customers"):
        read_customers(session)
        session.finish("customers")
    if with_state:
        read_state_lists(session)
    elif session.run is not None:
        report.note("the state was left out, as asked")
    _link_leftovers(session)
    _forget_erased(session)
    report.linked = Customer.objects.using(database()).live().filter(user__isnull=False).count()
    if session.run is not None:
        session.run.organization_id = session.organization_id
        session.run.state_complete = with_state and not report.problems


def _ids_being_erased() -> frozenset[str]:
    """External ids whose deletion waits to be sent, and whose customer the mirror never knew.

    Those it knew are marked deleted, which is guard enough.
    """
    waiting = CustomerDeletion.objects.filter(
        done_at=None, customer_id__isnull=True, external_id__isnull=False
    )
    return frozenset(ext for ext in waiting.values_list("external_id", flat=True) if ext)


def _forget_erased(session: Session) -> None:
    """Deletions that were asked for while this sync was running."""
    if session.run is None:
        return
    erased = _ids_being_erased() - session.erased
    if erased:
        met = Customer.objects.using(database()).live().filter(external_id__in=erased)
        session.target.gone_customers(
            list(met.values_list("pk", flat=True)), observed_at=session.client.server_time()
        )


def _link_leftovers(session: Session) -> None:
    """Customers whose user came after them. New and changed ones were linked with their page."""
    after = None
    unlinked = Customer.objects.using(database()).unlinked().exclude(external_id=None)
    while True:
        batch = unlinked if after is None else unlinked.filter(pk__gt=after)
        pairs = batch.order_by("pk").values_list("pk", "external_id")[:LINK_BATCH]
        external_ids = {pk: external_id for pk, external_id in pairs if external_id}
        if not external_ids:
            return
        session.target.link(external_ids)
        session.query_log.trim()
        after = list(external_ids)[-1]
