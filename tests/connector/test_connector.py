"""The names that `connector` exports: each is imported when it is first used."""

from __future__ import annotations

import pytest

import connector
import connector.errors


def test_the_door_is_sorted_and_every_name_is_behind_it() -> None:
    assert sorted(connector.__all__) == connector.__all__
    homes = [getattr(connector, name).__module__ for name in connector.__all__]
    assert [home for home in homes if not home.startswith("connector.")] == []
    assert dir(connector) == connector.__all__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        getattr(connector, "nothing")  # noqa: B009 - what a misspelt import does


def test_every_error_is_behind_the_door() -> None:
    errors = {
        name
        for name, value in vars(connector.errors).items()
        if isinstance(value, type) and issubclass(value, connector.errors.ConnectorError)
    }
    assert errors <= set(connector.__all__)
