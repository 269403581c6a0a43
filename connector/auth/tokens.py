"""Reads the answers of token endpoints: a Grant, a refusal, or a failure that has nothing to do with the grant.

`oauth` makes the token requests, and `methods` sends tokens with calls.
"""

from __future__ import annotations

import json
import math
import re
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from connector.errors import InputProblem, NeedsReauthorization, TransportError
from connector.messages import Response, mask, secret_forms

#: A token is renewed this long before it expires, in seconds, or at the last fifth of a shorter life.
MARGIN = 60.0
#: Answers of a token endpoint that do not concern the grant itself: time-out, too early, too many; so does every 5xx.
_TEMPORARY = frozenset({408, 425, 429})
_LONGEST_LIFE = 10 * 365 * 86400.0
#: The members of a grant that are stored.
_STORED = ("token", "issued_at", "expires_at", "refresh_token")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A token, and the refresh token to renew it. Times are seconds since the epoch."""

    token: str = field(repr=False)
    issued_at: float
    #: None if the provider specified no end: such a token is used until it is refused.
    expires_at: float | None = None
    refresh_token: str | None = field(default=None, repr=False)
    #: Every form in which its tokens can occur.
    secrets: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Computes what every call needs."""
        object.__setattr__(self, "secrets", secret_forms(self.token) | secret_forms(self.refresh_token or ""))

    def is_fresh(self, now: float) -> bool:
        """Returns True while the token need not be renewed: its end is more than a margin away."""
        if self.expires_at is None:
            return True
        return now < self.expires_at - min(MARGIN, (self.expires_at - self.issued_at) / 5)

    def is_alive(self, now: float) -> bool:
        """Returns True while the token has not expired."""
        return self.expires_at is None or now < self.expires_at

    def to_json(self) -> dict[str, Any]:
        """Returns the grant as it is stored."""
        return {name: getattr(self, name) for name in _STORED}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Grant | None:
        """Returns a stored grant, or None if it has no token."""
        if not stored.get("token"):
            return None
        return cls(**{"issued_at": 0.0} | {name: stored[name] for name in _STORED if name in stored})


#: How a form begins: a name and a value, without what HTML and prose are made of.
_FORM = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*=[^\s<>]*\Z")


def read_grant(response: Response, now: float, *, previous: Grant | None = None, secrets: Iterable[str] = ()) -> Grant:
    """Returns the grant in a token answer (RFC 6749, section 5); an old refresh token stays if none is new.

    `secrets` are masked in the error of a refusal. Raises NeedsReauthorization for a refusal, TransportError for an
    answer that does not concern the grant: an outage, too many requests.
    """
    document = read_document(response)
    token = document.get("access_token")
    if response.status >= 300 or not isinstance(token, str):
        raise refusal(response, document, secrets)
    refresh_token = document.get("refresh_token")
    if not isinstance(refresh_token, str) or not refresh_token:
        refresh_token = None if previous is None else previous.refresh_token
    return make_grant(token, now, document.get("expires_in"), refresh_token)


def make_grant(token: str, now: float, lifetime: Any, refresh_token: str | None = None) -> Grant:
    """Returns a grant of a token with a lifetime in seconds; raises NeedsReauthorization if no header can carry it."""
    if not token.isascii() or not token.isprintable() or " " in token or not token:
        raise unusable("the token in the answer cannot be sent in a header")
    try:
        seconds = float(lifetime)
    except (TypeError, ValueError, OverflowError):
        seconds = math.inf
    expires_at = now + seconds if 0 < seconds < _LONGEST_LIFE else None
    return Grant(token=token, issued_at=now, expires_at=expires_at, refresh_token=refresh_token)


def read_document(response: Response) -> Mapping[str, Any]:
    """Returns the answer of a token endpoint: JSON, or a form as old ones send; an empty object for anything else.

    A form is recognised by its first parameter, since some endpoints call it `text/plain` or `text/html`, or nothing.
    """
    try:
        document = json.loads(response.body)
    except (ValueError, RecursionError):
        text = response.body.decode("utf-8", "replace")
        document = dict(urllib.parse.parse_qsl(text.strip())) if _FORM.match(text.strip()) else {}
    return document if isinstance(document, dict) else {}


def refusal(
    response: Response, document: Mapping[str, Any], secrets: Iterable[str]
) -> NeedsReauthorization | TransportError:
    """Returns the error for an answer without a token: a refusal with the provider's message, masked, or an outage."""
    if response.status >= 500 or response.status in _TEMPORARY:
        return TransportError(f"the token endpoint answered {response.status}")
    hidden = {*secrets, *(str(document[key]) for key in ("access_token", "refresh_token") if document.get(key))}
    words = [document.get("error"), document.get("error_description") or document.get("message")]
    said = mask(": ".join(text for text in words if isinstance(text, str)), hidden)
    printable = "".join(char if char.isprintable() else " " for char in said)[:200]
    return unusable(f"the token endpoint answered {response.status}: {printable or 'no token, and no reason'}")


def unusable(reason: str) -> NeedsReauthorization:
    """Returns the error for a grant that cannot be used or renewed."""
    return NeedsReauthorization("authorization", [InputProblem("grant", reason)])
