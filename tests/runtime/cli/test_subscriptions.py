"""The verbs of subscriptions and deliveries, and the receiver of the docs: from the command line to a real process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from connector.errors import RequestRefused
from connector.messages import Event
from runtime.cli.remote import ask
from runtime.cli.root import cli
from runtime.config.keys import Key, Keys
from runtime.config.settings import load_settings
from runtime.config.store import Store
from runtime.events.deliverer import LIMITS, Deliverer
from runtime.events.subscriptions import Endpoints
from runtime.http.client import Client
from runtime.http.guard import Guard
from runtime.journal.entries import NewEvent
from runtime.journal.journal import Journal
from tests.doubles.journals import SUCCEEDED

ROOT = Path(__file__).parents[3]
URL = "https://example.com/hook"


@pytest.fixture(autouse=True)
def _folder_of_its_own() -> None:
    """The fixtures of this module make the folder, which a server shares with several tests."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory whose state is encrypted with a key of its own."""
    return enter(tmp_path, monkeypatch)


def enter(home: Path, patch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("CONNECTOR_")]:
        patch.delenv(name)
    patch.setenv("CONNECTOR_KEY", Key.generate().to_text())
    patch.chdir(home)
    return home


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
                event = Event(
                    id="",
                    source="/mistral-ai/default",
                    type=SUCCEEDED,
                    subject=name,
                    time="2026-11-22T12:00:00Z",
                    data=data,
                )
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


def test_a_subscription_is_added_listed_rotated_enabled_and_removed(serving_place: Path) -> None:
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
    kept = b"".join(path.read_bytes() for path in (serving_place / ".connector").iterdir() if path.is_file())
    assert b"canary" not in kept
    assert secret.encode() not in kept


@pytest.fixture(scope="module")
def serving_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working directory with a server that has its journal open, for tests that leave no subscription behind."""
    with pytest.MonkeyPatch.context() as patch:
        home = enter(tmp_path_factory.mktemp("serving"), patch)
        with serving("api"):
            yield home


@contextlib.contextmanager
def serving(*roles: str) -> Iterator[None]:
    """A real `connector serve` in the working directory."""
    words = [sys.executable, "-m", "runtime", "serve", "--port", "0", "--json", "--role", ",".join(roles)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline()
            yield
        finally:
            server.terminate()


#: Changing verbs and what they are followed by; `$` is the id of the subscription, `@` that of the delivery.
STEPS = (
    (0, "subscriptions add https://example.com/hook?token=canary --trigger batch-jobs/batch_job.succeeded --json"),
    (0, "events send-test mistral-ai batch-jobs/batch_job.succeeded"),
    (0, "deliveries list"),
    (0, "deliveries retry @"),
    (0, "deliveries retry --subscription $ --since 2000-01-01 --json"),
    (2, "deliveries retry @ dlv_none --json"),
    (0, "deliveries list --state pending --json"),
    (0, "subscriptions rotate $"),
    (7, "subscriptions add http://127.0.0.1:9000/"),
    (0, "subscriptions remove $"),
    (2, "subscriptions remove $"),
    (0, "subscriptions list"),
    (0, "journal migrate"),
)


def told() -> list[tuple[int, str, str]]:
    """What each step says: its exit code, stdout and stderr, without what differs each time."""
    answers, known = [], {"$": "", "@": ""}
    for _, step in STEPS:
        result = run(*(known.get(word, word) for word in step.split()))
        for sign, prefix in (("$", "sub"), ("@", "dlv")):
            known[sign] = next(iter(re.findall(rf"{prefix}_[0-9a-f]+", result.stdout + result.stderr)), known[sign])
        varying = r"(?:sub|dlv|evt)_[0-9a-f]{8,}|whsec_[\w+/=]+|\d{4}-\d\d-[\dT:.]+Z"
        answers.append((result.exit_code, *(re.sub(varying, "~", text) for text in (result.stdout, result.stderr))))
    return answers


def test_commands_behave_the_same_whether_a_server_runs_or_not(
    place: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("journal", "migrate")
    alone = told()
    assert [code for code, _ in STEPS] == [code for code, _, _ in alone]
    enter(tmp_path_factory.mktemp("beside"), monkeypatch)
    with serving("api"):
        beside = told()
    assert alone == beside


def test_notes_name_the_next_command(serving_place: Path) -> None:
    assert run("subscriptions", "add", URL).stdout.startswith("whsec_")
    listed = run("subscriptions", "list")
    assert URL in listed.stdout
    id = next(word for word in listed.stdout.split() if word.startswith("sub_"))
    run("events", "send-test", "mistral-ai", SUCCEEDED)
    assert id in run("subscriptions", "enable", id).stderr
    assert run("subscriptions", "rotate", id).stdout.startswith("whsec_")
    assert "pending" in run("deliveries", "list").stdout
    delivery = answer("deliveries", "list")[0]["id"]
    assert delivery in run("deliveries", "show", delivery).stdout
    assert run("deliveries", "retry", delivery).stderr == "note: 1 delivery is due again\n"
    assert id in run("subscriptions", "remove", id).stderr
    assert "No subscriptions yet" in run("subscriptions", "list").stderr
    assert "no such delivery" in run("deliveries", "list", "--state", "delivered").stderr


def test_a_server_without_the_interface_names_the_one_that_has_it(place: Path) -> None:
    with serving("delivery"):
        result = run("subscriptions", "add", URL)
        assert (result.exit_code, "the role api" in result.stderr) == (2, True)


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
def test_invalid_options_are_refused_with_a_hint(
    serving_place: Path, words: list[str], code: int, expected: str
) -> None:
    result = run("subscriptions", *words)
    assert (result.exit_code, expected in result.stderr) == (code, True), result.stderr


def test_without_a_key_nothing_is_subscribed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONNECTOR_KEY")
    result = run("subscriptions", "add", URL)
    assert (result.exit_code, "CONNECTOR_KEY" in result.stderr) == (2, True)


def test_deliveries_are_retried_by_id_or_by_options(serving_place: Path) -> None:
    trigger = "batch-jobs/batch_job.failed"
    id = answer("subscriptions", "add", URL, "--trigger", trigger)["id"]
    for _ in range(3):
        run("events", "send-test", "mistral-ai", trigger)
    dead = answer("deliveries", "list")[0]["id"]
    assert answer("deliveries", "retry", dead) == {"retried": 1}
    assert answer("deliveries", "retry", "--subscription", id) == {"retried": 3}
    assert answer("deliveries", "retry", "--subscription", id, "--state", "dead") == {"retried": 0}
    assert answer("deliveries", "retry", "--trigger", trigger, "--since", "2000-01-01") == {"retried": 3}
    assert answer("deliveries", "retry", "--until", "2000-01-01T00:00:00Z") == {"retried": 0}
    assert run("deliveries", "retry").exit_code == 2
    assert run("deliveries", "retry", dead, "--state", "dead").exit_code == 2
    assert run("deliveries", "retry", "--since", "yesterday").exit_code == 2
    assert run("deliveries", "show", "dlv_none").exit_code == 2
    run("subscriptions", "remove", id)


@pytest.mark.parametrize("body", [{}, {"ids": []}, {"stat": "dead"}, {"ids": ["dlv_1"], "state": "dead"}])
def test_a_retry_without_a_selection_is_refused(serving_place: Path, body: Any) -> None:
    with pytest.raises(RequestRefused) as refused:
        ask(load_settings(os.environ, serving_place), "POST", "/api/deliveries/retry", body)
    assert refused.value.status == 422


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
