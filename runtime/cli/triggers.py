"""The commands `connector triggers` and `connector automations`: what makes events, and what each event starts.

What a command needs is imported by the command.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import click

from runtime.cli.group import CommandGroup, GlobalOptions, complete_connector

if TYPE_CHECKING:
    from connector.events.automations import Automation
    from connector.messages import Event
    from runtime.runtime import Runtime


@click.group(cls=CommandGroup)
def triggers() -> None:
    """List triggers, choose which are polled, and poll now."""


@click.group(cls=CommandGroup)
def automations() -> None:
    """List and test automations, and show their runs."""


@triggers.command("list")
@click.argument("connection", shell_complete=complete_connector, metavar="[CONNECTION]", required=False)
@click.pass_obj
def list_triggers(everywhere: GlobalOptions, connection: str | None) -> None:
    """List the triggers of connections, and their last polls.

    Only connections that have all their values are listed.
    """
    from urllib.parse import quote

    from runtime.cli import printing

    query = "" if connection is None else f"?connection={quote(connection, safe='')}"
    rows = everywhere.ask("GET", f"/api/triggers{query}")
    if everywhere.json:
        printing.print_document(rows)
        return
    columns = ("connection", "trigger", "made by", "state")
    printing.print_table(columns, [[str(row[name.replace(" ", "_")] or "") for name in columns] for row in rows])
    # Below the table, where there is room for the provider's words.
    for row in rows:
        if words := row["error"] or row["said"]:
            printing.print_text(f"{row['connection']} {row['trigger']}: {words}")


@triggers.command("poll-now")
@click.argument("connection", shell_complete=complete_connector, metavar="CONNECTION")
@click.argument("trigger", metavar="TRIGGER")
@click.pass_obj
def poll_now(everywhere: GlobalOptions, connection: str, trigger: str) -> None:
    """Poll for a trigger now, and show the outcome."""
    from runtime.cli import printing

    with printing.progress(f"polling {connection} {trigger}"):
        body = {"connection": connection, "trigger": trigger}
        row = everywhere.ask("POST", "/api/triggers/poll-now", body)
    if everywhere.json:
        printing.print_document(row)
    else:
        printing.print_text(f"{row['state']}: {row['error'] or row['said']}")


@triggers.command("enable")
@click.argument("connection", shell_complete=complete_connector, metavar="CONNECTION")
@click.argument("trigger", metavar="TRIGGER")
@click.argument("inputs", nargs=-1, metavar="[INPUT]...")
@click.pass_obj
def enable(everywhere: GlobalOptions, connection: str, trigger: str, inputs: tuple[str, ...]) -> None:
    """Start to poll for a trigger.

    Inputs (name=text, name:=json) are those that its operation needs. Without inputs, the previous inputs are kept.
    """
    from runtime.cli.inputs import Item, gather_inputs

    try:
        items = [Item.from_text(word) for word in inputs]
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="INPUT") from None
    connector = everywhere.catalog().of(connection)
    asked = {each.id: each.poll.operation for each in connector.webhooks if each.poll is not None}.get(trigger, "")
    operation = connector.operations.get(asked)
    values = gather_inputs(trigger, items, {} if operation is None else operation.inputs)
    _choose_poll(everywhere, "enable", {"connection": connection, "trigger": trigger, "inputs": values or None})


@triggers.command("disable")
@click.argument("connection", shell_complete=complete_connector, metavar="CONNECTION")
@click.argument("trigger", metavar="TRIGGER")
@click.pass_obj
def disable(everywhere: GlobalOptions, connection: str, trigger: str) -> None:
    """Stop polling for a trigger."""
    _choose_poll(everywhere, "disable", {"connection": connection, "trigger": trigger})


def _choose_poll(everywhere: GlobalOptions, verb: str, body: dict[str, Any]) -> None:

    row = everywhere.ask("POST", f"/api/triggers/{verb}", body)
    given = ", ".join(f"{name}={value}" for name, value in row["inputs"].items())
    with_them = f" with {given}" if given and verb == "enable" else ""
    everywhere.report(row, f"{verb}d: {row['trigger']} of {row['connection']}{with_them}")


@automations.command("list")
@click.pass_obj
def list_automations(everywhere: GlobalOptions) -> int:
    """List the automations, and what is wrong with them."""
    from connector.errors import InvalidDefinition
    from runtime.cli import printing
    from runtime.cli.failures import EXIT_CODES
    from runtime.events.automations import lint_automations, read_automations

    settings = everywhere.settings()
    catalog = everywhere.catalog()
    found, _ = read_automations(settings.automations)
    problems = lint_automations(settings.automations, catalog)
    rows = [_automation_row(each) for each in found]
    if everywhere.json:
        printing.print_document(rows)
    else:
        columns = ("handle", "on", "steps", "about")
        printing.print_table(columns, [[str(row[name]) for name in columns] for row in rows])
        printing.print_problems(problems)
    return EXIT_CODES[InvalidDefinition] if any(problem.is_error for problem in problems) else 0


def _automation_row(automation: Automation) -> dict[str, Any]:
    steps = ", ".join(f"{step.connection}/{step.operation}" for step in automation.steps)
    on = f"{automation.connection}/{automation.trigger}"
    return {"handle": automation.handle, "on": on, "steps": steps, "about": automation.short}


@automations.command("test")
@click.argument("automation", metavar="AUTOMATION")
@click.option("--event", "source", type=click.File("rb"), metavar="-|FILE", help="The event's data, as a JSON object.")
@click.pass_obj
def test(everywhere: GlobalOptions, automation: str, source: IO[bytes] | None) -> int:
    """Show what an automation would send for an event.

    Nothing is sent. Without --event a sample event of its trigger is used. Recorded examples replace the answers of
    earlier steps.
    """
    from runtime import documents
    from runtime.cli import printing
    from runtime.cli.failures import EXIT_CODES
    from runtime.documents import event_document
    from runtime.events.automations import Automations, context_of, read_automations
    from runtime.runtime import Runtime

    settings = everywhere.settings()
    found, _ = read_automations(settings.automations)
    chosen = _choose(found, automation)
    runtime = Runtime(settings=settings)
    event = _event(runtime, chosen, None if source is None else source.read())
    wanted = chosen.wants(chosen.connection, chosen.trigger, context_of(event))
    rehearsed = list(Automations(found, runtime, None, settings.home / "files").rehearse(chosen, event))
    rows = [
        {
            "step": each.step,
            "operation": each.operation,
            "skipped": each.skipped,
            "error": each.error,
            "inputs": dict(each.inputs),
            "request": None if each.request is None else documents.request_document(each.request),
        }
        for each in rehearsed
    ]
    if everywhere.json:
        document = {"automation": chosen.handle, "event": event_document(event), "wanted": wanted, "steps": rows}
        printing.print_document(document)
    else:
        printing.print_text(f"{chosen.handle} {'runs' if wanted else 'does not run'} on this event")
        for each in rehearsed:
            shown = "left out" if each.skipped else each.error
            request = "" if each.request is None else f"\n{printing.http_text(each.request)}"
            printing.print_text(f"\n{each.step}: {each.operation} {shown}{request}")
    errors = [each.error for each in rehearsed if each.error]
    from connector.errors import InputError

    return EXIT_CODES[InputError] if errors else 0


def _choose(found: list[Automation], handle: str) -> Automation:
    from connector.errors import ConfigurationError, did_you_mean

    for each in found:
        if each.handle == handle:
            return each
    hint = did_you_mean(handle, sorted(each.handle for each in found))
    raise ConfigurationError(f"no automation {handle!r}", hint=hint)


def _event(runtime: Runtime, automation: Automation, data: bytes | None) -> Event:
    import dataclasses
    import datetime

    from connector.describe.samples import sample_message
    from connector.errors import ConfigurationError
    from connector.events.mapping import make_event
    from runtime.cli.inputs import read_json
    from runtime.config.connections import ConnectionName

    connector = runtime.catalog.of(automation.connection)
    webhook = next((each for each in connector.webhooks if each.id == automation.trigger), None)
    if webhook is None:
        raise ConfigurationError(f"{connector.handle} has no trigger {automation.trigger!r}")
    message = sample_message(webhook, runtime.catalog.examples(connector.handle))
    now, name = datetime.datetime.now(datetime.UTC), ConnectionName.parse(automation.connection).label
    sample = make_event(webhook, message, id="sample", connection=name, now=now)
    if data is None:
        return sample
    try:
        given = read_json(data.decode("utf-8-sig"))
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise click.BadParameter("expected a JSON object: the event's data", param_hint="--event")
    return dataclasses.replace(sample, data=given)


@automations.command("runs")
@click.argument("automation", metavar="[AUTOMATION]", required=False)
@click.pass_obj
def runs(everywhere: GlobalOptions, automation: str | None) -> None:
    """List the runs of automations, newest first.

    For each: why it failed or waits.
    """
    from urllib.parse import quote

    from runtime.cli import printing

    query = "" if automation is None else f"?automation={quote(automation, safe='')}"
    rows = everywhere.ask("GET", f"/api/automations/runs{query}")
    if everywhere.json:
        printing.print_document(rows)
        return
    columns = ("id", "automation", "event", "state", "step", "reason")
    printing.print_table(columns, [[str(row[name]) for name in columns] for row in rows])
