"""Rules for URLs: origins, base URLs, host parts, and the encoding of path segments and query values.

An origin is `scheme://host[:port]` in its normal form; credentials are bound to one (language rule 7). The runtime's
guard resolves names and decides which addresses may be reached.
"""

from __future__ import annotations

import re
import urllib.parse

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_\-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_\-]*[a-z0-9_])?)*\Z")
_HOST_PART = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.\-]*[A-Za-z0-9])?\Z")
#: Controls of C0 and C1, and characters that reorder text: none is allowed in a path (hazard T23).
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_LONE_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")
_UNRESERVED_LITERAL = "/%:@!$&'()*+,;=~-._"


def origin_of(url: str) -> str:
    """Returns the origin of an absolute http or https URL: lower case, no default port, no trailing dot.

    Raises ValueError with a sentence for URLs that two readers could take for different hosts: userinfo, a backslash,
    white space, a host that is not in its A-label form (RFC 5890), a port out of range.

    >>> origin_of("https://API.example.com.:443/v1")
    'https://api.example.com'
    """
    if not url.isascii():
        raise ValueError("the host must be written in its A-label form (xn--…), in ASCII")
    if _HIDDEN.search(url) or " " in url or "\\" in url:
        raise ValueError("a URL holds no white space, control character or backslash")
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("the host or the port of the URL cannot be read") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise ValueError("a base URL begins with https:// (or http://)")
    if "@" in parts.netloc:
        raise ValueError("a URL names no user or password before its host")
    host = (parts.hostname or "").removesuffix(".")
    if ":" in host:
        host = f"[{host}]"
    elif not _HOST.match(host):
        raise ValueError("the URL names no host that can be read")
    if port == 0:
        raise ValueError("the port of the URL is out of range")
    suffix = "" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{host}{suffix}"


def check_base_url(url: str) -> str:
    """Returns a base URL without its trailing slash, its origin in normal form; raises ValueError as `origin_of`."""
    origin = origin_of(url)
    parts = urllib.parse.urlsplit(url)
    if "?" in url or "#" in url:
        raise ValueError("a base URL holds no query and no fragment")
    return origin + parts.path.rstrip("/")


def stays_within(url: str, origin: str) -> bool:
    """Returns True if a URL built by appending to the origin still leads to it: a path or a query follows at once."""
    return url.startswith(origin) and url[len(origin) : len(origin) + 1] in ("", "/", "?")


def encode_host_part(value: str) -> str:
    """Returns a value as part of a host name; raises ValueError unless it is letters, digits, `-` and `.`."""
    if not _HOST_PART.match(value) or ".." in value:
        raise ValueError("expected letters, digits, '-' and '.' only, as in a host name")
    return value


def encode_segment(value: str) -> str:
    """Returns a value as one path segment, percent-encoded but for unreserved characters (RFC 3986, section 2.3).

    Raises ValueError for empty text, `.`, `..`, control characters and text-reordering characters.
    """
    if value in ("", ".", ".."):
        raise ValueError("a path segment cannot be empty, '.' or '..'")
    if not value.isalnum() and _HIDDEN.search(value):
        raise ValueError("a path segment holds no control or text-reordering characters")
    return urllib.parse.quote(value, safe="")


def encode_segments(value: str) -> str:
    """Returns a value as several path segments, each encoded on its own.

    Raises ValueError for dot segments, empty ones, and a backslash, which some servers take for a slash.
    """
    if "\\" in value:
        raise ValueError("a path of several segments holds no backslash")
    return "/".join(encode_segment(part) for part in value.split("/"))


def encode_path(value: str) -> str:
    """Returns a value as a path or the beginning of one; it may lack the first slash, and a last slash is kept.

    Raises ValueError as `encode_segments`, and for values that could be read as another host (`@evil.example`,
    `https:…`; hazards T29, T30) or contain a query or a fragment.
    """
    if "?" in value or "#" in value:
        raise ValueError("a path holds no '?' and no '#'; a query has its own place")
    if not value.startswith("/") and any(char in value.partition("/")[0] for char in "@:"):
        raise ValueError("a path begins with '/'")
    rest = value.removeprefix("/")
    if value == "/" or not rest.endswith("/"):
        return "/" + (encode_segments(rest) if value != "/" else "")
    return f"/{encode_segments(rest.removesuffix('/'))}/"


def encode_query(value: str) -> str:
    """Returns a value as one query name or value; a space becomes `%20`."""
    return urllib.parse.quote(value, safe="")


def encode_reference(text: str) -> str:
    """Returns an address as servers write it with what is not allowed in it percent-encoded (RFC 3986, section 2.1).

    Existing escapes and reserved characters are kept. Raises ValueError for unpaired surrogates.

    >>> encode_reference("/things?q=a b&p=100%")
    '/things?q=a%20b&p=100%25'
    """
    return urllib.parse.quote(_LONE_PERCENT.sub("%25", text), safe="%:/?#[]@!$&'()*+,;=~")


def encode_literal(text: str) -> str:
    """Returns the fixed text of a path template as it is sent; existing escapes are kept."""
    return urllib.parse.quote(text, safe=_UNRESERVED_LITERAL)


def has_dot_segment(path: str) -> bool:
    """Returns True if a segment is `.` or `..`, even if its dots are escaped."""
    return any(urllib.parse.unquote(part) in (".", "..") for part in path.split("/"))
