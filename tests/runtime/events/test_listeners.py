"""Functions of this process and streams of the API that get events as they come."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest

from connector.errors import InputError
from connector.messages import Event
from runtime.events.listeners import Listeners
from runtime.events.subscriptions import RETRY_TABLE
from runtime.journal.entries import EXHAUSTED, Filter
from runtime.journal.journal import Journal
from runtime.runtime import Runtime
from tests.doubles.jobs import FAILED, new
from tests.doubles.journals import SUCCEEDED

pytestmark = pytest.mark.anyio


class Calls:
    """A function that gets events, and fails as often as it is told."""

    def __init__(self, failures: int = 0) -> None:
        self.names: list[Any] = []
        self.failures = failures

    async def __call__(self, event: Event) -> None:
        self.names.append(event.data.get("name"))
        if self.failures > 0 and event.data.get("name") == "bad":
            self.failures -= 1
            raise RuntimeError("no")


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_function_gets_the_events_of_its_connection_and_trigger_in_order(tmp_path: Path) -> None:
    got: list[str] = []
    async with Runtime(journal=f"sqlite:///{tmp_path}/journal.db", environ={}) as rt:
        assert rt.journal is not None
        await rt.journal.append([new("before")])

        @rt.on("mistral-ai", SUCCEEDED)
        async def done(event: Event) -> None:
            got.append(event.data["name"])

        await rt.journal.append(
            [new("one"), new("other", FAILED), new("elsewhere", connection="mistral-ai:b"), new("two")]
        )
        await until(lambda: len(got) == 2)
    assert got == ["one", "two"]
    assert rt.journal is None


async def test_a_restart_goes_on_where_it_was(tmp_path: Path) -> None:
    calls = Calls()
    for start in range(2):
        async with await Journal.open(f"sqlite:///{tmp_path}/journal.db") as journal:
            listeners = Listeners()
            listeners.add(Filter(), calls, "calls")
            listeners.start(journal)
            async with asyncio.timeout(10):
                while await journal.checkpoint("listener calls") is None:
                    await asyncio.sleep(0.005)
            await journal.append([new(f"running {start}")])
            await until(lambda start=start: f"running {start}" in calls.names)
            await asyncio.sleep(0.05)
            await listeners.stop()
            await journal.append([new(f"stopped {start}")])
    assert calls.names == ["running 0", "stopped 0", "running 1"]


async def test_a_function_that_fails_is_called_again_as_the_table_says_beside_what_follows(caplog: Any) -> None:
    now = 1_800_000_000.0
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        nonlocal now
        # As long as it may take, what follows does not wait for it.
        await until(lambda: "good" in calls.names)
        waits.append(seconds)
        now += seconds

    calls, told = Calls(failures=100), Calls()
    async with await Journal.open("sqlite://", clock=lambda: now) as journal:
        listeners = Listeners(sleep=sleep, chance=lambda: 0.0)
        listeners.add(Filter(), calls, "calls")
        listeners.add(Filter(triggers=(EXHAUSTED,)), told, "told")
        listeners.start(journal)
        async with asyncio.timeout(10):
            while None in [await journal.checkpoint(f"listener {name}") for name in ("calls", "told")]:
                await asyncio.sleep(0.005)
        await journal.append([new("bad"), new("good")])
        await until(lambda: len(told.names) == 1)
        await listeners.stop()
        (dead,) = await journal.events(trigger=EXHAUSTED)
    assert calls.names.count("bad") == 10
    assert calls.names[:2] == ["bad", "good"]
    assert waits[:9] == list(RETRY_TABLE[1:])
    assert (dead.event.data["listener"], dead.event.data["attempts"]) == ("calls", 10)
    assert "the function calls failed at event evt_" in caplog.text


async def test_what_has_to_be_tried_again_is_known_after_a_restart(tmp_path: Path) -> None:
    calls = Calls(failures=1)
    url = f"sqlite:///{tmp_path}/journal.db"
    now = 1_800_000_000.0
    async with await Journal.open(url, clock=lambda: now) as journal:
        listeners = Listeners()
        listeners.add(Filter(), calls, "calls")
        listeners.start(journal)
        async with asyncio.timeout(10):
            while await journal.checkpoint("listener calls") is None:
                await asyncio.sleep(0.005)
        await journal.append([new("bad")])
        async with asyncio.timeout(10):
            while not (await journal.checkpoint("listener calls")).state["again"]:  # type: ignore[union-attr]
                await asyncio.sleep(0.005)
        await listeners.stop()
    now += 60
    async with await Journal.open(url, clock=lambda: now) as journal:
        listeners.start(journal)
        await until(lambda: calls.names == ["bad", "bad"])
        async with asyncio.timeout(10):
            while (await journal.checkpoint("listener calls")).state["again"]:  # type: ignore[union-attr]
                await asyncio.sleep(0.005)
        await listeners.stop()


async def test_without_a_journal_a_function_is_called_with_the_events_of_own_calls() -> None:
    got: list[Event] = []
    answer = {"id": "file-1", "object": "file", "bytes": 3, "created_at": 1, "filename": "a.txt", "purpose": "batch"}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json={**answer, "deleted": True}))
    async with Runtime(secrets={"mistral-ai": {"apiToken": "k"}}, transport=transport, environ={}) as rt:

        @rt.on("mistral-ai", "files/file.deleted")
        async def gone(event: Event) -> None:
            got.append(event)
            raise RuntimeError

        await rt.call("mistral-ai", "files.delete", {"fileId": "file-1"})
    assert [(each.type, each.id.startswith("evt_")) for each in got] == [("files/file.deleted", True)]


async def test_a_function_is_refused_where_its_events_would_never_come() -> None:
    rt = Runtime(environ={})
    with pytest.raises(InputError, match="no trigger"):
        rt.on("mistral-ai", "files/file.eaten")
    with pytest.raises(InputError, match="no connector"):
        rt.on("mistral", "*")
    rt.on(name="mine")(Calls())  # type: ignore[type-var]  # any asynchronous callable
    with pytest.raises(ValueError, match="mine"):
        rt.on(name="mine")(Calls())  # type: ignore[type-var]  # the same
