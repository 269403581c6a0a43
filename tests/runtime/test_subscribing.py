"""The verbs of subscriptions and deliveries, and the receiver of the docs: from the command line to a real process."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from connector.messages import Event
from runtime.cli import cli
from runtime.client import Client
from runtime.delivery import LIMITS, Deliverer
from runtime.entries import NewEvent
from runtime.guard import Guard
from runtime.journal import Journal
from runtime.keys import Key, Keys
from runtime.store import Store
from runtime.subscriptions import Endpoints

ROOT = Path(__file__).parents[2]
SUCCEEDED = "batch-jobs/batch_job.succeeded"
URL = "https://example.com/hook"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory whose state is encrypted with a key of its own."""
    for name in [name for name in os.environ if name.startswith("CONNECTOR_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CONNECTOR_KEY", Key.generate().to_text())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, words)


def answer(*words: str) -> Any:
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def append(*names: str) -> None:
    async def keep() -> None:
        async with await Journal.open("sqlite:///.connector/journal.db") as journal:
            for name in names:
                data = {"id": name, "model": "small"}
                event = Event("", "/mistral-ai/default", SUCCEEDED, name, "2026-11-22T12:00:00Z", data)
                await journal.append([NewEvent("mistral-ai", event, name)])

    asyncio.run(keep())


def deliver(guard: Guard) -> None:
    """Hands out what is due, as `connector serve` does, until nothing is."""

    async def work() -> None:
        endpoints = Endpoints(Store(Path(".connector/secrets.json"), Keys(dict(os.environ))))
        async with await Journal.open("sqlite:///.connector/journal.db") as journal, Client(guard, LIMITS) as client:
            deliverer = Deliverer(journal, endpoints, client)
            for each in await journal.deliveries(state="pending"):
                await deliverer.handle(each.id)

    asyncio.run(work())


def test_a_subscription_is_added_listed_rotated_enabled_and_removed(place: Path) -> None:
    added = answer(
        *("subscriptions", "add", f"{URL}?token=canary", "--connection", "mistral-ai", "--trigger", SUCCEEDED),
        *("--where", "model=small", "--where", 'status:=["SUCCESS"]', "--ordered", "--rate", "5"),
    )
    secret, id = added.pop("secret"), added["id"]
    assert secret.startswith("whsec_")
    shown = {name: added[name] for name in ("url", "connection", "trigger", "where", "ordered", "rate", "state")}
    assert shown == {
        "url": f"{URL}?…",
        "connection": "mistral-ai",
        "trigger": [SUCCEEDED],
        "where": {"model": ["small"], "status": ["SUCCESS"]},
        "ordered": True,
        "rate": 5,
        "state": "enabled",
    }
    assert answer("subscriptions", "list") == [added]
    assert answer("subscriptions", "rotate", id)["secret"] not in ("", secret)
    assert answer("subscriptions", "enable", id)["state"] == "enabled"
    assert answer("subscriptions", "remove", id) == {"id": id, "removed": True}
    assert answer("subscriptions", "list") == []
    kept = b"".join(path.read_bytes() for path in (place / ".connector").iterdir())
    assert b"canary" not in kept
    assert secret.encode() not in kept


def test_people_are_told_the_same(place: Path) -> None:
    assert run("subscriptions", "add", URL).stdout.startswith("whsec_")
    listed = run("subscriptions", "list")
    assert URL in listed.stdout
    id = next(word for word in listed.stdout.split() if word.startswith("sub_"))
    append("one")
    assert id in run("subscriptions", "enable", id).stderr
    assert run("subscriptions", "rotate", id).stdout.startswith("whsec_")
    assert "pending" in run("deliveries", "list").stdout
    delivery = answer("deliveries", "list")[0]["id"]
    assert delivery in run("deliveries", "show", delivery).stdout
    assert run("deliveries", "retry", delivery).stderr == "note: 1 delivery is due again\n"
    assert id in run("subscriptions", "remove", id).stderr
    assert "nobody gets events" in run("subscriptions", "list").stderr
    assert "no such delivery" in run("deliveries", "list", "--state", "delivered").stderr


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (["add", URL, "--trigger", "batch-jobs/batch_job.succeded"], 6, f"did you mean '{SUCCEEDED}'?"),
        (["add", URL, "--connection", "mistral"], 6, "did you mean 'mistral-ai'?"),
        (["add", "http://127.0.0.1:9000/"], 7, "CONNECTOR_SUBSCRIBER_ORIGINS"),
        (["add", "https://u:p@example.com/"], 7, "user information"),
        (["add", URL, "--header", "Authorization=NO_SUCH_VARIABLE"], 2, "NAME=VARIABLE"),
        (["add", URL, "--where", "model"], 2, "name=text"),
        (["remove", "sub_none"], 2, "no subscription 'sub_none'"),
        (["rotate", "sub_none"], 2, "no subscription 'sub_none'"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_hint(place: Path, words: list[str], code: int, expected: str) -> None:
    result = run("subscriptions", *words)
    assert (result.exit_code, expected in result.stderr) == (code, True), result.stderr


def test_without_a_key_nothing_is_subscribed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONNECTOR_KEY")
    result = run("subscriptions", "add", URL)
    assert (result.exit_code, "CONNECTOR_KEY" in result.stderr) == (2, True)


def test_deliveries_are_made_again_one_by_one_or_by_what_fits(place: Path) -> None:
    id = answer("subscriptions", "add", URL, "--trigger", SUCCEEDED)["id"]
    append("one", "two", "three")
    dead = answer("deliveries", "list")[0]["id"]
    assert answer("deliveries", "retry", dead) == {"retried": 1}
    assert answer("deliveries", "retry", "--subscription", id) == {"retried": 3}
    assert answer("deliveries", "retry", "--state", "dead") == {"retried": 0}
    assert answer("deliveries", "retry", "--trigger", SUCCEEDED, "--since", "2000-01-01") == {"retried": 3}
    assert answer("deliveries", "retry", "--until", "2000-01-01T00:00:00Z") == {"retried": 0}
    assert run("deliveries", "retry").exit_code == 2
    assert run("deliveries", "retry", dead, "--state", "dead").exit_code == 2
    assert run("deliveries", "retry", "--since", "yesterday").exit_code == 2
    assert run("deliveries", "show", "dlv_none").exit_code == 2


def test_the_receiver_of_the_docs_believes_what_is_signed_and_works_once_on_each_event(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONNECTOR_SUBSCRIBER_ORIGINS", "http://127.0.0.1:9 http://localhost:9")
    environ = {**os.environ, "WEBHOOK_SECRET": "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}
    command = [sys.executable, str(ROOT / "examples" / "receiver.py"), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as receiver:
        try:
            assert receiver.stdout is not None
            origin = f"http://127.0.0.1:{receiver.stdout.readline().strip()}"
            monkeypatch.setenv("CONNECTOR_SUBSCRIBER_ORIGINS", origin)
            id = answer("subscriptions", "add", f"{origin}/hook")["id"]
            append("one")
            deliver(Guard([origin]))
            refused = answer("deliveries", "list")[0]
            assert (refused["state"], refused["reason"]) == ("pending", "answered 401")
            endpoints = Endpoints(Store(Path(".connector/secrets.json"), Keys(dict(os.environ))))
            known = endpoints.find(id)
            endpoints.save(id, type(known)(known.url, ((environ["WEBHOOK_SECRET"], None),)))
            deliver(Guard([origin]))
            assert answer("deliveries", "retry", refused["id"]) == {"retried": 1}
            deliver(Guard([origin]))
            shown = answer("deliveries", "show", refused["id"])
            assert ([each["status"] for each in shown["history"]], shown["state"]) == ([401, 204, 204], "delivered")
        finally:
            receiver.terminate()
        data = json.dumps({"id": "one", "model": "small"})
        assert receiver.stdout.read() == f"{SUCCEEDED} one {data}\n"
