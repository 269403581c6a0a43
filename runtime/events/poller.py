"""Polling for the events that a provider does not send: one poll, from its pages to the journal.

Each page of a poll is kept with its events in one commit, so that a kill leaves both or none and no event is made twice
(hazards K9, K10). `polls` knows what is polled, and the dispatcher when a poll is due.
"""

from __future__ import annotations

import datetime
import logging
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connector.answers.mapping import find_records
from connector.errors import (
    ConnectorError,
    InputError,
    JournalUnavailable,
    MissingCredentials,
    RateLimited,
    RequestRefused,
    ResponseError,
)
from connector.events.mapping import after_poll
from connector.messages import Event
from connector.model.definition import Webhook
from connector.model.polls import Poll as Declared
from connector.types import to_text
from runtime.calls.caller import Caller
from runtime.config.connections import ConnectionName
from runtime.documents import Document, polled_trigger_document, time_text
from runtime.events.polls import Poll, Polls
from runtime.journal.entries import Checkpoint, NewEvent, Sightings, Work
from runtime.journal.journal import Journal

_LOG = logging.getLogger(__name__)
#: The most events of one poll; the next poll, which follows at once, makes the rest (hazard P6).
MAX_EVENTS = 1000
#: The longest wait after failures, in seconds; each wait is twice as long as the one before.
MAX_PAUSE = 3600.0
#: Seconds between polls of a connection that needs to be authorised again (hazard P3).
REAUTHORIZATION_PAUSE = 15 * 60.0
#: Failures in a row after which an event reports them (hazard P5).
ALARM = 5
#: The trigger of that event.
FAILING = "runtime/poll.failing"
#: Seconds of polls after which a thing that is no longer listed is forgotten, and no sooner.
FORGET = 30 * 86400.0
#: Seconds between two notes that a thing is still listed.
_NOTE = 86400.0
#: The states of a poll in which only the operator can help; the others are new, ok, failing and disabled.
_LACKING = ("needs_reauth", "needs_inputs")


@dataclass(slots=True)
class _Tally:
    """What one poll of one trigger has seen so far."""

    records: int = 0
    keyless: int = 0
    events: int = 0
    states: Counter[str] = field(default_factory=Counter)
    #: Why no list was found.
    lacking: str = ""


class Poller:
    """Makes the polls of all connections."""

    def __init__(self, caller: Caller, journal: Journal, *, chance: Callable[[], float] = random.random) -> None:
        """`chance` returns numbers from 0 to 1, which spread polls over time."""
        self._caller = caller
        self._journal = journal
        self._clock = caller.clock
        self._chance = chance
        #: What is polled.
        self.polls = Polls(caller, journal)

    async def schedule(self) -> None:
        """Schedules every poll that is not scheduled yet.

        A poll that lacked a value of its connection is due at once if a value was stored since.
        """
        now, polls = self._journal.now(), await self.polls.all()
        await self._journal.schedule([Work("poll", poll.id, now, poll.connection) for poll in polls])
        mended = []
        for poll in polls:
            state = await self.status(poll)
            if state["state"] in _LACKING and self._caller.vault.entered(poll.connection) > state["at"]:
                mended.append(Work("poll", poll.id, now, poll.connection))
        await self._journal.schedule(mended, replace=True)

    async def follow(self, handles: Sequence[str]) -> None:
        """Applies the edited definitions of these connectors: new polls are due now, and shorter intervals apply.

        A poll that is no longer declared ends when it would be due.
        """
        await self.schedule()
        now, sooner = self._clock(), []
        for poll in await self.polls.all():
            if ConnectionName.parse(poll.connection).handle in handles:
                due = (await self.status(poll)).get("due", now)
                if due > now + poll.interval:
                    sooner.append(Work("poll", poll.id, now + poll.interval, poll.connection))
        await self._journal.schedule(sooner, replace=True)

    async def handle(self, id: str) -> None:
        """Makes one poll, and schedules the next one; raises nothing that a provider can cause."""
        poll = await self.polls.find(id)
        if poll is None:
            await self._journal.unschedule("poll", [id])
            return
        state = await self.status(poll)
        begun = self._journal.now()
        try:
            tallies, more, said = await self._walk(poll, state)
        except JournalUnavailable:
            raise
        except ConnectorError as error:
            await self._note_failure(poll, state, error)
            return
        now = self._clock()
        # A poll that was cut off has not seen everything, so a trigger that starts now goes on noting what is there.
        started = state["started"] if more else {**state["started"], **dict.fromkeys(tallies, True)}
        triggers = {
            webhook.id: {"events": tallies[webhook.id].events, "said": said or _explain(declared, tallies[webhook.id])}
            for webhook, declared in poll.declared()
        }
        due = now if more else now + poll.interval * (0.9 + 0.2 * self._chance())
        if state["state"] in ("failing", *_LACKING):
            _LOG.warning("%s: polls succeed again", poll.id)
        fresh = {"started": started, "failures": 0, "at": now, "due": due, "state": "ok", "triggers": triggers}
        fresh |= _age(poll, state, begun if not more and not said else None)
        await self._save(poll, fresh, ())

    async def poll_now(self, connection: str, trigger: str) -> None:
        """Polls one trigger at once; raises UnknownOperation if it is not polled, RequestRefused if it is disabled."""
        self.polls.declared(connection, trigger)
        for poll in await self.polls.of(connection):
            if any(webhook.id == trigger for webhook in poll.webhooks):
                await self.handle(poll.id)
                return
        hint = f"connector triggers enable {connection} {trigger}"
        raise RequestRefused(409, f"{connection} {trigger} is disabled", hint=hint)

    async def status(self, poll: Poll) -> dict[str, Any]:
        """What the last poll left: `state`, `at`, `due`, `triggers`, `error`; times are seconds since the epoch."""
        known = await self._journal.checkpoint(_checkpoint_name(poll))
        fresh: dict[str, Any] = {"started": {}, "failures": 0, "state": "new", "triggers": {}}
        return fresh if known is None else {**fresh, **known.state}

    async def documents(self, connection: str) -> list[Document]:
        """The triggers of a connection as JSON: how each arises, and the outcome of its last poll."""
        polls = {webhook.id: poll for poll in await self.polls.of(connection) for webhook in poll.webhooks}
        rows = []
        for webhook in self._caller.catalog.of(connection).webhooks:
            if (poll := polls.get(webhook.id)) is None:
                state: Mapping[str, Any] = {} if webhook.poll is None else {"state": "disabled"}
                rows.append(polled_trigger_document(connection, webhook, poll="", inputs={}, state=state))
            else:
                way, state = f"poll of {poll.operation.id} every {poll.interval:g} s", await self.status(poll)
                rows.append(polled_trigger_document(connection, webhook, poll=way, inputs=poll.inputs, state=state))
        return rows

    async def _walk(self, poll: Poll, state: Mapping[str, Any]) -> tuple[dict[str, _Tally], bool, str]:
        """Reads all pages; returns what each trigger saw, whether events are left for later, and a warning."""
        tallies = {webhook.id: _Tally() for webhook in poll.webhooks}
        left, said = MAX_EVENTS, ""
        async for page in self._caller.pages(poll.connection, poll.operation.id, poll.inputs):
            rows, lacking = find_records(poll.operation, page.raw) if isinstance(page.raw, (dict, list)) else ([], "")
            if not rows and lacking:
                for tally in tallies.values():
                    tally.lacking = lacking
            if page.truncated:
                said = page.warnings[-1]
            for webhook, declared in poll.declared():
                silent = declared.start == "now" and webhook.id not in state["started"]
                made, listed = await self._read(poll, webhook, declared, rows, tallies[webhook.id])
                kept = made if silent else made[:left]
                if made or listed:
                    seen = listed | {key: transition for _, key, transition in kept}
                    events = [] if silent else [event for event, _, _ in kept]
                    await self._journal.append(events, sightings=Sightings(poll.memory(webhook), seen))
                    if not silent:
                        left -= len(kept)
                        tallies[webhook.id].events += len(kept)
                if len(kept) < len(made):
                    return tallies, True, said
        return tallies, False, said

    async def _read(
        self, poll: Poll, webhook: Webhook, declared: Declared, rows: Sequence[Any], tally: _Tally
    ) -> tuple[list[tuple[NewEvent, str, str]], dict[str, str]]:
        """The news of a page: events with key and transition; and what is to be noted as still listed."""
        found: dict[str, tuple[str | None, Any]] = {}
        for row in rows:
            tally.records += 1
            key, transition = declared.find_key(row), declared.find_transition(row)
            if key is None:
                tally.keyless += 1
            elif transition is not None or key not in found:
                found[key] = (transition, row)
            if declared.state is not None:
                tally.states[to_text(declared.state.find_one(row))] += 1
        known = await self._journal.sightings(poll.memory(webhook), list(found)) if found else {}
        now = datetime.datetime.fromtimestamp(self._clock(), datetime.UTC)
        stale = self._journal.now() - _NOTE
        made = []
        for key, (transition, row) in found.items():
            if transition is not None and (key not in known or known[key].state != transition):
                source = ConnectionName.parse(poll.connection).source
                told = after_poll(webhook, row, source=source, key=key, transition=transition, now=now)
                made.append((NewEvent(poll.connection, told, told.id, origin="poll"), key, transition))
        return made, {key: seen.state for key, seen in known.items() if seen.at < stale}

    async def _note_failure(self, poll: Poll, state: Mapping[str, Any], error: ConnectorError) -> None:
        """Keeps what was reached and what went wrong, and waits longer each time."""
        # A missing input is not a failure of the provider, and nothing was sent.
        lacking = isinstance(error, InputError) and not isinstance(error, MissingCredentials)
        now, failures = self._clock(), state["failures"] + (not lacking)
        pause = min(MAX_PAUSE, poll.interval * 2 ** min(failures, 20)) * (0.9 + 0.2 * self._chance())
        limited = isinstance(error, RateLimited)
        refused = isinstance(error, ResponseError) and error.status in (401, 403) and not limited
        if isinstance(error, RateLimited):
            pause = max(pause, min(MAX_PAUSE * 24, error.retry_after or 0.0))
        if refused or isinstance(error, MissingCredentials):
            pause = REAUTHORIZATION_PAUSE
        reason, hint = "failing", error.hint
        if refused or isinstance(error, MissingCredentials):
            reason = "needs_reauth"
        elif lacking:
            hint = f"set them: connector triggers enable {poll.connection} {poll.webhooks[0].id} NAME=VALUE"
            reason, pause = "needs_inputs", MAX_PAUSE
        kept = {
            **state,
            "failures": failures,
            "at": now,
            "due": now + pause,
            "state": reason,
            "error": f"{error.message}; {hint}" if hint else error.message,
        }
        if state["state"] != reason:
            _LOG.warning("%s: polls fail (%s): %s", poll.id, reason, " ".join(kept["error"].split()))
        alarms = [self._alarm(poll, kept["error"], now)] if failures == ALARM and not lacking else []
        await self._save(poll, kept, alarms)

    def _alarm(self, poll: Poll, error: str, now: float) -> NewEvent:
        data = {"operation": poll.operation.id, "failures": ALARM, "error": error}
        event = Event(
            id="",
            source=ConnectionName.parse(poll.connection).source,
            type=FAILING,
            subject=poll.operation.id,
            time=time_text(now),
            data=data,
        )
        return NewEvent(poll.connection, event, f"{poll.operation.id}:{now}", origin="system")

    async def _save(self, poll: Poll, state: Mapping[str, Any], events: Sequence[NewEvent]) -> None:
        checkpoint = Checkpoint(_checkpoint_name(poll), dict(state), self._clock())
        work = Work("poll", poll.id, state["due"], poll.connection)
        await self._journal.append(events, checkpoint=checkpoint, then=[work])


def _checkpoint_name(poll: Poll) -> str:
    return f"poll {poll.id}"


def _age(poll: Poll, state: Mapping[str, Any], whole: float | None) -> dict[str, Any]:
    """The members of a checkpoint about age: `whole`, a poll that saw the whole list, and `forget`.

    Everything listed by that poll, or since, was noted less than a day before it. So once another poll has seen the
    whole list FORGET seconds later, what was noted earlier has been missing all the time and may be forgotten. Time
    without a successful poll ages nothing.
    """
    noted, forget = state.get("whole"), state.get("forget", {})
    if whole is None or noted is None or whole - noted < FORGET:
        return {"whole": whole if noted is None else noted, "forget": forget}
    return {"whole": whole, "forget": {poll.memory(webhook): noted - _NOTE for webhook in poll.webhooks}}


def _explain(declared: Declared, tally: _Tally) -> str:
    """Why a poll made its events, or none."""
    if not tally.records:
        return tally.lacking or "the list is empty"
    if tally.keyless == tally.records:
        return f"none of {tally.records} records has a key at {declared.key.text}"
    keyless = f"; {tally.keyless} of them have no key at {declared.key.text}" if tally.keyless else ""
    if tally.events:
        return f"{tally.events} of {tally.records} records were news{keyless}"
    if declared.state is None:
        return f"none of {tally.records} records is news{keyless}"
    seen = ", ".join(f"{state} {count}" for state, count in tally.states.most_common(10))
    states = ", ".join(map(to_text, declared.states))
    return f"of {tally.records} records none reached {states} anew; they are: {seen}{keyless}"
