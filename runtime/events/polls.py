"""Polls: which operation is polled for which triggers, with which inputs.

The definition declares the triggers that are polled; an operator may add inputs, or disable a trigger. These choices
are kept in the journal, for every process. `poller` makes the polls.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from connector.errors import UnknownConnector, UnknownOperation
from connector.model.definition import Operation, Webhook
from connector.model.polls import Poll as Declared
from runtime.calls.caller import Caller
from runtime.journal.entries import Checkpoint, Work
from runtime.journal.journal import Journal


@dataclass(frozen=True, slots=True)
class Choice:
    """What an operator chose for a trigger of a connection: whether it is polled, and additional inputs."""

    enabled: bool = True
    inputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Poll:
    """The triggers of one connection that poll the same operation with the same inputs."""

    connection: str
    operation: Operation
    webhooks: tuple[Webhook, ...]
    inputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The id of its work: `mistral-ai batch-jobs.list`, and a digest of the inputs where there are any.

        Other inputs are another poll, with a beginning and a memory of its own.
        """
        return f"{self.connection} {self.operation.id}{self._mark}"

    def memory(self, webhook: Webhook) -> str:
        """What the sightings of one of its triggers are kept under."""
        return f"{self.connection} {webhook.id}{self._mark}"

    @property
    def _mark(self) -> str:
        if not self.inputs:
            return ""
        return f" {hashlib.sha256(_to_text(self.inputs).encode()).hexdigest()[:12]}"

    @property
    def interval(self) -> float:
        """Seconds between two polls: the shortest interval of its triggers."""
        return min(declared.interval for _, declared in self.declared())

    def declared(self) -> Iterator[tuple[Webhook, Declared]]:
        """Each webhook with what it declares about polling."""
        for webhook in self.webhooks:
            if webhook.poll is not None:
                yield webhook, webhook.poll


class Polls:
    """The polls of all connections."""

    def __init__(self, caller: Caller, journal: Journal) -> None:
        self._caller = caller
        self._journal = journal

    async def all(self) -> list[Poll]:
        """What is polled: the declared polls of every connection that has the values it needs."""
        return [poll for connection in self._caller.connections() for poll in await self.of(connection)]

    async def find(self, id: str) -> Poll | None:
        """The poll of that id; None if there is none, or none any more."""
        try:
            return next((poll for poll in await self.of(id.partition(" ")[0]) if poll.id == id), None)
        except UnknownConnector:
            return None

    async def of(self, connection: str) -> list[Poll]:
        """The polls of one connection, with or without its values; raises UnknownConnector."""
        connector = self._caller.catalog.of(connection)
        asked: dict[tuple[str, str], Poll] = {}
        for webhook in connector.webhooks:
            declared = webhook.poll
            if declared is None or declared.operation not in connector.operations:
                continue
            choice = await self._choice(connection, webhook.id)
            if choice.enabled:
                inputs = {**declared.inputs, **choice.inputs}
                key = declared.operation, _to_text(inputs)
                known = asked.get(key) or Poll(connection, connector.operations[declared.operation], (), inputs)
                asked[key] = replace(known, webhooks=(*known.webhooks, webhook))
        return list(asked.values())

    def declared(self, connection: str, trigger: str) -> tuple[Declared, Operation]:
        """What a trigger declares about polling, and the operation; raises UnknownOperation."""
        connector = self._caller.catalog.of(connection)
        known = {each.id: each.poll for each in connector.webhooks if each.poll is not None}
        declared = known.get(trigger)
        if declared is None or declared.operation not in connector.operations:
            raise UnknownOperation(connection, trigger, known)
        return declared, connector.operations[declared.operation]

    async def _choice(self, connection: str, trigger: str) -> Choice:
        kept = await self._journal.checkpoint(_choice_name(connection, trigger))
        return Choice() if kept is None else Choice(kept.state["enabled"], kept.state["inputs"])

    async def choose(
        self, connection: str, trigger: str, *, enabled: bool, inputs: Mapping[str, Any] | None = None
    ) -> None:
        """Enables or disables a trigger; `inputs` replace those chosen before.

        Raises UnknownOperation for a trigger that is not polled, InputError for unknown or missing inputs.
        """
        declared, operation = self.declared(connection, trigger)
        before = await self._choice(connection, trigger)
        choice = Choice(enabled, before.inputs if inputs is None else inputs)
        if enabled:
            self._caller.render(connection, operation.id, {**declared.inputs, **choice.inputs})
        old = {poll.id for poll in await self.of(connection)}
        state = {"enabled": choice.enabled, "inputs": dict(choice.inputs)}
        kept = Checkpoint(_choice_name(connection, trigger), state, self._caller.clock())
        await self._journal.append([], checkpoint=kept)
        new = await self.of(connection)
        await self._journal.unschedule("poll", sorted(old - {poll.id for poll in new}))
        now = self._journal.now()
        wanted = [poll for poll in new if poll.id not in old or any(each.id == trigger for each in poll.webhooks)]
        await self._journal.schedule([Work("poll", poll.id, now, connection) for poll in wanted], replace=True)
        action = "trigger.enabled" if enabled else "trigger.disabled"
        await self._journal.audit(action, f"{connection} {trigger}", {"inputs": sorted(choice.inputs)})


def _choice_name(connection: str, trigger: str) -> str:
    return f"trigger {connection} {trigger}"


def _to_text(inputs: Mapping[str, Any]) -> str:
    return json.dumps(inputs, sort_keys=True)
