"""The commands `connector journal …`, which operators use in addition to `serve`.

What a command needs is imported by the command.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from runtime.cli.group import CommandGroup, GlobalOptions

if TYPE_CHECKING:
    from runtime.journal.journal import Journal


@click.group(cls=CommandGroup)
def journal() -> None:
    """Back up, check and migrate the journal."""


async def _open(everywhere: GlobalOptions, *, read_only: bool) -> Journal:
    from connector.errors import ConfigurationError
    from runtime.journal.journal import Journal

    url = everywhere.settings().journal
    if url is None:  # pragma: no cover - a command always has one
        raise ConfigurationError("no journal is set")
    return await Journal.open(url, read_only=read_only)


@journal.command()
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
@click.pass_obj
def backup(everywhere: GlobalOptions, target: Path) -> None:
    """Write a copy of the journal, even while it is in use.

    For PostgreSQL use pg_dump.
    """
    import asyncio

    from runtime.cli import printing

    async def run() -> int:
        async with await _open(everywhere, read_only=True) as opened:
            return await opened.back_up(target)

    with printing.progress("copying the journal"):
        size = asyncio.run(run())
    everywhere.report({"file": str(target), "bytes": size}, f"{size} bytes written to {target}")


@journal.command()
@click.pass_obj
def check(everywhere: GlobalOptions) -> int:
    """Check the whole journal, even while it is in use.

    Exits 1 if anything is wrong.
    """
    import asyncio

    from runtime.cli import printing

    async def run() -> list[str]:
        async with await _open(everywhere, read_only=True) as opened:
            return await opened.check()

    with printing.progress("reading the journal"):
        problems = asyncio.run(run())
    if everywhere.json:
        printing.print_document({"ok": not problems, "problems": problems})
    for problem in problems:
        printing.say("error", problem)
    if problems:
        printing.say("hint", "stop what uses it, keep this file aside, and restore a backup")
    else:
        printing.say("note", "the journal is sound")
    return int(bool(problems))


@journal.command()
@click.pass_obj
def migrate(everywhere: GlobalOptions) -> None:
    """Create the tables of the journal, or upgrade them.

    `connector serve` does the same when it starts. This does it beforehand, and prints the version.
    """
    import asyncio

    from runtime.cli import printing
    from runtime.cli.remote import is_running
    from runtime.journal.storage.migrations import HEAD

    # A running server has tables of its own version, and no other process may change its file.
    running = is_running(everywhere.settings())

    async def run() -> str | None:
        async with await _open(everywhere, read_only=running) as opened:
            return opened.database.migrated_from

    with printing.progress("bringing the journal to this version"):
        before = asyncio.run(run())
    if everywhere.json:
        printing.print_document({"from": before, "to": HEAD})
    elif before == HEAD:
        printing.say("note", f"the journal's tables are of version {HEAD} already")
    else:
        printing.say("note", f"the journal's tables are of version {HEAD} now ({before or 'none'} before)")
