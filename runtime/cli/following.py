"""Writes answers that arrive piece by piece to a screen, a pipe or a file.

Each piece is passed on as it arrives and then dropped, so an answer may be larger than memory.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from connector.errors import ConfigurationError
from connector.messages import Chunk, Result
from connector.model.definition import AnyOperation
from connector.types import to_text
from runtime.cli import printing
from runtime.runtime import Runtime


@contextlib.asynccontextmanager
async def _chunks(
    runtime: Runtime, connection: str, operation: str, values: Mapping[str, Any]
) -> AsyncIterator[AsyncGenerator[Chunk, None]]:
    stream = runtime.stream(connection, operation, values)
    async with runtime, contextlib.aclosing(stream):
        yield stream


async def print_stream(
    runtime: Runtime, connection: str, operation: AnyOperation, values: Mapping[str, Any], *, as_json: bool
) -> None:
    """Shows each chunk as it comes: a JSON document a line, or for people the joined texts, else what it holds."""
    joined = [each.name for each in operation.fields if each.name in operation.join]
    async with _chunks(runtime, connection, operation.id, values) as chunks:
        async for chunk in chunks:
            if as_json:
                document = {"fields": chunk.fields, "raw": chunk.raw, "event": chunk.event, "id": chunk.id}
                sys.stdout.write(_dump(document) + "\n")
            elif joined and chunk.fields is not None:
                texts = [chunk.fields[name] for name in joined]
                sys.stdout.write("".join(printing.clean(to_text(text)) for text in texts if text is not None))
            else:
                shown = chunk.raw if chunk.fields is None else chunk.fields
                sys.stdout.write(printing.clean(shown if isinstance(shown, str) else _dump(shown)) + "\n")
            sys.stdout.flush()
            for warning in chunk.warnings:
                printing.say("warning", warning)
    if joined and not as_json:
        sys.stdout.write("\n")


async def print_bytes(runtime: Runtime, connection: str, operation: AnyOperation, values: Mapping[str, Any]) -> None:
    """Passes a binary answer on to stdout as it comes."""
    async with _chunks(runtime, connection, operation.id, values) as chunks:
        async for chunk in chunks:
            sys.stdout.buffer.write(chunk.raw or b"")
    sys.stdout.buffer.flush()


async def save_bytes(
    runtime: Runtime, connection: str, operation: AnyOperation, values: Mapping[str, Any], path: Path
) -> tuple[Result, int]:
    """Writes a binary answer to a file as it arrives; returns its result without the content, and its size in bytes.

    The file only takes its name when the answer is complete. Raises ConfigurationError where it cannot be written.
    """
    request = runtime.render(connection, operation.id, values)
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    size, status = 0, 200
    try:
        with partial.open("wb") as file:
            async with _chunks(runtime, connection, operation.id, values) as chunks:
                async for chunk in chunks:
                    size += file.write(chunk.raw or b"")
                    status = chunk.status
        partial.replace(path)
    except OSError as error:
        raise ConfigurationError(f"{path}: {(error.strerror or 'it cannot be written').lower()}") from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return Result(ok=True, status=status, request=request), size


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
