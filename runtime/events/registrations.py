"""Telling providers where the messages of webhooks go: asked for, renewed before they end, and no longer wanted.

What is called is the definition's (`Registration`); what the provider answered is a checkpoint of the journal, and a
renewal is work that is due, so it outlives restarts and is done once whatever processes there are. The connection's
secret travels to the provider, and is kept nowhere here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connector.errors import ConfigurationError, ConnectorError, InputError, InputProblem, RequestRefused, did_you_mean
from connector.messages import mask
from connector.model.definition import Operation, Webhook
from runtime.calls.caller import Caller
from runtime.events.ingress import Ingress
from runtime.journal.entries import Checkpoint, NewEvent, Work
from runtime.journal.journal import Journal

#: What the id of a renewal begins with, among the ids of polls.
RENEWAL = "renew "
#: Seconds after which a renewal that failed is tried again.
_AGAIN = 300.0


class Registrations:
    """The registrations of a runtime's webhooks at their providers."""

    def __init__(self, caller: Caller, journal: Journal, ingress: Ingress) -> None:
        self._caller = caller
        self._journal = journal
        self._ingress = ingress

    async def subscribe(self, connection: str, trigger: str) -> dict[str, Any]:
        """Asks the provider for the messages of a webhook, and says what it answered.

        Raises RequestRefused for a trigger whose provider cannot be asked, ConfigurationError without a public URL,
        InputError without a secret, and whatever a call raises.
        """
        webhook = self._find(connection, trigger)
        registration = webhook.registration
        assert registration is not None  # noqa: S101 - it was found by it
        fields = await self._call(connection, webhook, registration.subscribe, {})
        work = []
        if registration.renew is not None:
            due = self._journal.now() + registration.renew_every
            work = [Work("poll", f"{RENEWAL}{connection} {trigger}", due, connection)]
        await self._save(connection, trigger, fields, work)
        await self._journal.audit("webhook.subscribe", f"{connection} {trigger}")
        return {"connection": connection, "trigger": trigger, "fields": fields}

    async def unsubscribe(self, connection: str, trigger: str) -> dict[str, Any]:
        """Tells the provider that the messages of a webhook are no longer wanted; raises as `subscribe` does."""
        webhook = self._find(connection, trigger)
        registration = webhook.registration
        assert registration is not None  # noqa: S101 - it was found by it
        known = await self._journal.checkpoint(_name(connection, trigger))
        if registration.unsubscribe is not None:
            await self._call(connection, webhook, registration.unsubscribe, _fields(known))
        await self._journal.unschedule("poll", [f"{RENEWAL}{connection} {trigger}"])
        await self._save(connection, trigger, {}, [])
        await self._journal.audit("webhook.unsubscribe", f"{connection} {trigger}")
        return {"connection": connection, "trigger": trigger}

    async def renew(self, id: str) -> None:
        """Handles the renewal of that id, and puts the next one in line; a failure is tried again, and noted."""
        connection, _, trigger = id.removeprefix(RENEWAL).partition(" ")
        try:
            webhook = self._find(connection, trigger)
        except ConnectorError:  # the definition does not say so any more
            await self._journal.unschedule("poll", [id])
            return
        registration = webhook.registration
        assert registration is not None  # noqa: S101 - it was found by it
        known = _fields(await self._journal.checkpoint(_name(connection, trigger)))
        wait = registration.renew_every
        try:
            if registration.renew is not None:
                known |= await self._call(connection, webhook, registration.renew, known)
        except ConnectorError as error:
            wait = min(wait, _AGAIN)
            await self._journal.audit("webhook.renewal_failed", f"{connection} {trigger}", {"error": error.message})
        await self._save(connection, trigger, known, [Work("poll", id, self._journal.now() + wait, connection)])

    def _find(self, connection: str, trigger: str) -> Webhook:
        connector = self._caller.catalog.of(connection)
        known = [each for each in connector.webhooks if each.registration is not None]
        found = next((each for each in known if each.id == trigger), None)
        if found is None:
            hint = did_you_mean(trigger, sorted(each.id for each in known)) if known else "set it up at the provider"
            raise RequestRefused(404, f"{connector.handle} has no call that asks for {trigger!r}", hint=hint)
        return found

    async def _call(
        self, connection: str, webhook: Webhook, operation: Operation, known: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Calls one of them with what it declares of what we know; gives the fields of the answer, secrets masked."""
        if not self._caller.settings.public_url:
            hint = "set CONNECTOR_PUBLIC_URL, or public_url of connector.toml"
            raise ConfigurationError("providers are not told where they reach us", hint=hint)
        route = self._ingress.routes[webhook.path.encode()]
        door = self._ingress.doors.find(connection)
        if not door.secrets and not door.unsigned:
            problem = InputProblem("webhookSecret", "webhookSecret of the connection is not set")
            raise InputError(connection, [problem], hint=f"connector secrets set {connection} webhookSecret")
        given = {**known, "webhookUrl": self._ingress.url(route, connection)}
        if door.secrets:
            given["webhookSecret"] = door.secrets[0]
        inputs = {name: value for name, value in given.items() if name in operation.inputs}
        result = await self._caller.call(connection, operation.id, inputs)
        fields = result.fields or {}
        return {name: mask(each, door.secrets) if isinstance(each, str) else each for name, each in fields.items()}

    async def _save(self, connection: str, trigger: str, fields: Mapping[str, Any], then: list[Work]) -> None:
        at = self._journal.now()
        none: list[NewEvent] = []
        await self._journal.append(none, checkpoint=Checkpoint(_name(connection, trigger), dict(fields), at), then=then)


def _name(connection: str, trigger: str) -> str:
    return f"webhook {connection} {trigger}"


def _fields(known: Checkpoint | None) -> dict[str, Any]:
    return {name: value for name, value in known.state.items() if value is not None} if known is not None else {}
