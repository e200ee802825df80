"""What a database error means for whoever ran the command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import DatabaseError, connections, router
from django.db.migrations.executor import MigrationExecutor

from django_polar.models import SyncRun

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


def explain_database_error(error: DatabaseError) -> tuple[str, int]:
    """One line with the fix, and the exit code. Never the message, which may quote a value."""
    connection = connections[router.db_for_write(SyncRun)]
    try:
        is_missing_tables = _has_unapplied_migrations(connection)
    except DatabaseError as away:
        return f"The database cannot be reached ({type(away).__name__}). Check DATABASES.", 2
    if is_missing_tables:
        return "The database lacks migrations of django_polar. Run manage.py migrate.", 2
    text = (
        f"The database failed ({type(error).__name__}). What was read before is in the mirror; go"
        " on later with --resume, and use --traceback to see what happened."
    )
    return text, 1


def _has_unapplied_migrations(connection: BaseDatabaseWrapper) -> bool:
    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes("django_polar")))
