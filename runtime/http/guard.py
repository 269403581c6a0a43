"""The egress guard: which URL may be asked for, and which numeric address may be connected to.

It answers twice. `check` reads a URL before anything happens and refuses what could never be right: a scheme, a port,
a name or a number. `resolve` is asked at connect time and refuses every address that is not on the public internet,
so that a name which changes its mind (DNS rebinding) gains nothing. An origin that the operator named passes both.
One grammar reads URLs here, stricter than RFC 3986, and its result is what the client connects to: two parsers that
disagree about a host are how such guards are passed. Nothing here sends, follows a redirect or knows an HTTP library.
"""

from __future__ import annotations

import functools
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from connector.errors import BlockedAddress, ConfigurationError
from runtime.http.lookups import system_resolver

#: Looks a host and a port up; gives numeric addresses as text. Raises OSError where the name does not resolve.
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

DEFAULT_PORTS: Final = {"https": 443, "http": 80}

#: So many of a name's addresses are tried at most; all of them are checked (hazard T34).
MAX_ADDRESSES: Final = 8

#: What to tell an operator who meant it.
NAME_IT: Final = "if it is meant, the operator names the origin: --base-url, or CONNECTOR_BASE_URL__<HANDLE>"

#: Networks nobody but the operator can send a call to, and why (hazards T31 to T33). They are written out since
#: `ipaddress` knows the registries only as well as the Python it came with: 3.11 takes 168.63.129.16, 2002::/16 and
#: ::127.0.0.1 for public. Networks that carry an IPv4 address inside are refused whole: what leaves a translator or
#: a tunnel is not for us to see. The first match tells the reason.
DENIED_NETWORKS: Final = tuple(
    (ipaddress.ip_network(network), reason)
    for network, reason in (
        ("0.0.0.0/8", "this host (RFC 1122)"),
        ("10.0.0.0/8", "private network (RFC 1918)"),
        ("100.64.0.0/10", "shared address space, and Alibaba Cloud's metadata (RFC 6598)"),
        ("127.0.0.0/8", "loopback (RFC 1122)"),
        ("168.63.129.16/32", "platform service of Azure"),
        ("169.254.0.0/16", "link-local, and cloud metadata (RFC 3927)"),
        ("172.16.0.0/12", "private network (RFC 1918)"),
        ("192.0.0.0/24", "protocol assignments, and Oracle Cloud's metadata (RFC 6890)"),
        ("192.0.2.0/24", "documentation (RFC 5737)"),
        ("192.88.99.0/24", "6to4 relay (RFC 7526)"),
        ("192.168.0.0/16", "private network (RFC 1918)"),
        ("198.18.0.0/15", "benchmarking (RFC 2544)"),
        ("198.51.100.0/24", "documentation (RFC 5737)"),
        ("203.0.113.0/24", "documentation (RFC 5737)"),
        ("224.0.0.0/4", "multicast (RFC 5771)"),
        ("240.0.0.0/4", "reserved, and broadcast (RFC 1112)"),
        ("::/128", "this host (RFC 4291)"),
        ("::1/128", "loopback (RFC 4291)"),
        ("::/96", "IPv4-compatible (RFC 4291)"),
        ("::ffff:0:0/96", "IPv4-mapped (RFC 4291)"),
        ("::ffff:0:0:0/96", "IPv4-translated (RFC 2765)"),
        ("64:ff9b::/96", "NAT64 (RFC 6052)"),
        ("64:ff9b:1::/48", "NAT64 of a local network (RFC 8215)"),
        ("100::/64", "discard-only (RFC 6666)"),
        ("2001::/32", "Teredo (RFC 4380)"),
        ("2001::/23", "protocol assignments (RFC 2928)"),
        ("2001:db8::/32", "documentation (RFC 3849)"),
        ("2002::/16", "6to4 (RFC 3056)"),
        ("3fff::/20", "documentation (RFC 9637)"),
        ("5f00::/16", "segment routing (RFC 9602)"),
        ("fc00::/7", "unique local, and AWS metadata (RFC 4193)"),
        ("fe80::/10", "link-local (RFC 4291)"),
        ("fec0::/10", "site-local (RFC 3879)"),
        ("ff00::/8", "multicast (RFC 4291)"),
        ("::/3", "outside of 2000::/3, the public part of IPv6 (RFC 4291)"),  # with the two below
        ("4000::/2", "outside of 2000::/3, the public part of IPv6 (RFC 4291)"),
        ("8000::/1", "outside of 2000::/3, the public part of IPv6 (RFC 4291)"),
    )
)

#: Names, and all names below them, that mean something inside a machine, a network or a cloud only.
DENIED_NAMES: Final = (
    "localhost",  # RFC 6761
    "localdomain",
    "local",  # RFC 6762: multicast DNS
    "internal",  # ICANN 2024; metadata.google.internal, instance-data.ec2.internal
    "svc",  # Kubernetes, as are the *.cluster.local
    "home.arpa",  # RFC 8375
    "corp",  # this one and those below: never to be delegated, in use on many private networks
    "home",
    "intranet",
    "lan",
    "private",
    "metadata.goog",  # Google Cloud
)

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<target>[^#]*)(?:#.*)?")
_AUTHORITY = re.compile(r"(?:\[(?P<literal>[0-9a-f.]*:[0-9a-f:.]*)\]|(?P<name>[^:@\[\]]+))(?::(?P<port>[0-9]{1,5}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # how every form of an IPv4 address ends (WHATWG URL, section 3.5)
_PRINTABLE = re.compile(r"[!-~]*")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request goes: scheme, host and port (RFC 6454), normalised, so that equal origins are equal values.

    `host` is a name in lower case without a trailing dot, or an address in its canonical text without brackets.
    """

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """Host and port as a Host field has them, the scheme's default port left out (RFC 9110, section 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Destination:
    """A URL as it was read: the origin to connect to and the request target, path and query, to ask it for."""

    origin: Origin
    target: str


def parse_url(url: str) -> Destination:
    """Read an absolute URL by the one grammar; a fragment is dropped, an empty path becomes `/`.

    Raises BlockedAddress for what two readers could read differently (hazards T30, T32, T40): white space, control
    characters, backslashes, user information, hosts that are not ASCII, numbers that are not plain dotted quads.
    """
    if not _PRINTABLE.fullmatch(url) or "\\" in url:
        host = re.split("[/?#]", url.partition("://")[2], maxsplit=1)[0]
        if not host.isascii():
            hint = "write the host in its ASCII form, as DNS has it: its A-label, xn--…"
            raise BlockedAddress("the host of a URL holds characters that are not ASCII", hint=hint)
        hint = "a URL holds printable ASCII only; percent-encode the rest"
        raise BlockedAddress(
            "a URL holds white space, a control character, a backslash or text not in ASCII", hint=hint
        )
    match = _URL.fullmatch(url)
    if match is None:
        raise BlockedAddress(
            "a URL is not absolute", hint="it begins with a scheme and a host: https://api.example.com"
        )
    target = match["target"]
    if not target.startswith("/"):
        target = f"/{target}"
    return Destination(_parse_origin(match["scheme"].lower(), match["authority"].lower()), target)


def normalise_origin(url: str) -> str:
    """The origin of a URL as text, `scheme://host:port`: lower case, no trailing dot, the default port written out.

        >>> normalise_origin("HTTPS://API.Example.com./v1")
        'https://api.example.com:443'

    Says nothing about whether the origin may be contacted. Raises ConfigurationError for a URL that has no origin or
    none that is read the same way everywhere; see `parse_url`.
    """
    try:
        return str(parse_url(url).origin)
    except BlockedAddress as error:
        raise ConfigurationError(error.message, hint=error.hint) from None


def refuse_other_origin(url: str, origin: str) -> None:
    """Raise BlockedAddress unless both URLs are of one origin: a credential is bound to its own (hazards T29, T36)."""
    asked, owner = parse_url(url).origin, _read_origin(origin)
    if asked != owner:
        message = f"the request goes to {asked}, but its credentials belong to {owner}"
        raise BlockedAddress(message, hint="no endpoint, link or redirect can take a call to another origin")


@functools.lru_cache(maxsize=1024)  # one for each connection, asked for at each of its calls
def _read_origin(url: str) -> Origin:
    return parse_url(url).origin


def find_denied_network(address: str) -> str:
    """Why a numeric address may not be connected to, or an empty text if it may (hazards T31 to T33)."""
    if "%" in address:
        return "an address with a zone, which is of one link only (RFC 4007)"
    ip = ipaddress.ip_address(address)
    for network, reason in DENIED_NETWORKS:
        if ip in network:
            return reason
    # The registries grow; whatever this Python knows of them beyond the table counts as well.
    return "" if ip.is_global else "not a public address (IANA registry)"


class Guard:
    """Refuses internal addresses: https on port 443 of a public host, or an origin that the operator named.

    `allowed_origins` are the URLs the operator named; their origins may be plain http, private, and on any port.
    One guard serves every request of a runtime, whoever wrote its URL (hazard T38).
    """

    def __init__(self, allowed_origins: Iterable[str] = frozenset(), resolver: Resolver = system_resolver) -> None:
        """Raises ConfigurationError if an allowed origin cannot be read."""
        self.allowed_origins = frozenset(normalise_origin(url) for url in allowed_origins)
        self._allowed = frozenset(parse_url(url).origin for url in self.allowed_origins)
        self._allowed_places = frozenset((origin.host, origin.port) for origin in self._allowed)
        self._resolver = resolver

    def check(self, url: str) -> Destination:
        """Raise BlockedAddress unless the URL may be asked for; give back how it was read. No lookup, no I/O."""
        destination = parse_url(url)
        origin = destination.origin
        if origin not in self._allowed and (reason := _find_denied_origin(origin)):
            raise BlockedAddress(f"{origin} may not be contacted: {reason}", hint=NAME_IT)
        return destination

    async def resolve(self, host: str, port: int) -> list[str]:
        """The numeric addresses to connect to, in the resolver's order, after one lookup (hazard T34).

        Raises BlockedAddress if any of them is denied, not only the first: a name that means a public and an internal
        address at once is an attack or a mistake. Raises OSError where the name does not resolve.
        """
        literal = _read_address(host)
        addresses = [literal] if literal else list(dict.fromkeys(await self._resolver(host, port)))
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "the name has no address")
        if (host, port) not in self._allowed_places:
            for address in addresses:
                if reason := find_denied_network(address):
                    # The address itself is left out: a definition's author must not learn what internal names mean.
                    raise BlockedAddress(f"{host} may not be contacted: it leads to {reason}", hint=NAME_IT)
        return addresses[:MAX_ADDRESSES]


@functools.lru_cache(maxsize=1024)  # few origins, asked for again and again; those refused are never kept
def _parse_origin(scheme: str, authority: str) -> Origin:
    if scheme not in DEFAULT_PORTS:
        raise BlockedAddress(f"{scheme}: URLs are not called", hint="https is what providers speak")
    if "@" in authority:
        hint = "credentials belong to the connection, not into a URL"
        raise BlockedAddress("a URL holds user information (user:password@host)", hint=hint)
    match = _AUTHORITY.fullmatch(authority)
    port = int(match["port"] or DEFAULT_PORTS[scheme]) if match else 0
    if match is None or not 0 < port <= 65535:
        hint = "write scheme://host/path, or scheme://host:port/path with a port of 1 to 65535"
        raise BlockedAddress("a URL has no host and port that can be read", hint=hint)
    name = match["literal"] or match["name"].removesuffix(".")
    if address := _read_address(name):
        return Origin(scheme, address, port)
    if len(name) > 253 or not all(map(_LABEL.fullmatch, name.split("."))):  # RFC 1035, section 2.3.4
        hint = "letters, digits and hyphens, in parts of 1 to 63 between dots (RFC 1123)"
        raise BlockedAddress(f"{name!r} is not a name that DNS can have", hint=hint)
    return Origin(scheme, name, port)


def _read_address(host: str) -> str | None:
    """The canonical text of a numeric address, None for a name; raises for a number in a form of its own (T32)."""
    if ":" not in host and not _NUMBER.fullmatch(host.rpartition(".")[2]):
        return None
    try:
        return ipaddress.ip_address(host).compressed
    except ValueError:
        hint = "write an IPv4 address as four decimal numbers, an IPv6 address in brackets"
        raise BlockedAddress(f"{host!r} is a number, but no plain numeric address", hint=hint) from None


@functools.lru_cache(maxsize=1024)
def _find_denied_origin(origin: Origin) -> str:
    if origin.scheme != "https":
        return "it is not https"
    if origin.port != DEFAULT_PORTS["https"]:
        return "its port is not 443"
    if _read_address(origin.host):
        return find_denied_network(origin.host)
    if "." not in origin.host:
        return "a name without a dot is of one machine or network only"
    if any(origin.host == name or origin.host.endswith(f".{name}") for name in DENIED_NAMES):
        return "a name of a machine, a private network or a cloud's metadata"
    return ""
