"""What a token endpoint answers: a Grant, a refusal, or nothing that says anything of the grant.

How a token is asked for is `oauth`'s, how it travels with a call `auth`'s. Nothing here sends, stores or has a clock.
"""

from __future__ import annotations

import json
import math
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from connector.errors import InputProblem, NeedsReauthorization, TransportError
from connector.messages import Response, mask, secret_forms

#: A token is renewed this long before it expires, in seconds, or at the last fifth of a shorter life.
MARGIN = 60.0
#: Answers of a token endpoint that say nothing of the grant itself: time-out, too early, too many, and every 5xx.
_TEMPORARY = frozenset({408, 425, 429})
_LONGEST_LIFE = 10 * 365 * 86400.0
#: The members of a grant that are stored.
_STORED = ("token", "issued_at", "expires_at", "refresh_token")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A token that was obtained, and what is needed to renew it. Times are seconds since the epoch."""

    token: str = field(repr=False)
    issued_at: float
    #: None where the provider named no end: such a token is used until it is refused.
    expires_at: float | None = None
    refresh_token: str | None = field(default=None, repr=False)
    #: Every form in which its tokens can occur.
    secrets: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Works out once what every call asks."""
        object.__setattr__(self, "secrets", secret_forms(self.token) | secret_forms(self.refresh_token or ""))

    def is_fresh(self, now: float) -> bool:
        """True while the token need not be renewed: its end is more than a margin away."""
        if self.expires_at is None:
            return True
        return now < self.expires_at - min(MARGIN, (self.expires_at - self.issued_at) / 5)

    def is_alive(self, now: float) -> bool:
        """True while the token has not expired."""
        return self.expires_at is None or now < self.expires_at

    def to_json(self) -> dict[str, Any]:
        """The grant as it is stored."""
        return {name: getattr(self, name) for name in _STORED}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Grant | None:
        """A stored grant, or None where there is no token in it."""
        if not stored.get("token"):
            return None
        return cls(**{"issued_at": 0.0} | {name: stored[name] for name in _STORED if name in stored})


def read_grant(response: Response, now: float, *, previous: Grant | None = None, secrets: Iterable[str] = ()) -> Grant:
    """The grant in an answer of a token endpoint (RFC 6749, section 5); a refresh token that is not new stays.

    `secrets` are masked in what is said of a refusal. Raises NeedsReauthorization for a refusal, TransportError for an
    answer that says nothing of the grant: an outage, too many requests.
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
    """A grant of a token that lives for so many seconds; one that no header carries is refused."""
    if not token.isascii() or not token.isprintable() or " " in token or not token:
        raise unusable("the token in the answer cannot be sent in a header")
    try:
        seconds = float(lifetime)
    except (TypeError, ValueError, OverflowError):
        seconds = math.inf
    expires_at = now + seconds if 0 < seconds < _LONGEST_LIFE else None
    return Grant(token=token, issued_at=now, expires_at=expires_at, refresh_token=refresh_token)


def read_document(response: Response) -> Mapping[str, Any]:
    """The answer of a token endpoint: JSON, or a form as some old ones send; an empty object for anything else."""
    try:
        document = json.loads(response.body)
    except (ValueError, RecursionError):
        text = response.body.decode("utf-8", "replace")
        document = dict(urllib.parse.parse_qsl(text)) if response.content_type.endswith("urlencoded") else {}
    return document if isinstance(document, dict) else {}


def refusal(
    response: Response, document: Mapping[str, Any], secrets: Iterable[str]
) -> NeedsReauthorization | TransportError:
    """What an answer without a token means: a refusal in the provider's words, `secrets` masked, or an outage."""
    if response.status >= 500 or response.status in _TEMPORARY:
        return TransportError(f"the token endpoint answered {response.status}")
    hidden = {*secrets, *(str(document[key]) for key in ("access_token", "refresh_token") if document.get(key))}
    words = [document.get("error"), document.get("error_description") or document.get("message")]
    said = mask(": ".join(text for text in words if isinstance(text, str)), hidden)
    printable = "".join(char if char.isprintable() else " " for char in said)[:200]
    return unusable(f"the token endpoint answered {response.status}: {printable or 'no token, and no reason'}")


def unusable(reason: str) -> NeedsReauthorization:
    """The error of a grant that cannot be used or renewed."""
    return NeedsReauthorization("authorization", [InputProblem("grant", reason)])
