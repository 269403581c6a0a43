"""What is sent piece by piece: the sources of a Stream, read as the network takes them.

Files are read off the event loop, a block at a time, so that one of any size needs the memory of one. What a multipart
body may not hold within a file is looked for here, since nobody has seen the file before.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping
from typing import Any, BinaryIO, Final, TypeVar
from weakref import WeakSet

from connector.errors import InputError, InputProblem
from connector.messages import Stream
from connector.model.definition import AnyOperation, CustomOperation
from runtime.http.threads import FILES

A = TypeVar("A")

#: How much of a file is read at once, in bytes.
BLOCK: Final = 256 * 1024

#: Streams with an iterator in them that were begun; a second time they would be empty.
_begun: WeakSet[Stream] = WeakSet()


def load_files(operation: AnyOperation, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """The inputs, each path as the content of its file where the body of the operation has to be in memory.

    Raises InputError for a file that cannot be read.
    """
    if not any(map(_is_path, inputs.values())):
        return inputs
    calls = operation.calls if isinstance(operation, CustomOperation) else (operation,)
    if any(call.body is not None and call.body.streams for call in calls):
        return inputs
    try:
        return {name: _read_whole(value) if _is_path(value) else value for name, value in inputs.items()}
    except OSError as error:
        raise _refusal(None, _reason(error)) from None


def _is_path(value: Any) -> bool:
    return hasattr(value, "__fspath__")


def _read_whole(path: Any) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 - any path-like will do
        return file.read()


def find_length(stream: Stream) -> int | None:
    """How many bytes a stream has, or None where an iterator decides; raises InputError for a file that is missing."""
    total = 0
    for piece in stream.pieces:
        if isinstance(piece, bytes):
            total += len(piece)
        elif hasattr(piece, "__fspath__"):
            try:
                total += os.stat(piece).st_size  # noqa: PTH116 - any path-like will do
            except OSError as error:
                raise _refusal(piece, _reason(error)) from None
        else:
            return None
    return total


async def ends_early(
    sending: Coroutine[Any, Any, None], answering: Coroutine[Any, Any, A], is_final: Callable[[A], bool]
) -> A:
    """Sends and reads at once; an answer that is final ends the sending, and any other one waits for its end.

    What is left of a body is then not read from its source (RFC 9112, section 9.3; RFC 9113, section 8.1). Raises what
    either of the two raises.
    """
    sender, reader = asyncio.create_task(sending), asyncio.create_task(answering)
    try:
        await asyncio.wait({sender, reader}, return_when=asyncio.FIRST_COMPLETED)
        if sender.done():
            sender.result()
        answer = await reader
        if not is_final(answer):
            await sender
        return answer
    finally:
        sender.cancel()
        reader.cancel()
        await asyncio.gather(sender, reader, return_exceptions=True)


async def pieces_of(body: bytes | Stream | None) -> AsyncGenerator[bytes, None]:
    """A body in pieces that can each be sent without stopping anything else for long."""
    if not isinstance(body, Stream):
        for start in range(0, len(body or b""), BLOCK):
            yield (body or b"")[start : start + BLOCK]
        return
    async with contextlib.aclosing(read_stream(body)) as pieces:
        async for piece in pieces:
            for start in range(0, len(piece), BLOCK):
                yield piece[start : start + BLOCK] if len(piece) > BLOCK else piece


async def read_stream(stream: Stream) -> AsyncGenerator[bytes, None]:
    """The bytes of a stream in order. Raises InputError for a source that cannot be sent as it is."""
    if not stream.repeatable:
        if stream in _begun:
            raise _refusal(None, "an iterator can be sent only once; give a path or bytes")
        _begun.add(stream)
    for piece in stream.pieces:
        if isinstance(piece, bytes):
            yield piece
            continue
        # What two blocks hold only together is looked for in the end of one and the whole of the next.
        tail = b""
        async for block in _read_file(piece) if hasattr(piece, "__fspath__") else _read_iterable(piece):
            if stream.delimiter:
                seen = tail + block
                if stream.delimiter in seen:
                    raise _refusal(piece, "it holds the boundary that would end it")
                tail = seen[-len(stream.delimiter) :]
            yield block


async def _read_file(path: Any) -> AsyncIterator[bytes]:
    try:
        file: BinaryIO = await FILES.run(open, path, "rb")
    except OSError as error:
        raise _refusal(path, _reason(error)) from None
    with file:
        left = os.fstat(file.fileno()).st_size
        while left > 0:
            block = await FILES.run(file.read, min(BLOCK, left))
            if not block:
                raise _refusal(path, "it became shorter while it was sent")
            left -= len(block)
            yield block


async def _read_iterable(source: Any) -> AsyncIterator[bytes]:
    async for block in source:
        if not isinstance(block, bytes):
            raise _refusal(source, "an iterator of a file yields bytes")
        yield block


def _reason(error: OSError) -> str:
    return (error.strerror or "it cannot be read").lower()


def _refusal(source: Any, reason: str) -> InputError:
    name = str(getattr(source, "name", "file"))
    return InputError(
        "upload", [InputProblem(name, f"{name}: {reason}")], hint="a file is a path, bytes or an iterator"
    )
