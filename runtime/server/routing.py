"""What every route of the HTTP interface shares: the gate before it, strict JSON, one form of errors.

`Services` is what routes act on. `make_route_class` makes the class of routes that checks each request at the gate and
turns every error into a problem document, in our own application and within that of a host.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Body, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse

from connector.errors import ConnectorError, InputError, InputProblem, RequestRefused, UnknownOperation
from connector.events.automations import Automation
from connector.model.definition import AnyOperation, Connector
from connector.strict_json import parse_json
from runtime.calls.caller import Caller
from runtime.config.connections import ConnectionName
from runtime.events.ingress import Ingress, read_body
from runtime.events.poller import Poller
from runtime.events.registrations import Registrations
from runtime.events.subscribers import Subscribers
from runtime.journal.journal import Journal
from runtime.problems import problem_bytes
from runtime.server.gate import Gate
from runtime.server.metrics import Metrics

Handle = Annotated[str, Path(description="A connector.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="How many at most.")]
ConnectionBody = Annotated[str, Body(description="CONNECTOR, or CONNECTOR:NAME.")]
After = Annotated[int, Query(ge=0, le=2**62, description="Only what comes behind this sequence number.")]
#: What a route may answer instead of a success, each as a problem document.
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": text,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, text in {
        400: "The body is not JSON.",
        401: "The admin token is missing or wrong.",
        403: "The request may not be made from there, or a rule of the operator forbids it.",
        404: "Nothing has that name.",
        413: "The body is too large.",
        415: "The body is of another kind than JSON.",
        422: "An input is missing, unknown or of another type, or a definition or setting cannot be used.",
        502: "The provider answered with a failure, with something unreadable, or not at all.",
        503: "The journal cannot be used now.",
    }.items()
}
PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "A problem document (RFC 9457).",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "hint": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "message": {"type": "string"}},
                "required": ["name", "message"],
            },
        },
    },
    "required": ["type", "title", "status", "detail", "code", "hint"],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What routes act on, made when the journal is open."""

    caller: Caller
    journal: Journal
    ingress: Ingress
    subscribers: Subscribers
    poller: Poller
    registrations: Registrations
    automations: Sequence[Automation]
    #: Set when the server ends, so that streams end too.
    stopping: asyncio.Event


#: The services of an application; raises RequestRefused (503) while its journal is not open.
Find = Callable[[], Services]


class JsonResponse(Response):
    """A JSON answer in ASCII, so that any text a provider sent can be in it."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The document as JSON."""
        return json.dumps(content).encode()


class _StrictRequest(Request):
    """A request whose body has a limit, and whose JSON is read strictly."""

    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            self._body = await read_body(self.scope, self.receive, self.scope["connector.body_limit"])
        return self._body

    async def json(self) -> Any:
        try:
            return parse_json(await self.body())
        except ValueError as error:
            raise RequestRefused(400, f"the body is not JSON: {error}") from None


def connector_of(connection: str) -> str:
    """The handle of a connection; raises RequestRefused for a name that is not valid."""
    name = ConnectionName.parse(connection)
    if not name.is_valid:
        raise RequestRefused(404, "there is no such connection", hint="a connection is CONNECTOR or CONNECTOR:NAME")
    return name.handle


def find_operation(caller: Caller, handle: str, operation: str) -> tuple[Connector, AnyOperation]:
    """A connector and one of its operations; those that register webhooks are not for callers.

    Raises UnknownConnector, UnknownOperation.
    """
    connector = caller.catalog.get(handle)
    known: dict[str, AnyOperation] = {**connector.operations, **connector.custom_operations}
    if operation not in known:
        raise UnknownOperation(handle, operation, known)
    return connector, known[operation]


def stream_response(events: AsyncIterator[str] | AsyncIterator[bytes]) -> StreamingResponse:
    """An answer of server-sent events."""
    return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


def make_route_class(gate: Gate, metrics: Metrics, body_limit: int) -> type[APIRoute]:
    """The class of routes behind a gate, whose errors are problem documents and whose bodies have a limit in bytes."""

    class Route(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()
            template = self.path_format

            async def answer(request: Request) -> Response:
                begun = time.perf_counter()
                request.scope["connector.body_limit"] = body_limit
                try:
                    gate.check(request.scope)
                    response = await handle(_StrictRequest(request.scope, request.receive))
                except Exception as error:  # noqa: BLE001 - every error becomes a problem document
                    response = problem_response(error)
                metrics.observe_request(template, response.status_code, time.perf_counter() - begun)
                return response

            return answer

    return Route


def problem_response(error: Exception) -> Response:
    """An error as an answer."""
    status, body, headers = problem_bytes(_as_ours(error))
    return Response(body, status, headers)


def _as_ours(error: Exception) -> Exception:
    if isinstance(error, RequestValidationError):
        listed = error.errors()
        problems = [InputProblem(_place(each["loc"]), f"{_place(each['loc'])}: {each['msg']}") for each in listed]
        return InputError("request", problems, hint="see /openapi.json")
    if isinstance(error, HTTPException):
        # FastAPI raises this for any error while a body was read.
        cause = error.__cause__
        return cause if isinstance(cause, ConnectorError) else RequestRefused(error.status_code, str(error.detail))
    return error


def _place(steps: tuple[Any, ...]) -> str:
    return ".".join(str(step) for step in steps[1:]) or str(steps[0])
