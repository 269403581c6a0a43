"""The commands `connector subscriptions` and `connector deliveries`: who receives events, and with what outcome.

Commands that change something use the HTTP interface (`remote`), so they behave the same whether a server runs or not;
those that only read open the journal next to the process that uses it. What a command needs is imported by the command.
"""

from __future__ import annotations

import datetime
from typing import Any

import click

from runtime.cli.group import CommandGroup, GlobalOptions

STATES = ("pending", "delivered", "dead")

_id = click.argument("id", metavar="ID")


@click.group(cls=CommandGroup)
def subscriptions() -> None:
    """Manage event subscriptions."""


@click.group(cls=CommandGroup)
def deliveries() -> None:
    """List and retry deliveries."""


@subscriptions.command("add")
@click.argument("url", metavar="URL")
@click.option("--connection", metavar="CONNECTION", help="Events of this connection only.")
@click.option(
    "--trigger", "triggers", multiple=True, metavar="TRIGGER", help="Events of this trigger only. Repeatable."
)
@click.option(
    "--where",
    "conditions",
    multiple=True,
    metavar="FIELD=TEXT",
    help="Where the field has this value; FIELD:=JSON with a list: any of.",
)
@click.option("--ordered", is_flag=True, help="Later events of one subject wait for earlier ones.")
@click.option("--rate", type=click.IntRange(1), metavar="N", help="At most N deliveries per second.")
@click.option(
    "--header",
    "headers",
    multiple=True,
    metavar="NAME=VARIABLE",
    help="A header field, with the value of this variable.",
)
@click.pass_obj
def add(
    everywhere: GlobalOptions,
    *,
    url: str,
    connection: str | None,
    triggers: tuple[str, ...],
    conditions: tuple[str, ...],
    ordered: bool,
    rate: int | None,
    headers: tuple[str, ...],
) -> None:
    """Send events to a URL, in signed requests.

    Prints the signing secret, which cannot be shown again.
    """
    from runtime.cli import printing

    source = {
        "url": url,
        "connection": connection,
        "trigger": list(triggers) or None,
        "where": _read_conditions(conditions),
        "ordered": ordered,
        "rate": rate,
        "headers": _read_headers(headers),
    }
    added = everywhere.ask("POST", "/api/subscriptions", source)
    if everywhere.json:
        printing.print_document(added)
        return
    printing.print_text(added["secret"])
    printing.say("note", f"{added['id']} receives its events at {added['url']}")
    printing.say("note", "the secret above verifies its requests, and is not shown again")


@subscriptions.command("list")
@click.pass_obj
def list_subscriptions(everywhere: GlobalOptions) -> None:
    """List subscriptions and the state of their endpoints."""
    import asyncio

    from runtime import documents
    from runtime.cli import printing
    from runtime.events.subscribers import look_at_subscribers

    async def run() -> list[Any]:
        async with look_at_subscribers(everywhere.settings()) as (_, subscribers):
            return await subscribers.list()

    rows = [documents.subscription_document(each) for each in asyncio.run(run())]
    if everywhere.json:
        printing.print_document(rows)
    elif rows:
        columns = ("id", "url", "connection", "trigger", "state")
        cells = [[row["id"], row["url"], row["connection"], ", ".join(row["trigger"]), row["state"]] for row in rows]
        printing.print_table(columns, cells)
    else:
        printing.say("note", "No subscriptions yet. Add one with: connector subscriptions add URL")


def _change(everywhere: GlobalOptions, method: str, id: str, verb: str = "") -> Any:
    from urllib.parse import quote

    return everywhere.ask(method, f"/api/subscriptions/{quote(id, safe='')}{verb}")


@subscriptions.command("remove")
@_id
@click.pass_obj
def remove(everywhere: GlobalOptions, id: str) -> None:
    """Remove a subscription; its pending deliveries are dead."""
    removed = _change(everywhere, "DELETE", id)
    everywhere.report(removed, f"removed: {id}")


@subscriptions.command("rotate")
@_id
@click.pass_obj
def rotate(everywhere: GlobalOptions, id: str) -> None:
    """Create a new signing secret.

    The previous secret still signs, in addition to the new one, for a day.
    """
    from runtime.cli import printing

    rotated = _change(everywhere, "POST", id, "/rotate")
    if everywhere.json:
        printing.print_document(rotated)
    else:
        printing.print_text(rotated["secret"])
        printing.say("note", "the previous secret stays valid next to it for 24 hours")


@subscriptions.command("enable")
@_id
@click.pass_obj
def enable(everywhere: GlobalOptions, id: str) -> None:
    """Enable an endpoint that was disabled."""
    changed = _change(everywhere, "POST", id, "/enable")
    hint = f"what it missed: connector deliveries retry --subscription {id} --state dead"
    everywhere.report(changed, f"enabled: {id}; {hint}")


@deliveries.command("list")
@click.option("--state", type=click.Choice(STATES), help="Only deliveries in this state.")
@click.option("--subscription", metavar="ID", help="Only deliveries to this subscription.")
@click.option("--event", metavar="ID", help="Only deliveries of this event.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many at most.")
@click.pass_obj
def list_deliveries(
    everywhere: GlobalOptions, *, state: Any, subscription: str | None, event: str | None, limit: int
) -> None:
    """List deliveries, newest first."""
    import asyncio

    from runtime import documents
    from runtime.cli import printing
    from runtime.events.subscribers import look_at_subscribers

    async def run() -> list[Any]:
        async with look_at_subscribers(everywhere.settings()) as (journal, _):
            return await journal.deliveries(
                state=state, subscription=subscription, event=event, limit=limit, newest_first=True
            )

    rows = [documents.delivery_document(each) for each in asyncio.run(run())]
    if everywhere.json:
        printing.print_document(rows)
    elif rows:
        columns = ("id", "event", "state", "attempts", "due", "reason")
        printing.print_table(columns, [[str(row[column] or "") for column in columns] for row in rows])
    else:
        printing.say("note", "there is no such delivery")


@deliveries.command("show")
@_id
@click.pass_obj
def show(everywhere: GlobalOptions, id: str) -> None:
    """Show a delivery and its attempts."""
    import asyncio

    from runtime.cli import printing
    from runtime.events.subscribers import look_at_subscribers

    async def run() -> dict[str, Any]:
        async with look_at_subscribers(everywhere.settings()) as (_, subscribers):
            return await subscribers.delivery(id)

    document = asyncio.run(run())
    if everywhere.json:
        printing.print_document(document)
        return
    attempts = document.pop("history")
    printing.print_table(("", ""), [[name, str(value or "")] for name, value in document.items()])
    columns = ("at", "seconds", "status", "error")
    if attempts:
        printing.print_table(columns, [[str(each[column] or "") for column in columns] for each in attempts])


@deliveries.command("retry")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--state", type=click.Choice(STATES), help="All in this state.")
@click.option("--subscription", metavar="ID", help="All to this subscription.")
@click.option("--connection", metavar="CONNECTION", help="All of events of this connection.")
@click.option("--trigger", metavar="TRIGGER", help="All of events of this trigger.")
@click.option("--since", metavar="TIME", help="All of events received from this time on (RFC 3339).")
@click.option("--until", metavar="TIME", help="All of events received before this time.")
@click.pass_obj
def retry(
    everywhere: GlobalOptions, /, *, ids: tuple[str, ...], since: str | None, until: str | None, **chosen: Any
) -> None:
    """Retry deliveries: those named, or all that match.

    They start over, with the same id for the subscriber.
    """
    times = {"since": _read_time("--since", since), "until": _read_time("--until", until)}
    given = {name: value for name, value in {**chosen, **times}.items() if value is not None}
    if bool(ids) == bool(given):
        raise click.UsageError("name deliveries, or select them with options")
    document = everywhere.ask("POST", "/api/deliveries/retry", {"ids": ids, **given})
    count = document["retried"]
    everywhere.report(document, f"{count} {'delivery is' if count == 1 else 'deliveries are'} due again")


def _read_conditions(words: tuple[str, ...]) -> dict[str, Any]:
    from runtime.cli.inputs import Item

    conditions = {}
    for word in words:
        try:
            item = Item.from_text(word)
            conditions[item.name] = item.read(None)
        except ValueError as error:
            raise click.BadParameter(f"{word!r}: {error}", param_hint="--where") from None
    return conditions


def _read_headers(words: tuple[str, ...]) -> dict[str, str]:
    import os

    headers = {}
    for word in words:
        name, sign, variable = word.partition("=")
        if not sign or variable not in os.environ:
            raise click.BadParameter(
                f"{name}: expected NAME=VARIABLE, the variable of the environment that holds the value",
                param_hint="--header",
            )
        headers[name] = os.environ[variable]
    return headers


def _read_time(option: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter("expected a time as in 2026-11-22T12:00:00Z", param_hint=option) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
