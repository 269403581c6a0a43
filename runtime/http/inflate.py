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
#: Values of Content-Encoding that leave a body as it is; some servers write its charset there.
_PLAIN: Final = frozenset({"", "identity", "none", "utf-8", "utf8"})


class Inflater:
    """Undoes one gzip or deflate coding, a step of at most INFLATE_STEP bytes at a time.

    With `lenient` the rest of a body that cannot be inflated is left out, since the status of its answer decides.
    """

    def __init__(self, coding: str, *, lenient: bool = False) -> None:
        self._coding = coding
        self._lenient = lenient
        self._broken = False
        self._begun = coding != "deflate"
        self._head = b""
        self._zlib = zlib.decompressobj(CODINGS[coding])

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What these bytes inflate to, a piece for each step, which may be empty.

        Raises MappingError for bytes that the coding does not have.
        """
        if not self._begun:
            data = self._head + data
            if len(data) < 2:
                self._head = data
                return
            self._begun = True
            if not _has_zlib_header(data):  # many servers send what RFC 1951 describes, without RFC 1950 around it
                self._zlib = zlib.decompressobj(-zlib.MAX_WBITS)
        for start in range(0, len(data), _INPUT):
            yield from self._feed(data[start : start + _INPUT])

    def _feed(self, data: bytes) -> Iterator[bytes]:
        while data and not self._broken:
            if self._zlib.eof:  # gzip may be several members, one after the other (RFC 1952, section 2.2)
                data = data.lstrip(b"\0")  # or be padded, as tapes are
                if not data:
                    return
                self._zlib = zlib.decompressobj(CODINGS[self._coding])
            try:
                piece = self._zlib.decompress(data, INFLATE_STEP)
            except zlib.error:
                self._break(f"the body does not match its Content-Encoding, {self._coding}")
                return
            data = self._zlib.unused_data or self._zlib.unconsumed_tail
            yield piece

    def finish(self) -> None:
        """Raises MappingError unless the data ended where its coding says."""
        if not self._zlib.eof:
            self._break(f"the {self._coding} data of the body ends too early")

    def _break(self, message: str) -> None:
        self._broken = True
        if not self._lenient:
            raise MappingError(message, hint=MAYBE_SENT)


class Unread:
    """Stands for the inflater of a coding that is not undone: such a body is refused, or left out with `lenient`."""

    def __init__(self, status: int, *, lenient: bool) -> None:
        self._status = status
        self._lenient = lenient

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Nothing; raises MappingError unless it is lenient."""
        if data and not self._lenient:
            message = f"the body of an answer of {self._status} has a Content-Encoding that is not accepted"
            hint = f"one of {', '.join(CODINGS)} is accepted, and only one; {MAYBE_SENT}"
            raise MappingError(message, hint=hint)
        yield b""

    def finish(self) -> None:
        """Nothing is left to be checked."""


def find_inflater(headers: Headers, status: int) -> Inflater | Unread | None:
    """What undoes the coding of the body of an answer, None for a plain one.

    A body that is a success is undone or refused. Of any other answer the status counts, whatever its body.
    """
    coding = headers.get("content-encoding", "").strip().lower()
    if coding in _PLAIN:
        return None
    lenient = not 200 <= status < 300
    return Inflater(coding, lenient=lenient) if coding in CODINGS else Unread(status, lenient=lenient)


def _has_zlib_header(data: bytes) -> bool:
    """True for the two bytes that begin zlib data (RFC 1950, section 2.2)."""
    return data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0


def share_of(piece: bytes) -> float:
    """How much of the work that may be done at once a step was."""
    return len(piece) / INFLATE_STEP + 1 / MEMBERS_PER_TURN
