"""The whole way of one event: a batch job is created, ends, and what follows from it happens by itself.

Four processes: the provider (`connector mock`), the subscriber (`examples/receiver.py`), the command line that adds it,
and this one, which plays the part of `connector serve`.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from runtime.config.keys import Key
from runtime.config.settings import load_settings
from runtime.config.store import open_store
from runtime.events.automations import Automations, read_automations
from runtime.events.deliverer import LIMITS, Deliverer
from runtime.events.poller import Poller
from runtime.events.subscribers import subscriber_guard
from runtime.events.subscriptions import Endpoints
from runtime.http.client import Client
from runtime.runtime import Runtime

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]
CREATED, SUCCEEDED = "batch-jobs/batch_job.created", "batch-jobs/batch_job.succeeded"
ANSWERS = '{"custom_id": "1", "response": {"status_code": 200}}\n'


def write_provider(folder: Path) -> dict[str, Any]:
    """Mistral as shipped, but that its one batch job is running at first and has ended when it is asked again."""
    shutil.copytree(ROOT / "definitions" / "mistral-ai", folder)
    examples = folder / "examples"
    job: dict[str, Any] = json.loads((examples / "batch-jobs.create.json").read_text("utf-8"))["body"]
    running = {**job, "status": "RUNNING"}
    ended = {
        **job,
        "status": "SUCCESS",
        "output_file": "3581ad0d-cb5a-43a0-b3c0-c1fd4b330302",
        "completed_requests": 500,
    }
    lists = [{"status": 200, "body": {"object": "list", "total": 1, "data": [each]}} for each in (running, ended)]
    (examples / "batch-jobs.list.json").write_text(json.dumps(lists), "utf-8")
    download = {"headers": {"Content-Type": "application/octet-stream"}, "body": ANSWERS}
    (examples / "files.download.json").write_text(json.dumps(download), "utf-8")
    return ended


@contextmanager
def process(*words: str, **environ: str) -> Iterator[subprocess.Popen[str]]:
    """A process that runs until the block is left."""
    with subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ | environ
    ) as started:
        try:
            yield started
        finally:
            started.terminate()


def line_of(started: subprocess.Popen[str]) -> str:
    assert started.stdout is not None
    return started.stdout.readline()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


async def test_a_batch_job_that_ends_is_told_to_a_subscriber_and_its_answers_are_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("CONNECTOR_")]:
        monkeypatch.delenv(name)
    port, mistral = free_port(), free_port()
    hook = f"http://127.0.0.1:{port}/hook"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONNECTOR_KEY", Key.generate().to_text())
    monkeypatch.setenv("CONNECTOR_SECRET__MISTRAL_AI__APITOKEN", "not-a-real-key")
    monkeypatch.setenv("CONNECTOR_BASE_URL__MISTRAL_AI", f"http://127.0.0.1:{mistral}/v1")
    monkeypatch.setenv("CONNECTOR_SUBSCRIBER_ORIGINS", f"http://127.0.0.1:{port}")
    job = write_provider(tmp_path / "provider" / "mistral-ai")
    shutil.copytree(ROOT / "examples" / "automations", tmp_path / "automations")

    with ExitStack() as stack:
        # The provider: it answers as Mistral does.
        provider = stack.enter_context(
            process(
                "-m", "runtime", "mock", "--definitions", "provider", "--port", str(mistral), "--json", "mistral-ai"
            )
        )
        assert line_of(provider).startswith("{")

        # The subscriber: an operator subscribes it, and gives it the secret.
        added = await asyncio.to_thread(
            subprocess.run,
            [
                sys.executable,
                "-m",
                "runtime",
                "subscriptions",
                "add",
                hook,
                "--trigger",
                SUCCEEDED,
                "--ordered",
                "--json",
            ],
            capture_output=True,
            check=True,
        )
        secret = json.loads(added.stdout)["secret"]
        receiver = str(ROOT / "examples" / "receiver.py")
        subscriber = stack.enter_context(process(receiver, str(port), WEBHOOK_SECRET=secret))
        assert line_of(subscriber) == f"{port}\n"

        # The runtime, with all that `connector serve` runs.
        settings = load_settings()
        async with (
            Runtime(settings=settings, journal=settings.journal) as rt,
            Client(subscriber_guard(settings), LIMITS) as client,
        ):
            journal = rt.journal
            assert journal is not None
            known, _ = read_automations(settings.automations)
            automations = Automations(known, rt, journal, tmp_path / "files")
            journal.planners.append(automations.plan)
            deliverer = Deliverer(journal, Endpoints(open_store(settings.store, settings.environment)), client)
            poller = Poller(rt, journal)
            handlers = {"delivery": deliverer.handle, "run": automations.handle}
            working = asyncio.create_task(journal.dispatcher.run(handlers))  # type: ignore[arg-type]  # its keys are kinds

            # A job is created. Mistral tells nobody; our own call does.
            inputs = {"endpoint": job["endpoint"], "inputFileId": job["input_files"][0], "model": job["model"]}
            created = await rt.call("mistral-ai", "batch-jobs.create", inputs)
            assert created.fields is not None
            assert created.fields["id"] == job["id"]

            # It is polled while it runs, and again when it has ended; the dispatcher would, every minute.
            for _ in range(3):
                await poller.handle("mistral-ai batch-jobs.list")
            assert [each.event.type for each in await journal.events()] == [CREATED, SUCCEEDED]

            # The subscriber was told once, in a request that it could verify.
            word = await asyncio.wait_for(asyncio.to_thread(line_of, subscriber), 30)
            trigger, subject, data = word.split(" ", 2)
            assert (trigger, subject, json.loads(data)["output_file"]) == (SUCCEEDED, job["id"], job["output_file"])

            # And the automation has fetched what the job answered.
            async with asyncio.timeout(30):
                while [each.state for each in await journal.runs()] != ["done"]:
                    await asyncio.sleep(0.02)
            (delivery,) = await journal.deliveries()
            assert (delivery.state, delivery.attempts) == ("delivered", 1)
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    (fetched,) = (tmp_path / "files").iterdir()
    assert (fetched.name, fetched.read_text("utf-8")) == (f"{job['id']}.jsonl", ANSWERS)
