"""``manage.py polar_sync_customers``: the main job."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from django.core import checks
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from django_polar.exceptions import (
    AuthenticationError,
    ConfigurationError,
    EndpointNotFoundError,
    OrganizationMismatchError,
    PayloadError,
    PermissionDeniedError,
    PolarError,
    SyncInProgressError,
    UnavailableError,
    UnexpectedResponseError,
)
from django_polar.management import leftovers
from django_polar.management.database_errors import explain_database_error
from django_polar.management.interruption import Interrupted, interrupt, on_stop_signals
from django_polar.services.sync_report import SyncReport

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from typing import NoReturn, Self

    from django_polar.management.leftovers import Leftovers

EXIT_INCOMPLETE = 1
EXIT_CONFIGURATION = 2

SHOWN_DRIFT = 20
"""Lines of drift for people; ``--json`` has up to a thousand."""


class Command(BaseCommand):
    help = (
        "Mirror every Polar customer and its state: active subscriptions, granted benefits and"
        " meters. Exits with 0 when the mirror is complete, 1 when it is not (or when --dry-run"
        " found drift), 2 when the configuration or the token has to be changed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--json", action="store_true", help="Print one JSON object and nothing else."
        )
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="Write nothing; list how Polar and the mirror differ, and exit with 1 if they do.",
        )
        parser.add_argument(
            "--resume", action="store_true", help="Go on with the last sync if it was killed."
        )
        which = parser.add_mutually_exclusive_group()
        which.add_argument(
            "--external-id", metavar="ID", help="Sync only the customer with this external id."
        )
        which.add_argument(
            "--user", metavar="PK", help="Sync only the customer of the user with this primary key."
        )
        which.add_argument(
            "--enqueue", action="store_true", help="Let a Celery worker do it, and return."
        )
        parser.add_argument(
            "--no-state",
            action="store_true",
            help="Leave out subscriptions, benefits and meters.",
        )
        parser.add_argument(
            "--no-delete",
            action="store_true",
            help="Keep in the mirror what is gone at Polar.",
        )
        parser.add_argument(
            "--replace-organization",
            action="store_true",
            help="Empty the mirror first if the token belongs to another organization.",
        )
        parser.add_argument(
            "--create-missing",
            action="store_true",
            help="Afterwards create customers at Polar for users who have none.",
        )
        leftovers.add_arguments(parser)

    # Ours are run in ``handle``: one line and exit code 2 instead of a report and 1.
    requires_system_checks = ()

    def handle(self, **options: Any) -> None:
        report = SyncReport()
        try:
            with on_stop_signals(interrupt):
                _check_settings()
                self._handle(options, report)
        except PolarError as error:
            self._fail(_explain(error), _exit_code(error), options, report, error)
        except DatabaseError as error:
            self._fail(*explain_database_error(error), options, report, error)
        except Interrupted as stop:
            self._print_failure("interrupted", f"stopped by {stop.name}", options, report)
            self.stderr.write(f"Stopped by {stop.name}. Go on later with --resume.")
            stop.leave()

    def _fail(
        self,
        message: str,
        code: int,
        options: dict[str, Any],
        report: SyncReport,
        error: Exception,
    ) -> NoReturn:
        self._print_failure("failed", message, options, report)
        raise CommandError(message, returncode=code) from error

    def _print_failure(
        self, outcome: str, problem: str, options: dict[str, Any], report: SyncReport
    ) -> None:
        """With ``--json`` a machine gets its object whatever happens."""
        if options["json"] and not options["enqueue"]:
            report.outcome = outcome
            report.problem(problem)
            self.stdout.write(json.dumps(report.as_dict(dry_run=options["dry_run"])))

    def _handle(self, options: dict[str, Any], report: SyncReport) -> None:
        if options["enqueue"]:
            self._enqueue(options)
        elif options["external_id"] is not None:
            self._sync_one(options["external_id"], options)
        elif options["user"] is not None:
            self._sync_one(_external_id_of_user(options["user"]), options)
        else:
            self._sync_all(options, report)

    def _enqueue(self, options: dict[str, Any]) -> None:
        from django_polar.tasks import enqueue  # noqa: PLC0415 - loads Celery

        _refuse(
            options,
            "--enqueue",
            (
                "dry_run",
                "json",
                "no_state",
                "no_delete",
                "replace_organization",
                "create_missing",
                "delete_orphans",
                "push",
            ),
        )
        if not enqueue("sync_customers"):
            raise CommandError(
                "The broker did not take the task; see that it runs and that Celery's broker_url"
                " names it, or sync without --enqueue.",
                returncode=EXIT_INCOMPLETE,
            )
        self.stdout.write("A worker will sync the customers.")

    def _sync_one(self, external_id: str, options: dict[str, Any]) -> None:
        from django_polar.services import sync_customer  # noqa: PLC0415 - loads httpx

        _refuse(
            options,
            "one customer",
            (
                "dry_run",
                "resume",
                "no_state",
                "no_delete",
                "replace_organization",
                "create_missing",
                "delete_orphans",
                "push",
            ),
        )
        customer = sync_customer(external_id)
        outcome = "complete" if customer else "not found"
        if options["json"]:
            result = {
                "outcome": outcome.replace(" ", "_"),
                "external_id": external_id,
                "customer": str(customer.pk) if customer else None,
            }
            self.stdout.write(json.dumps(result))
        elif customer:
            self.stdout.write(f"Customer {customer.pk} is as Polar has it.")
        else:
            self.stdout.write(f"Polar has no customer with the external id {external_id}.")
        if customer is None:
            sys.exit(EXIT_INCOMPLETE)

    def _sync_all(self, options: dict[str, Any], report: SyncReport) -> None:
        from django_polar.services.sync import sync_customers  # noqa: PLC0415 - loads httpx

        with _Progress(self.stderr, is_wanted=options["verbosity"] > 0) as progress:
            sync_customers(
                dry_run=options["dry_run"],
                resume=options["resume"],
                with_state=not options["no_state"],
                delete=not options["no_delete"],
                replace_organization=options["replace_organization"],
                progress=progress,
                report=report,
            )
        if options["create_missing"]:
            self._create_missing(report, dry_run=options["dry_run"])
        found = leftovers.handle(options, confirm=_confirm)
        self._print(report, found, options)
        if report.outcome not in ("complete", "in_sync"):
            sys.exit(EXIT_INCOMPLETE)

    def _create_missing(self, report: SyncReport, *, dry_run: bool) -> None:
        """Only after a complete sync is a user without a customer known to have none."""
        from django_polar.client import polar_client  # noqa: PLC0415 - loads httpx
        from django_polar.services import missing, pushes  # noqa: PLC0415 - with it

        if report.problems:
            report.notes.append("no customers were created, because the sync is not complete")
        elif dry_run:
            users = sum(map(len, missing.iter_users_without_customer()))
            report.notes.append(f"{users:,} users have no customer; --create-missing would make it")
        else:
            requested = missing.request_missing_creations()
            with polar_client(bulk=True) as client:
                sent = pushes.send_due_pushes(client)
            report.notes.append(
                f"{requested:,} customers were to be created; {sent:,} queued changes were sent"
            )

    def _print(self, report: SyncReport, found: Leftovers | None, options: dict[str, Any]) -> None:
        if options["json"]:
            summary = report.as_dict(dry_run=options["dry_run"])
            self.stdout.write(json.dumps(summary | (found.as_dict() if found else {})))
            return
        for line in render(report, dry_run=options["dry_run"]) + (found.render() if found else []):
            self.stdout.write(line)


def _check_settings() -> None:
    """A setting of the wrong kind stops the command, also one that it would use at its end."""
    errors = [message for message in checks.run_checks(tags=["polar"]) if message.is_serious()]
    if errors:
        raise ConfigurationError(" ".join(str(error.msg) for error in errors))


def _confirm(question: str) -> bool:
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _refuse(options: dict[str, Any], what: str, names: tuple[str, ...]) -> None:
    """Options that would be ignored are refused."""
    given = [f"--{name.replace('_', '-')}" for name in names if options[name]]
    if given:
        raise CommandError(
            f"{', '.join(given)} cannot be combined with {what}.", returncode=EXIT_CONFIGURATION
        )


def _external_id_of_user(pk: str) -> str:
    from django.contrib.auth import get_user_model  # noqa: PLC0415 - needs the apps
    from django.core.exceptions import ValidationError  # noqa: PLC0415 - with it

    from django_polar.services.customers import external_id_of  # noqa: PLC0415 - loads httpx

    try:
        user = get_user_model()._default_manager.filter(pk=pk).first()
    except (ValueError, ValidationError):
        user = None
    if user is None:
        raise CommandError(
            f"There is no user with the primary key {pk!r}.", returncode=EXIT_CONFIGURATION
        )
    return external_id_of(user)


class _Progress:
    """A bar for each list, where there is a terminal to show it on."""

    def __init__(self, stream: Any, *, is_wanted: bool) -> None:
        self._is_shown = is_wanted and stream.isatty()
        self._stream = stream
        self._bar: Any = None
        self._list_name = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, list_name: str, done: int, total: int) -> None:
        if not self._is_shown:
            return
        if list_name != self._list_name:
            self._start(list_name)
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def _start(self, list_name: str) -> None:
        from tqdm import tqdm  # noqa: PLC0415 - nothing to show, nothing to load

        if self._bar is not None:
            self._bar.close()
        self._bar = tqdm(desc=f"{list_name:<14}", file=self._stream, unit="", leave=True)
        self._list_name = list_name


def render(report: SyncReport, *, dry_run: bool) -> list[str]:
    """The summary table, and below it what a person should know."""
    columns = ("seen", "created", "updated", "unchanged", "deleted", "skipped")
    lines = [f"{'':<14}" + "".join(f"{name:>11}" for name in columns)]
    for name, counts in report.counts.items():
        values = counts.as_dict()
        lines.append(f"{name:<14}" + "".join(f"{values[column]:>11,}" for column in columns))
    lines.append("")
    lines.append(
        f"{report.outcome.replace('_', ' ')}: {report.linked:,} customers linked to users,"
        f" {report.requests:,} requests in {report.seconds:.1f} s"
    )
    lines += [f"note: {note}" for note in report.notes]
    lines += [f"problem: {problem}" for problem in report.problems]
    if dry_run:
        lines += _render_drift(report)
    return lines


def _render_drift(report: SyncReport) -> list[str]:
    lines = []
    for kind, count in sorted(report.drift_counts.items()):
        lines.append(f"drift: {kind.replace('_', ' ')}: {count:,}")
        shown = [drift for drift in report.drift if drift.kind == kind][:SHOWN_DRIFT]
        for drift in shown:
            known_as = f" (external id {drift.external_id})" if drift.external_id else ""
            fields = f": {', '.join(drift.fields)}" if drift.fields else ""
            lines.append(f"  {drift.list_name} {drift.id}{known_as}{fields}")
        if count > len(shown):
            lines.append(f"  and {count - len(shown):,} more")
    return lines


def _explain(error: PolarError) -> str:
    """One line: what is wrong, and the fix."""
    text = " ".join(str(error).split())
    if isinstance(error, AuthenticationError):
        return (
            f"{text}. Set POLAR_ACCESS_TOKEN to an organization access token that is valid in"
            " this POLAR_ENVIRONMENT."
        )
    if isinstance(error, PermissionDeniedError):
        scopes = " or ".join(error.scopes) or "customers:read"
        return f"{text}. Give the access token the scope {scopes}."
    if isinstance(error, EndpointNotFoundError):
        return f"{text}. Check POLAR_BASE_URL and POLAR_API_VERSION."
    if isinstance(error, UnavailableError | UnexpectedResponseError | PayloadError):
        return f"{text}. What was read is in the mirror; go on later with --resume."
    return text


def _exit_code(error: PolarError) -> int:
    if isinstance(error, SyncInProgressError):
        return EXIT_INCOMPLETE
    wrong = (
        AuthenticationError,
        ConfigurationError,
        EndpointNotFoundError,
        OrganizationMismatchError,
        PermissionDeniedError,
    )
    return EXIT_CONFIGURATION if isinstance(error, wrong) else EXIT_INCOMPLETE
