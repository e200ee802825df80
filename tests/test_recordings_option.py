"""``--polar-recordings``"""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]


@pytest.fixture
def project(pytester):
    """A project with a configuration of its own, as somebody's repository is."""
    pytester.makepyprojecttoml(
        """
        [tool.pytest.ini_options]
        testpaths = ["suite"]
        addopts = ["-ra"]
        """
    )
    pytester.mkpydir("suite").joinpath("test_it.py").write_text(
        "def test_it(request):\n"
        "    assert request.config.getoption('--polar-recordings')\n"
        "    assert request.config.inipath is not None\n"
        "    assert request.config.getini('testpaths') == ['suite']\n"
    )
    return pytester


@pytest.mark.parametrize("form", ["{}", "{}="])
def test_both_spellings_mean_the_same(project, tmp_path_factory, form):
    """With a space or an equals sign: the path is the recordings', the configuration ours."""
    elsewhere = tmp_path_factory.mktemp("recordings")
    option = form.format("--polar-recordings")
    arguments = [f"{option}{elsewhere}"] if option.endswith("=") else [option, str(elsewhere)]

    result = project.runpytest_inprocess("-p", "no:django", *arguments)

    result.assert_outcomes(passed=1)
