"""Three rows for the tables of the language of connectors: an auth method, a body kind, a style of pagination.

The entry points of this package announce them; nothing else has to be done. As everything in the language, they are
pure: they make and read requests, and never send one.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from connector.answers.pagination import Page, ReadSelector
from connector.auth.params import ReadAuth
from connector.messages import Request, Stream
from connector.protocols import Moment
from connector.requests.bodies import JsonBody
from connector.requests.trees import ABSENT, PLAIN, BodyOptions, FindSlot, Node, Schema, SlotUse
from connector.templates import Template, TemplateSyntaxError, Unrenderable, Values


@dataclass(frozen=True, slots=True)
class LedgerSignature:
    """`Authorization: Ledger key=…, signature=…`: an HMAC-SHA256 over method, target and body."""

    key: Template
    secret: Template

    @property
    def names(self) -> frozenset[str]:
        """The values of the connection that it uses."""
        return frozenset((*self.key.names, *self.secret.names))

    @property
    def credentials(self) -> frozenset[str]:
        """Those that are masked wherever a request is shown."""
        return frozenset(self.secret.names)

    @property
    def secrets(self) -> frozenset[str]:
        """Those that are masked in a successful answer too."""
        return self.credentials

    def apply(self, request: Request, values: Values, moment: Moment) -> Request:  # noqa: ARG002 - this one is not timed
        """Returns the signed request. The signature is not a secret: it is valid for this request alone."""
        if isinstance(request.body, Stream):
            raise Unrenderable("secret", "a body that is read while it is sent cannot be signed")
        secret = self.secret.render(values) or ""
        if not secret:
            raise Unrenderable((*self.secret.names, "secret")[0], "it is not set")
        url = urllib.parse.urlsplit(request.url)
        target = f"{url.path}?{url.query}" if url.query else url.path
        signed = f"{request.method}\n{target}\n{hashlib.sha256(request.body or b'').hexdigest()}"
        signature = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
        key = self.key.render_header(values)
        return request.with_header("Authorization", f"Ledger key={key}, signature={signature}")


def read_signature(source: Mapping[str, Any], read: ReadAuth) -> LedgerSignature:
    """The method as an auth block declares it; raises ValueError for params that are missing."""
    params = source.get("params") or {}
    missing = [name for name in ("keyID", "secret") if name not in params]
    if missing:
        raise ValueError(f"ledger_signature needs the params {' and '.join(missing)}")
    key, secret = (read.template(params[name], ("params", name)) for name in ("keyID", "secret"))
    return LedgerSignature(key, secret)


@dataclass(frozen=True, slots=True)
class CsvBody:
    """`application/csv`: a list of objects, written as a line of their names and a line for each."""

    rows: Node
    content_type: ClassVar[str] = "application/csv"
    retyped: ClassVar[bool] = False
    streams: ClassVar[bool] = False

    @classmethod
    def from_json(cls, source: Any, options: BodyOptions = PLAIN) -> Self:
        """Compiles JSON text, or an array with placeholders in its leaves; raises TemplateSyntaxError."""
        if isinstance(source, Mapping):
            raise TemplateSyntaxError("a CSV body is a list of objects, or a placeholder that holds one")
        return cls(JsonBody.from_json(source, options).tree)

    @classmethod
    def accepts(cls, media_type: str) -> bool:
        """`application/csv` alone; `text/csv` is text."""
        return media_type == cls.content_type

    def uses(self) -> Iterator[SlotUse]:
        """Every use of a placeholder."""
        return self.rows.uses()

    def describe(self, find: FindSlot) -> tuple[Schema, bool]:  # noqa: ARG002 - a table is text, whatever is in it
        """Text, for documents such as OpenAPI; and that it is always sent."""
        return {"type": "string"}, True

    def encode(self, values: Values) -> bytes:
        """The table as UTF-8, its columns those of the first row; raises Unrenderable."""
        rows = self.rows.fill(values)
        if rows is ABSENT or not rows:
            return b""
        if not isinstance(rows, list) or not all(
            isinstance(row, dict) and row.keys() == rows[0].keys() for row in rows
        ):
            name = next((use.name for use in self.uses()), "body")
            raise Unrenderable(name, "expected a list of objects that all have the same members")
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode()


_CONTENT_RANGE = re.compile(r"\S+ \d+-(\d+)/(\d+|\*)")


@dataclass(frozen=True, slots=True)
class Ranges:
    """`style: range`: the next records are asked for in a Range header (RFC 9110, section 14)."""

    unit: str
    size: int

    def next_request(self, page: Page) -> Request | None:
        """The request of the range after the one that Content-Range names."""
        found = _CONTENT_RANGE.fullmatch(page.response.headers.get("content-range", ""))
        if found is None or not page.records:
            return None
        last, total = found.groups()
        start = int(last) + 1
        if total != "*" and start >= int(total):
            return None
        headers = page.request.headers.replacing("Range", f"{self.unit}={start}-{start + self.size - 1}")
        return replace(page.request, headers=headers)

    def total(self, document: Any) -> int | None:  # noqa: ARG002 - the protocol's signature
        """Nobody counts in the document."""
        return None

    def at_start(self, request: Request) -> bool:
        """True for a request without a range."""
        return "range" not in request.headers


def read_range(source: Mapping[str, Any], read: ReadSelector) -> Ranges:  # noqa: ARG001 - the shape of a row
    """The style as a pagination block declares it; raises ValueError."""
    size, options = source.get("size", 100), source.get("options") or {}
    unit = options.get("unit", "records")
    if not isinstance(unit, str) or not unit.isalpha():
        raise ValueError("`options.unit` is the unit of the ranges: letters")
    return Ranges(unit, size)
