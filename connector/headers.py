"""Header fields: a mapping that ignores the case of names, the rules for names and values, and the Link header."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Self, TypeVar, overload

T = TypeVar("T")

TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*\Z")
#: A header value may have this many bytes.
MAX_HEADER = 16 * 1024
#: More of a Link header than this is not read.
_MAX_LINK = 64 * 1024
_LINK = re.compile(r'<([^<>]*)>((?:\s*;\s*[\w!#$&+.^`|~*-]+\s*(?:=\s*(?:"(?:[^"\\]|\\.)*"|[^",;\s]*))?)*)')
_LINK_PARAM = re.compile(r';\s*([\w!#$&+.^`|~*-]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^",;\s]*)))?')


class Headers(Mapping[str, str]):
    """Header fields in order; the case of names does not matter (RFC 9110, section 5.1).

    A name that occurs several times has its values joined with `, `.
    """

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        pairs = fields.items() if isinstance(fields, Mapping) else fields
        self._fields: dict[str, tuple[str, str]] = {}
        for name, value in pairs:
            key = name.lower()
            known = self._fields.get(key)
            self._fields[key] = (name, value) if known is None else (known[0], f"{known[1]}, {value}")

    @classmethod
    def from_wire(cls, fields: Iterable[tuple[bytes, bytes]]) -> Self:
        """Returns the fields in bytes whose names are in lower case, as ASGI has them."""
        made = cls.__new__(cls)
        known: dict[str, tuple[str, str]] = {}
        made._fields = known
        for raw, value in fields:
            name, text = raw.decode("latin-1"), value.decode("latin-1")
            known[name] = (name, f"{known[name][1]}, {text}" if name in known else text)
        return made

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower()][1]

    # Mapping's own methods would raise and catch an exception for a missing field, and most lookups miss.

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._fields

    @overload
    def get(self, name: str, default: None = None, /) -> str | None: ...

    @overload
    def get(self, name: str, default: str | T, /) -> str | T: ...

    def get(self, name: str, default: object = None, /) -> object:
        """Returns the value of a field, or the default."""
        found = self._fields.get(name.lower())
        return default if found is None else found[1]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._fields.values())

    def __len__(self) -> int:
        return len(self._fields)

    def replacing(self, name: str, value: str) -> Headers:
        """Returns the same fields with this one at the end, in place of any with its name."""
        copy = Headers()
        copy._fields = {key: pair for key, pair in self._fields.items() if key != name.lower()}
        copy._fields[name.lower()] = (name, value)
        return copy

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping):
            return NotImplemented
        mine = {key: value for key, (_, value) in self._fields.items()}
        return mine == {str(name).lower(): value for name, value in other.items()}

    def __hash__(self) -> int:
        return hash(frozenset((key, value) for key, (_, value) in self._fields.items()))

    def __repr__(self) -> str:
        return f"Headers({', '.join(self)})"


#: Headers that frame the message or route it; a definition or a connection may never set them (hazard T27).
FORBIDDEN_HEADERS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect"}
    | {"proxy-authorization", "proxy-authenticate", "proxy-connection", "content-encoding", "accept-encoding"}
)


def check_header_name(name: str) -> str:
    """Returns the name; raises ValueError unless it is a token (RFC 9110, section 5.6.2) and not a framing header."""
    if not TOKEN.match(name):
        raise ValueError("a header's name is letters, digits and !#$%&'*+-.^_`|~")
    if name.lower() in FORBIDDEN_HEADERS:
        raise ValueError(f"{name} cannot be set: it belongs to the transport")
    return name


def encode_header(value: str) -> str:
    """Returns a value as part of a header: visible ASCII and spaces (RFC 9110, section 5.5); else raises ValueError."""
    if not _HEADER_VALUE.match(value):
        raise ValueError("a header value holds visible ASCII characters and spaces only, no line break")
    if len(value) > MAX_HEADER:
        raise ValueError(f"a header value has at most {MAX_HEADER} bytes")
    return value


def find_link(headers: Headers, relation: str) -> str | None:
    """Returns the target of the first link of that relation in the Link header (RFC 8288, section 3), or None.

    >>> find_link(Headers({"Link": '<https://a.example/?p=2>; rel="next"'}), "next")
    'https://a.example/?p=2'
    """
    for target, params in _LINK.findall(headers.get("link", "")[:_MAX_LINK]):
        found: dict[str, str] = {}
        for name, quoted, plain in _LINK_PARAM.findall(params):
            found.setdefault(name.lower(), quoted or plain)
        # A link with an anchor belongs to another resource.
        if relation in found.get("rel", "").lower().split() and "anchor" not in found:
            return str(target)
    return None
