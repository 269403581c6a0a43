"""The application that `connector serve` runs, and the router that a host includes: wiring, lifespan, health, docs.

`create_app` makes all of it, and `put_webhooks_first` what `connector serve` serves: webhooks are found by their exact
raw path before the application runs, since their messages come in bursts. While the application lives its journal is
open, and the work of its roles is done. Who opened something closes it: a runtime or a journal that a host opened is
still open when its application has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.params import Depends, Security
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.routing import NoMatchFound
from starlette.routing import Route as StarletteRoute

from connector.errors import ConfigurationError, InvalidDefinition, JournalUnavailable, RequestRefused
from connector.model.definition import Connector
from runtime.calls.caller import Caller
from runtime.config.catalog import Catalog
from runtime.config.settings import Settings
from runtime.config.store import open_store
from runtime.events import deliverer
from runtime.events.automations import Automations, read_automations
from runtime.events.ingress import Ingress, Receive, Scope, Send, find_routes
from runtime.events.poller import Poller
from runtime.events.registrations import RENEWAL, Registrations
from runtime.events.subscribers import Subscribers, subscriber_guard
from runtime.events.subscriptions import Endpoints
from runtime.events.verification import Verifications
from runtime.http.client import Client
from runtime.http.options import Routes
from runtime.journal.dispatcher import Handler
from runtime.journal.entries import Health, WorkKind
from runtime.journal.journal import Journal
from runtime.server.announcement import CHALLENGE_LENGTH, StartKey
from runtime.server.gate import Gate, HostGate
from runtime.server.metrics import CONTENT_TYPE, Metrics
from runtime.server.reload import Reloader
from runtime.server.routes import build_router
from runtime.server.routing import (
    ADMIN_TOKEN,
    NAMED_PROBLEM,
    OURS,
    PROBLEMS,
    JsonResponse,
    Services,
    make_route_class,
    problem_response,
)

_LOG = logging.getLogger(__name__)
#: What a process may do: answer requests, poll and run automations, deliver.
ROLES = ("api", "poller", "delivery")
#: Seconds between two checks for values that were entered.
_LOOK = 2.0
#: Seconds between two checks for definitions that were edited.
_RELOAD = 1.0
#: Seconds between two removals of what is old.
_TIDY = 3600.0
#: Seconds that deliveries, polls and steps which have begun may take after the order to stop (hazard K14).
_GRACE = 5.0


class Lifespan:
    """An application from start to end: what it is made of, and what it acts on while its journal is open.

    Several applications, or several routers of one, may share it: it starts with the first and stops with the last.
    """

    def __init__(
        self, caller: Caller, roles: Iterable[str] = ROLES, *, webhooks: bool = True, reload: bool = False
    ) -> None:
        """See `create_app`."""
        self.roles = frozenset(roles)
        if unknown := self.roles - set(ROLES):
            raise ConfigurationError(f"unknown role {min(unknown)!r}", hint=f"known: {', '.join(ROLES)}")
        settings = caller.settings
        self.caller = caller
        self.gate, self.metrics = Gate(settings.admin_token), Metrics()
        self.ingress = Ingress(
            {},
            Verifications(caller.vault, settings.home, caller.clock),
            limits=settings.limits,
            public_url=settings.public_url,
            clock=caller.clock,
            count=self.metrics.count_message,
        )
        #: What takes edited definitions, if they are taken.
        self.reloader = Reloader(caller.catalog, self.ingress) if reload else None
        if webhooks:
            self.ingress.routes = find_routes(_readable(caller.catalog))
        self.route_class = make_route_class(self.gate, self.metrics, settings.limits.body_bytes, ready=self.ready)
        #: Proves to commands that this server is the one which its home announces.
        self.start_key = StartKey()
        #: Set when the server ends, so that streams end too.
        self.stopping = asyncio.Event()
        self._services: Services | None = None
        #: The applications that it runs in, and whether it was started.
        self._applications = 0
        self._starting: asyncio.Future[None] | None = None
        self._stack = contextlib.AsyncExitStack()

    @property
    def has_begun(self) -> bool:
        """True from the beginning of `start` to that of `stop`."""
        return self._starting is not None

    def services(self) -> Services:
        """What routes act on; raises RequestRefused (503) while the journal is not open."""
        if self._services is None:
            raise RequestRefused(503, "the journal is not open", headers={"Retry-After": "5"})
        return self._services

    async def health(self) -> Health | None:
        """The state of the journal; None while it is not open."""
        return None if self._services is None else await self._services.journal.health()

    @contextlib.asynccontextmanager
    async def run(self, app: FastAPI | None = None) -> AsyncIterator[None]:
        """Opens the journal and does the work of the roles until the application ends.

        `app` is the application of a host that includes webhooks, perhaps with a prefix.
        """
        self._applications += 1
        try:
            await self.start()
            if app is not None:
                self.ingress.prefix = self._find_prefix(app)
            yield
        finally:
            self._applications -= 1
            if not self._applications:
                await self.stop()

    async def ready(self) -> None:
        """Starts before a request of an application whose lifespan does not run, such as a mounted application.

        Only the host's own `async with` shows then when it has to end.
        """
        if self._services is None and self.caller.is_held:
            await self.start()

    async def start(self) -> None:
        """Opens the journal and begins the work of the roles, unless that was done."""
        while self._starting is not None:
            if self._starting.done():
                return
            await asyncio.wait([self._starting])
        started = self._starting = asyncio.get_running_loop().create_future()
        self.stopping = asyncio.Event()
        try:
            async with contextlib.AsyncExitStack() as stack:
                await self._open(stack)
                self._stack = stack.pop_all()
        except BaseException:
            self._starting = None
            started.cancel()
            raise
        started.set_result(None)

    async def stop(self, *, unless_applications: bool = False) -> None:
        """Ends the work and closes what `start` opened."""
        if self._starting is None or (unless_applications and self._applications):
            return
        self._starting = None
        await self._stack.aclose()

    async def _open(self, stack: contextlib.AsyncExitStack) -> None:
        journal = await stack.enter_async_context(self.caller.open_journal())
        await stack.enter_async_context(self.caller)
        endpoints = Endpoints(open_store(self.caller.settings.store, self.caller.settings.environment))
        services = self._services = self._make_services(journal, endpoints)
        self.ingress.journal = journal
        stack.callback(self._detach)
        handlers = await self._find_handlers(services, endpoints, stack)
        running = [asyncio.create_task(each) for each in self._work(services, handlers)]
        ending = asyncio.create_task(_end(running, self.stopping))

        async def end() -> None:
            self.stopping.set()
            await ending

        stack.push_async_callback(end)

    def _find_prefix(self, app: FastAPI) -> str:
        """The prefix that an application includes the webhooks with."""
        for path in self.ingress.routes:
            with contextlib.suppress(NoMatchFound):
                return str(app.url_path_for(_route_name(self, path))).removesuffix(path.decode())
        return ""

    def _detach(self) -> None:
        self._services = self.ingress.journal = None

    def _make_services(self, journal: Journal, endpoints: Endpoints) -> Services:
        caller, guard = self.caller, subscriber_guard(self.caller.settings)
        automations, problems = read_automations(caller.settings.automations)
        for each in problems:
            _LOG.warning("%s", each)
        return Services(
            caller=caller,
            journal=journal,
            ingress=self.ingress,
            subscribers=Subscribers(journal, endpoints, guard, caller.catalog, clock=caller.clock),
            poller=Poller(caller, journal),
            registrations=Registrations(caller, journal, self.ingress),
            automations=automations,
            stopping=self.stopping,
        )

    async def _find_handlers(
        self, services: Services, endpoints: Endpoints, stack: contextlib.AsyncExitStack
    ) -> Mapping[WorkKind, Handler]:
        """The handler of each kind of work that the roles do; polls that are not scheduled yet are scheduled."""
        caller, journal, registrations, poller = self.caller, services.journal, services.registrations, services.poller
        automations = Automations(services.automations, caller, journal, caller.settings.home / "files")
        # Every process that appends plans, whatever its role: the runs of an event belong to its commit.
        if services.automations:
            journal.planners.append(automations.plan)
        handlers: dict[WorkKind, Handler] = {}
        if "poller" in self.roles:
            await poller.schedule()

            async def handle_poll(id: str) -> None:
                await (registrations.renew if id.startswith(RENEWAL) else poller.handle)(id)

            handlers |= {"poll": handle_poll, "run": automations.handle}
        if "delivery" in self.roles:
            client = Client(subscriber_guard(caller.settings), deliverer.LIMITS)
            stack.push_async_callback(client.aclose)
            client = client.along(Routes(caller.settings, tuple).of(""))
            handlers["delivery"] = deliverer.Deliverer(journal, endpoints, client, clock=caller.clock).handle
        return handlers

    def _work(self, services: Services, handlers: Mapping[WorkKind, Handler]) -> Iterator[Coroutine[Any, Any, None]]:
        """What runs until the application ends."""
        if handlers:
            yield services.journal.dispatcher.run(handlers, concurrency=deliverer.CONCURRENCY, grace=_GRACE)
        if "poller" in self.roles:
            yield _tidy(self.caller.settings, services.journal)
            yield _watch(self.caller, services.poller)
        if self.reloader is not None:
            yield follow_definitions(self.reloader, services.poller if "poller" in self.roles else None)


def create_app(caller: Caller, *, roles: Iterable[str] = ROLES, webhooks: bool = True, reload: bool = False) -> FastAPI:
    """The whole application over a runtime, webhooks included; `roles` are what this process does.

    Without `webhooks` there are none, and no connector is read before it is requested. With `reload` definitions that
    are edited while it runs are used from then on.

    Raises ConfigurationError.
    """
    lifespan = Lifespan(caller, roles, webhooks=webhooks, reload=reload)
    app = FastAPIOffline(
        title="connector",
        description="Connectors called, their webhooks received, their events kept and delivered.",
        version="1",
        lifespan=lambda _: lifespan.run(),
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.lifespan = lifespan
    if "api" in lifespan.roles:
        app.include_router(build_router(lifespan.route_class, lifespan.services, [Security(ADMIN_TOKEN)]))
        app.router.routes.extend(_webhook_routes(lifespan))
    app.include_router(_status_router(lifespan))
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(Exception, _answer_any)
    return app


def put_webhooks_first(app: FastAPI) -> Any:
    """The application as it is served: requests to webhooks go to the ingress, before any middleware has its turn."""
    if "api" not in app.state.lifespan.roles:
        return app
    ingress: Ingress = app.state.lifespan.ingress

    def choose(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return (ingress if ingress.takes(scope) else app)(scope, receive, send)

    return choose


def build_host_router(lifespan: Lifespan, auth: Callable[..., Any] | None = None) -> APIRouter:
    """Webhooks and interface for an application of a host: `app.include_router(runtime.router())`.

    `auth`, a dependency of the host's, decides who may use the interface; by default the admin token does.
    """
    settings = lifespan.caller.settings
    guard = Security(ADMIN_TOKEN) if auth is None else auth if isinstance(auth, Depends) else Depends(auth)
    route_class = make_route_class(
        lifespan.gate if auth is None else HostGate(),
        lifespan.metrics,
        settings.limits.body_bytes,
        ready=lifespan.ready,
        answered=OURS,
    )
    router = APIRouter(lifespan=lifespan.run)
    router.routes.extend(_webhook_routes(lifespan))
    router.include_router(build_router(route_class, lifespan.services, [guard]))
    return router


class _WebhookRoute:
    """One webhook as an ASGI application, below whatever prefix the host chose."""

    def __init__(self, lifespan: Lifespan, path: bytes) -> None:
        self._lifespan = lifespan
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._lifespan.ready()
        await self._lifespan.ingress.serve_below(self._path, scope, receive, send)


def _webhook_routes(lifespan: Lifespan) -> Iterator[StarletteRoute]:
    """The path of each webhook, first without and then with a token after it; the ingress checks the raw path again."""
    for end in ("", "/{token}"):
        for path in lifespan.ingress.routes:
            name = _route_name(lifespan, path) if not end else None
            endpoint = _WebhookRoute(lifespan, path)
            yield StarletteRoute(path.decode() + end, endpoint, name=name or "webhook", include_in_schema=False)


def _route_name(lifespan: Lifespan, path: bytes) -> str:
    """A name that no route of the host has, nor one of another runtime."""
    return f"connector-webhook {id(lifespan)} {path.decode()}"


async def _end(running: Sequence[asyncio.Task[None]], stopping: asyncio.Event) -> None:
    """Ends the work as soon as the server receives the order to stop, while it still answers requests."""
    await stopping.wait()
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def _tidy(settings: Settings, journal: Journal) -> None:
    """Removes what is older than the operator wants to keep, now and every hour."""
    while True:
        try:
            await journal.retain(days=settings.keep_days, events=settings.keep_events)
        except JournalUnavailable as error:
            _LOG.warning("old events were not removed: %s", error.message)
        await asyncio.sleep(_TIDY)


async def _watch(caller: Caller, poller: Poller) -> None:
    """Schedules the polls of connections whose values were entered while the server runs."""
    seen = caller.vault.version()
    while True:
        try:
            if (version := caller.vault.version()) != seen:
                seen = version
                await poller.schedule()
        except (ConfigurationError, JournalUnavailable) as error:
            _LOG.warning("polls were not scheduled: %s", error.message)
        await asyncio.sleep(_LOOK)


async def follow_definitions(
    reloader: Reloader, poller: Poller | None, wait: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(_RELOAD)
) -> None:
    """Uses edited definitions after each `wait`, and their polls if there is a poller, until it is cancelled."""
    while True:
        await wait()
        try:
            taken = await reloader.look()
            if poller is not None and taken:
                await poller.follow(taken)
        except Exception as error:  # noqa: BLE001 - the next edit must be seen, whatever this one caused
            _LOG.warning("edited definitions could not be taken: %s", getattr(error, "message", type(error).__name__))


def _readable(catalog: Catalog) -> Iterable[Connector]:
    for handle in catalog.handles():
        try:
            yield catalog.get(handle)
        except InvalidDefinition as error:
            _LOG.warning("%s has %d problems and no webhooks: connector lint", handle, len(error.problems))


def _status_router(lifespan: Lifespan) -> APIRouter:
    guarded = APIRouter(
        route_class=lifespan.route_class, responses=PROBLEMS, tags=["state"], dependencies=[Security(ADMIN_TOKEN)]
    )
    router = APIRouter(tags=["state"])

    @guarded.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """The metrics, for Prometheus."""
        return Response(lifespan.metrics.show(await lifespan.health()), media_type=CONTENT_TYPE)

    @router.get("/healthz")
    async def healthz(challenge: str = "") -> JsonResponse:
        """The process answers; to a challenge with the proof of being the server that its home announces."""
        proof = {"proof": lifespan.start_key.prove(challenge)} if 0 < len(challenge) <= CHALLENGE_LENGTH else {}
        return JsonResponse({"status": "ok"} | proof)

    @router.get("/readyz", responses=NAMED_PROBLEM)
    async def readyz() -> Response:
        """The journal accepts events."""
        health = await lifespan.health()
        if health is None or not health.ready:
            return problem_response(RequestRefused(503, "the journal cannot be used now"))
        return JsonResponse({"status": "ready", "pending": health.pending, "oldest_pending": health.oldest_pending})

    router.include_router(guarded)
    return router


async def _answer_http(_: Request, error: Exception) -> Response:
    """An unknown path or method, which the router refuses."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    words = {404: "there is no such route", 405: "this route does not support that method"}
    headers = dict(getattr(error, "headers", None) or {})
    message = words.get(status, "the request cannot be handled")
    hint = "see /openapi.json; routes below /api need a process with the role api" if status == 404 else ""
    return problem_response(RequestRefused(status, message, hint=hint, headers=headers))


async def _answer_any(_: Request, error: Exception) -> Response:
    return problem_response(error)
