"""What a signature covers: text over the parts of a message, such as `{{timestamp}}.{{body}}`.

Inbound messages (`events.signatures`) and requests that are signed with a key (`auth`) write it in the same way. It is
not a template of the language: its words are a closed table, and what stands in their place are bytes as they came.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

from connector.errors import OptionError

_SLOT = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")


@dataclass(frozen=True, slots=True)
class Part:
    """One `{{word}}`, or `{{word:name}}` for a word that needs one: `{{header:X-Date}}`."""

    word: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class SignedText:
    """Fixed text and parts, in order."""

    parts: tuple[str | Part, ...]

    @classmethod
    def from_text(cls, text: str, *, words: Collection[str], named: Collection[str] = ()) -> SignedText:
        """Compiles a text; `words` stand alone, `named` are followed by a colon and a name. Raises OptionError.

        >>> SignedText.from_text("{{timestamp}}.{{header:X-Id}}", words=("timestamp",), named=("header",)).parts
        (Part(word='timestamp', name=''), '.', Part(word='header', name='X-Id'))
        """
        parts: list[str | Part] = []
        # Every second piece is what was between braces.
        for place, piece in enumerate(_SLOT.split(text)):
            if place % 2:
                parts.append(_read_part(piece, words, named))
            elif "{{" in piece or "}}" in piece:
                raise OptionError(
                    "signed", "only {{word}} is allowed: the braces or what is between them cannot be read"
                )
            elif piece:
                parts.append(piece)
        return cls(tuple(parts))

    def holds(self, word: str) -> bool:
        """True if a part has this word."""
        return any(isinstance(part, Part) and part.word == word for part in self.parts)

    def render(self, find: Callable[[Part], bytes]) -> bytes:
        """The bytes that are signed; `find` returns those of a part."""
        return b"".join(part.encode() if isinstance(part, str) else find(part) for part in self.parts)


def _read_part(text: str, words: Collection[str], named: Collection[str]) -> Part:
    word, colon, name = text.partition(":")
    if (word in named and name) or (word in words and not colon):
        return Part(word, name)
    if word in named:
        raise OptionError("signed", f"{word!r} needs a name: {{{{{word}:Name}}}}")
    known = [*words, *(f"{each}:Name" for each in named)]
    raise OptionError("signed", f"{text[:70]!r} cannot be signed; known: {', '.join(known)}")
