"""The handshake of a webhook: the challenge that a provider sends before any event, and the answer that it expects.

A challenge in the body comes in a message that was verified like any other (Slack, Zoom); one in the query is a request
of its own that may have to contain the secret (Meta).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connector.digests import hmac_text, same_text
from connector.errors import InvalidSignature
from connector.selectors import Selector
from connector.templates import Template

#: A challenge has at most this many characters.
MAX_CHALLENGE = 1024
#: Only plain tokens are signed, since a signed object, list or form could be sent back as a message.
_TOKEN = re.compile(r"[A-Za-z0-9._+-]+=*\Z")
#: What an answer may hold.
ANSWER_NAMES = ("challenge", "hmac")


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """Where the challenge is, and the answer: one text, or texts by name for a JSON object."""

    answer: Template | Mapping[str, Template]
    body: Selector | None = None
    query: str = ""
    when: Selector | None = None
    words: tuple[str, ...] = ()
    token: str = ""
    algorithm: str = "sha256"
    encoding: str = "hex"

    @property
    def signs(self) -> bool:
        """True if the answer contains a signature of the challenge."""
        templates = [self.answer] if isinstance(self.answer, Template) else self.answer.values()
        return any("hmac" in template.names for template in templates)

    def find(self, document: Any) -> str | None:
        """Returns the challenge in a verified body, or None for an ordinary message."""
        if self.body is None or (self.when is not None and self.when.find_one(document) not in self.words):
            return None
        found = self.body.find_one(document)
        return found if isinstance(found, str) and 0 < len(found) <= MAX_CHALLENGE else None

    def find_in_query(self, query: Mapping[str, str], secrets: Sequence[str]) -> str | None:
        """Returns the challenge in a query, or None if there is none.

        Raises InvalidSignature if the secret must be in the query and is not.
        """
        found = query.get(self.query, "") if self.query else ""
        if not 0 < len(found) <= MAX_CHALLENGE:
            return None
        if self.token and not any(same_text(query.get(self.token, ""), secret) for secret in secrets):
            raise InvalidSignature.refused()
        return found

    def reply(self, challenge: str, secrets: Sequence[str]) -> str | dict[str, str]:
        """Returns the answer: a text, or an object to be sent as JSON. The newest secret is the key of `hmac`.

        Raises InvalidSignature where an `hmac` is answered and the challenge is not a plain token: its signature could
        be sent back with the challenge as the body of a message, which would then be verified.
        """
        if self.signs and not _TOKEN.match(challenge):
            raise InvalidSignature.refused()
        if isinstance(self.answer, Template):
            return self._fill(self.answer, challenge, secrets)
        return {name: self._fill(template, challenge, secrets) for name, template in self.answer.items()}

    def _fill(self, template: Template, challenge: str, secrets: Sequence[str]) -> str:
        values = {"challenge": challenge}
        if "hmac" in template.names:
            if not secrets:
                raise InvalidSignature.refused()
            values["hmac"] = hmac_text(self.algorithm, self.encoding, secrets[0], challenge.encode())
        return "".join(part if isinstance(part, str) else values[part.name] for part in template.parts)
