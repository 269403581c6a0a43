"""The verbs `connector subscriptions` and `connector deliveries`: who gets events, and what became of each.

As in `cli`, what a verb needs is imported by the verb. While `connector serve` has a SQLite journal open, verbs that
change something are refused, and its API does the same; those that look work beside it.
"""

from __future__ import annotations

import datetime
from typing import Any

import click

from runtime.verbs import Everywhere, Verbs

STATES = ("pending", "delivered", "dead")

_id = click.argument("id", metavar="ID")


@click.group(cls=Verbs)
def subscriptions() -> None:
    """Say who gets which events, in signed requests."""


@click.group(cls=Verbs)
def deliveries() -> None:
    """Look at deliveries, and make them again."""


@subscriptions.command("add")
@click.argument("url", metavar="URL")
@click.option("--connection", metavar="CONNECTION", help="Events of this connection only.")
@click.option("--trigger", "triggers", multiple=True, metavar="TRIGGER", help="Of this trigger only. May be repeated.")
@click.option(
    "--where",
    "conditions",
    multiple=True,
    metavar="FIELD=TEXT",
    help="Where a field is this; FIELD:=JSON, a list: one of.",
)
@click.option("--ordered", is_flag=True, help="Later events of one subject wait for earlier ones.")
@click.option("--rate", type=click.IntRange(1), metavar="N", help="At most N deliveries in a second.")
@click.option(
    "--header", "headers", multiple=True, metavar="NAME=VARIABLE", help="A header field, its value from this variable."
)
@click.pass_obj
def add(
    everywhere: Everywhere,
    *,
    url: str,
    connection: str | None,
    triggers: tuple[str, ...],
    conditions: tuple[str, ...],
    ordered: bool,
    rate: int | None,
    headers: tuple[str, ...],
) -> None:
    """Send events to a URL.

    Shows the signing secret, which cannot be shown again.
    """
    import asyncio

    from runtime import documents, printing
    from runtime.subscribers import open_subscribers

    source = {
        "url": url,
        "connection": connection,
        "trigger": list(triggers) or None,
        "where": _read_conditions(conditions),
        "ordered": ordered,
        "rate": rate,
        "headers": _read_headers(headers),
    }

    async def run() -> tuple[Any, str]:
        async with open_subscribers(everywhere.settings()) as (_, subscribers):
            return await subscribers.add(source)

    subscription, secret = asyncio.run(run())
    if everywhere.json:
        printing.print_document({**documents.subscription_document(subscription), "secret": secret})
        return
    printing.print_text(secret)
    printing.say("note", f"{subscription.id} gets its events at {subscription.url}")
    printing.say("note", "the secret above verifies its requests, and is not shown again")


@subscriptions.command("list")
@click.pass_obj
def list_subscriptions(everywhere: Everywhere) -> None:
    """Show who gets which events, and how their endpoints are."""
    import asyncio

    from runtime import documents, printing
    from runtime.subscribers import open_subscribers

    async def run() -> list[Any]:
        async with open_subscribers(everywhere.settings(), read_only=True) as (_, subscribers):
            return await subscribers.list()

    rows = [documents.subscription_document(each) for each in asyncio.run(run())]
    if everywhere.json:
        printing.print_document(rows)
    elif rows:
        columns = ("id", "url", "connection", "trigger", "state")
        cells = [[row["id"], row["url"], row["connection"], ", ".join(row["trigger"]), row["state"]] for row in rows]
        printing.print_table(columns, cells)
    else:
        printing.say("note", "nobody gets events; see: connector subscriptions add --help")


def _change(everywhere: Everywhere, verb: str, id: str) -> Any:
    import asyncio

    from runtime.subscribers import open_subscribers

    async def run() -> Any:
        async with open_subscribers(everywhere.settings()) as (_, subscribers):
            return await getattr(subscribers, verb)(id)

    return asyncio.run(run())


@subscriptions.command("remove")
@_id
@click.pass_obj
def remove(everywhere: Everywhere, id: str) -> None:
    """Send events there no more; what is pending is dead."""
    from runtime import printing

    _change(everywhere, "remove", id)
    if everywhere.json:
        printing.print_document({"id": id, "removed": True})
    else:
        printing.say("note", f"removed: {id}")


@subscriptions.command("rotate")
@_id
@click.pass_obj
def rotate(everywhere: Everywhere, id: str) -> None:
    """Show a new signing secret; the one before signs beside it for a day."""
    from runtime import printing

    secret = _change(everywhere, "rotate", id)
    if everywhere.json:
        printing.print_document({"id": id, "secret": secret})
    else:
        printing.print_text(secret)
        printing.say("note", "the secret before it is used beside it for 24 hours")


@subscriptions.command("enable")
@_id
@click.pass_obj
def enable(everywhere: Everywhere, id: str) -> None:
    """Send events again to an endpoint that was disabled."""
    from runtime import documents, printing

    changed = _change(everywhere, "enable", id)
    if everywhere.json:
        printing.print_document(documents.subscription_document(changed))
    else:
        hint = f"what it missed: connector deliveries retry --subscription {id} --state dead"
        printing.say("note", f"enabled: {id}; {hint}")


@deliveries.command("list")
@click.option("--state", type=click.Choice(STATES), help="Only those that are so.")
@click.option("--subscription", metavar="ID", help="Only those to this subscription.")
@click.option("--event", metavar="ID", help="Only those of this event.")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="So many, the newest first."
)
@click.pass_obj
def list_deliveries(
    everywhere: Everywhere, *, state: Any, subscription: str | None, event: str | None, limit: int
) -> None:
    """Show deliveries, the newest first."""
    import asyncio

    from runtime import documents, printing
    from runtime.subscribers import open_subscribers

    async def run() -> list[Any]:
        async with open_subscribers(everywhere.settings(), read_only=True) as (journal, _):
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
def show(everywhere: Everywhere, id: str) -> None:
    """Show a delivery and its attempts."""
    import asyncio

    from runtime import printing
    from runtime.subscribers import open_subscribers

    async def run() -> dict[str, Any]:
        async with open_subscribers(everywhere.settings(), read_only=True) as (_, subscribers):
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
@click.option("--state", type=click.Choice(STATES), help="All that are so.")
@click.option("--subscription", metavar="ID", help="All to this subscription.")
@click.option("--connection", metavar="CONNECTION", help="All of events of this connection.")
@click.option("--trigger", metavar="TRIGGER", help="All of events of this trigger.")
@click.option("--since", metavar="TIME", help="All of events received from then on (RFC 3339).")
@click.option("--until", metavar="TIME", help="All of events received before then.")
@click.pass_obj
def retry(
    everywhere: Everywhere, /, *, ids: tuple[str, ...], since: str | None, until: str | None, **chosen: Any
) -> None:
    """Make deliveries again: those named, or all that fit.

    They begin anew, with the same id for the subscriber.
    """
    import asyncio

    from runtime import printing
    from runtime.subscribers import open_subscribers

    times = {"since": _read_time("--since", since), "until": _read_time("--until", until)}
    given = {name: value for name, value in {**chosen, **times}.items() if value is not None}
    if bool(ids) == bool(given):
        raise click.UsageError("name deliveries, or say which ones with options")

    async def run() -> int:
        async with open_subscribers(everywhere.settings()) as (journal, subscribers):
            for id in ids:
                await subscribers.retry(id)
            return len(ids) or await journal.redeliver(**given)

    count = asyncio.run(run())
    if everywhere.json:
        printing.print_document({"retried": count})
    else:
        printing.say("note", f"{count} {'delivery is' if count == 1 else 'deliveries are'} due again")


def _read_conditions(words: tuple[str, ...]) -> dict[str, Any]:
    from runtime.inputs import Item

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
