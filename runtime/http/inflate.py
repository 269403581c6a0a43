"""Compressed bodies inflated in bounded steps, so that a bomb costs one step beyond its limit (hazard T44).

What the limit is, and who has a turn between two steps, is the client's.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

from connector.errors import MappingError
from connector.headers import Headers
from runtime.http.transport import MAYBE_SENT

#: How much is inflated before other tasks have their turn, in bytes.
INFLATE_STEP: Final = 256 * 1024
#: How many members of gzip data are begun before other tasks have their turn: one that is empty has 20 bytes.
MEMBERS_PER_TURN: Final = 256
#: How much is given to zlib at once, in bytes; what is left of it is copied at every step.
_INPUT: Final = 16 * 1024

#: The content codings that can be undone (RFC 9110, section 8.4.1), and the `wbits` with which zlib does it.
CODINGS: Final = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


class Inflater:
    """Undoes one gzip or deflate coding, a step of at most INFLATE_STEP bytes at a time."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._zlib = zlib.decompressobj(CODINGS[coding])

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What these bytes inflate to, a piece for each step, which may be empty.

        Raises MappingError for bytes that the coding does not have.
        """
        for start in range(0, len(data), _INPUT):
            yield from self._feed(data[start : start + _INPUT])

    def _feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._zlib.eof:  # gzip may be several members, one after the other (RFC 1952, section 2.2)
                self._zlib = zlib.decompressobj(CODINGS[self._coding])
            try:
                piece = self._zlib.decompress(data, INFLATE_STEP)
            except zlib.error:
                message = f"the body does not match its Content-Encoding, {self._coding}"
                raise MappingError(message, hint=MAYBE_SENT) from None
            data = self._zlib.unused_data or self._zlib.unconsumed_tail
            yield piece

    def finish(self) -> None:
        """Raises MappingError unless the data ended where its coding says."""
        if not self._zlib.eof:
            raise MappingError(f"the {self._coding} data of the body ends too early", hint=MAYBE_SENT)


def find_inflater(headers: Headers) -> Inflater | None:
    """What undoes the coding of a body, None for a plain one; raises MappingError for codings that are not undone."""
    coding = headers.get("content-encoding", "").strip().lower()
    if coding in {"", "identity"}:
        return None
    if coding not in CODINGS:
        hint = f"one of {', '.join(CODINGS)} is accepted, and only one; {MAYBE_SENT}"
        raise MappingError("the body has a Content-Encoding that is not accepted", hint=hint)
    return Inflater(coding)


def share_of(piece: bytes) -> float:
    """How much of the work that may be done at once a step was."""
    return len(piece) / INFLATE_STEP + 1 / MEMBERS_PER_TURN
