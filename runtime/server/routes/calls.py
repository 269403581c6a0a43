"""The routes that call operations: answered whole or as a stream of chunks, and rendered without sending."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Annotated, Any, cast

from fastapi import APIRouter, Body, Query, Request

from connector.errors import InputError, InputProblem
from connector.messages import Chunk
from connector.model.definition import AnyOperation
from runtime import documents
from runtime.config.connections import ConnectionName
from runtime.problems import problem
from runtime.server.routing import Find, Handle, JsonResponse, find_operation, stream_response

Inputs = Annotated[dict[str, Any], Body(description="The inputs of the operation, by name.")]
Named = Annotated[
    str, Query(pattern=r"^[A-Za-z0-9_.-]{0,64}$", description="A named connection; by default the default one.")
]


def add_routes(router: APIRouter, services: Find) -> None:
    """Adds the routes that call operations."""

    @router.post("/connectors/{handle}/operations/{operation}", tags=["calls"])
    async def call(
        request: Request, handle: Handle, operation: str, inputs: Inputs, connection: Named = ""
    ) -> JsonResponse:
        """Calls an operation; with `Accept: text/event-stream` the answer comes as a stream."""
        caller, name = services().caller, str(ConnectionName(handle, connection))
        values = _read_inputs(find_operation(caller, handle, operation)[1], inputs)
        if "text/event-stream" in request.headers.get("accept", ""):
            chunks = caller.stream(name, operation, values)
            # A failure before the first chunk is still an answer of its own.
            first = await anext(chunks, None)
            return cast("JsonResponse", stream_response(_messages(first, chunks)))
        return JsonResponse(documents.result_document(await caller.call(name, operation, values)))

    @router.post("/connectors/{handle}/operations/{operation}/render", tags=["calls"])
    def render(handle: Handle, operation: str, inputs: Inputs, connection: Named = "") -> JsonResponse:
        """The request that a call would send, its secrets masked; nothing is sent."""
        caller, name = services().caller, str(ConnectionName(handle, connection))
        values = _read_inputs(find_operation(caller, handle, operation)[1], inputs)
        return JsonResponse(documents.request_document(caller.render(name, operation, values)))


def _read_inputs(operation: AnyOperation, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs, none of which may name a file of this machine (hazard T71): a File is its content as text."""
    wrong = [
        InputProblem(name, f"{name}: expected the content of the file as text")
        for name, declared in operation.inputs.items()
        if declared.type == "File" and not isinstance(inputs.get(name, ""), str)
    ]
    if wrong:
        raise InputError(operation.id, wrong)
    return dict(inputs)


async def _messages(first: Chunk | None, chunks: AsyncGenerator[Chunk, None]) -> AsyncIterator[str]:
    """Each chunk as a server-sent event; a failure after the first one ends the stream, as an event `problem`."""
    async with contextlib.aclosing(chunks):
        try:
            chunk = first
            while chunk is not None:
                yield f"data: {json.dumps(documents.chunk_document(chunk))}\n\n"
                chunk = await anext(chunks, None)
        except Exception as error:  # noqa: BLE001 - the status has been sent, so the stream reports the failure
            yield f"event: problem\ndata: {json.dumps(problem(error)[1])}\n\n"
        else:
            yield "event: done\ndata: {}\n\n"
