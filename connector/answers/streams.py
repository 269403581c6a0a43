"""Streams: decoders that take bytes as they arrive and return messages as they are complete.

There is one class per kind, in one table. The time of a decoder is proportional to the bytes, however they are cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from connector.protocols import Decoder

#: How many bytes of a stream are cut into lines at once, since each byte may be a line. Other tasks can run between two
#: parts.
PART: Final = 16 * 1024
#: How many messages are read before other tasks can run: a short message takes as long as a long one.
MESSAGES_PER_TURN: Final = 64

_COLON = ord(":")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Message(NamedTuple):
    """One message of a stream: its data, and the event name and last id where the kind has them.

    It is not `whole` if the stream ended before the message did.
    """

    data: bytes
    event: str = ""
    id: str = ""
    whole: bool = True


def cut(data: bytes) -> Iterator[bytes]:
    """Yields bytes in parts of at most PART, so that each part takes little time and memory."""
    if len(data) <= PART:
        yield data
        return
    for start in range(0, len(data), PART):
        yield data[start : start + PART]


class _Lines:
    """Cuts bytes into lines, and holds a line until its end has arrived."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = bytearray()

    def take(self, lines: list[bytes]) -> Iterator[bytes]:
        """Yields the complete lines; the last of these has no end yet, and the held bytes begin the first."""
        rest = lines.pop()
        for line in lines:
            if self._held:
                self.check(len(self._held) + len(line))
                line = bytes(self._held + line)  # noqa: PLW2901 - the same line
                self._held.clear()
            if len(line) > self._limit:
                self.check(len(line))
            yield line
        self.check(len(self._held) + len(rest))
        self._held += rest

    def rest(self) -> bytes:
        """Returns the line without an end."""
        return bytes(self._held)

    def check(self, size: int) -> None:
        """Raises ValueError if a message of that size is beyond the limit."""
        if size > self._limit:
            raise ValueError(f"a message of the stream is larger than {self._limit} bytes")


class SseDecoder:
    """Server-sent events (WHATWG HTML, section 9.2.6).

    A message ends with an empty line; one that the end of the stream cuts off is not `whole`. Comments and retry times
    are left out.
    """

    def __init__(self, limit: int) -> None:
        self._lines = _Lines(limit)
        #: The data of the message, each of its lines with a line end: a million lines take no more than their bytes.
        self._data = bytearray()
        self._event = ""
        self._id = ""
        self._after_cr = False
        self._started = False

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yields the messages that these bytes complete; raises ValueError for a message beyond the limit."""
        for part in cut(data):
            yield from self._feed(part)

    def finish(self) -> Iterator[Message]:
        """Yields the last message if it has no empty line: the standard drops it, and many servers forget that line."""
        line = self._lines.rest()
        if line and line[0] != _COLON:
            self._read(line)
        if (message := self._dispatch()) is not None:
            yield message._replace(whole=False)

    def _feed(self, data: bytes) -> Iterator[Message]:
        if self._after_cr and data:
            data = data.removeprefix(b"\n")  # the second half of a CR LF
            self._after_cr = False
        self._after_cr |= data.endswith(b"\r")
        lines = data.splitlines()
        if not lines or data.endswith((b"\n", b"\r")):
            lines.append(b"")
        for line in self._lines.take(lines):
            if not self._started:
                self._started = True
                line = line.removeprefix(_BYTE_ORDER_MARK)  # noqa: PLW2901 - the same line
            if not line:
                if (message := self._dispatch()) is not None:
                    yield message
            elif line[0] != _COLON:
                self._read(line)

    def _read(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._lines.check(len(self._data) + len(value) + 1)
            self._data += value
            self._data += b"\n"
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")

    def _dispatch(self) -> Message | None:
        found = Message(bytes(self._data[:-1]), self._event, self._id) if self._data else None
        self._data.clear()
        self._event = ""
        return found


class NdjsonDecoder:
    """One JSON document a line; empty lines are left out, and the last one needs no line end."""

    def __init__(self, limit: int) -> None:
        self._lines = _Lines(limit)

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yields the lines that these bytes complete; raises ValueError for a line beyond the limit."""
        for part in cut(data):
            for line in self._lines.take(part.split(b"\n")):
                if line.strip():
                    yield Message(line.rstrip(b"\r"))

    def finish(self) -> Iterator[Message]:
        """Yields the last line, if it had no end."""
        if rest := self._lines.rest().strip():
            yield Message(rest)


#: The kinds by their name in `operation.response`.
STREAM_KINDS: dict[str, type[Decoder]] = {"sse": SseDecoder, "ndjson": NdjsonDecoder}
