"""Runs of automations: which ones an event starts, their steps one by one, and how far each run has come.

A run is kept in the journal before and after each step, so it continues where it was when its process ended. A step
that may have reached the provider and must not be repeated ends its run as `unknown` (hazard K12). The language defines
automations (`connector.events.automations`); the dispatcher knows when a step is due.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from connector.answers.mapping import map_response
from connector.describe.samples import make_answers, read_example
from connector.errors import (
    ConfigurationError,
    ConnectorError,
    InputError,
    InputProblem,
    InvalidDefinition,
    MissingCredentials,
    Problem,
    RateLimited,
    ResponseError,
    TransportError,
    UnknownOutcome,
    did_you_mean,
)
from connector.events.automations import EVENT, MISSING, Automation, Step
from connector.messages import Event, Request, Result
from connector.model.definition import Operation
from connector.parsing.automations import read_automation
from connector.parsing.schema import Document, Finding
from connector.types import to_text
from runtime.calls.caller import Caller
from runtime.config.catalog import Catalog
from runtime.documents import event_document
from runtime.events.subscriptions import next_wait
from runtime.journal.entries import Run, StoredEvent
from runtime.journal.journal import Journal

#: The most characters of JSON that `raw` of a step's answer may have to be kept for later steps.
MAX_KEPT = 256 * 1024
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,199}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRunStep:
    """A step of a dry run: its inputs and its request, or why there would be none."""

    step: str
    operation: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    request: Request | None = None
    skipped: bool = False
    error: str = ""


class Automations:
    """The automations of a runtime."""

    def __init__(
        self,
        known: Iterable[Automation],
        caller: Caller,
        journal: Journal | None,
        files: Path,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`files` is the folder of saved answers; `chance` returns numbers from 0 to 1.

        Without a `journal` only dry runs are possible.
        """
        self._known = {each.handle: each for each in known}
        self._caller = caller
        self._opened = journal
        self._files = files
        self._chance = chance

    @property
    def _journal(self) -> Journal:
        if self._opened is None:
            raise ConfigurationError("automations run only where there is a journal", hint="set CONNECTOR_JOURNAL")
        return self._opened

    def plan(self, event: StoredEvent) -> Iterator[Run]:
        """The runs that an event starts; there is one for each automation and event."""
        context = context_of(event.event)
        for automation in self._known.values():
            if automation.wants(event.connection, event.event.type, context):
                made = hashlib.sha256(f"{automation.handle}\0{event.event.id}".encode()).hexdigest()[:32]
                yield Run(f"run_{made}", automation.handle, event.event.id, "pending", due=self._journal.now())

    async def handle(self, id: str) -> None:
        """Does the next step of a run, and records the outcome."""
        run = await self._journal.run(id)
        automation = self._known.get(run.automation)
        if run.state != "pending":
            return
        if automation is None or run.step >= len(automation.steps):
            await self._end(
                run, "failed", f"there is no longer an automation {run.automation!r} with a step {run.step + 1}"
            )
            return
        step = automation.steps[run.step]
        event = await self._journal.event(run.event_id)
        context = {**context_of(event.event), **run.context.get("steps", {})}
        if not all(each.holds(context) for each in step.when):
            await self._advance(run, automation, step, None)
            return
        try:
            operation = self._find(step)
            if run.context.get("sending") == run.step and not repeatable(operation):
                said = f"{step.name}: it was being sent when the process ended; check the provider before repeating it"
                await self._end(run, "unknown", said)
                return
            inputs = step.inputs.resolve(context, name=f"{automation.handle} {step.name}")
            if not repeatable(operation):
                run = replace(run, context={**run.context, "sending": run.step})
                await self._journal.save_run(run)
            answer = await self._do(run, step, inputs, context)
        except ConnectorError as error:
            await self._fail(run, step, error)
            return
        await self._advance(run, automation, step, answer)

    def rehearse(self, automation: Automation, event: Event) -> Iterator[DryRunStep]:
        """What the steps would send for an event, without sending it; recorded answers replace real ones."""
        context = context_of(event)
        for step in automation.steps:
            made = DryRunStep(step=step.name, operation=f"{step.connection}/{step.operation}")
            if not all(each.holds(context) for each in step.when):
                yield replace(made, skipped=True)
                continue
            inputs: dict[str, Any] = {}
            try:
                inputs = step.inputs.resolve(context, name=f"{automation.handle} {step.name}")
                request = self._caller.render(step.connection, step.operation, inputs)
            except ConnectorError as error:
                yield replace(made, inputs=inputs, error=f"{error.message}; {error.hint}".rstrip("; "))
                continue
            context[step.name] = self._sample(step)
            yield replace(made, inputs=inputs, request=request)

    def _find(self, step: Step) -> Any:
        return self._caller.find(step.connection, step.operation)[1]

    def _sample(self, step: Step) -> Mapping[str, Any] | None:
        """The last recorded answer of a step's operation, or a made-up one."""
        connector, operation = self._caller.find(step.connection, step.operation)
        if not isinstance(operation, Operation):
            return None
        recorded = self._caller.catalog.examples(connector.handle).get(step.operation)
        answers = read_example(step.operation, recorded) if recorded is not None else ()
        return _kept(map_response(operation, (answers or make_answers(operation, None))[-1]))

    async def _do(
        self, run: Run, step: Step, inputs: Mapping[str, Any], context: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        if step.save is None:
            key = f"{run.id}-{run.step}"
            return _kept(await self._caller.call(step.connection, step.operation, inputs, idempotency_key=key))
        name = step.save.find(context)
        text = "" if name is MISSING else to_text(name)
        if not _FILE_NAME.match(text):
            problem = InputProblem("save", "save: expected a plain file name: letters, digits, '.', '-', '_'")
            raise InputError(f"{run.automation} {step.name}", [problem])
        return await self._save(step, inputs, self._files / text)

    async def _save(self, step: Step, inputs: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
        """Writes an answer to a file as it comes; the file only takes its name when the answer is complete."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.part")
        size, status = 0, 200
        chunks = self._caller.stream(step.connection, step.operation, inputs)
        with partial.open("wb") as file:
            async with contextlib.aclosing(chunks):
                async for chunk in chunks:
                    status = chunk.status
                    size += file.write(chunk.raw if isinstance(chunk.raw, bytes) else to_text(chunk.raw).encode())
        partial.replace(path)
        return {"status": status, "fields": {"path": str(path), "size": size}, "records": None, "raw": None}

    async def _advance(self, run: Run, automation: Automation, step: Step, answer: Mapping[str, Any] | None) -> None:
        steps = {**run.context.get("steps", {}), step.name: answer}
        following = run.step + 1
        if following == len(automation.steps):
            done = replace(run, state="done", step=following, context={"steps": steps}, reason="", due=None)
        else:
            now = self._journal.now()
            done = replace(run, step=following, context={"steps": steps}, reason="", due=now)
        await self._journal.save_run(done)

    async def _fail(self, run: Run, step: Step, error: ConnectorError) -> None:
        reason = f"{step.name}: {error.message}" + (f"; {error.hint}" if error.hint else "")
        if isinstance(error, UnknownOutcome):
            await self._end(run, "unknown", reason)
            return
        attempts = run.context.get("attempts", 0) + 1
        wanted = error.retry_after if isinstance(error, RateLimited) else None
        passing = _is_passing(error, again=repeatable(self._find(step)))
        wait = next_wait(attempts, self._chance(), wanted) if passing else None
        if wait is None:
            await self._end(run, "failed", reason)
            return
        context = {"steps": run.context.get("steps", {}), "attempts": attempts}
        await self._journal.save_run(replace(run, context=context, reason=reason, due=self._journal.now() + wait))

    async def _end(self, run: Run, state: Any, reason: str) -> None:
        await self._journal.save_run(replace(run, state=state, reason=reason, due=None))


def repeatable(operation: Any) -> bool:
    """True if sending it twice has the same effect as sending it once."""
    return isinstance(operation, Operation) and (operation.idempotent or bool(operation.idempotency_header))


def context_of(event: Event) -> dict[str, Any]:
    """What the first step of an automation maps from: the event, always with a subject."""
    return {EVENT: {"subject": None, **event_document(event)}}


def _is_passing(error: ConnectorError, *, again: bool) -> bool:
    """True for a failure that may pass; `again` allows to send again what was sent."""
    if isinstance(error, ResponseError):
        return isinstance(error, RateLimited) or (error.status >= 500 and again)
    if isinstance(error, TransportError):
        return error.temporary and (again or not error.sent)
    return isinstance(error, MissingCredentials)


def _kept(result: Result) -> dict[str, Any]:
    raw = result.raw if not isinstance(result.raw, bytes) and len(to_text(result.raw)) <= MAX_KEPT else None
    return {"status": result.status, "fields": result.fields, "records": result.records, "raw": raw}


def read_automations(folder: Path) -> tuple[list[Automation], list[Problem]]:
    """The automations in a folder (`*.json`) and their problems; without the folder there are none."""
    documents, problems = _read_documents(folder)
    return [automation for automation, _ in documents], problems


def lint_automations(folder: Path, catalog: Catalog) -> list[Problem]:
    """The problems of the automations in a folder, lints included, each with file, line and column."""
    documents, problems = _read_documents(folder)
    for automation, document in documents:
        problems += replace(document, defects=()).problems(find_automation_lints(automation, catalog))
    return problems


def _read_documents(folder: Path) -> tuple[list[tuple[Automation, Document]], list[Problem]]:
    found: list[tuple[Automation, Document]] = []
    problems: list[Problem] = []
    for file in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        try:
            document = Document.from_text(file.read_text("utf-8"), "automation", str(file))
            automation, said = read_automation(document)
        except InvalidDefinition as error:
            problems += error.problems
            continue
        except (OSError, UnicodeDecodeError):
            problems.append(Problem("E_JSON", "the file cannot be read as UTF-8", file=str(file), line=1, column=1))
            continue
        problems += said
        if any(each.handle == automation.handle for each, _ in found):
            message = f"automation {automation.handle!r} is duplicated"
            doubled = Finding("E_DOUBLED", message, ("handle",), hint="handles are unique")
            problems += replace(document, defects=()).problems([doubled])
        elif not any(problem.is_error for problem in said):
            found.append((automation, document))
    return found, problems


def find_automation_lints(automation: Automation, catalog: Catalog) -> Iterator[Finding]:
    """Yields the connectors, triggers, operations and inputs that an automation names and the catalogue does not have.

    The path of each leads into the automation; `lint_automations` adds the file, line and column.
    """

    def warn(message: str, hint: str, *path: str | int) -> Finding:
        return Finding("W_AUTOMATION", message, path, hint=hint)

    try:
        connector = catalog.of(automation.connection)
    except ConnectorError as error:
        yield warn(error.message, error.hint, "on")
    else:
        triggers = [webhook.id for webhook in connector.webhooks]
        if automation.trigger not in triggers:
            yield warn(f"no trigger {automation.trigger!r}", did_you_mean(automation.trigger, triggers), "on")
    for index, step in enumerate(automation.steps):
        try:
            operation = catalog.of(step.connection).operation(step.operation)
        except ConnectorError as error:
            yield warn(error.message, error.hint, "do", index, "call")
            continue
        known = {*operation.inputs, *getattr(operation, "from_connection", ())}
        for name in step.inputs.values:
            if name not in known:
                hint = did_you_mean(name, sorted(known))
                yield warn(f"{name} is not an input of {step.operation}", hint, "do", index, "inputs", name)
        for name, placeholder in operation.inputs.items():
            if placeholder.required and placeholder.default is None and name not in step.inputs.values:
                yield warn(f"{step.operation} needs {name}", f"map a value to {name}", "do", index, "inputs")
