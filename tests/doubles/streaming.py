"""A runtime whose one connector calls a provider that may misbehave."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from runtime.config.settings import Limits, Settings
from runtime.runtime import Runtime
from tests.doubles.faults import FaultServer

N = [{"name": "n", "type": "Integer", "selector": ["n"]}]
SECRET = "canary-of-a-secret"


def definition(**operations: Any) -> dict[str, Any]:
    auth = {"method": "bearer", "params": {"token": "{{token}}"}}
    resource = {"handle": "s", "meta": {"short": "S"}, "endpoint": "/", "fields": N, "operations": operations}
    return {"handle": "demo", "service": {"baseURL": "https://api.example.com", "auth": auth}, "resources": [resource]}


@contextlib.asynccontextmanager
async def runtime_for(
    provider: FaultServer, folder: Path, limits: Limits | None = None, **operations: Any
) -> AsyncIterator[Runtime]:
    (folder / "demo.json").write_text(json.dumps(definition(**operations)), "utf-8")
    settings = Settings(limits=limits or Limits(), base_urls={"demo": provider.origin})
    async with Runtime(folder, settings=settings, secrets={"demo": {"token": SECRET}}) as runtime:
        yield runtime
