"""Our own application on a real socket, for tests: a runtime with a home of its own, served until the block ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import fastapi
import httpx2

from connector.events.signatures import sign
from runtime.config.settings import Settings, load_settings
from runtime.journal.journal import Journal
from runtime.runtime import Runtime
from runtime.server.app import Lifespan, create_app, put_webhooks_first
from runtime.server.serve import listen, serve

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TOKEN = "an-admin-token-of-some-length"
PATH = "/webhooks/demo/made"
CANARY = "canary-7d1f0c55"
KEY = "bm9uc2Vuc2Utbm9uc2Vuc2Utbm9uc2Vuc2Utbm9uc2U="
#: Two triggers of a connector that signs nothing in its definition, and those of others that do.
DEMO = {
    "handle": "demo",
    "service": {
        "baseURL": "https://demo.example/v1",
        "auth": {"method": "bearer", "params": {"token": "{{apiToken}}"}},
    },
    "resources": [
        {
            "handle": "things",
            "endpoint": "/things",
            "fields": [{"name": "id", "type": "String"}],
            "operations": {"read": {"method": "GET", "path": "/{{thingId}}"}, "list": {"method": "GET"}},
            "webhooks": [
                {
                    "event": "made", "path": PATH,
                    "payload": [{"name": "id", "type": "String"}, {"name": "size", "type": "Integer"}],
                },
                {"event": "gone", "path": "/webhooks/demo/gone", "payload": [{"name": "id", "type": "String"}]},
            ],
        }
    ],
}  # fmt: skip


@dataclass(slots=True)
class Served:
    """A running server: where it is, what it acts on, and a client that speaks to it."""

    url: str
    port: int
    lifespan: Lifespan
    client: httpx2.AsyncClient

    @property
    def journal(self) -> Journal:
        return self.lifespan.services().journal

    async def send(
        self, document: Any = None, *, id: str = "m-1", path: str = PATH, secret: str = SECRET, **more: Any
    ) -> httpx2.Response:
        """Posts a message signed as Standard Webhooks has it."""
        body = document if isinstance(document, bytes) else json.dumps(document or {"id": "t-1"}).encode()
        headers = sign([secret], id, int(more.pop("at", time.time())), body)
        headers |= {"content-type": "application/json", **more.pop("headers", {})}
        return await self.client.post(self.url + path, content=body, headers=headers, **more)


def settings_in(home: Path, *definitions: Mapping[str, Any], **environment: str) -> Settings:
    """The settings of a process that works in a folder and knows these definitions beside the shipped ones."""
    folder = home / "definitions"
    folder.mkdir(exist_ok=True, parents=True)
    for each in definitions or (DEMO,):
        (folder / f"{each['handle']}.json").write_text(json.dumps(each), "utf-8")
    secret = {"CONNECTOR_SECRET__DEMO__WEBHOOKSECRET": SECRET}
    return load_settings(secret | environment, home, definitions=[folder])


@contextlib.asynccontextmanager
async def served(
    settings: Settings,
    *,
    limits: Mapping[str, float] | None = None,
    fast: bool = True,
    port: int = 0,
    **more: Any,
) -> AsyncIterator[Served]:
    """Serves an application with these settings, some of its limits replaced; over httptools if it is to be fast."""
    settings = replace(settings, limits=replace(settings.limits, **(limits or {})))
    app = create_app(Runtime(settings=settings, **more))
    lifespan: Lifespan = app.state.lifespan
    ready = asyncio.Event()
    with listen("127.0.0.1", port) as listener:
        port = listener.getsockname()[1]
        async with app.router.lifespan_context(app), httpx2.AsyncClient(trust_env=False, timeout=30) as client:
            whole, limited, stopping = put_webhooks_first(app), settings.limits, lifespan.stopping
            serving = serve(whole, listener, limits=limited, stopping=stopping, on_ready=ready.set, fast=fast)
            running = asyncio.create_task(serving)
            await ready.wait()
            try:
                yield Served(f"http://127.0.0.1:{port}", port, lifespan, client)
            finally:
                await client.aclose()
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)


def routes(app: fastapi.FastAPI) -> list[tuple[str, str]]:
    """Each method and path of the interface, names filled in."""
    paths = app.openapi()["paths"]
    filled = [
        (method.upper(), re.sub(r"\{(\w+)\}", "none", path)) for path, methods in paths.items() for method in methods
    ]
    return [pair for pair in filled if pair[1] not in ("/healthz", "/readyz")]


def is_problem(answer: httpx2.Response) -> bool:
    """True for an answer that is a whole problem document."""
    document = answer.json()
    return answer.headers["content-type"] == "application/problem+json" and {
        "type", "title", "status", "detail", "code", "hint",
    } <= document.keys() and document["status"] == answer.status_code  # fmt: skip
