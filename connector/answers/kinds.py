"""Kinds of answers: the Accept header of each and how its body is read, in one table.

Reading is strict: documents that two readers could understand differently raise ValueError with the reason. `mapping`
picks fields from what was read, and `streams` reads streams.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from connector.strict_json import parse_json
from connector.xml import parse_xml

_MEDIA_KINDS = {
    "text/event-stream": "sse",
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
}


@dataclass(frozen=True, slots=True)
class ResponseKind:
    """One kind of answer.

    `accept` is the Accept header that is sent, None for the service's own. `read` returns the raw result of a body, or
    of one message of a stream; `maps` is True if fields are selected in it.
    """

    accept: str | None
    read: Callable[[bytes], Any]
    maps: bool = True


def read_text(body: bytes) -> str:
    """Returns the body as text; bytes that are not UTF-8 become U+FFFD."""
    return body.decode("utf-8", "replace")


def kind_of(declared: str, content_type: str) -> str:
    """Returns the declared kind of an answer; for `any` the kind of its media type (in lower case)."""
    if declared != "any":
        return declared
    if content_type in _MEDIA_KINDS:
        return _MEDIA_KINDS[content_type]
    if content_type.endswith("xml"):
        return "xml"
    if content_type.startswith("text/"):
        return "text"
    return "json" if not content_type or content_type.endswith("json") else "binary"


#: The kinds by their name in `operation.response`.
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
