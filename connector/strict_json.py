"""JSON that all readers understand the same way: strict reading, nesting depth, equality of JSON values."""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Callable
from typing import Any

from connector.types import check_surrogates

#: An answer that nests deeper is refused, so that no later walk through it runs out of stack.
MAX_DEPTH = 200
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
#: Numbers that are infinite as a float or beyond 64 bits are found as runs of zeros after this translation of digits:
#: a search for fixed bytes takes a twentieth of the time of a regular expression.
_ONE_DIGIT = bytes.maketrans(b"123456789E", b"000000000e")
_NINETEEN_DIGITS = b"0" * 19
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_COLON = re.compile(rb"\\u003[aA]")
_LIMIT = 2**63
_LONGEST_INTEGER = len(str(-_LIMIT))
#: Returned by the fast reader for a body that the strict one has to read.
_UNREAD: Any = object()
#: orjson reads deeper documents, but does not write them.
_ORJSON_DEPTH = 254
_CONTAINERS = frozenset({dict, list})


class DuplicateKey(ValueError):
    """An object in a JSON text has two members of the same name."""


def parse_json(body: bytes) -> Any:
    """Reads bytes as JSON, and refuses documents that two readers could understand differently (hazard T47).

    An integer beyond 64 bits is returned as its text. A byte order mark is allowed (RFC 8259, section 8.1). Raises
    ValueError with the reason.
    """
    body = body.removeprefix(BYTE_ORDER_MARK)
    document = _fast_reader()(body)
    return _read_strictly(body) if document is _UNREAD else document


def _read_strictly(body: bytes) -> Any:
    try:
        text = body.decode()
        is_suspect = _is_suspect(body)
        numbers: Any = {"parse_int": _read_integer, "parse_float": _read_float} if is_suspect else {}
        document = json.loads(text, object_pairs_hook=read_members, parse_constant=_refuse_constant, **numbers)
        if is_suspect:
            check_surrogates(json.dumps(document, ensure_ascii=False))
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except RecursionError:
        raise ValueError("it nests too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON ({error.msg.lower()} at character {error.pos})") from None
    if _may_be_deep(body) and nesting(document) > MAX_DEPTH:
        raise ValueError("it nests too deeply")
    return document


@functools.cache
def _fast_reader() -> Callable[[bytes], Any]:
    """Returns a function that reads a document with orjson (the extra `speed`), or returns _UNREAD if it cannot."""
    try:
        import orjson
    except ImportError:
        return lambda _: _UNREAD

    def read(body: bytes) -> Any:
        if _NINETEEN_DIGITS in body.translate(_ONE_DIGIT) or (b"\\" in body and _COLON.search(body)):
            return _UNREAD  # orjson would round the number, and escaped colons cannot be counted
        try:
            document = orjson.loads(body)
            again = orjson.dumps(_wrap(document) if _may_be_deep(body) else document)
        except (orjson.JSONDecodeError, orjson.JSONEncodeError):
            return _UNREAD  # the strict reader reports the reason
        # orjson keeps the last of duplicate keys, so the document written again has fewer colons: each member has one,
        # and texts keep theirs.
        return document if body.count(b":") == again.count(b":") else _UNREAD

    return read


def _may_be_deep(body: bytes) -> bool:
    """Returns False if there are too few brackets to nest too deeply; they are cheap to count."""
    return body.count(b"[") + body.count(b"{") > MAX_DEPTH


def _wrap(document: Any) -> Any:
    """Returns the document within so many lists that orjson refuses to write it if it nests too deeply."""
    for _ in range(_ORJSON_DEPTH - MAX_DEPTH):
        document = [document]
    return document


def _is_suspect(body: bytes) -> bool:
    """Returns True if a number or an escape has to be checked by itself."""
    digits = body.translate(_ONE_DIGIT, b"+")
    return _NINETEEN_DIGITS in digits or b"e000" in digits or (b"\\" in body and _SURROGATE.search(body) is not None)


def read_members(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """An `object_pairs_hook` of `json.loads` that raises DuplicateKey."""
    if len(found := dict(members)) != len(members):
        raise DuplicateKey("duplicate key")
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _read_integer(digits: str) -> int | str:
    if len(digits) > _LONGEST_INTEGER:
        return digits
    number = int(digits)
    return number if -_LIMIT <= number < _LIMIT else digits


def _read_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("a number is too large")
    return number


def nesting(value: Any) -> int:
    """Returns how deep a parsed JSON value nests: 0 for a scalar, 1 for a flat list."""
    depth, level = 0, [value]
    while level := [each for each in level if type(each) in _CONTAINERS]:
        depth += 1
        level = [item for each in level for item in (each.values() if type(each) is dict else each)]
    return depth


def same_json(one: Any, other: Any) -> bool:
    """Returns True if both are the same JSON value; unlike in Python, 1 is not True and 0 is not False."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)
