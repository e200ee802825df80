"""The pytest plugin: the ``polar`` fixture. It loads nothing until a test asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from _pytest.config.findpaths import determine_setup

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django_polar.testing.polar import FakePolar


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("django-polar")
    group.addoption(
        "--polar-recordings",
        metavar="PATH",
        default=None,
        help="a directory of exchanges recorded with a real Polar, to compare with; as =PATH",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    """Make ``--polar-recordings PATH`` mean the same as ``--polar-recordings=PATH``.

    Before plugins are loaded pytest knows no options of theirs, takes PATH for the place of the
    tests, and misses the configuration of the project that it was called in.
    """
    if "--polar-recordings" not in args or early_config.inipath is not None:
        return
    here = early_config.invocation_params.dir
    root, path, values, ignored = determine_setup(
        inifile=None, override_ini=None, args=[], rootdir_cmd_arg=None, invocation_dir=here
    )
    # There is no public way to tell pytest where its configuration is once it has looked.
    config: Any = early_config
    config._rootpath, config._inipath, config._inicfg = root, path, values  # noqa: SLF001
    config._ignored_config_files = ignored  # noqa: SLF001
    config._inicache.clear()  # noqa: SLF001
    config._configure_python_path()  # noqa: SLF001
    args[:] = [*early_config.getini("addopts"), *args]


@pytest.fixture
def polar() -> Iterator[FakePolar]:
    """A fresh fake Polar, and every client that the services make talks to it."""
    from django.test import override_settings  # noqa: PLC0415  # not before a test needs it

    from django_polar.client import override_transport  # noqa: PLC0415
    from django_polar.testing.polar import FakePolar  # noqa: PLC0415

    fake = FakePolar()
    configured = override_settings(POLAR_ACCESS_TOKEN=fake.token, POLAR_BASE_URL=fake.base_url)
    with configured, override_transport(fake.transport()):
        yield fake
