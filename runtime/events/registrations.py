"""Registration of webhooks at providers: subscribed, renewed before they end, and unsubscribed.

The definition declares the calls (`Registration`). What the provider answered is a checkpoint of the journal, and a
renewal is scheduled work, so it survives restarts and is done once by one process. The connection's secret is sent to
the provider and is not kept here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connector.errors import ConfigurationError, ConnectorError, InputError, InputProblem, RequestRefused, did_you_mean
from connector.messages import mask
from connector.model.definition import Operation, Registration, Webhook
from runtime.calls.caller import Caller
from runtime.events.ingress import Ingress
from runtime.journal.entries import Checkpoint, Work
from runtime.journal.journal import Journal

#: Prefix of the ids of renewals, which are scheduled as polls.
RENEWAL = "renew "
#: Seconds after which a failed renewal is retried.
_AGAIN = 300.0


class Registrations:
    """The registrations of webhooks at their providers."""

    def __init__(self, caller: Caller, journal: Journal, ingress: Ingress) -> None:
        self._caller = caller
        self._journal = journal
        self._ingress = ingress

    async def subscribe(self, connection: str, trigger: str) -> dict[str, Any]:
        """Subscribes to a webhook at its provider; returns the fields of the answer.

        Raises RequestRefused for a trigger without such a call, ConfigurationError without a public URL, InputError
        without a secret, and as `Caller.call` does.
        """
        webhook, registration = self._find(connection, trigger)
        fields = await self._call(connection, webhook, registration.subscribe, {})
        wait = None if registration.renew is None else registration.renew_every
        await self._save(connection, trigger, fields, wait)
        await self._journal.audit("webhook.subscribe", f"{connection} {trigger}")
        return {"connection": connection, "trigger": trigger, "fields": fields}

    async def unsubscribe(self, connection: str, trigger: str) -> dict[str, Any]:
        """Unsubscribes from a webhook at its provider; raises as `subscribe` does."""
        webhook, registration = self._find(connection, trigger)
        if registration.unsubscribe is not None:
            await self._call(connection, webhook, registration.unsubscribe, await self._load(connection, trigger))
        await self._journal.unschedule("poll", [f"{RENEWAL}{connection} {trigger}"])
        await self._save(connection, trigger, {}, None)
        await self._journal.audit("webhook.unsubscribe", f"{connection} {trigger}")
        return {"connection": connection, "trigger": trigger}

    async def renew(self, id: str) -> None:
        """Does the renewal of that id, and schedules the next one; a failure is noted and retried."""
        connection, _, trigger = id.removeprefix(RENEWAL).partition(" ")
        try:
            webhook, registration = self._find(connection, trigger)
        except ConnectorError:  # an edited definition no longer declares it
            await self._journal.unschedule("poll", [id])
            return
        fields = await self._load(connection, trigger)
        wait = registration.renew_every
        try:
            if registration.renew is not None:
                fields |= await self._call(connection, webhook, registration.renew, fields)
        except ConnectorError as error:
            wait = min(wait, _AGAIN)
            await self._journal.audit("webhook.renewal_failed", f"{connection} {trigger}", {"error": error.message})
        await self._save(connection, trigger, fields, wait)

    def _find(self, connection: str, trigger: str) -> tuple[Webhook, Registration]:
        connector, known = self._caller.catalog.of(connection), list[str]()
        for webhook in connector.webhooks:
            if webhook.registration is not None:
                if webhook.id == trigger:
                    return webhook, webhook.registration
                known.append(webhook.id)
        hint = did_you_mean(trigger, sorted(known)) if known else "set it up at the provider"
        raise RequestRefused(404, f"{connector.handle} has no call to subscribe to {trigger!r}", hint=hint)

    async def _call(
        self, connection: str, webhook: Webhook, operation: Operation, known: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Calls an operation with the inputs that it declares; returns the fields of the answer, secrets masked."""
        if not self._caller.settings.public_url:
            hint = "set CONNECTOR_PUBLIC_URL for the server, or public_url of its connector.toml"
            raise ConfigurationError("there is no public URL for providers to send to", hint=hint)
        route = self._ingress.routes[webhook.path.encode()]
        found = self._ingress.verifications.find(connection)
        if not found.is_possible:
            problem = InputProblem("webhookSecret", "webhookSecret of the connection is not set")
            raise InputError(connection, [problem], hint=f"connector secrets set {connection} webhookSecret")
        given = {**known, "webhookUrl": self._ingress.url(route, connection)}
        if found.secrets:
            given["webhookSecret"] = found.secrets[0]
        inputs = {name: value for name, value in given.items() if name in operation.inputs}
        fields = (await self._caller.call(connection, operation.id, inputs)).fields or {}
        return {name: mask(each, found.secrets) if isinstance(each, str) else each for name, each in fields.items()}

    async def _load(self, connection: str, trigger: str) -> dict[str, Any]:
        kept = await self._journal.checkpoint(_name(connection, trigger))
        return {} if kept is None else {name: value for name, value in kept.state.items() if value is not None}

    async def _save(self, connection: str, trigger: str, fields: Mapping[str, Any], wait: float | None) -> None:
        now = self._journal.now()
        then: Sequence[Work] = ()
        if wait is not None:
            then = [Work("poll", f"{RENEWAL}{connection} {trigger}", now + wait, connection)]
        checkpoint = Checkpoint(_name(connection, trigger), dict(fields), now)
        await self._journal.append((), checkpoint=checkpoint, then=then)


def _name(connection: str, trigger: str) -> str:
    return f"webhook {connection} {trigger}"
