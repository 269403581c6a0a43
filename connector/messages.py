"""The frozen values between the language and the network: Request, Response, Stream, Event, Result, Chunk.

They belong to no HTTP library and compare by value. A Request knows which texts in it are secret: `masked()` hides
them, and `repr` shows only what is safe to log.
"""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from connector.headers import Headers

#: Shown in place of a secret.
MASK = "***"


def is_source(value: Any) -> bool:
    """Returns True for the content of a file that is read while it is sent: a path, or an async iterable of bytes."""
    return hasattr(value, "__fspath__") or hasattr(value, "__aiter__")


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Stream:
    """A body that is not wholly in memory: its pieces in order, bytes and sources (`is_source`).

    No source may contain `delimiter`, if there is one: it would be taken for the end of the source. `content_type` is
    the media type with parameters that only the body knows (the boundary of a multipart).
    Two streams are equal if their pieces are; a path equals the same path, an iterator only itself.
    """

    pieces: tuple[Any, ...]
    delimiter: bytes = b""
    content_type: str = ""

    @property
    def repeatable(self) -> bool:
        """True if it can be sent more than once: it has no iterator, which can be read only once."""
        return not any(hasattr(piece, "__anext__") for piece in self.pieces)

    def describe(self) -> bytes:
        """Returns the body as it may be shown: `<content of report.pdf>` in place of each source."""
        return b"".join(
            piece if isinstance(piece, bytes) else f"<content of {getattr(piece, 'name', 'a stream')}>".encode()
            for piece in self.pieces
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles what can be pickled: a description in place of an iterator, which no other process can read."""
        pieces = tuple(Stream((each,)).describe() if hasattr(each, "__aiter__") else each for each in self.pieces)
        return Stream, (pieces, self.delimiter, self.content_type)

    def __copy__(self) -> Stream:
        """The stream itself, which never changes."""
        return self

    def __deepcopy__(self, _: Any) -> Stream:
        """The stream itself."""
        return self

    def masked(self, secrets: Iterable[str]) -> Stream:
        """Returns the same stream with `***` in place of each secret in its bytes."""
        hidden = tuple(secrets)
        pieces = (mask_bytes(piece, hidden) if isinstance(piece, bytes) else piece for piece in self.pieces)
        return Stream(tuple(pieces), self.delimiter, self.content_type)


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, ready to be sent.

    `url` is absolute and fully encoded; `body` is bytes, a Stream if a file is read while it is sent, or None for no
    body. `secrets` are the texts that must not be shown, in each form in which they occur in this request.
    `own_headers` are the names, in lower case, that the operation declares; auth keeps them (language rule 9).
    """

    method: str
    url: str
    _: KW_ONLY
    headers: Headers = field(default_factory=Headers)
    body: bytes | Stream | None = None
    secrets: frozenset[str] = field(default=frozenset(), compare=False, repr=False)
    own_headers: frozenset[str] = field(default=frozenset(), compare=False, repr=False)

    def with_header(self, name: str, value: str, *, secrets: Iterable[str] = ()) -> Request:
        """Returns the request with one header in place of any of that name, unless the operation declares its own."""
        if name.lower() in self.own_headers:
            return self
        headers = self.headers.replacing(name, value)
        secrets = self.secrets.union(secrets)
        # Faster than `dataclasses.replace`, and needed for every call.
        return Request(
            self.method, self.url, headers=headers, body=self.body, secrets=secrets, own_headers=self.own_headers
        )

    def masked(self) -> Request:
        """Returns the same request with `***` in place of each secret."""
        if not self.secrets:
            return self
        return Request(
            self.method,
            mask(self.url, self.secrets),
            headers=Headers((name, mask(value, self.secrets)) for name, value in self.headers.items()),
            body=_mask_body(self.body, self.secrets),
        )

    @property
    def text(self) -> str | None:
        """The body as text, or None if there is none; bytes that are not UTF-8 become U+FFFD.

        For a Stream it is what `Stream.describe` returns.
        """
        body = self.body.describe() if isinstance(self.body, Stream) else self.body
        return None if body is None else body.decode("utf-8", "replace")

    @property
    def json(self) -> Any:
        """The body parsed as JSON, or None if there is none or it is not JSON."""
        try:
            return json.loads(self.body) if isinstance(self.body, bytes) else None
        except (ValueError, RecursionError):
            return None

    def __repr__(self) -> str:
        return f"<Request {self.method} {mask(without_query(self.url), self.secrets)}>"


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP answer with its whole body, already decompressed."""

    status: int
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""

    @property
    def content_type(self) -> str:
        """The media type in lower case, without parameters; empty if the provider named none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def masked(self, secrets: Iterable[str]) -> Response:
        """Returns the same answer with `***` in place of each secret."""
        secrets = [*secrets]
        body = mask_answer(self.body, secrets)
        # Nearly every answer has none and is returned as it is.
        if body is self.body and not any(each in text for each in secrets for text in self.headers.values()):
            return self
        headers = Headers((name, mask(value, secrets)) for name, value in self.headers.items())
        return Response(self.status, headers, body)

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.content_type or 'untyped'}, {len(self.body)} bytes>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened at the provider, with the attributes of CloudEvents.

    `type` is the trigger id (`batch-jobs/batch_job.succeeded`), `source` is `/<connector>/<connection>`, `subject` is
    the key of the object that it happened to, `time` is RFC 3339 text, `data` are the mapped payload fields.
    """

    id: str
    source: str
    type: str
    subject: str | None
    time: str
    data: Mapping[str, Any]


def secret_forms(value: str) -> frozenset[str]:
    """Returns every form in which a secret can occur in requests and answers: plain, encoded in a URL, form or JSON."""
    forms = {value, urllib.parse.quote(value, safe=""), urllib.parse.quote_plus(value)}
    escaped = json.dumps(value)[1:-1]
    upper = re.sub(r"\\u[0-9a-f]{4}", lambda found: "\\u" + found[0][2:].upper(), escaped)
    for as_json in (escaped, upper, json.dumps(value, ensure_ascii=False)[1:-1]):
        # Some providers escape the slash as well, which JSON allows (RFC 8259, section 7).
        forms |= {as_json, as_json.replace("/", "\\/")}
    return frozenset(form for form in forms if form)


def mask(text: str, secrets: Iterable[str]) -> str:
    """Returns the text with `***` in place of each secret; the longest first, so that none is left in part."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def mask_bytes(body: bytes, secrets: Iterable[str]) -> bytes:
    """Returns UTF-8 bytes with `***` in place of each secret, like `mask`."""
    for secret in sorted(secrets, key=len, reverse=True):
        body = body.replace(_encode(secret), MASK.encode())
    return body


def mask_answer(body: bytes, secrets: Iterable[str]) -> bytes:
    r"""Returns what a provider sent with `***` in place of each secret, also of one that is written with escapes.

    In JSON a letter may be written as `\u0061` (RFC 8259, section 7), in XML as `&#97;` or `&#x61;`.
    """
    hidden = [_encode(each) for each in secrets]
    if any(each in body for each in hidden):
        body = mask_bytes(body, secrets)
    for mark, escape, spell_out in _ESCAPES:
        if hidden and mark in body:
            plain = escape.sub(spell_out, body)
            if any(each in plain for each in hidden):
                body = mask_bytes(plain, secrets)
    return body


def _spell_out_json(found: re.Match[bytes]) -> bytes:
    # After an odd number of backslashes it is no escape. They are counted here, since an expression that begins with
    # what is fixed is found in a fiftieth of the time.
    start = before = found.start()
    while before and found.string[before - 1] == 0x5C:
        before -= 1
    return found[0] if (start - before) % 2 else json.dumps(chr(int(found[1], 16)))[1:-1].encode()


def _spell_out_xml(found: re.Match[bytes]) -> bytes:
    code = int(found[1], 16) if found[1] else int(found[2])
    # A mark that has a meaning in XML stays a reference.
    return bytes([code]) if 0x20 <= code < 0x7F and code not in b"<>&" else found[0]


#: Escapes of printable ASCII, and what they stand for: in JSON, after whole pairs of backslashes, and in XML.
_ESCAPES = (
    (b"\\u00", re.compile(rb"\\u00([2-7][0-9A-Fa-f])"), _spell_out_json),
    (b"&#", re.compile(rb"&#(?:[xX]0*([2-7][0-9A-Fa-f])|0*([0-9]{2,3}));"), _spell_out_xml),
)


def _mask_body(body: bytes | Stream | None, secrets: Iterable[str]) -> bytes | Stream | None:
    if isinstance(body, Stream):
        return body.masked(secrets)
    return None if body is None else mask_bytes(body, secrets)


def _encode(secret: str) -> bytes:
    return secret.encode("utf-8", "surrogatepass")


def without_query(url: str) -> str:
    """Returns the URL as it may be logged: a query becomes `?…`, since values in it can be secret (hazard T54)."""
    path, mark, _ = url.partition("?")
    return path + ("?…" if mark else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The outcome of one call.

    `fields` are the mapped fields of one object, `records` those of each record of a list; the other one is None.
    `raw` is the whole answer as parsed (text if it is not JSON, None if it is empty). `request` is the request as it
    was sent, its secrets masked; `attempts` counts how often it was sent, `run` identifies the call. `truncated` is
    True for a page of a list that has more pages.
    """

    ok: bool
    status: int
    fields: dict[str, Any] | None = None
    records: list[dict[str, Any]] | None = None
    raw: Any = None
    warnings: tuple[str, ...] = ()
    request: Request | None = None
    attempts: int = 1
    run: str = ""
    truncated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """One message of a stream, mapped: its fields (None where none are declared), and the message as parsed.

    `raw` is text if a message is not JSON and no fields are selected, and bytes if the answer is binary. `event` and
    `id` are those of a server-sent event. `warnings` name fields that did not fit their type. A message in which the
    provider reports a failure is not `ok`, and is the last one.
    """

    fields: dict[str, Any] | None
    raw: Any
    event: str = ""
    id: str = ""
    warnings: tuple[str, ...] = ()
    status: int = 200
    ok: bool = True
