"""The application that `connector serve` runs, and the router that a host includes: wiring, lifespan, health, docs.

`create_app` makes all of it, and `put_webhooks_first` what `connector serve` serves: webhooks are found by their exact
raw path before the application has its turn, since their messages come in crowds. The journal is open, and the work of
the chosen roles is done, for as long as the application lives. What the routes do is `api`'s, and how the server treats
its clients is `serving`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.routing import Route as StarletteRoute

from connector.errors import ConfigurationError, InvalidDefinition, JournalUnavailable, RequestRefused
from connector.model.definition import Connector
from runtime.calls.caller import Caller
from runtime.config.store import open_store
from runtime.events import deliverer
from runtime.events.automations import Automations, read_automations
from runtime.events.ingress import Ingress, Receive, Scope, Send, Verifications, find_routes
from runtime.events.poller import Poller
from runtime.events.registrations import RENEWAL, Registrations
from runtime.events.subscribers import Subscribers, subscriber_guard
from runtime.events.subscriptions import Endpoints
from runtime.http.client import Client
from runtime.journal.dispatcher import Handler
from runtime.journal.entries import WorkKind
from runtime.journal.journal import Journal
from runtime.server.announcement import CHALLENGE_LENGTH
from runtime.server.gate import Gate
from runtime.server.metrics import CONTENT_TYPE, Metrics
from runtime.server.reload import Reloader
from runtime.server.routes.api import build_router
from runtime.server.routing import PROBLEM_SCHEMA, PROBLEMS, Backend, JsonResponse, make_route_class, problem_response

_LOG = logging.getLogger(__name__)
#: What a process may do: answer requests, poll and run automations, deliver.
ROLES = ("api", "poller", "delivery")
#: Seconds between two looks for values that were entered.
_LOOK = 2.0
#: Seconds between two looks for definitions that were edited.
_RELOAD = 1.0
#: Seconds between two removals of what is old.
_TIDY = 3600.0
#: Seconds that deliveries, polls and steps which have begun may take after the end was asked for (hazard K14).
_GRACE = 5.0


def open_backend(runtime: Caller, *, webhooks: bool = True, reload: bool = False) -> Backend:
    """What the routes act on: every connector that can be read has its webhooks, where they matter.

    With `reload` it has what takes edited definitions. Raises ConfigurationError where two of them have one path.
    """
    settings, metrics = runtime.settings, Metrics()
    ingress = Ingress(
        {},
        Verifications(runtime.vault, settings.home, runtime.clock),
        limits=settings.limits,
        public_url=settings.public_url,
        clock=runtime.clock,
        count=metrics.count_message,
    )
    reloader = Reloader(runtime.catalog, ingress) if reload else None
    if webhooks:
        ingress.routes = find_routes(_readable(runtime))
    return Backend(runtime, ingress, Gate(settings.admin_token), metrics, reloader=reloader)


def create_app(
    runtime: Caller, *, roles: Iterable[str] = ROLES, webhooks: bool = True, reload: bool = False
) -> FastAPI:
    """The whole application over a runtime, webhooks included; `roles` are what this process does.

    Without `webhooks` there are none, and no connector is read before it is requested. With `reload` definitions that
    are edited while it runs are used from then on.

    Raises ConfigurationError.
    """
    backend, chosen = open_backend(runtime, webhooks=webhooks, reload=reload), frozenset(roles)
    if unknown := chosen - set(ROLES):
        raise ConfigurationError(f"unknown role {min(unknown)!r}", hint=f"known: {', '.join(ROLES)}")
    app = FastAPIOffline(
        title="connector",
        description="Connectors called, their webhooks taken, their events kept and delivered.",
        version="1",
        lifespan=lambda _: _live(backend, chosen),
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.backend, app.state.roles = backend, chosen
    if "api" in chosen:
        app.include_router(build_router(backend))
        app.router.routes.extend(_webhook_routes(backend.ingress))
    app.include_router(_status_router(backend))
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(Exception, _answer_any)
    _complete_openapi(app)
    return app


def put_webhooks_first(app: FastAPI) -> Any:
    """The application as it is served: requests to webhooks go to the ingress, before any middleware has its turn."""
    if "api" not in app.state.roles:
        return app
    ingress: Ingress = app.state.backend.ingress

    def choose(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return (ingress if ingress.takes(scope) else app)(scope, receive, send)

    return choose


def build_host_router(runtime: Caller) -> APIRouter:
    """Webhooks and interface for an application of a host: `app.include_router(runtime.router())`."""
    backend = open_backend(runtime)
    router = APIRouter(lifespan=lambda _: _live(backend, frozenset(ROLES)))
    router.routes.extend(_webhook_routes(backend.ingress))
    router.include_router(build_router(backend))
    return router


def _webhook_routes(ingress: Ingress) -> Iterator[StarletteRoute]:
    """The path of each webhook, and the same with a token after it."""
    for raw in ingress.routes:
        path = raw.decode()
        for each in (path, path + "/{token}"):
            yield StarletteRoute(each, _Exact(ingress), include_in_schema=False)


class _Exact:
    """The ingress behind a route of a host; it looks at the raw path again."""

    def __init__(self, ingress: Ingress) -> None:
        self._ingress = ingress

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._ingress(scope, receive, send)


@contextlib.asynccontextmanager
async def _live(backend: Backend, roles: frozenset[str]) -> AsyncIterator[None]:
    """Opens the journal, unless the runtime has one, and does the work of the roles until the application ends."""
    runtime = backend.runtime
    async with contextlib.AsyncExitStack() as stack:
        journal = await stack.enter_async_context(runtime.open_journal())
        await stack.enter_async_context(runtime)
        backend.journal = backend.ingress.journal = journal
        stack.callback(_detach, backend)
        handlers = await _find_handlers(backend, journal, roles, stack)
        run = journal.dispatcher.run
        work = [run(handlers, concurrency=deliverer.CONCURRENCY, grace=_GRACE)] if handlers else []
        if "poller" in roles and backend.poller is not None:
            work += [_tidy(runtime, journal), _watch(runtime, backend.poller)]
        if backend.reloader is not None:
            work += [follow_definitions(backend.reloader, backend.poller if "poller" in roles else None)]
        running = [asyncio.create_task(each) for each in work]
        ending = asyncio.create_task(_end(running, backend.stopping))
        try:
            yield
        finally:
            backend.stopping.set()
            await ending


async def _end(running: Sequence[asyncio.Task[None]], stopping: asyncio.Event) -> None:
    """Ends the work as soon as the server is told to stop, while it still answers what it was asked."""
    await stopping.wait()
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


def _detach(backend: Backend) -> None:
    backend.journal = backend.ingress.journal = backend.subscribers = None
    backend.poller = backend.registrations = None


async def _find_handlers(
    backend: Backend, journal: Journal, roles: frozenset[str], stack: contextlib.AsyncExitStack
) -> Mapping[WorkKind, Handler]:
    """What each kind of work is handed to, as far as the roles do it; what is due by itself is put in line."""
    runtime, settings = backend.runtime, backend.runtime.settings
    endpoints, guard = Endpoints(open_store(settings.store, settings.environment)), subscriber_guard(settings)
    backend.subscribers = Subscribers(journal, endpoints, guard, runtime.catalog, clock=runtime.clock)
    backend.poller = Poller(runtime, journal)
    registrations = backend.registrations = Registrations(runtime, journal, backend.ingress)
    backend.automations, problems = read_automations(settings.automations)
    for each in problems:
        _LOG.warning("%s", each)
    automations = Automations(backend.automations, runtime, journal, settings.home / "files")
    # Whoever appends plans, whatever its role: the runs of an event belong to its commit.
    if backend.automations:
        journal.planners.append(automations.plan)
    handlers: dict[WorkKind, Handler] = {}
    if "poller" in roles:
        await backend.poller.schedule()
        poll = backend.poller.handle

        async def handle_poll(id: str) -> None:
            await (registrations.renew if id.startswith(RENEWAL) else poll)(id)

        handlers |= {"poll": handle_poll, "run": automations.handle}
    if "delivery" in roles:
        client = Client(guard, deliverer.LIMITS)
        stack.push_async_callback(client.aclose)
        handlers["delivery"] = deliverer.Deliverer(journal, endpoints, client, clock=runtime.clock).handle
    return handlers


async def _tidy(runtime: Caller, journal: Journal) -> None:
    """Removes what is older than the operator wants to keep, now and every hour."""
    settings = runtime.settings
    while True:
        try:
            await journal.retain(days=settings.keep_days, events=settings.keep_events)
        except JournalUnavailable as error:
            _LOG.warning("old events were not removed: %s", error.message)
        await asyncio.sleep(_TIDY)


async def _watch(runtime: Caller, poller: Poller) -> None:
    """Puts the polls of connections in line whose values were entered while the server runs."""
    seen = runtime.vault.version()
    while True:
        try:
            if (version := runtime.vault.version()) != seen:
                seen = version
                await poller.schedule()
        except (ConfigurationError, JournalUnavailable) as error:
            _LOG.warning("polls were not put in line: %s", error.message)
        await asyncio.sleep(_LOOK)


async def follow_definitions(
    reloader: Reloader, poller: Poller | None, wait: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(_RELOAD)
) -> None:
    """Takes edited definitions after each `wait`, their polls too where there is a poller, until it is cancelled."""
    while True:
        await wait()
        try:
            taken = await reloader.look()
            if poller is not None and taken:
                await poller.follow(taken)
        except Exception as error:  # noqa: BLE001 - the next edit must be seen, whatever this one did
            _LOG.warning("edited definitions could not be taken: %s", getattr(error, "message", type(error).__name__))


def _readable(runtime: Caller) -> Iterable[Connector]:
    for handle in runtime.catalog.handles():
        try:
            yield runtime.catalog.get(handle)
        except InvalidDefinition as error:
            _LOG.warning("%s has %d problems and no webhooks: connector lint", handle, len(error.problems))


def _status_router(backend: Backend) -> APIRouter:
    guarded = APIRouter(route_class=make_route_class(backend), responses=PROBLEMS, tags=["state"])
    router = APIRouter(tags=["state"])

    @guarded.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Everything that is counted, for Prometheus."""
        health = await backend.journal.health() if backend.journal is not None else None
        return Response(backend.metrics.show(health), media_type=CONTENT_TYPE)

    @router.get("/healthz")
    async def healthz(challenge: str = "") -> JsonResponse:
        """The process answers; to a challenge with a proof that it is the server which its home announces."""
        proof = {"proof": backend.start_key.prove(challenge)} if 0 < len(challenge) <= CHALLENGE_LENGTH else {}
        return JsonResponse({"status": "ok"} | proof)

    @router.get("/readyz", responses={503: PROBLEMS[503]})
    async def readyz() -> Response:
        """The journal takes events."""
        health = await backend.journal.health() if backend.journal is not None else None
        if health is None or not health.ready:
            return problem_response(RequestRefused(503, "the journal cannot be used now"))
        return JsonResponse({"status": "ready", "pending": health.pending, "oldest_pending": health.oldest_pending})

    router.include_router(guarded)
    return router


async def _answer_http(_: Request, error: Exception) -> Response:
    """What the router itself refuses: an unknown path or method."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    words = {404: "there is no such route", 405: "this route does not take that method"}
    headers = dict(getattr(error, "headers", None) or {})
    message = words.get(status, "the request cannot be taken")
    hint = "see /openapi.json; what is below /api needs a process with the role api" if status == 404 else ""
    return problem_response(RequestRefused(status, message, hint=hint, headers=headers))


async def _answer_any(_: Request, error: Exception) -> Response:
    return problem_response(error)


def _complete_openapi(app: FastAPI) -> None:
    """Adds to the description what all routes share: the problem document, and the admin token."""
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        document = describe()
        components = document.setdefault("components", {})
        components.setdefault("schemas", {})["Problem"] = PROBLEM_SCHEMA
        components["securitySchemes"] = {"admin": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"admin": []}]
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to extend it
