"""The verbs `connector triggers` and `connector automations` from outside."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from runtime.cli.root import cli
from runtime.config.keys import Key

CANARY = "c4nary-of-an-automation"
TOKEN = {"CONNECTOR_SECRET__MISTRAL_AI__APITOKEN": CANARY}
EXAMPLES = Path(__file__).parents[3] / "examples" / "automations"


@pytest.fixture(autouse=True)
def _automations(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES, tmp_path / "automations")


def run(*words: str, stdin: str = "", env: Mapping[str, str] = TOKEN) -> Result:
    result = CliRunner(env=dict(env)).invoke(cli, words, input=stdin)
    assert CANARY not in result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    return result


def run_json(*words: str, stdin: str = "", env: Mapping[str, str] = TOKEN) -> Any:
    result = run(*words, "--json", stdin=stdin, env=env)
    assert (result.exit_code, result.stderr) == (0, "")
    return json.loads(result.stdout)


def test_an_automation_is_tried_on_a_sample_of_its_trigger_and_nothing_is_sent() -> None:
    shown = run_json("automations", "test", "fetch-batch-results")
    assert shown["wanted"] is True
    assert shown["event"]["type"] == "batch-jobs/batch_job.succeeded"
    assert shown["event"]["data"]["status"] == "SUCCESS"
    step, download = shown["steps"]
    assert download["request"]["url"].endswith("/content")
    assert step["inputs"] == {"fileId": shown["event"]["data"]["output_file"]}
    assert step["request"]["url"] == f"https://api.mistral.ai/v1/files/{step['inputs']['fileId']}"
    assert step["request"]["headers"]["Authorization"] == "Bearer ***"


def test_an_automation_is_tried_on_an_event_that_is_given() -> None:
    shown = run_json("automations", "test", "fetch-batch-results", "--event", "-", stdin='{"output_file": "f-7"}')
    assert shown["steps"][0]["request"]["url"].endswith("/files/f-7")
    text = run("automations", "test", "fetch-batch-results", "--event", "-", stdin="{}")
    assert (text.exit_code, text.stdout.splitlines()[0]) == (6, "fetch-batch-results does not run on this event")
    assert "fileId is missing" in text.stdout
    assert run("automations", "test", "fetch-batch-results", "--event", "-", stdin="[]").exit_code == 2


def test_an_unknown_automation_gets_the_nearest_name() -> None:
    result = run("automations", "test", "fetch-batch-result")
    assert result.exit_code == 2
    assert "did you mean 'fetch-batch-results'?" in result.stderr


def test_automations_are_listed_with_what_is_wrong_with_them(tmp_path: Path) -> None:
    assert [row["handle"] for row in run_json("automations", "list")] == ["fetch-batch-results"]
    (tmp_path / "automations" / "broken.json").write_text(
        '{"handle": "x", "on": "nowhere", "do": [{"call": "demo/a.b"}]}'
    )
    result = run("automations", "list")
    assert result.exit_code == 3
    assert "broken.json:1:23 E_AUTOMATION 'nowhere' does not name a connection" in result.stdout + result.stderr
    assert run("lint", "automations").exit_code == 3


def test_the_runs_of_automations_are_shown() -> None:
    run("triggers", "poll-now", "mistral-ai", "batch-jobs/batch_job.created", env={})
    assert run_json("automations", "runs") == []


def test_the_triggers_of_a_connection_say_how_they_are_made() -> None:
    rows = {row["trigger"]: row for row in run_json("triggers", "list", "mistral-ai")}
    assert len(rows) == 14
    assert rows["embeddings/embeddings.generated"]["made_by"] == "after embeddings.create, create-embeddings"
    polled = rows["batch-jobs/batch_job.created"]
    assert polled["made_by"] == "after batch-jobs.create; poll of batch-jobs.list every 60 s"
    assert polled["state"] == "new"


def test_a_poll_that_is_refused_says_so() -> None:
    nowhere = {**TOKEN, "CONNECTOR_BASE_URL__MISTRAL_AI": "http://127.0.0.1:9/v1"}
    shown = run_json("triggers", "poll-now", "mistral-ai", "batch-jobs/batch_job.created", env=nowhere)
    assert shown["state"] == "failing"
    assert "no connection to 127.0.0.1 port 9" in shown["error"]
    [row] = [each for each in run_json("triggers", "list", env=nowhere) if each["trigger"] == shown["trigger"]]
    assert row == shown


def test_a_trigger_that_is_not_polled_is_told() -> None:
    result = run("triggers", "poll-now", "mistral-ai", "batch-jobs/batch_job.create")
    assert result.exit_code == 2
    assert "did you mean 'batch-jobs/batch_job.created'?" in result.stderr


def test_a_trigger_is_polled_for_with_inputs_or_not_at_all() -> None:
    created = ("mistral-ai", "batch-jobs/batch_job.created")
    shown = run_json("triggers", "enable", *created, "model=mistral-small-latest")
    assert (shown["inputs"], shown["state"]) == ({"model": "mistral-small-latest"}, "new")
    told = run("triggers", "disable", *created)
    assert told.stderr == "note: disabled: batch-jobs/batch_job.created of mistral-ai\n"
    told = run("triggers", "enable", *created)
    assert told.stderr == (
        "note: enabled: batch-jobs/batch_job.created of mistral-ai with model=mistral-small-latest\n"
    )
    refused = run("triggers", "enable", *created, "modle=x")
    assert (refused.exit_code, "did you mean 'model'?" in refused.stderr) == (6, True)
    assert run("triggers", "enable", *created, "model").exit_code == 2


def test_a_server_that_runs_is_asked_to_poll(tmp_path: Path) -> None:
    nowhere = {**os.environ, **TOKEN, "CONNECTOR_BASE_URL__MISTRAL_AI": "http://127.0.0.1:9/v1"}
    words = [sys.executable, "-m", "runtime", "serve", "--port", "0", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=nowhere, cwd=tmp_path, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline()
            poll = ("triggers", "poll-now", "mistral-ai", "batch-jobs/batch_job.created")
            assert run_json(*poll)["state"] == "failing"
            assert run_json("automations", "runs") == []
            assert run_json("triggers", "disable", *poll[2:])["state"] == "disabled"
        finally:
            server.terminate()


def test_a_connection_that_is_entered_while_a_server_runs_is_polled(tmp_path: Path) -> None:
    env = {"CONNECTOR_KEY": Key.generate().to_text(), "CONNECTOR_BASE_URL__MISTRAL_AI": "http://127.0.0.1:9/v1"}
    words = [sys.executable, "-m", "runtime", "serve", "--port", "0", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env={**os.environ, **env}, cwd=tmp_path, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline()
            assert run_json("triggers", "list", env=env) == []
            assert run("secrets", "set", "mistral-ai", "apiToken", stdin=CANARY, env=env).exit_code == 0
            until = time.monotonic() + 30
            while "failing" not in {row["state"] for row in run_json("triggers", "list", env=env)}:
                assert time.monotonic() < until
                time.sleep(0.1)
        finally:
            server.terminate()


def test_verbs_that_have_nothing_to_do_with_webhooks_read_no_connector_for_them(tmp_path: Path) -> None:
    (tmp_path / "definitions").mkdir()
    for handle in ("one", "two"):
        webhook = {"event": "made", "path": "/webhooks/the/same"}
        things = {"handle": "things", "endpoint": "/things", "operations": {}, "webhooks": [webhook]}
        document = {"handle": handle, "service": {"baseURL": "https://one.example"}, "resources": [things]}
        (tmp_path / "definitions" / f"{handle}.json").write_text(json.dumps(document))
    assert run_json("events", "list", "--definitions", "definitions") == []
    clash = run("webhooks", "list", "--definitions", "definitions")
    assert (clash.exit_code, "both have the webhook path" in clash.stderr) == (2, True)


def test_the_words_of_a_failing_poll_are_shown_below_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"connection": "demo", "trigger": "things/made", "made_by": "poll", "state": "failing", "said": ""}
    words = "the provider says that it is closed for maintenance until further notice"
    rows = [{**row, "error": words}, {**row, "trigger": "things/gone", "state": "ok", "error": "", "said": "3 new"}]
    monkeypatch.setattr("runtime.cli.remote.ask", lambda *_: rows)
    lines = run("triggers", "list").stdout.splitlines()
    assert f"demo things/made: {words}" in lines
    assert "demo things/gone: 3 new" in lines
