"""What every route of the HTTP interface shares: the gate before it, strict JSON, one form of errors.

`Backend` is what routes act on. `make_route_class` makes the class of routes that lets nobody past the gate and turns
every error into a problem document, in our own application and within that of a host. What single routes do is `api`'s.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Body, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from connector.errors import ConnectorError, InputError, InputProblem, RequestRefused
from connector.strict_json import parse_json
from runtime.calls.caller import Caller
from runtime.config.connections import ConnectionName
from runtime.events.ingress import Ingress, read_body
from runtime.problems import problem_bytes
from runtime.server.announcement import StartKey
from runtime.server.gate import Gate
from runtime.server.metrics import Metrics

if TYPE_CHECKING:
    from connector.events.automations import Automation
    from runtime.events.poller import Poller
    from runtime.events.registrations import Registrations
    from runtime.events.subscribers import Subscribers
    from runtime.journal.journal import Journal
    from runtime.server.reload import Reloader

Limit = Annotated[int, Query(ge=1, le=1000, description="How many at most.")]
ConnectionBody = Annotated[str, Body(description="CONNECTOR, or CONNECTOR:NAME.")]
After = Annotated[int, Query(ge=0, le=2**62, description="Only what comes behind this sequence number.")]
#: What a route may answer beside its success; every one of them is a problem document.
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": text,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, text in {
        400: "The body is not JSON.",
        401: "The admin token is missing or wrong.",
        403: "The request may not be made from there, or a rule of the operator forbids what it asks for.",
        404: "There is nothing of that name.",
        413: "The body is too large.",
        415: "The body is of another kind than JSON.",
        422: "An input is missing, unknown or of another type, or a definition or setting cannot be used.",
        502: "The provider answered with a failure, not at all, or with something that cannot be read.",
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


@dataclass(slots=True)
class Backend:
    """What routes act on. The journal is None while it is not open."""

    runtime: Caller
    ingress: Ingress
    gate: Gate
    metrics: Metrics
    journal: Journal | None = None
    #: These are there while the journal is.
    subscribers: Subscribers | None = None
    poller: Poller | None = None
    registrations: Registrations | None = None
    automations: Sequence[Automation] = ()
    #: Proves to commands that this server is the one which its home announces.
    start_key: StartKey = field(default_factory=StartKey)
    #: What takes edited definitions, where they are taken.
    reloader: Reloader | None = None
    #: Set when the server ends, so that streams end too.
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def open_journal(self) -> Journal:
        """The journal; raises RequestRefused (503) while it is not open."""
        if self.journal is None:
            raise RequestRefused(503, "the journal is not open", headers={"Retry-After": "5"})
        return self.journal


class JsonResponse(Response):
    """A JSON answer in ASCII, so that any text a provider sent can be in it."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The document as JSON."""
        return json.dumps(content).encode()


class _StrictRequest(Request):
    """A request whose body is read within its limit, and which takes for JSON only what is."""

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
    """The handle of a connection whose name can be one; raises RequestRefused."""
    name = ConnectionName.parse(connection)
    if not name.is_valid:
        raise RequestRefused(404, "there is no such connection", hint="a connection is CONNECTOR or CONNECTOR:NAME")
    return name.handle


def make_route_class(backend: Backend) -> type[APIRoute]:
    """The class of routes that act on a backend."""
    limit = backend.runtime.settings.limits.body_bytes

    class Route(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()
            template = self.path_format

            async def answer(request: Request) -> Response:
                begun = time.perf_counter()
                request.scope["connector.body_limit"] = limit
                try:
                    backend.gate.check(request.scope)
                    response = await handle(_StrictRequest(request.scope, request.receive))
                except Exception as error:  # noqa: BLE001 - whatever it is, it becomes a problem document
                    response = problem_response(error)
                backend.metrics.observe_request(template, response.status_code, time.perf_counter() - begun)
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
        # FastAPI says so of whatever was raised while a body was read.
        cause = error.__cause__
        return cause if isinstance(cause, ConnectorError) else RequestRefused(error.status_code, str(error.detail))
    return error


def _place(steps: tuple[Any, ...]) -> str:
    return ".".join(str(step) for step in steps[1:]) or str(steps[0])
