"""Answers as they come: opened like any other call, then read to Chunks.

`connector.answers.mapping` maps messages; the client enforces limits and deadlines.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Self

from connector.answers.kinds import kind_of
from connector.answers.mapping import ChunkReader, check_stream_type
from connector.answers.streams import MESSAGES_PER_TURN, PART, STREAM_KINDS, cut
from connector.errors import MappingError
from connector.messages import Chunk, Request, Response, Result, mask
from connector.model.definition import Operation
from runtime.config.settings import Limits
from runtime.http.turns import Turns

if TYPE_CHECKING:
    from runtime.http.client import Client, StreamedResponse

_BODILESS = frozenset({204, 205})


class Opening:
    """Sends requests as a client does, but leaves the body of an operation's own success to be read.

    A failure is read whole. Leaving the block closes what is open.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._stack = contextlib.AsyncExitStack()
        #: The request that was sent last.
        self.request: Request | None = None
        #: The answer whose body was left, once there is one.
        self.answer: StreamedResponse | None = None

    async def send(self, request: Request, *, operation: str, origin: str | None = None) -> Response:
        """The head of a success, any other answer whole; raises as `Client.send` does."""
        self.answer, self.request = None, request
        await self._stack.aclose()
        found = await self._stack.enter_async_context(self._client.stream(request, operation=operation, origin=origin))
        if not 200 <= found.status < 300 or found.status in _BODILESS:
            return await found.read()
        self.answer = found
        return Response(found.status, found.headers)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()


def streams(operation: Operation, content_type: str) -> bool:
    """True for an answer that is read as it comes: a binary one, or a stream of messages."""
    kind = _find_kind(operation, content_type)
    return kind == "binary" or kind in STREAM_KINDS


def _find_kind(operation: Operation, content_type: str) -> str:
    """The kind of an answer; although declared as JSON it may come as a stream."""
    if operation.response == "json" and kind_of("any", content_type) in STREAM_KINDS:
        return kind_of("any", content_type)
    return kind_of(operation.response, content_type)


async def read_chunks(
    operation: Operation,
    answer: StreamedResponse,
    request: Request,
    *,
    label: str,
    limits: Limits,
    hidden: frozenset[str],
) -> AsyncGenerator[Chunk, None]:
    """The chunks of an answer that `streams`: its messages, or the pieces of a binary one.

    Raises TransportError where it breaks off or a limit is met, MappingError for a message that cannot be read.
    """
    async with contextlib.aclosing(aiter(answer)) as pieces:
        kind = _find_kind(operation, answer.content_type)
        if kind == "binary":
            async for piece in pieces:
                yield Chunk(fields=None, raw=piece, status=answer.status)
            return
        reader = ChunkReader(operation, kind, limit=limits.message_bytes, status=answer.status, hidden=hidden)
        try:
            check_stream_type(operation, Response(answer.status, answer.headers))
            # A provider chooses how many lines and messages its bytes are, and each takes time.
            turns = Turns()
            async for piece in pieces:
                for part in cut(piece):
                    for chunk in reader.feed(part):
                        yield chunk
                        await turns.spend(1 / MESSAGES_PER_TURN)
                    if reader.ended:
                        return
                    await turns.spend(len(part) / PART)
            for chunk in reader.finish():
                yield chunk
        except MappingError as error:
            message = mask(error.message.removeprefix(f"{label}: "), request.secrets)
            shown = None if error.response is None else error.response.masked(request.secrets)
            raise MappingError(
                message, hint=error.hint, operation=label, request=request.masked(), response=shown
            ) from None


def chunks_of(result: Result) -> list[Chunk]:
    """An answer that came whole, as chunks: one for each record, or the only one."""
    if result.records is not None:
        return [Chunk(fields=record, raw=None) for record in result.records]
    return [Chunk(fields=result.fields, raw=result.raw, warnings=result.warnings)]
