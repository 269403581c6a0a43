"""JSON that all readers understand the same way: strict reading, nesting depth, equality of JSON values."""

from __future__ import annotations

import contextlib
import functools
import gc
import json.decoder
import json.scanner
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

from connector.types import check_surrogates

#: An answer that nests deeper is refused, so that no later walk through it runs out of stack.
MAX_DEPTH = 200
#: A document of more values is refused: 30 KB of gzip can hold ten million of them.
MAX_VALUES = 1_000_000
#: A document that is larger than _SMALL, and has this many brackets and commas or bytes, is read value by value. That
#: takes ten times as long, but lets other threads run meanwhile, which a reader in C does not.
_SMALL, _MANY, _LONG = 1024 * 1024, 250_000, 8 * 1024 * 1024
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
#: What json reads with in Python where its readers in C are not available; typeshed knows only a part of it.
_decoding: Any = json.decoder
_scanning: Any = json.scanner
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
    if len(body) > _SMALL and (len(body) > _LONG or sum(map(body.count, (b",", b"[", b"{"))) > _MANY):
        return _read_patiently(body)
    document = _fast_reader()(body)
    return _read_strictly(body) if document is _UNREAD else document


def _read_strictly(body: bytes) -> Any:
    def load(text: str) -> Any:
        is_suspect = _is_suspect(body)
        numbers: Any = {"parse_int": _read_integer, "parse_float": _read_float} if is_suspect else {}
        document = json.loads(text, object_pairs_hook=read_members, parse_constant=_refuse_constant, **numbers)
        if is_suspect:
            check_surrogates(json.dumps(document, ensure_ascii=False))
        return document

    return _load(body, load)


def _read_patiently(body: bytes) -> Any:
    """Reads a large document value by value, in Python, and refuses one of too many values."""
    count = 0

    def note() -> None:
        nonlocal count
        count += 1
        if count > MAX_VALUES:
            raise ValueError(f"it has more than {MAX_VALUES} values")

    def counting(scan: Callable[[str, int], Any]) -> Callable[[str, int], Any]:
        note()  # a list or an object counts once more, since it costs more

        def scan_one(text: str, start: int) -> Any:
            note()
            return scan(text, start)

        return scan_one

    def read_text(text: str, start: int, strict: bool) -> tuple[str, int]:  # noqa: FBT001 - called by json
        value, end = _decoding.scanstring(text, start, strict)
        check_surrogates(value)
        return value, end

    def read_unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
        found = read_members(members)
        check_surrogates("".join(found))
        return found

    decoder: Any = json.JSONDecoder(
        object_pairs_hook=read_unique, parse_constant=_refuse_constant, parse_int=_read_integer, parse_float=_read_float
    )
    decoder.parse_string = read_text
    decoder.parse_array = lambda state, scan: _decoding.JSONArray(state, counting(scan))
    decoder.parse_object = lambda state, strict, scan, *hooks: _decoding.JSONObject(
        state, strict, counting(scan), *hooks
    )
    decoder.scan_once = _scanning.py_make_scanner(decoder)
    with _without_collections():
        return _load(body, decoder.decode)


def _load(body: bytes, load: Callable[[str], Any]) -> Any:
    """Returns the document of a body; raises ValueError with the reason."""
    try:
        document = load(body.decode())
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
    """Returns a function that reads a document with orjson, or returns _UNREAD if it cannot."""
    try:
        import orjson
    except ImportError:
        return lambda _: _UNREAD

    def read(body: bytes) -> Any:
        if _NINETEEN_DIGITS in body.translate(_ONE_DIGIT) or (b"\\" in body and _COLON.search(body)):
            return _UNREAD  # orjson would round the number, and escaped colons cannot be counted
        try:
            with _without_collections():
                document = orjson.loads(body)
            again = orjson.dumps(_wrap(document) if _may_be_deep(body) else document)
        except (orjson.JSONDecodeError, orjson.JSONEncodeError):
            return _UNREAD  # the strict reader reports the reason
        # orjson keeps the last of duplicate keys, so the document written again has fewer colons: each member has one,
        # and texts keep theirs.
        return document if body.count(b":") == again.count(b":") else _UNREAD

    return read


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    """Keeps the garbage collector from walking a document again and again while it grows: each walk stops all else."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


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
