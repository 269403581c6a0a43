"""Kinds of answers: what each asks for in Accept and how its body is read, in one table.

Reading is strict: what two readers could understand differently is refused, with ValueError and the reason. What is
picked from a document that was read is `mapping`'s; bytes that come one after the other are `streams`'.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from connector.parsing.schema import nesting
from connector.types import check_surrogates
from connector.xml import parse_xml

#: Numbers that are infinite as a float or beyond 64 bits are found once every digit is a 0 and no sign is left: fixed
#: bytes take a twentieth of the time of a regular expression that says the same.
_ONE_DIGIT = bytes.maketrans(b"123456789E", b"000000000e")
_NINETEEN_DIGITS = b"0" * 19
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_COLON = re.compile(rb"\\u003[aA]")
_LIMIT = 2**63
_LONGEST_INTEGER = len(str(-_LIMIT))
#: What a fast reader gives for a body that the strict one has to look at.
_UNREAD: Any = object()
#: An answer that nests deeper is refused, so that nobody who walks through it later runs out of stack.
MAX_DEPTH = 200
#: What nests deeper orjson reads, but does not write.
_ORJSON_DEPTH = 254
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_MEDIA_KINDS = {
    "text/event-stream": "sse",
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
}


@dataclass(frozen=True, slots=True)
class ResponseKind:
    """One kind of answer.

    `accept` is the Accept header it sends, None for the service's own. `read` makes the raw result of the whole body;
    `maps` is true if fields are selected in it. A stream's `read` is that of one message.
    """

    accept: str | None
    read: Callable[[bytes], Any]
    maps: bool = True


def parse_json(body: bytes) -> Any:
    """Bytes as JSON, strictly: what two readers could understand differently is refused (hazard T47).

    An integer beyond 64 bits is kept as its text. A byte order mark is allowed (RFC 8259, section 8.1). Raises
    ValueError with the reason.
    """
    body = body.removeprefix(BYTE_ORDER_MARK)
    document = _fast_reader()(body)
    return _read_strictly(body) if document is _UNREAD else document


def _read_strictly(body: bytes) -> Any:
    try:
        text = body.decode()
        if _is_suspect(body):
            document = json.loads(
                text,
                object_pairs_hook=_read_members,
                parse_constant=_refuse_constant,
                parse_int=_read_integer,
                parse_float=_read_float,
            )
            check_surrogates(json.dumps(document, ensure_ascii=False))
        else:
            document = json.loads(text, object_pairs_hook=_read_members, parse_constant=_refuse_constant)
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
    """A function that gives the document, by orjson (the extra `speed`), or _UNREAD in doubt and without it."""
    try:
        import orjson
    except ImportError:
        return lambda _: _UNREAD

    def read(body: bytes) -> Any:
        if _NINETEEN_DIGITS in body.translate(_ONE_DIGIT) or (b"\\" in body and _COLON.search(body)):
            return _UNREAD  # it would round the number, and the colon could not be counted
        try:
            document = orjson.loads(body)
            again = orjson.dumps(_wrap(document) if _may_be_deep(body) else document)
        except (orjson.JSONDecodeError, orjson.JSONEncodeError):
            return _UNREAD  # the strict reader has the words for it
        # Of a key that stands twice orjson keeps the last, so written again the document has fewer colons: one is each
        # member's, and texts keep theirs.
        return document if body.count(b":") == again.count(b":") else _UNREAD

    return read


def _may_be_deep(body: bytes) -> bool:
    """False if there are too few brackets for that; they are cheap to count."""
    return body.count(b"[") + body.count(b"{") > MAX_DEPTH


def _wrap(document: Any) -> Any:
    """The document within so many lists that orjson refuses to write it if it nests too deeply."""
    for _ in range(_ORJSON_DEPTH - MAX_DEPTH):
        document = [document]
    return document


def _is_suspect(body: bytes) -> bool:
    """True if a number or an escape in it has to be looked at by itself."""
    digits = body.translate(_ONE_DIGIT, b"+")
    return _NINETEEN_DIGITS in digits or b"e000" in digits or (b"\\" in body and _SURROGATE.search(body) is not None)


def _read_members(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) != len(members):
        raise ValueError("a key stands twice in one object")
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


def read_text(body: bytes) -> str:
    """The body as text; bytes that are no UTF-8 become U+FFFD."""
    return body.decode("utf-8", "replace")


def kind_of(declared: str, content_type: str) -> str:
    """The kind of an answer: the declared one, or of `any` the one that its media type (in lower case) stands for."""
    if declared != "any":
        return declared
    if content_type in _MEDIA_KINDS:
        return _MEDIA_KINDS[content_type]
    if content_type.endswith("xml"):
        return "xml"
    if content_type.startswith("text/"):
        return "text"
    return "json" if not content_type or content_type.endswith("json") else "binary"


#: The kinds by the name that `operation.response` gives them.
RESPONSE_KINDS: dict[str, ResponseKind] = {
    "json": ResponseKind(None, parse_json),
    "text": ResponseKind("text/plain, */*;q=0.5", read_text, maps=False),
    "xml": ResponseKind("application/xml, text/xml;q=0.9, */*;q=0.5", parse_xml),
    "binary": ResponseKind("*/*", bytes, maps=False),
    "sse": ResponseKind("text/event-stream", parse_json),
    "ndjson": ResponseKind("application/x-ndjson, application/json;q=0.5", parse_json),
    "empty": ResponseKind(None, lambda _: None, maps=False),
    "any": ResponseKind(None, parse_json),
}
