"""Runtime: the embedding API. It finds an operation, builds its request, authenticates, sends, and maps the answer.

Each of these steps is somebody else's: the catalogue's, the vault's, the language's, the client's. Here they are put
in order, and each failure gets the names it needs. Every edge (transport, clock, secrets, base URLs) can be replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from connector.auth.methods import GrantAuth
from connector.auth.oauth import authorization_url, code_request
from connector.auth.tokens import Grant, read_grant
from connector.errors import (
    BlockedAddress,
    ConfigurationError,
    InputError,
    InputProblem,
    InvalidDefinition,
    JournalUnavailable,
    MappingError,
    MissingCredentials,
    NeedsReauthorization,
)
from connector.events.automations import InputMapping
from connector.messages import MASK, Chunk, Event, Request, Response, Result
from connector.model.definition import AnyOperation, Connector, CustomOperation
from connector.model.service import Config
from connector.parsing.automations import parse_mapping
from connector.requests.build import build_request
from connector.requests.steps import run_steps
from runtime.calls.exchange import Calls
from runtime.calls.outcomes import document_of, failure_of, map_answer
from runtime.calls.pages import MAX_PAGES, read_page, walk
from runtime.calls.sender import Sleep
from runtime.calls.stepping import PreparedCall, take_steps
from runtime.calls.streams import Opening, chunks_of, read_chunks, streams
from runtime.calls.tokens import login_step
from runtime.config.catalog import Catalog
from runtime.config.settings import Settings, load_settings
from runtime.config.store import open_store
from runtime.config.vault import Vault, destination
from runtime.events.own_calls import OwnCalls
from runtime.http.uploads import load_files

if TYPE_CHECKING:
    import httpx2
    from fastapi import APIRouter

    from runtime.events.listeners import Listeners
    from runtime.journal.journal import Journal

Inputs = Mapping[str, Any]
#: A function that gets events.
_F = TypeVar("_F", bound="Callable[[Event], Awaitable[Any]]")


class Runtime:
    """Connectors, ready to be called.

    >>> async with Runtime(secrets={"mistral-ai": {"apiToken": key}}) as rt:          # doctest: +SKIP
    ...     result = await rt.call("mistral-ai", "models.list", {})
    """

    def __init__(  # noqa: PLR0913 - one for each edge that can be replaced
        self,
        definitions: str | Path | Iterable[str | Path] = (),
        *,
        secrets: Mapping[str, Mapping[str, Any]] | None = None,
        base_urls: Mapping[str, str] | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Sleep = asyncio.sleep,
        settings: Settings | None = None,
        environ: Mapping[str, str] | None = None,
        journal: Journal | str | None = None,
    ) -> None:
        """`definitions` are folders beside the shipped one. `secrets` are values by connection and name.

        `base_urls` move connections to other origins, which may then be private ones. `transport` replaces the network,
        `clock` (seconds since the epoch) the time, `sleep` the waiting before a call is sent again, `environ` the
        environment. `settings` replace what environment and files say. `journal` keeps the events of calls: one that
        somebody opened, and closes, or the URL of one that `async with` opens. Raises ConfigurationError.
        """
        folders = [definitions] if isinstance(definitions, (str, Path)) else definitions
        if settings is None:
            settings = load_settings(environ)
        self.settings = replace(settings, base_urls={**settings.base_urls, **(base_urls or {})})
        self.catalog = Catalog([*settings.definitions, *(Path(folder) for folder in folders)])
        store = open_store(settings.store, settings.environment)
        self.vault = Vault(
            secrets,
            environment=settings.environment,
            file=settings.secrets_file,
            store=store,
            handles=self.catalog.handles,
        )
        #: Where the events of calls are kept, if anywhere.
        self.journal = None if isinstance(journal, str) else journal
        self._journal_url = journal if isinstance(journal, str) else None
        self._listeners: Listeners | None = None
        self._entered = False
        #: Seconds since the epoch.
        self.clock = clock
        self._own_calls = OwnCalls()
        self._configs: dict[str, tuple[Connector, Config]] = {}
        self._configured = self.vault.version()
        self._calls = Calls(self.settings, self.vault, transport=transport, clock=clock, sleep=sleep)

    async def __aenter__(self) -> Self:
        self._entered = True
        if self._journal_url is not None:
            from runtime.journal.journal import Journal

            self.journal = await Journal.open(self._journal_url)
        self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes every connection to providers. The runtime may be used again afterwards."""
        await self._calls.authoriser.finish()
        self._entered = False
        if self._listeners is not None:
            await self._listeners.stop()
        if self._journal_url is not None and self.journal is not None:
            journal, self.journal = self.journal, None
            await journal.close()
        await self._calls.aclose()

    def on(self, connection: str = "*", trigger: str = "*", *, name: str = "") -> Callable[[_F], _F]:
        """Calls the decorated asynchronous function with each event of a connection and a trigger, `*` for all.

            @rt.on("mistral-ai", "batch-jobs/batch_job.succeeded")
            async def done(event): ...

        With a journal each event is worked on at least once, in order, across restarts: `name`, which is the function's
        own unless told, is what its place in the journal is called. A call that fails is made again as the retry table
        of deliveries says, beside the events that follow. Without a journal functions are called once with the events
        of this runtime's own calls. Raises InputError for a connector or a trigger that nobody declares.
        """
        from runtime.events.listeners import Listeners
        from runtime.journal.entries import Filter

        self.catalog.check_triggers(connection, [trigger])

        def register(function: _F) -> _F:
            if self._listeners is None:
                self._listeners = Listeners()
            wanted = Filter("" if connection == "*" else connection, (trigger,))
            self._listeners.add(wanted, function, name or f"{function.__module__}.{function.__qualname__}")
            self._listen()
            return function

        return register

    def _listen(self) -> None:
        if self._entered and self._listeners is not None and self.journal is not None:
            self._listeners.start(self.journal)

    def assume_grant(self, connection: str, grant: Grant) -> None:
        """Lets a connection use a grant that nobody saved: a stand-in, where the provider is one."""
        self._calls.authoriser.assume(connection, grant)

    def router(self) -> APIRouter:
        """Webhooks and the HTTP interface, for a FastAPI application of a host: `app.include_router(rt.router())`.

        Its journal is open while the application lives. Raises ConfigurationError.
        """
        from runtime.server.app import build_host_router

        return build_host_router(self)

    def forget(self, connection: str) -> None:
        """Looks the values of a connection up again at its next call: they were changed."""
        self._configs.pop(connection, None)
        self._calls.authoriser.forget(connection)

    def find(self, connection: str, operation: str) -> tuple[Connector, AnyOperation]:
        """The connector of a connection and one of its operations; raises UnknownConnector, UnknownOperation."""
        connector = self.catalog.of(connection)
        return connector, connector.operation(operation)

    def map(self, mapping: Mapping[str, Any] | InputMapping, context: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs that a mapping makes of a context, `{"event": …, "<step>": …}`, as automations do.

        A mapping that is used often is compiled once: `connector.parse_mapping`. Raises InvalidDefinition, InputError.

        >>> rt.map({"fileId": "{{output_file}}"}, {"event": {"data": {"output_file": "f1"}}})   # doctest: +SKIP
        {'fileId': 'f1'}
        """
        return (mapping if isinstance(mapping, InputMapping) else parse_mapping(mapping)).resolve(context)

    def connections(self) -> list[str]:
        """The connections that have every value they need, sorted; of each connector the default one, and those named.

        A connector that cannot be read has none.
        """
        named = {*self.vault.connections(), *self.settings.base_urls}
        found = []
        for handle in self.catalog.handles():
            for connection in sorted({handle, *(each for each in named if each.startswith(f"{handle}:"))}):
                with contextlib.suppress(InvalidDefinition, InputError):
                    if not self._config(connection, self.catalog.get(handle)).missing:
                        found.append(connection)
        return found

    def render(self, connection: str, operation: str, inputs: Inputs, *, show_secrets: bool = False) -> Request:
        """The request as it would leave, after auth, without sending it; of several steps the first one.

        Secrets are masked, and a missing one shows as `***`; with `show_secrets` both are not so. Raises InputError,
        and ConfigurationError for an operation that sends nothing.
        """
        connector, found = self.find(connection, operation)
        config = self._config(connection, connector)
        if config.missing and not show_secrets:
            stand_ins = dict.fromkeys(connector.service.credentials & config.missing, MASK)
            config = self._configure(connection, connector, stand_ins)
        if isinstance(found, CustomOperation):
            call = next(run_steps(found, load_files(found, inputs), config), None)
            if call is None:
                raise ConfigurationError(f"{connection} {operation} sends nothing", hint="call it")
            request = call.request
        else:
            request = build_request(found, load_files(found, inputs), config)
        auth = config.auth
        if isinstance(auth, GrantAuth):
            # A token is not fetched to be shown.
            grant = Grant.from_json(self.vault.grant(connection))
            if grant is None and show_secrets:
                problem = InputProblem("grant", "no token has been obtained yet")
                raise MissingCredentials(connection, [problem], hint="call the operation once")
            auth = auth.with_grant(grant)
        with_auth = self._calls.authorising(connection, connector, config, auth)(request)
        return with_auth if show_secrets else with_auth.masked()

    def authorization_url(self, connection: str, redirect_uri: str, *, state: str, verifier: str) -> str:
        """Where a person allows a connection (authorization code with PKCE); what they bring back is for `log_in`.

        `state` and `verifier` (43 to 128 unreserved characters) are made by chance for this one login. Raises
        MissingCredentials, and ConfigurationError for a connector whose connections are not logged in.
        """
        connector = self.catalog.of(connection)
        config = self._config(connection, connector)
        return login_step(
            connection, lambda: authorization_url(connector.service, config.values, redirect_uri, state, verifier)
        )

    async def log_in(self, connection: str, code: str, redirect_uri: str, *, verifier: str) -> None:
        """Turns the code of an authorization into tokens, and saves them. Raises as `authorization_url` does.

        Raises NeedsReauthorization for a code that is refused, TransportError where no usable answer came.
        """
        connector = self.catalog.of(connection)
        config = self._config(connection, connector)
        request = login_step(
            connection, lambda: code_request(connector.service, config.values, code, redirect_uri, verifier)
        )
        # A renewal of the grant before would save its own over the one of this login.
        async with self.vault.renewing(connection):
            response = await self._calls.ask_for_token(request, operation=f"{connection} login", origin=None)
            try:
                grant = read_grant(response, self.clock(), secrets=request.secrets)
            except NeedsReauthorization as error:
                hint = f"run again: connector connections login {connection}"
                raise NeedsReauthorization(connection, error.errors, hint=hint) from None
            await self.vault.save_grant(connection, grant.to_json())
        self._calls.authoriser.forget(connection)

    async def call(
        self, connection: str, operation: str, inputs: Inputs, *, idempotency_key: str | None = None
    ) -> Result:
        """Calls an operation and maps its answer; what it tells a webhook's `after` is kept in the journal.

        Calls with one `idempotency_key` are one to a provider that knows such keys; unless told each call has its own.
        Raises InputError before anything is sent, ResponseError (with `.result`) for a 3xx, 4xx or 5xx, RateLimited for
        a 429, MappingError for an answer that cannot be read, TransportError where none came, BlockedAddress where none
        was asked for.
        """
        return await self._tell(connection, operation, await self._call(connection, operation, inputs, idempotency_key))

    async def _call(self, connection: str, operation: str, inputs: Inputs, key: str | None) -> Result:
        begun = await self._begin(connection, operation, inputs, key)
        if isinstance(begun, Result):
            return begun
        found, request = begun.operation, begun.request
        result, response = await self._calls.make(connection, begun.connector, found, begun.config, request)
        if begun.attempts:
            result = begun.complete(result)
        if found.pagination is not None:
            page = read_page(found, request, response, document_of(result, response, begun.config))
            with contextlib.suppress(MappingError, BlockedAddress):
                return replace(result, truncated=found.pagination.next_request(page) is not None)
            return replace(result, truncated=True)
        return result

    async def _tell(self, connection: str, operation: str, result: Result) -> Result:
        """Keeps the events that a call makes; the call succeeded, so that they could not be kept is a warning."""
        connector = self.catalog.of(connection)
        events = self._own_calls.events(connector, connection, operation, result, self.clock())
        if not events:
            return result
        if self.journal is None:
            if self._listeners is not None:
                self._listeners.tell(events)
            return result
        try:
            await self.journal.append(events)
        except JournalUnavailable as error:
            said = f"the event of this call was not kept: {error.message}"
            return replace(result, warnings=(*result.warnings, said))
        return result

    async def pages(
        self, connection: str, operation: str, inputs: Inputs, *, max_pages: int = MAX_PAGES
    ) -> AsyncIterator[Result]:
        """The result of each page of a list, as its definition says how it goes on; one result without pagination.

        The last one is `truncated` if there are more than `max_pages`. Raises as `call` does, and MappingError where
        the pages lead in a circle.
        """
        begun = await self._begin(connection, operation, inputs)
        if isinstance(begun, Result):
            yield begun
            return
        connector, found, config, first = begun.connector, begun.operation, begun.config, begun.request

        async def fetch(request: Request) -> tuple[Result, Response, Any]:
            result, response = await self._calls.make(connection, connector, found, config, request)
            if request is first:
                result = begun.complete(result)
            return result, response, document_of(result, response, config)

        async for result in walk(found, first, fetch, max_pages=max_pages):
            yield result
            del result  # as `walk` does

    async def records(
        self, connection: str, operation: str, inputs: Inputs, *, max_pages: int | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """The records of all pages of a list, one by one; the one object of any other operation.

        Raises as `pages` does, and MappingError at its end if there are more pages and nobody said `max_pages`.
        """
        limit = MAX_PAGES if max_pages is None else max_pages
        async for result in self.pages(connection, operation, inputs, max_pages=limit):
            for record in [result.fields or {}] if result.records is None else result.records:
                yield record
            if result.truncated and max_pages is None:
                raise MappingError(f"there are more than {limit} pages", hint="say max_pages", operation=operation)
            del result  # as `walk` does

    async def stream(self, connection: str, operation: str, inputs: Inputs) -> AsyncIterator[Chunk]:
        """The answer as it comes: a chunk for each message of a stream, or for each piece of a binary answer.

        An answer that is one document is one chunk, or one for each of its records. `call` gives what all chunks of a
        stream are together. Leaving the loop closes the connection as soon as the iterator is closed
        (`contextlib.aclosing`). Raises as `call` does, before the first chunk and between two.
        """
        begun = await self._begin(connection, operation, inputs)
        if isinstance(begun, Result):
            for chunk in chunks_of(begun):
                yield chunk
            return
        found, config, request = begun.operation, begun.config, begun.request
        label = f"{connection} {found.label}"
        async with Opening(self._calls.open_client()) as opening:
            result, _ = await self._calls.make(connection, begun.connector, found, config, request, opening)
            answer, sent = opening.answer, opening.request or request
            # The token that auth obtained is masked in what comes, as the connection's own tokens are.
            config = replace(config, tokens=config.tokens | (sent.secrets - config.secrets))
            if answer is not None and not streams(found, answer.content_type):
                result, answer = await map_answer(found, config, sent, await answer.read(), label), None
                if not result.ok:
                    result = replace(result, request=sent.masked())
                    raise failure_of(found, label, result, Response(result.status), self.clock())
            if answer is None:
                for chunk in chunks_of(result):
                    yield chunk
                return
            chunks = read_chunks(found, answer, sent, label=label, limits=self.settings.limits, hidden=config.tokens)
            async with contextlib.aclosing(chunks):
                async for chunk in chunks:
                    if not chunk.ok:
                        result = Result(ok=False, status=chunk.status, raw=chunk.raw, request=sent.masked())
                        raise failure_of(found, label, result, Response(chunk.status), self.clock())
                    yield chunk

    async def _begin(
        self, connection: str, operation: str, inputs: Inputs, key: str | None = None
    ) -> PreparedCall | Result:
        """What every call begins with; of a custom operation all steps but a last call, or the result without one.

        `key` is the caller's own for a call that is told apart by one.
        """
        connector, found = self.find(connection, operation)
        config = self._config(connection, connector)
        inputs = load_files(found, inputs)
        if not isinstance(found, CustomOperation):
            return PreparedCall(connector, found, config, build_request(found, inputs, config)).keyed(key)

        async def exchange(begun: PreparedCall) -> Result:
            begun = begun.keyed(key)
            return (await self._calls.make(connection, connector, begun.operation, config, begun.request))[0]

        begun = await take_steps(connector, found, inputs, config, exchange)
        return begun if isinstance(begun, Result) else begun.keyed(key)

    def _config(self, connection: str, connector: Connector) -> Config:
        if (version := self.vault.version()) != self._configured:
            # A command, or another process, entered or removed a value.
            self._configs, self._configured = {}, version
        known = self._configs.get(connection)
        if known is None or known[0] is not connector:
            # The values were not looked up yet, or an edited definition took the place of the one they were for.
            known = self._configs[connection] = connector, self._configure(connection, connector, {})
        return known[1]

    def _configure(self, connection: str, connector: Connector, stand_ins: Mapping[str, str]) -> Config:
        values = self.vault.values(connection, connector.service.placeholders)
        base_url = self.settings.base_url(connection, self.catalog.handles())
        config = connector.service.configure({**stand_ins, **values}, base_url=base_url)
        self.vault.bind(connection, connector.service.placeholders, destination(config))
        return config
