"""JSON pointers (RFC 6901): the path of a value within a document, as one text."""

from __future__ import annotations

from collections.abc import Iterable


def write_pointer(path: Iterable[str | int]) -> str:
    """Returns the pointer to a path; the empty text for the whole document.

    >>> write_pointer(("paths", "/pets", 0))
    '/paths/~1pets/0'
    """
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def read_pointer(pointer: str) -> list[str]:
    """Returns the steps of a pointer; an index is text as well.

    >>> read_pointer("/paths/~1pets/0")
    ['paths', '/pets', '0']
    """
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
