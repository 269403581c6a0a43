"""The header fields of a request: those that were declared, then those of ours that every request needs."""

from __future__ import annotations

import importlib.metadata
import re
from typing import Final

from connector.errors import TransportError
from connector.messages import Request, Stream
from runtime.http.transport import Fields
from runtime.http.uploads import find_length

#: What to look for in a request that cannot be sent.
INVALID: Final = "look for line breaks and text outside ASCII in its method and header fields; it was not sent"


def header_fields(request: Request) -> Fields:
    """The declared header fields, then those of ours that are not declared.

    How long the body is, is not for a declaration to say: a wrong length would let a body pass for the next request.
    Raises TransportError for text outside ASCII, InputError for a file that is missing.
    """
    fields = [(name, text) for name, text in request.headers.items() if name.lower() not in _FRAMING]
    fields.extend((name, text) for name, text in _OUR_FIELDS if name not in request.headers)
    # Where a method gives a body a meaning, that there is none is said as well (RFC 9110, section 8.6).
    if isinstance(request.body, Stream):
        length = find_length(request.body)
        fields.append(("Transfer-Encoding", "chunked") if length is None else ("Content-Length", str(length)))
    elif request.body is not None or request.method in {"POST", "PUT", "PATCH"}:
        fields.append(("Content-Length", str(len(request.body or b""))))
    try:
        encoded = [(name.encode("ascii"), value.encode("ascii")) for name, value in fields]
    except UnicodeEncodeError:
        raise invalid_request() from None
    if not _are_valid(encoded) or not _TOKEN.fullmatch(request.method.encode("ascii", "replace")):
        raise invalid_request()
    return encoded


def invalid_request() -> TransportError:
    """The error of a request that is not sent since it could be read as another one (hazards T26, T27)."""
    message = "the request is not valid HTTP/1.1"
    return TransportError(message, hint=INVALID, sent=False, temporary=False, blame="caller")


def _are_valid(fields: Fields) -> bool:
    names = [name for name, _ in fields]
    if not _known_names.issuperset(names):
        if not all(map(_TOKEN.fullmatch, names)):
            return False
        if len(_known_names) > _MOST_NAMES:
            _known_names.clear()
        _known_names.update(names)
    return _CONTROL.search(b"".join([value for _, value in fields])) is None


def _user_agent() -> str:
    try:
        return f"connector-runtime/{importlib.metadata.version('connector-runtime')}"
    except importlib.metadata.PackageNotFoundError:  # run from a checkout
        return "connector-runtime/0"


#: Names of header fields, methods, and what no value may hold (RFC 9110, sections 5.5 and 5.6.2). h11 refuses them too,
#: h2 does not.
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL: Final = re.compile(rb"[\0-\x08\x0a-\x1f\x7f]")
_MOST_NAMES: Final = 4096
#: Names that were found to be valid.
_known_names: set[bytes] = set()
_FRAMING: Final = frozenset({"content-length", "transfer-encoding"})
_OUR_FIELDS: Final = (("User-Agent", _user_agent()), ("Accept-Encoding", "gzip"))
