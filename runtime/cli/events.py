"""Commands that list, follow and replay events, and those about the webhooks that bring them."""

from __future__ import annotations

import sys
from typing import Any

import click

from runtime.cli.group import CommandGroup, GlobalOptions

_connection = click.option("--connection", metavar="CONNECTION", help="Only events of this connection.")
_trigger = click.option("--trigger", metavar="TRIGGER", help="Only events of this trigger.")


@click.group(cls=CommandGroup)
def webhooks() -> None:
    """List webhooks, and subscribe to them at providers."""


@webhooks.command("list")
@click.pass_obj
def list_webhooks(everywhere: GlobalOptions) -> None:
    """List webhooks, their URLs and how they are verified."""
    from runtime.cli import printing

    rows = everywhere.ask("GET", "/api/webhooks")
    if everywhere.json:
        printing.print_document(rows)
        return
    columns = ("connection", "trigger", "verified", "url")
    printing.print_table(columns, [[row[column] for column in columns] for row in rows])


@webhooks.command("subscribe")
@click.argument("connection", metavar="CONNECTION")
@click.argument("trigger", metavar="TRIGGER")
@click.pass_obj
def subscribe(everywhere: GlobalOptions, connection: str, trigger: str) -> None:
    """Subscribe to a webhook at its provider.

    Needs the public URL (CONNECTOR_PUBLIC_URL) and the connection's webhookSecret.
    """
    _register(everywhere, "subscribe", connection, trigger)


@webhooks.command("unsubscribe")
@click.argument("connection", metavar="CONNECTION")
@click.argument("trigger", metavar="TRIGGER")
@click.pass_obj
def unsubscribe(everywhere: GlobalOptions, connection: str, trigger: str) -> None:
    """Unsubscribe from a webhook at its provider."""
    _register(everywhere, "unsubscribe", connection, trigger)


def _register(everywhere: GlobalOptions, verb: str, connection: str, trigger: str) -> None:

    body = {"connection": connection, "trigger": trigger}
    document = everywhere.ask("POST", f"/api/webhooks/{verb}", body)
    everywhere.report(document, f"{connection} {trigger}: {verb}d")


@click.group(cls=CommandGroup)
def events() -> None:
    """List, follow and replay events."""


@events.command("list")
@_connection
@_trigger
@click.option("--after", type=click.IntRange(0), metavar="N", help="Only events after this sequence number.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many at most.")
@click.pass_obj
def list_events(
    everywhere: GlobalOptions, *, connection: str | None, trigger: str | None, after: int | None, limit: int
) -> None:
    """List the newest events, or with --after those that follow."""
    from runtime.cli import printing

    asked = {"connection": connection, "trigger": trigger, "after": after, "limit": limit}
    asked["newest_first"] = None if after is not None else "true"
    found = everywhere.ask("GET", "/api/events" + _query(asked))["events"]
    if everywhere.json:
        printing.print_document(found)
    elif found:
        columns = ("seq", "id", "connection", "type", "subject", "time")
        printing.print_table(columns, [[str(each.get(column) or "") for column in columns] for each in found])
    else:
        printing.say("note", "there are no such events")


@events.command("show")
@click.argument("id", metavar="EVENT")
@click.pass_obj
def show_event(everywhere: GlobalOptions, id: str) -> None:
    """Show one event, its raw message and its deliveries."""
    from runtime.cli import printing

    printing.print_document(everywhere.ask("GET", f"/api/events/{_segment(id)}"))


@events.command("tail")
@_connection
@_trigger
@click.option("--after", type=click.IntRange(0), metavar="N", help="Start after this sequence number instead of now.")
@click.pass_obj
def tail(everywhere: GlobalOptions, *, connection: str | None, trigger: str | None, after: int | None) -> None:
    """Show events as they arrive, one JSON document per line.

    Runs until interrupted. Needs a running server.
    """
    from runtime.cli.remote import follow

    def show(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    asked = {"connection": connection, "trigger": trigger, "after": after}
    follow(everywhere.settings(), "/api/events/stream" + _query(asked), show)


@events.command("replay")
@click.argument("id", metavar="EVENT")
@click.pass_obj
def replay(everywhere: GlobalOptions, id: str) -> None:
    """Deliver an event again to every subscription that received it."""
    document = everywhere.ask("POST", f"/api/events/{_segment(id)}/replay")
    count = document["deliveries"]
    everywhere.report(document, f"{count} {'delivery is' if count == 1 else 'deliveries are'} due again")


@events.command("send-test")
@click.argument("connection", metavar="CONNECTION")
@click.argument("trigger", metavar="TRIGGER")
@click.pass_obj
def send_test(everywhere: GlobalOptions, connection: str, trigger: str) -> None:
    """Create a sample event and deliver it.

    It has the shape of a real one.
    """
    body = {"connection": connection, "trigger": trigger}
    document = everywhere.ask("POST", "/api/events/send-test", body)
    everywhere.report(document, f"{document['id']} is in the journal; see: connector events show {document['id']}")


def _query(asked: dict[str, Any]) -> str:
    import urllib.parse

    given = {name: value for name, value in asked.items() if value is not None}
    return "?" + urllib.parse.urlencode(given) if given else ""


def _segment(text: str) -> str:
    import urllib.parse

    return urllib.parse.quote(text, safe="")
