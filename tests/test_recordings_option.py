"""``--polar-recordings=PATH``"""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]


def test_space_before_the_path_is_refused(pytester, tmp_path):
    """With a space pytest takes the path for the tests' and drops our settings: it must say so."""
    result = pytester.runpytest_inprocess("-p", "no:django", "--polar-recordings", str(tmp_path))

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*write --polar-recordings=PATH*"])


def test_equals_sign_is_taken(pytester, tmp_path):
    """The path reaches the tests, and pytest's own settings stay what they are."""
    pytester.makepyfile(
        """
        def test_path(request):
            assert request.config.getoption("--polar-recordings")
        """
    )

    result = pytester.runpytest_inprocess("-p", "no:django", f"--polar-recordings={tmp_path}")

    result.assert_outcomes(passed=1)
