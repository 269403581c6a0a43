"""JSON pointers: every path is written as a text that reads back as the same steps."""

from __future__ import annotations

import pytest

from connector.pointers import read_pointer, write_pointer


@pytest.mark.parametrize(
    ("path", "pointer"),
    [((), ""), (("",), "/"), (("a/b", "c~d", 1), "/a~1b/c~0d/1"), (("~1", "~01"), "/~01/~001")],
)
def test_slashes_and_tildes_in_names_are_escaped_and_come_back(path: tuple[str | int, ...], pointer: str) -> None:
    assert write_pointer(path) == pointer
    assert read_pointer(pointer) == [str(step) for step in path]
