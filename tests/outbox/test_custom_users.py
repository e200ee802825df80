"""Any user model: a process for each, because Django can have but one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("kind", ["uuid", "text"])
def test_user_model_with_its_own_kind_of_key(kind):
    database_name = os.environ.get("TEST_DATABASE_NAME", "test_django_polar")
    result = subprocess.run(
        [
            sys.executable,
            *("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/custom_users/cases.py"),
            *("--ds", f"tests.custom_users.settings_{kind}", "--create-db"),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TEST_DATABASE_NAME": f"{database_name}_{kind}"},
    )

    assert result.returncode == 0, result.stdout
