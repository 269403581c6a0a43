"""One call of a provider: its request authorised, sent, authorised anew once where its token is stale, and mapped.

Which operation is called with what is `runtime`'s to find out; how a request is sent until it is answered `sending`'s,
and where tokens come from `authorising`'s.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from connector.auth.methods import GrantAuth
from connector.errors import InputProblem, MissingCredentials
from connector.messages import Request, Response, Result, Stream
from connector.model.definition import Connector, Operation
from connector.model.service import Config, missing_value
from connector.protocols import Auth, Moment
from connector.templates import Unrenderable
from connector.urls import origin_of
from runtime.calls.outcomes import failure_of, map_answer
from runtime.calls.sender import Authorise, Sender, Sent, Sleep, Transmits
from runtime.calls.tokens import Authoriser
from runtime.config.settings import Settings
from runtime.config.variables import variable_name
from runtime.config.vault import Vault
from runtime.http.guard import Guard

if TYPE_CHECKING:
    import httpx2

    from runtime.http.client import Client


class Calls:
    """What makes the calls of one runtime."""

    def __init__(
        self,
        settings: Settings,
        vault: Vault,
        *,
        transport: httpx2.AsyncBaseTransport | None,
        clock: Callable[[], float],
        sleep: Sleep,
        nonce: Callable[[], str] = secrets.token_urlsafe,
    ) -> None:
        """`transport`, `clock` (seconds since the epoch) and `sleep` replace the network, the time and waiting.

        `nonce` returns a text that no other attempt has.
        """
        self._settings = settings
        self._transport = transport
        self._clock = clock
        self._nonce = nonce
        self._client: Client | None = None
        self._sender = Sender(clock=clock, sleep=sleep, total=settings.limits.retrying)
        #: The tokens of connections.
        self.authoriser = Authoriser(vault, self.ask_for_token, clock)

    async def aclose(self) -> None:
        """Closes every connection to providers; the next call opens them again."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def make(
        self,
        connection: str,
        connector: Connector,
        found: Operation,
        config: Config,
        request: Request,
        client: Transmits | None = None,
    ) -> tuple[Result, Response]:
        """The mapped answer to a request before auth, and the answer itself; raises as `Runtime.call` does.

        `client` sends in place of the one that all calls share.
        """
        label = f"{connection} {found.label}"
        if found.idempotency_header and found.idempotency_header not in request.headers:
            request = request.with_header(found.idempotency_header, str(uuid.uuid4()))
        sender = client or self.open_client()

        async def send(auth: Auth) -> Sent:
            authorise = self.authorising(connection, connector, config, auth)
            origin = config.origin
            return await self._sender.send(
                sender, request, found, authorise=authorise, connection=connection, origin=origin
            )

        auth = config.auth
        if not isinstance(auth, GrantAuth):
            sent = await send(auth)
        else:
            grant = await self.authoriser.grant(connection, auth, config)
            sent = await send(auth.with_grant(grant))
            if auth.stale.is_in(sent.response) and (not isinstance(request.body, Stream) or request.body.repeatable):
                first, refused = sent.attempts, grant
                grant = await self.authoriser.grant(connection, auth, config, refused=refused)
                if grant is not refused:
                    sent = await send(auth.with_grant(grant))
                    sent = replace(sent, attempts=first + sent.attempts)
                    if auth.stale.is_in(sent.response):
                        self.authoriser.reject(connection, grant)
            config = replace(config, tokens=config.tokens | grant.secrets)
        request = sent.request
        response = sent.response
        result = await map_answer(found, config, request, response, label)
        result = replace(result, request=request.masked(), attempts=sent.attempts, run=uuid.uuid4().hex)
        if not result.ok:
            raise failure_of(found, label, result, response.masked(request.secrets), self._clock())
        return result, response

    def authorising(self, connection: str, connector: Connector, config: Config, auth: Auth) -> Authorise:
        """Returns what adds the credentials of a connection to one attempt after the other.

        Raises MissingCredentials for values that are missing, and so does the function for one that cannot be used.
        """
        missing = frozenset() if isinstance(auth, GrantAuth) else auth.credentials & config.missing
        if missing:
            error = missing_value(connector.service, missing)
            hint = "set " + ", ".join(variable_name(connection, name) for name in sorted(missing))
            raise MissingCredentials(connection, error.errors, hint=hint)

        def authorise(request: Request) -> Request:
            try:
                return auth.apply(request, config.values, Moment(time=self._clock(), nonce=self._nonce()))
            except Unrenderable as error:
                problem = InputProblem(error.name, f"{error.name}: {error}")
                hint = "correct the values of this connection"
                raise MissingCredentials(connection, [problem], hint=hint) from None

        return authorise

    async def ask_for_token(self, request: Request, *, operation: str, origin: str | None) -> Response:
        """The answer to a token request; raises TransportError or MappingError."""
        return await self._sender.ask(self.open_client(), request, label=operation, origin=origin)

    def open_client(self) -> Client:
        """What sends requests through the guard."""
        if self._client is None:
            # The HTTP library takes 75 ms to import, which only a call has to pay for.
            from runtime.http.client import Client

            guard = Guard(frozenset(map(origin_of, self._settings.named_base_urls())))
            self._client = Client(guard, self._settings.limits, transport=self._transport)
        return self._client
