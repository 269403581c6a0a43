"""The commands that serve until they are interrupted: `connector serve` and `connector mock`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from runtime.cli.group import Command, GlobalOptions, complete_connector

if TYPE_CHECKING:
    from fastapi import FastAPI

DEFAULT_PORT = 8787
ROLES = ("api", "poller", "delivery")


@click.command("serve", cls=Command)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="0 takes a free one."
)
@click.option(
    "--role",
    "roles",
    multiple=True,
    metavar="ROLE[,ROLE]",
    help="What this process does: api, poller, delivery. By default all of them.",
)
@click.option("--no-reload", is_flag=True, help="Ignore edits of definitions, as in production.")
@click.pass_obj
def serve(everywhere: GlobalOptions, *, host: str, port: int, roles: tuple[str, ...], no_reload: bool) -> int:
    """Run the server: webhooks, HTTP API, polls and deliveries.

    An edited definition is used at once if it is valid.
    After SIGTERM it finishes what has begun and exits 0.
    """
    import asyncio

    from runtime.runtime import Runtime
    from runtime.server.app import create_app
    from runtime.server.gate import check_bind
    from runtime.server.serve import new_event_loop

    chosen = [word.strip() for each in roles for word in each.split(",") if word.strip()] or list(ROLES)
    settings = everywhere.settings()
    check_bind(host, settings.admin_token, settings.public_url)
    app = create_app(Runtime(settings=settings), roles=chosen, reload=not no_reload)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        interrupted = runner.run(_serve(everywhere, app, host, port))
    if interrupted:
        raise KeyboardInterrupt
    return 0


async def _serve(everywhere: GlobalOptions, app: FastAPI, host: str, port: int) -> bool:
    from runtime.cli import printing
    from runtime.server.announcement import announced
    from runtime.server.app import put_webhooks_first
    from runtime.server.serve import listen, serve, tune_process

    lifespan = app.state.lifespan
    settings = lifespan.caller.settings
    with listen(host, port) as listener:
        name, taken = listener.getsockname()[:2]
        shown = f"[{name}]" if ":" in name else name
        url = f"http://{shown}:{taken}"

        def on_ready() -> None:
            if everywhere.json:
                printing.print_document({"url": url})
                sys.stdout.flush()
            printing.say("note", f"serving at {url}; the interface is described at {url}/docs; Ctrl-C to stop")

        async with app.router.lifespan_context(app):
            # With all that is loaded by now; what comes from here on is of messages and deliveries.
            tune_process()
            with announced(settings.home, url, lifespan.start_key):
                stopping, whole = lifespan.stopping, put_webhooks_first(app)
                return await serve(whole, listener, limits=settings.limits, stopping=stopping, on_ready=on_ready)


MOCK_PORT = 9000


@click.command(cls=Command)
@click.argument("connectors", nargs=-1, shell_complete=complete_connector, metavar="[CONNECTOR]...")
@click.option("--port", type=click.IntRange(0, 65535), default=MOCK_PORT, show_default=True, help="0 takes a free one.")
@click.pass_obj
def mock(everywhere: GlobalOptions, connectors: tuple[str, ...], port: int) -> None:
    """Serve mock providers until interrupted.

    They are made from definitions and their examples. Without CONNECTOR all are served.
    """
    import asyncio

    from runtime.cli import printing
    from runtime.mock import MockProvider, serve

    catalog = everywhere.catalog()
    found = [catalog.of(name) for name in connectors or catalog.handles()]
    provider = MockProvider(found, {each.handle: catalog.examples(each.handle) for each in found})

    def on_ready(taken: int) -> None:
        urls = {handle: f"http://127.0.0.1:{taken}{path}" for handle, path in provider.paths.items()}
        if everywhere.json:
            printing.print_document(urls)
            sys.stdout.flush()
        for handle, url in urls.items():
            printing.say("note", f"{handle} answers at {url}; use it as --base-url, and Ctrl-C to stop")

    asyncio.run(serve(provider, "127.0.0.1", port, on_ready))
