"""Runtime: the embedding API.

It is a `Caller` with a journal, Python functions that receive events, and an HTTP interface.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from connector.errors import JournalUnavailable
from connector.events.automations import InputMapping
from connector.messages import Event, Result
from connector.parsing.automations import parse_mapping
from runtime.calls.caller import Caller
from runtime.calls.loops import Place, leave_to_parent
from runtime.calls.sender import Sleep
from runtime.config.catalog import Catalog
from runtime.config.credentials import Credentials
from runtime.config.settings import Settings, load_settings
from runtime.config.store import open_store
from runtime.config.vault import Vault
from runtime.events.own_calls import OwnCalls
from runtime.http.options import HttpOptions

if TYPE_CHECKING:
    import httpx2
    from fastapi import APIRouter

    from runtime.events.listeners import Listeners
    from runtime.journal.journal import Journal
    from runtime.server.app import Lifespan

#: A function that receives events.
_F = TypeVar("_F", bound="Callable[[Event], Awaitable[Any]]")


class Runtime(Caller):
    """Connectors, ready to be called.

    >>> async with Runtime(secrets={"mistral-ai": {"apiToken": key}}) as rt:          # doctest: +SKIP
    ...     result = await rt.call("mistral-ai", "models.list", {})
    """

    def __init__(  # noqa: PLR0913 - one for each edge that can be replaced
        self,
        definitions: str | Path | Iterable[str | Path] = (),
        *,
        secrets: Mapping[str, Mapping[str, Any]] | None = None,
        credentials: Credentials | None = None,
        base_urls: Mapping[str, str] | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Sleep = asyncio.sleep,
        settings: Settings | None = None,
        environ: Mapping[str, str] | None = None,
        journal: Journal | str | None = None,
        http: HttpOptions | None = None,
    ) -> None:
        """`definitions` are folders in addition to the shipped one; `secrets` are values by connection and name.

        `secrets` are looked up when a call needs them. `credentials` is the store of a host, in place of our own one.
        `base_urls` move connections to other origins, which may then be private ones. `transport` replaces the network,
        `clock` (seconds since the epoch) the time, `sleep` the wait before a call is sent again, `environ` the
        environment, and `settings` what environment and files specify. `journal` keeps the events of calls: an open
        one, which the caller closes, or the URL of one that `async with` opens. `http` are proxies, certificates and
        HTTP/2, in addition to those of the settings. Raises ConfigurationError.
        """
        folders = [definitions] if isinstance(definitions, (str, Path)) else definitions
        found = load_settings(environ) if settings is None else settings
        catalog = Catalog([*found.definitions, *(Path(folder) for folder in folders)])
        vault = Vault(
            secrets,
            environment=found.environment,
            file=found.secrets_file,
            store=open_store(found.store, found.environment),
            handles=catalog.handles,
            credentials=credentials,
            clock=clock,
        )
        found = replace(found, base_urls={**found.base_urls, **(base_urls or {})})
        if http is not None:
            found = http.applied_to(found)
        super().__init__(catalog, vault, found, transport=transport, clock=clock, sleep=sleep)
        #: Where the events of calls are kept, if anywhere.
        self.journal = None if isinstance(journal, str) else journal
        self._journal_url = journal if isinstance(journal, str) else None
        self._opened: Journal | None = None
        self._listeners: Listeners | None = None
        #: What the application of a host does with this runtime, once there is a router.
        self._lifespan: Lifespan | None = None
        #: Where the journal was opened, or first used.
        self._journal_place: Place | None = None
        self._own_calls = OwnCalls()

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        try:
            if self.journal is None and self._journal_url is not None:
                from runtime.journal.journal import Journal

                self.journal = self._opened = await Journal.open(self._journal_url)
                self._journal_place = Place.here()
            self._journal_place = self._journal_place or Place.here()
            self._listen()
            if self._lifespan is not None and not self._lifespan.has_begun:
                # An application that is mounted has no lifespan of its own, so its work begins with the runtime.
                await self._lifespan.start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes it, unless another `async with`, or an application that includes it, still holds it."""
        await super().__aexit__()
        if self._lifespan is not None and self._holds == 1:
            # The last one to hold it is the work that this runtime began itself.
            await self._lifespan.stop(unless_applications=True)

    def _begin_anew_after_fork(self) -> bool:
        if not super()._begin_anew_after_fork():
            return False
        leave_to_parent(self._opened, self._listeners)
        if self._opened is not None:
            self.journal = self._opened = None
        if self._listeners is not None:
            self._listeners = self._listeners.copy()
        if self._lifespan is not None and self._lifespan.has_begun:
            leave_to_parent(self._lifespan)
            self._lifespan = None
        return True

    async def aclose(self) -> None:
        """Stops calling functions, and closes what was opened. The runtime may be used again afterwards."""
        self._begin_anew_after_fork()
        if self._listeners is not None:
            await self._listeners.stop()
        if self._opened is not None:
            opened, self._opened, self.journal = self._opened, None, None
            await opened.close()
        await super().aclose()

    @contextlib.asynccontextmanager
    async def open_journal(self) -> AsyncIterator[Journal]:
        """The journal of this runtime, opened if it is not open yet; calls write their events to it."""
        if self.journal is not None:
            yield self.journal
            return
        from runtime.journal.journal import Journal

        url = self._journal_url or self.settings.journal or "sqlite://"
        async with await Journal.open(url) as journal:
            self.journal, self._journal_place = journal, Place.here()
            self._listen()
            try:
                yield journal
            finally:
                self.journal = None
                if self._listeners is not None:
                    # A host that goes on receives the events of its own calls, as before.
                    await self._listeners.stop()

    def on(self, connection: str = "*", trigger: str = "*", *, name: str = "") -> Callable[[_F], _F]:
        """Calls the decorated asynchronous function with each event of a connection and a trigger, `*` for all.

            @rt.on("mistral-ai", "batch-jobs/batch_job.succeeded")
            async def done(event): ...

        With a journal each event is processed at least once, in order, across restarts; its place in the journal is
        kept under `name`, by default the name of the function. A failed event is retried on the schedule of deliveries
        while later events go on. Without a journal functions are called once with the events of this runtime's own
        calls. Raises InputError for a connector or a trigger that is not declared.
        """
        from runtime.events.listeners import Listeners
        from runtime.events.subscriptions import check_triggers
        from runtime.journal.entries import Filter

        check_triggers(self.catalog, connection, [trigger])

        def register(function: _F) -> _F:
            if self._listeners is None:
                self._listeners = Listeners()
            wanted = Filter("" if connection == "*" else connection, (trigger,))
            self._listeners.add(wanted, function, name or f"{function.__module__}.{function.__qualname__}")
            self._listen()
            return function

        return register

    def _listen(self) -> None:
        if self.is_held and self._listeners is not None and self.journal is not None:
            self._listeners.start(self.journal)

    def router(self, *, auth: Callable[..., Any] | None = None) -> APIRouter:
        """Webhooks and the HTTP interface, for a FastAPI application of a host: `app.include_router(rt.router())`.

        `auth` is a dependency of the host's that decides who may use the interface; by default the admin token does
        and, without one, only programs on this machine are admitted. Webhooks are verified instead. The journal is open
        while the application lives; what the host opened itself stays open. Raises ConfigurationError.
        """
        from runtime.server.app import Lifespan, build_host_router

        if self._lifespan is None:
            self._lifespan = Lifespan(self)
        return build_host_router(self._lifespan, auth)

    def map(self, mapping: Mapping[str, Any] | InputMapping, context: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs that a mapping makes of a context, `{"event": …, "<step>": …}`, as automations do.

        A mapping that is used often is compiled once: `connector.parse_mapping`. Raises InvalidDefinition, InputError.

        >>> rt.map({"fileId": "{{output_file}}"}, {"event": {"data": {"output_file": "f1"}}})   # doctest: +SKIP
        {'fileId': 'f1'}
        """
        return (mapping if isinstance(mapping, InputMapping) else parse_mapping(mapping)).resolve(context)

    async def on_success(self, connection: str, operation: str, result: Result) -> Result:
        """Keeps the events that a call makes; since the call succeeded, a failure to do so is only a warning."""
        events = self._own_calls.events(self.catalog.of(connection), connection, operation, result, self.clock())
        if not events:
            return result
        self._begin_anew_after_fork()
        if self.journal is None:
            if self._listeners is not None:
                self._listeners.tell(events)
            if self._journal_url is None:
                return result
            why = "the journal is open within `async with` only"
        elif self._journal_place not in (None, Place.here()):
            # Its threads and tasks are in another loop, or in the parent of a fork, and would never answer.
            why = "the journal was opened in another event loop or process"
        else:
            try:
                await self.journal.append(events)
            except JournalUnavailable as error:
                why = error.message
            else:
                return result
        return replace(result, warnings=(*result.warnings, f"the event of this call was not kept: {why}"))
