"""``django_polar.services``: every verb by its name."""

from __future__ import annotations

import pytest

from django_polar import services


@pytest.mark.parametrize("name", services.__all__)
def test_every_name_is_there(name):
    assert callable(getattr(services, name))
    assert name in dir(services)


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError):
        services.no_such_verb  # noqa: B018 - looking is the point
