"""The credential that a provider requires: derived from the auth method itself, so a new method needs no change here.

The mock requires it and accepts any that is well-formed. Everything here is pure.
"""

from __future__ import annotations

import base64
import binascii
import re
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass

from connector.headers import Headers
from connector.messages import Request
from connector.model.service import Service
from connector.protocols import Auth, Moment
from connector.types import to_text

#: What an auth method is given in place of the values of a connection, to see where it puts them.
_SAMPLE = "sample"
_SAMPLE_URL = "https://sample.invalid/"
_SCHEME = re.compile(r"([A-Za-z][\w\-]*) +\S.*\Z")
Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Credential:
    """A header, or a query parameter (`in_query`), that must hold a secret; `scheme` is what goes before it there."""

    name: str
    scheme: str = ""
    in_query: bool = False

    def is_well_formed(self, headers: Headers, query: Pairs) -> bool:
        """True if there is a credential in the right form; whether it is the right one is not checked.

        Any scheme will do in place of Bearer, since a token may bring its own; Basic has to hold `user:password`.
        """
        value = dict(query).get(self.name, "") if self.in_query else headers.get(self.name, "")
        if not self.scheme:
            return bool(value.strip())
        if not _SCHEME.match(value):
            return False
        if self.scheme.lower() != "basic":
            return True
        scheme, _, encoded = value.partition(" ")
        try:
            return scheme.lower() == "basic" and b":" in base64.b64decode(encoded.strip(), validate=True)
        except (binascii.Error, ValueError):
            return False

    def challenge(self, realm: str) -> str:
        """The value of WWW-Authenticate (RFC 9110, section 11.6.1)."""
        if self.scheme:
            return f'{self.scheme} realm="{realm}"'
        return f'ApiKey realm="{realm}", {"query" if self.in_query else "header"}="{self.name}"'


def find_credentials(service: Service, auth: Auth) -> tuple[Credential, ...]:
    """Where the method puts its secrets, learned by letting it authenticate a sample request.

    So a new method needs no change here. One that cannot work with samples (it signs with a real key, say) is taken to
    end in a Bearer token, as all of those do. A header whose name only the connection knows is not asked for.
    """
    values = {
        name: _SAMPLE if placeholder.default is None else to_text(placeholder.default)
        for name, placeholder in service.placeholders.items()
    }
    try:
        request = auth.apply(Request("GET", _SAMPLE_URL), values, Moment(time=0.0, nonce=_SAMPLE))
    except ValueError:
        return (Credential("Authorization", "Bearer"),)
    found = [
        Credential(name, scheme[1] if (scheme := _SCHEME.match(value)) else "")
        for name, value in request.headers.items()
        if name.lower() != _SAMPLE
    ]
    query = urllib.parse.parse_qsl(urllib.parse.urlsplit(request.url).query)
    return (*found, *(Credential(name, in_query=True) for name, _ in query))
