"""What every route of the HTTP interface shares: the gate before it, strict JSON, one form of errors.

`Services` is what routes act on. `make_route_class` makes the class of routes that checks each request at the gate and
turns every error into a problem document, in our own application and within that of a host.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Body, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field
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
from runtime.server.gate import Gate, HostGate
from runtime.server.metrics import Metrics

Handle = Annotated[str, Path(description="A connector.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="How many at most.")]
ConnectionBody = Annotated[str, Body(description="CONNECTOR, or CONNECTOR:NAME.")]
After = Annotated[int, Query(ge=0, le=2**62, description="Only what comes behind this sequence number.")]


class ProblemInput(BaseModel):
    """An input that is missing, unknown or wrong."""

    name: str
    message: str


class ConnectorProblem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str = Field(description="A stable name for programs.")
    hint: str = Field(description="What to do about it.")
    errors: list[ProblemInput] | None = Field(default=None, description="Each input that is wrong.")


#: What a route may answer instead of a success, each as a problem document.
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": text,
        "content": {
            "application/problem+json": {"schema": {"$ref": f"#/components/schemas/{ConnectorProblem.__name__}"}}
        },
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
#: The response of one route that brings the schema into the document of the application, whosever that is: FastAPI adds
#: only schemas of models, and lists a model under `application/json`. All other responses refer to it.
NAMED_PROBLEM: dict[int | str, dict[str, Any]] = {503: {**PROBLEMS[503], "model": ConnectorProblem}}
#: Describes the admin token; it is checked by the gate, before a body is read.
ADMIN_TOKEN = HTTPBearer(
    scheme_name="connectorAdminToken", description="The admin token, CONNECTOR_ADMIN_TOKEN.", auto_error=False
)


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

    #: Why its body was refused; FastAPI raises an exception of its own then.
    refused: RequestRefused | None = None

    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            try:
                self._body = await read_body(self.scope, self.receive, self.scope["connector.body_limit"])
            except RequestRefused as error:
                self.refused = error
                raise
        return self._body

    async def json(self) -> Any:
        try:
            return parse_json(await self.body())
        except ValueError as error:
            self.refused = RequestRefused(400, f"the body is not JSON: {error}")
            raise self.refused from None


def find_connector(caller: Caller, connection: str) -> Connector:
    """The connector of a connection; raises RequestRefused for a name that is not valid, UnknownConnector."""
    name = ConnectionName.parse(connection)
    if not name.is_valid:
        raise RequestRefused(404, "there is no such connection", hint="a connection is CONNECTOR or CONNECTOR:NAME")
    return caller.catalog.get(name.handle)


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


#: The errors that the routes answer themselves within the application of a host: those that are ours.
OURS: tuple[type[Exception], ...] = (ConnectorError, RequestValidationError)


def make_route_class(
    gate: Gate | HostGate,
    metrics: Metrics,
    body_limit: int,
    *,
    ready: Callable[[], Awaitable[None]],
    answered: tuple[type[Exception], ...] = (Exception,),
) -> type[APIRoute]:
    """The class of routes behind a gate, whose errors are problem documents and whose bodies have a limit in bytes.

    `ready` is awaited before each request. Errors that are not `answered` go on to the application: with `OURS` the
    exceptions of a host, and of its dependencies, reach the handlers that it registered.
    """

    class Route(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()
            template = self.path_format

            async def answer(request: Request) -> Response:
                begun = time.perf_counter()
                request.scope["connector.body_limit"] = body_limit
                strict = _StrictRequest(request.scope, request.receive)
                try:
                    gate.check(request.scope)
                    await ready()
                    response = await handle(strict)
                except answered as error:
                    response = problem_response(strict.refused or error)
                except HTTPException:
                    if strict.refused is None:
                        raise
                    response = problem_response(strict.refused)
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
        return RequestRefused(error.status_code, str(error.detail))
    return error


def _place(steps: tuple[Any, ...]) -> str:
    return ".".join(str(step) for step in steps[1:]) or str(steps[0])
