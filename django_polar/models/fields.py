"""Columns whose type depends on the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


class ExactCharField(models.CharField):  # type: ignore[type-arg]
    """Text that is compared byte for byte on every database.

    MariaDB's default collations take ``ABC`` for ``abc`` and ``"a "`` for ``"a"``; Polar's
    external ids differ in both.
    """

    def db_parameters(self, connection: BaseDatabaseWrapper) -> dict[str, Any]:
        parameters: dict[str, Any] = dict(super().db_parameters(connection))
        if connection.vendor == "mysql" and not self.db_collation:
            parameters["collation"] = (
                "utf8mb4_nopad_bin"
                if getattr(connection, "mysql_is_mariadb", False)
                else "utf8mb4_0900_bin"
            )
        return parameters
