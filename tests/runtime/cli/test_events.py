"""Commands about events and webhooks, with a running server or without one."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import httpx2
import pytest

from tests.doubles.commands import run_in_thread
from tests.doubles.processes import post, process

pytestmark = pytest.mark.anyio


async def test_commands_print_the_same_with_a_running_server_and_without_one(tmp_path: Path) -> None:
    async def run(*words: str) -> tuple[int, str, str]:
        return await run_in_thread(tmp_path, *words)

    async with process(tmp_path) as (_, url), httpx2.AsyncClient(trust_env=False, timeout=30) as client:
        assert await post(client, url, "m-1") == 202
        code, listed, _ = await run("events", "list", "--json")
        assert (code, [each["subject"] for each in json.loads(listed)]) == (0, ["t"])
        code, made, err = await run("events", "send-test", "demo", "things/gone", "--json")
        assert (code, json.loads(made)["type"]) == (0, "things/gone"), err
        event = json.loads(made)["id"]
        tailing = asyncio.create_subprocess_exec(
            sys.executable, "-m", "runtime", "events", "tail", "--after", "0", cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        tail = await tailing
        assert tail.stdout is not None
        lines = [json.loads(await asyncio.wait_for(tail.stdout.readline(), 30)) for _ in range(2)]
        assert [line["type"] for line in lines] == ["things/made", "things/gone"]
        tail.kill()
        await tail.wait()
        with_server = await run("events", "show", event)
        hooks_with_server = await run("webhooks", "list", "--json")
    assert await run("events", "show", event) == with_server
    assert (await run("webhooks", "list", "--json"))[0] == hooks_with_server[0] == 0
    assert (await run("events", "replay", event, "--json"))[:2] == (0, '{\n  "deliveries": 0\n}\n')
    code, _, err = await run("events", "tail")
    assert (code, "no server runs with this home" in err) == (2, True)
    code, _, err = await run("events", "show", "none")
    assert (code, "no event 'none' in the journal" in err) == (2, True)
