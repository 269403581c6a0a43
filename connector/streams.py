"""Streams: decoders that are fed bytes as they come and give messages as they are complete.

One class per kind, in one table. A decoder does no input or output, knows no HTTP and no field, and takes time in
proportion to the bytes it is fed, however they are cut.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Message(NamedTuple):
    """One message of a stream: its data, and the event name and last id where the kind has them."""

    data: bytes
    event: str = ""
    id: str = ""


class Decoder(Protocol):
    """What reads one stream. Each message may have `limit` bytes."""

    def __init__(self, limit: int) -> None: ...

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that these bytes complete; raises ValueError for one beyond the limit."""

    def finish(self) -> Iterator[Message]:
        """What the end of the stream completes."""


class _Lines:
    """Bytes cut into lines, a line being held until its end has come."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = bytearray()

    def take(self, pieces: Iterable[bytes], ends: tuple[bytes, ...]) -> Iterator[bytes]:
        """The complete lines in pieces that keep their line ends, which may be any of `ends`."""
        for piece in pieces:
            if len(self._held) + len(piece) > self._limit:
                self.check(len(self._held) + len(piece))
            if not piece.endswith(ends):
                self._held += piece
            elif self._held:
                line = bytes(self._held + piece)
                self._held.clear()
                yield line.rstrip(b"\r\n")
            else:
                yield piece.rstrip(b"\r\n")

    def rest(self) -> bytes:
        """What had no end."""
        return bytes(self._held)

    def check(self, size: int) -> None:
        """Raises ValueError for a message of that size if it is beyond the limit."""
        if size > self._limit:
            raise ValueError(f"a message of the stream is larger than {self._limit} bytes")


class SseDecoder:
    """Server-sent events (WHATWG HTML, section 9.2.6).

    A message ends with an empty line; one that the end of the stream cuts off is not given. Comments and retry times
    are left out.
    """

    def __init__(self, limit: int) -> None:
        self._lines = _Lines(limit)
        self._data: list[bytes] = []
        self._size = 0
        self._event = ""
        self._id = ""
        self._after_cr = False
        self._started = False

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that these bytes complete; raises ValueError for one beyond the limit."""
        if self._after_cr and data:
            data = data.removeprefix(b"\n")  # the second half of a CR LF
            self._after_cr = False
        self._after_cr |= data.endswith(b"\r")
        for line in self._lines.take(data.splitlines(keepends=True), (b"\n", b"\r")):
            if not self._started:
                self._started = True
                line = line.removeprefix(_BYTE_ORDER_MARK)  # noqa: PLW2901 - the same line
            if line:
                self._read(line)
            elif (message := self._dispatch()) is not None:
                yield message

    def finish(self) -> Iterator[Message]:
        """Nothing: a message without its empty line is not complete."""
        return iter(())

    def _read(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._size += len(value) + 1
            self._lines.check(self._size)
            self._data.append(value)
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")

    def _dispatch(self) -> Message | None:
        found = Message(b"\n".join(self._data), self._event, self._id) if self._data else None
        self._data.clear()
        self._size = 0
        self._event = ""
        return found


class NdjsonDecoder:
    """One JSON document a line; empty lines are left out, and the last one needs no line end."""

    def __init__(self, limit: int) -> None:
        self._lines = _Lines(limit)

    def feed(self, data: bytes) -> Iterator[Message]:
        """The lines that these bytes complete; raises ValueError for one beyond the limit."""
        for line in self._lines.take(io.BytesIO(data), (b"\n",)):
            if line.strip():
                yield Message(line)

    def finish(self) -> Iterator[Message]:
        """The last line, if it had no end."""
        if rest := self._lines.rest().strip():
            yield Message(rest)


#: The kinds by the name that `operation.response` gives them.
STREAM_KINDS: dict[str, type[Decoder]] = {"sse": SseDecoder, "ndjson": NdjsonDecoder}
