"""``manage.py polar_export_customers``: the mirror, or Polar's own export, as CSV."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from django_polar.exceptions import PolarError
from django_polar.models import Customer

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator


class Command(BaseCommand):
    help = "Write all customers as CSV, formulas defused, to standard output or a file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--output", metavar="FILE", help="instead of standard output")
        parser.add_argument(
            "--from-polar",
            action="store_true",
            help="Polar's own export instead of the mirror's; it knows neither state nor balance",
        )
        parser.add_argument(
            "--linked", action="store_true", help="only customers that are users here"
        )
        parser.add_argument("--live", action="store_true", help="without the deleted ones")

    def handle(self, *_: Any, **options: Any) -> None:
        if options["from_polar"] and (options["linked"] or options["live"]):
            raise CommandError("--linked and --live choose from the mirror, not from Polar.")
        chunks = _from_polar() if options["from_polar"] else _from_mirror(options)
        try:
            first = next(chunks)
            with self._open(options["output"]) as file:
                file.write(first)
                for chunk in chunks:
                    file.write(chunk)
                file.flush()
        except PolarError as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(
                f"{options['output'] or 'standard output'}: {error.strerror}"
            ) from error

    def _open(self, output: str | None) -> Any:
        if output:
            return Path(output).open("wb")
        # The bytes as they are; call_command may have put a text stream there.
        buffer = getattr(self.stdout, "buffer", None)
        return nullcontext(buffer if buffer is not None else _Encoded(self.stdout))


class _Encoded:
    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, chunk: bytes) -> None:
        self.stream.write(chunk.decode(), ending="")

    def flush(self) -> None:
        self.stream.flush()


def _from_mirror(options: dict[str, Any]) -> Iterator[bytes]:
    from django_polar.services.exports import export_customers  # noqa: PLC0415 - on use

    customers = Customer.objects.all()
    if options["linked"]:
        customers = customers.linked()
    if options["live"]:
        customers = customers.live()
    return export_customers(customers)


def _from_polar() -> Iterator[bytes]:
    from django_polar.client import polar_client  # noqa: PLC0415 - httpx on use
    from django_polar.services.exports import export_from_polar  # noqa: PLC0415 - with it

    with polar_client(bulk=True) as client:
        yield from export_from_polar(client)
