"""The `connector` command from outside: what each verb writes where, which code it exits with, what it never shows."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from runtime.cli.root import cli

CANARY = "c4nary-in-a-c0al-mine"
TOKEN = {"CONNECTOR_SECRET__MISTRAL_AI__APITOKEN": CANARY}
CHAT = ("mistral-ai", "chat-completions.create")
HELLO = ("model=mistral-small-latest", "content=Hello")


@pytest.fixture(autouse=True)
def _folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of whoever runs the tests reaches them."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("CONNECTOR_"):
            monkeypatch.delenv(name)
    # What fails is not tried again, so that nothing waits.
    monkeypatch.setenv("CONNECTOR_LIMIT_RETRYING", "0.000001")


def run(*words: str, stdin: bytes | str = "", env: Mapping[str, str] | None = None) -> Result:
    """One command in this process. Nothing it writes holds the canary, whatever it does."""
    result = CliRunner(env=dict(env or {})).invoke(cli, words, input=stdin)
    shown = result.stdout + result.stderr
    assert CANARY not in shown or "--show-secrets" in words
    assert "Traceback" not in shown
    return result


def run_json(*words: str, exit_code: int = 0, stdin: bytes | str = "", env: Mapping[str, str] | None = None) -> Any:
    """The one document that a command with `--json` writes."""
    result = run(*words, "--json", stdin=stdin, env=env)
    assert (result.exit_code, without_note(result.stderr) if exit_code == 0 else "") == (exit_code, "")
    return json.loads(result.stdout)


def without_note(stderr: str) -> str:
    """What is on stderr besides the note that an answer of the mock is a recorded one."""
    return "".join(line for line in stderr.splitlines(True) if "is the recorded example" not in line)


def start(*words: str, env: Mapping[str, str] | None = None, **streams: Any) -> subprocess.Popen[str]:
    """`python -m runtime` as a process of its own."""
    root = Path(__file__).parents[3]
    environ = {**os.environ, "PYTHONPATH": str(root), **(env or {})}
    return subprocess.Popen([sys.executable, "-m", "runtime", *words], env=environ, text=True, **streams)


@contextlib.contextmanager
def provider(status: int, body: bytes, headers: Mapping[str, str] = {}) -> Iterator[tuple[str, list[str]]]:
    """A provider on a socket that always answers the same: its base URL, and the requests it got, as text."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            received = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            seen.append(f"{self.command} {self.path}\n{self.headers}{received.decode()}")
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1", seen
        server.shutdown()
        thread.join()


# ── looking around ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_list_names_the_shipped_connectors() -> None:
    result = run("list")
    assert (result.exit_code, result.stderr) == (0, "")
    assert [line.split()[0] for line in result.stdout.splitlines()][:1] == ["connector"]
    assert "mistral-ai" in result.stdout
    row = next(row for row in run_json("list") if row["handle"] == "mistral-ai")
    assert row.keys() == {"handle", "valid", "operations", "triggers", "short"}


def test_list_of_one_connector_names_its_operations_and_triggers() -> None:
    result = run("list", "mistral-ai")
    assert result.exit_code == 0
    document = run_json("list", "mistral-ai")
    for name in [each["id"] for part in ("operations", "triggers") for each in document[part]]:
        assert name in result.stdout
    assert "chat-completions.create" in [each["id"] for each in document["operations"]]
    assert "batch-jobs/batch_job.succeeded" in [each["id"] for each in document["triggers"]]


def test_an_operation_that_the_provider_takes_away_is_shown_as_deprecated() -> None:
    listed = {each["id"]: each["deprecated"] for each in run_json("list", "mistral-ai")["operations"]}
    assert (listed["fine-tuning-jobs.list"], listed["files.list"]) == (True, False)
    assert run("list", "mistral-ai").stdout.count("(deprecated)") == sum(listed.values())
    assert "deprecated: " in run("describe", "mistral-ai", "fine-tuning-jobs.list").stdout
    assert "deprecated: " not in run("describe", "mistral-ai", "files.list").stdout
    assert run_json("describe", "mistral-ai", "fine-tuning-jobs.list")["deprecated"] is True


def test_a_connector_that_is_not_valid_is_listed_and_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    result = run("list", "--definitions", str(tmp_path))
    assert result.exit_code == 0
    assert "mistral-ai" in result.stdout
    assert "warning: broken has problems" in result.stderr


def test_describe_says_of_each_input_what_it_is_and_where_it_lands() -> None:
    document = run_json("describe", *CHAT)
    model = next(each for each in document["inputs"] if each["name"] == "model")
    wanted = {"name", "type", "required", "default", "place"}
    assert {name: model[name] for name in wanted} == {
        "name": "model",
        "type": "String",
        "required": True,
        "default": None,
        "place": "body",
    }
    by_name = {each["name"]: each for each in document["inputs"]}
    assert (by_name["maxTokens"]["default"], by_name["maxTokens"]["required"]) == (1024, False)
    text = run("describe", *CHAT).stdout
    for word in ("model", "String", "required", "body", "default 1024", "choices_message_content"):
        assert word in text
    assert document["triggers"][0]["id"] in text


def test_describe_of_a_connector_names_the_variables_of_its_values() -> None:
    document = run_json("describe", "mistral-ai", env=TOKEN)
    token = next(each for each in document["values"] if each["name"] == "apiToken")
    assert (token["secret"], token["variable"]) == (True, "CONNECTOR_SECRET__MISTRAL_AI__APITOKEN")
    text = run("describe", "mistral-ai", env=TOKEN).stdout
    assert "CONNECTOR_SECRET__MISTRAL_AI__APITOKEN" in text
    assert "https://api.mistral.ai/v1" in text


@pytest.mark.parametrize(
    ("words", "nearest"),
    [
        (("list", "mistral-ia"), "mistral-ai"),
        (("describe", "mistral-ai", "chat-completion.create"), "chat-completions.create"),
        (("render", "mistral-ai", "file.list"), "files.list"),
        (("call", "mistral-ai", "models.lst", "--mock"), "models.list"),
        (("call", "mistrl-ai", "models.list", "--mock"), "mistral-ai"),
        (("mock", "mistral-a"), "mistral-ai"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_an_unknown_name_gets_the_nearest_one_and_exits_2(words: tuple[str, ...], nearest: str) -> None:
    result = run(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"did you mean '{nearest}'?" in result.stderr
    assert nearest in run_json(*words, exit_code=2)["hint"]


# ── lint ────────────────────────────────────────────────────────────────────────────────────────────────────────────

GOOD: dict[str, Any] = {
    "handle": "tiny",
    "status": "active",
    "meta": {"short": "Tiny", "description": "A tiny connector."},
    "service": {
        "baseURL": "https://api.tiny.example",
        "auth": {"method": "none"},
    },
    "resources": [
        {
            "handle": "things",
            "meta": {"short": "Things", "description": "Things."},
            "endpoint": "/things",
            "fields": [{"name": "id", "type": "String", "selector": ["id"]}],
            "operations": {"read": {"method": "GET", "path": "/{{id}}"}},
        }
    ],
}


def write(path: Path, document: Any) -> str:
    path.write_text(json.dumps(document, indent=2))
    return str(path)


def test_lint_exits_0_with_warnings_and_says_where_they_are(tmp_path: Path) -> None:
    file = write(tmp_path / "tiny.json", GOOD)
    result = run("lint", file)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert re.fullmatch(re.escape(file) + r":\d+:\d+ W_UNDECLARED .+", lines[0])
    assert lines[1].strip().startswith("hint: ")
    assert result.stderr == "note: 0 errors, 1 warning\n"


def test_lint_exits_3_with_an_error(tmp_path: Path) -> None:
    bad = {**GOOD, "resources": [{**GOOD["resources"][0], "endpoint": "/{{ a | upper }}"}]}
    file = write(tmp_path / "tiny.json", bad)
    result = run("lint", file)
    assert result.exit_code == 3
    assert re.search(r"^\S+tiny\.json:\d+:\d+ E_TEMPLATE_GRAMMAR ", result.stdout, re.MULTILINE)
    document = json.loads(run("lint", file, "--json").stdout)
    assert document["code"] == "E_DEFINITION"
    assert {"file", "line", "column", "code", "message", "hint"} <= document["problems"][0].keys()


def test_lint_without_a_path_checks_the_whole_catalogue(tmp_path: Path) -> None:
    write(tmp_path / "tiny.json", GOOD)
    assert run("lint").exit_code == 0
    assert "tiny.json" in run("lint", "--definitions", str(tmp_path)).stdout
    problems = run("--definitions", str(tmp_path), "lint", "--json")
    assert any("tiny.json" in each["file"] for each in json.loads(problems.stdout)["problems"])


def test_schema_prints_a_path_that_an_editor_can_open() -> None:
    result = run("schema")
    assert result.exit_code == 0
    path = Path(result.stdout.removesuffix("\n"))
    assert path.name == "connector.schema.json"
    assert json.loads(path.read_text("utf-8"))["$ref"] == "definition.schema.json#/$defs/Connector"
    assert all((path.parent / name).is_file() for name in re.findall(r"[\w.]+\.json", result.stderr))


def test_schema_names_a_file_for_each_kind_of_document() -> None:
    files = run_json("schema")
    assert set(files) == {"automation", "connector", "operations", "overlay", "resources", "service"}
    assert all(Path(file).is_file() for file in files.values())


def matched(folder: str, settings: Any, file: str) -> list[str]:
    """The schemas that VS Code uses for a file: a pattern may begin at any folder, `*` stays within one."""
    found = []
    for each in settings["json.schemas"]:
        patterns = [re.escape(pattern).replace(r"\*", "[^/]*") for pattern in each["fileMatch"]]
        if any(re.fullmatch(f"(?:.*/)?{pattern}", f"/home/{folder}/{file}") for pattern in patterns):
            found.append(each["url"].rpartition("/")[2])
    return found


@pytest.mark.parametrize(
    ("file", "schemas"),
    [
        ("petshop.json", ["connector.schema.json"]),
        ("petshop/connector.json", ["connector.schema.json"]),
        ("petshop/service.json", ["service.schema.json"]),
        ("petshop/resources.json", ["resources.schema.json"]),
        ("petshop/resources/pets.json", ["resources.schema.json"]),
        ("petshop/operations.json", ["operations.schema.json"]),
        ("petshop/overlay.json", ["overlay.schema.json"]),
        ("petshop/examples/pets.read.json", []),
        ("automations/fetch.json", ["automation.schema.json"]),
    ],
)
def test_schema_has_the_settings_of_an_editor_for_each_file(tmp_path: Path, file: str, schemas: list[str]) -> None:
    assert matched("definitions", run_json("schema", "--vscode"), file) == schemas
    (tmp_path / "my-connectors" / "petshop").mkdir(parents=True)
    folder = tmp_path / "my-connectors"
    single = write(folder / "tiny.json", GOOD)
    write(folder / "petshop" / "service.json", GOOD)
    for place in (str(folder), str(folder / "petshop"), single):
        settings = json.loads(run("schema", "--vscode", "--definitions", place).stdout)
        assert matched("my-connectors", settings, file) == schemas
        assert matched("elsewhere", settings, file) == (schemas if "automations" in file else [])


def test_a_call_of_a_connector_that_is_not_valid_exits_3(tmp_path: Path) -> None:
    write(tmp_path / "tiny.json", {**GOOD, "service": {"baseURL": "ftp://x", "auth": {"method": "none"}}})
    result = run("render", "tiny", "things.read", "id=1", "--definitions", str(tmp_path))
    assert result.exit_code == 3
    assert "tiny.json:" in result.stderr


# ── render ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_render_shows_the_exact_request_masked() -> None:
    document = run_json("render", *CHAT, *HELLO, "temperature:=0.2", env=TOKEN)
    assert document.keys() == {"method", "url", "headers", "body", "json"}
    assert (document["method"], document["url"]) == ("POST", "https://api.mistral.ai/v1/chat/completions")
    assert document["headers"]["Authorization"] == "***" or document["headers"]["Authorization"] == "Bearer ***"
    assert document["json"] == json.loads(document["body"])
    assert (document["json"]["model"], document["json"]["temperature"]) == ("mistral-small-latest", 0.2)
    assert json.loads(run("render", *CHAT, *HELLO, "-o", "json", env=TOKEN).stdout)["url"] == document["url"]
    text = run("render", *CHAT, *HELLO, env=TOKEN).stdout
    assert text.startswith("POST https://api.mistral.ai/v1/chat/completions HTTP/1.1\n")


def test_show_secrets_shows_them() -> None:
    document = run_json("render", *CHAT, *HELLO, "--show-secrets", env=TOKEN)
    assert document["headers"]["Authorization"] == f"Bearer {CANARY}"


def test_a_missing_secret_is_stars_and_with_show_secrets_an_error() -> None:
    result = run("render", *CHAT, *HELLO)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "***" in result.stdout
    result = run("render", *CHAT, *HELLO, "--show-secrets")
    assert (result.exit_code, result.stdout) == (6, "")
    assert "CONNECTOR_SECRET__MISTRAL_AI__APITOKEN" in result.stderr


def test_a_curl_command_is_safe_to_paste() -> None:
    text = "it's $(rm -rf ~) `id` \" ! \\ \n é"
    result = run("render", *CHAT, "model=m", f"content={text}", "-o", "curl", env=TOKEN)
    words = shlex.split(result.stdout)
    assert words[0] == "curl"
    assert "https://api.mistral.ai/v1/chat/completions" in words
    assert json.loads(words[words.index("--data-raw") + 1])["messages"][0]["content"] == text


def test_inputs_come_from_words_files_and_stdin(tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text("from a file\n", newline="")
    stdin = json.dumps({"model": "from stdin", "maxTokens": 7, "temperature": 1})
    document = run_json("render", *CHAT, "--inputs", "-", "content=@prompt.txt", "temperature:=0.5", stdin=stdin)[
        "json"
    ]
    assert document["messages"][0]["content"] == "from a file\n"
    assert (document["model"], document["max_tokens"], document["temperature"]) == ("from stdin", 7, 0.5)


def test_a_repeated_array_input_repeats_its_parameter() -> None:
    document = run_json("render", "mistral-ai", "files.list", "source=upload", "source=mistral")
    assert document["url"].endswith("/files?source=upload&source=mistral")


@pytest.mark.parametrize(
    ("words", "stdin", "code", "said"),
    [
        (("content=x",), "", 6, "model"),
        ((*HELLO, "nonsense=1"), "", 6, "nonsense"),
        ((*HELLO, "maxTokens=many"), "", 6, "maxTokens"),
        ((*HELLO, "maxTokens:=nope"), "", 6, "maxTokens: it is not JSON"),
        ((*HELLO, "model=again"), "", 6, "model: it is given twice"),
        (("model=m", "content=@absent.txt"), "", 6, "absent.txt"),
        (("--inputs", "-"), "[1]", 6, "--inputs"),
        (("--inputs", "-"), "", 6, "--inputs"),
        (("Hello",), "", 2, "expected name=text"),
        (("--inputs", "absent.json"), "", 2, "absent.json"),
        (("--no-such-option",), "", 2, "No such option"),
        (("-o", "xml", *HELLO), "", 2, "xml"),
    ],
)
def test_inputs_that_are_wrong_exit_6_and_words_that_are_none_exit_2(
    words: tuple[str, ...], stdin: str, code: int, said: str
) -> None:
    result = run("render", *CHAT, *words, stdin=stdin)
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr
    document = run_json("render", *CHAT, *words, stdin=stdin, exit_code=code)
    assert {"title", "detail", "code", "hint"} <= document.keys()


def test_a_wrong_input_is_named_in_the_problem_document() -> None:
    document = run_json("render", *CHAT, "nonsense=1", exit_code=6)
    assert {each["name"] for each in document["errors"]} == {"model", "content", "nonsense"}


def test_a_base_url_moves_the_request() -> None:
    document = run_json("render", "mistral-ai", "models.list", "--base-url", "http://127.0.0.1:9/x")
    assert document["url"] == "http://127.0.0.1:9/x/models"
    named = run_json("render", "mistral-ai:team-b", "models.list", "--base-url", "http://127.0.0.1:9/y")
    assert named["url"] == "http://127.0.0.1:9/y/models"


# ── call ────────────────────────────────────────────────────────────────────────────────────────────────────────────


TINY = {
    "handle": "tiny",
    "service": {"baseURL": "https://tiny.example"},
    "resources": [
        {
            "handle": "things",
            "endpoint": "/things",
            "fields": [{"name": "id", "type": "String"}],
            "operations": {"read": {"method": "GET"}},
        }
    ],
}


def test_a_call_of_the_mock_shows_mapped_fields_without_any_secret() -> None:
    result = run("call", *CHAT, *HELLO, "--mock")
    assert result.exit_code == 0
    # Its reader must not take it for one to these inputs.
    assert "examples/chat-completions.create.json; --mock does not read the inputs" in result.stderr
    rows = dict(line.split(None, 1) for line in result.stdout.splitlines() if re.match(r"\S+\s+\S", line))
    assert rows["choices_message_content"].startswith("Hello!"), "it fits the first command of the README"


def test_an_answer_of_the_mock_that_is_made_up_is_not_called_recorded(tmp_path: Path) -> None:
    (tmp_path / "tiny.json").write_text(json.dumps(TINY))
    result = run("call", "tiny", "things.read", "--mock", "--definitions", str(tmp_path))
    assert (result.exit_code, "recorded" in result.stderr) == (0, False)


def test_a_call_of_the_mock_never_sends_the_real_secret() -> None:
    document = run_json("call", *CHAT, *HELLO, "--mock", env={**TOKEN, "CONNECTOR_BASE_URL__MISTRAL_AI": "http://a/b"})
    assert document["ok"] is True
    assert document["request"]["url"] == "https://api.mistral.ai/v1/chat/completions"


def test_a_call_has_the_documented_shape() -> None:
    document = run_json("call", *CHAT, *HELLO, "--mock")
    assert set(document) == {"ok", "status", "fields", "records", "raw", "warnings", "attempts", "request", "run"}
    assert (document["status"], document["records"], document["attempts"]) == (200, None, 1)
    assert document["fields"]["model"] == document["raw"]["model"]
    assert document["request"].keys() == {"method", "url", "headers", "body", "json"}
    listed = run_json("call", "mistral-ai", "files.list", "--mock")
    assert (listed["fields"], len(listed["records"])) == (None, len(listed["raw"]["data"]))


def test_a_list_has_one_row_per_record() -> None:
    records = run_json("call", "mistral-ai", "models.list", "--mock")["records"]
    lines = run("call", "mistral-ai", "models.list", "--mock").stdout.splitlines()
    assert sum(line.startswith(str(records[0]["id"])) for line in lines) == 1
    assert len(lines) > len(records)


def test_fields_that_match_nothing_are_a_warning_that_says_where_they_match(tmp_path: Path) -> None:
    fields = [{"name": name, "type": "String", "selector": [name]} for name in ("id", "name")]
    resource = {**GOOD["resources"][0], "fields": fields}
    write(tmp_path / "tiny.json", {**GOOD, "resources": [resource]})
    options = ("--definitions", str(tmp_path))
    with provider(200, b'{"data": [{"id": "a", "name": "b"}]}') as (url, _):
        result = run("call", "tiny", "things.read", "id=1", "--base-url", url, *options)
        document = json.loads(run("call", "tiny", "things.read", "id=1", "--base-url", url, "--json", *options).stdout)
    assert result.exit_code == 0
    assert "warning: 0 of 2 fields matched; 2 of 2 match at $.data[*]\n" in result.stderr
    assert "matched" not in result.stdout
    assert document["warnings"] == ["0 of 2 fields matched; 2 of 2 match at $.data[*]"]


@pytest.mark.parametrize(
    ("status", "headers", "code"),
    [
        (302, {"Location": "https://elsewhere.example/"}, 4),
        (400, {}, 4),
        (401, {}, 4),
        (429, {"Retry-After": "7"}, 4),
        (500, {}, 5),
        (503, {}, 5),
    ],
)
def test_a_refusal_of_the_provider_exits_4_and_its_failure_5(status: int, headers: dict[str, str], code: int) -> None:
    with provider(status, b'{"message": "the words of the provider"}', headers) as (url, seen):
        result = run("call", *CHAT, *HELLO, "--base-url", url, env=TOKEN)
        document = run_json("call", *CHAT, *HELLO, "--base-url", url, env=TOKEN, exit_code=code)
    assert CANARY in seen[0]
    assert (result.exit_code, result.stdout) == (code, "")
    lines = result.stderr.splitlines()
    if status != 302:
        assert lines[0].startswith("error: the words of the provider")
    assert lines[1:3] == [f"status: {status}", f"request: POST {url}/chat/completions"]
    assert (document["ok"], document["status"], document["fields"]) == (False, status, None)
    assert document["raw"] == {"message": "the words of the provider"}


def test_T53_a_secret_that_the_provider_echoes_is_not_shown() -> None:
    with provider(401, json.dumps({"message": f"bad key {CANARY}"}).encode()) as (url, _):
        result = run("call", *CHAT, *HELLO, "--base-url", url, env=TOKEN)
        assert "error: bad key ***" in result.stderr
        run_json("call", *CHAT, *HELLO, "--base-url", url, env=TOKEN, exit_code=4)


@pytest.mark.parametrize("body", [b"<html>", b'{"a": 1', b"\xff"], ids=["html", "cut off", "not UTF-8"])
def test_T48_an_answer_that_cannot_be_read_exits_5(body: bytes) -> None:
    with provider(200, body) as (url, _):
        assert run("call", *CHAT, *HELLO, "--base-url", url, env=TOKEN).exit_code == 5
        document = run_json("call", *CHAT, *HELLO, "--base-url", url, env=TOKEN, exit_code=5)
    assert document["code"] == "E_RESPONSE"


def test_a_missing_secret_exits_6_and_nothing_is_sent() -> None:
    with provider(200, b"{}") as (url, seen):
        result = run("call", *CHAT, *HELLO, "--base-url", url)
        document = run_json("call", *CHAT, *HELLO, "--base-url", url, exit_code=6)
    assert (result.exit_code, result.stdout, seen) == (6, "", [])
    assert document["code"] == "E_CREDENTIALS"
    assert "CONNECTOR_SECRET__MISTRAL_AI__APITOKEN" in document["hint"]


def test_no_connection_exits_7() -> None:
    with provider(200, b"{}") as (url, _):
        pass
    result = run("call", *CHAT, *HELLO, "--base-url", url, env=TOKEN)
    assert result.exit_code == 7
    assert f"request: POST {url}/chat/completions" in result.stderr
    assert run_json("call", *CHAT, *HELLO, "--base-url", url, env=TOKEN, exit_code=7)["code"] == "E_TRANSPORT"


def test_an_answer_without_content_is_a_success_that_says_so() -> None:
    with provider(204, b"") as (url, _):
        result = run("call", "mistral-ai", "files.delete", "fileId=a", "--base-url", url, env=TOKEN)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "note: the provider answered 204, with nothing in it\n"


def test_an_answer_goes_to_a_file_whole(tmp_path: Path) -> None:
    operation = {"method": "GET", "path": "/{{id}}", "response": "text"}
    resource = {**GOOD["resources"][0], "operations": {"read": operation}, "fields": []}
    write(tmp_path / "tiny.json", {**GOOD, "resources": [resource]})
    options = ("--definitions", str(tmp_path / "tiny.json"), "--out", "answer.txt")
    with provider(200, "one\r\ntwo é".encode(), {"Content-Type": "text/plain"}) as (url, _):
        result = run("call", "tiny", "things.read", "id=1", "--base-url", url, *options)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "note: 11 bytes written to answer.txt\n"
    assert (tmp_path / "answer.txt").read_bytes() == "one\r\ntwo é".encode()
    run("call", *CHAT, *HELLO, "--mock", "--out", "answer.json")
    assert "choices" in json.loads((tmp_path / "answer.json").read_text())


def test_a_file_that_cannot_be_written_is_said_before_anything_is_sent() -> None:
    with provider(200, b"{}") as (url, seen):
        result = run("call", *CHAT, *HELLO, "--base-url", url, "--out", "absent/answer.txt", env=TOKEN)
    assert (result.exit_code, seen) == (2, [])


def test_mock_and_base_url_exclude_each_other() -> None:
    assert run("call", *CHAT, *HELLO, "--mock", "--base-url", "http://127.0.0.1:9").exit_code == 2


def test_a_named_connection_has_its_own_secret() -> None:
    variable = "CONNECTOR_SECRET__MISTRAL_AI__TEAM_B__APITOKEN"
    with provider(200, b"{}") as (url, seen):
        words = ("call", "mistral-ai:team-b", "models.list", "--base-url", url)
        assert run(*words, env=TOKEN).exit_code == 6
        assert run(*words, env={variable: CANARY}).exit_code == 0
    assert len(seen) == 1


def test_the_mock_fills_every_value_that_a_connection_needs(tmp_path: Path) -> None:
    placeholders = [
        {"name": "shop", "type": "String", "required": True},
        {"name": "region", "type": "String", "required": True, "options": ["eu", "us"]},
    ]
    service = {
        "baseURL": {"value": "https://{{shop}}.{{region}}.example/admin", "placeholders": placeholders},
        "auth": {"method": "basic", "params": {"basic": {"username": "{{user}}", "password": "{{password}}"}}},
    }
    write(tmp_path / "tiny.json", {**GOOD, "service": service})
    document = run_json("call", "tiny", "things.read", "id=1", "--mock", "--definitions", str(tmp_path))
    assert (document["ok"], document["request"]["url"]) == (True, "https://mock.eu.example/admin/things/1")


# ── the rest ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_options_of_every_verb_stand_before_or_after_it(tmp_path: Path) -> None:
    write(tmp_path / "tiny.json", GOOD)
    (tmp_path / "more").mkdir()
    write(tmp_path / "more" / "other.json", {**GOOD, "handle": "other"})
    before = run(
        "--json", "--definitions", str(tmp_path / "tiny.json"), "list", "--definitions", str(tmp_path / "more")
    )
    handles = [row["handle"] for row in json.loads(before.stdout)]
    assert {"tiny", "other", "mistral-ai"} <= set(handles)


def test_a_settings_file_that_is_wrong_exits_2(tmp_path: Path) -> None:
    (tmp_path / "connector.toml").write_text("definitons = []")
    result = run("list")
    assert result.exit_code == 2
    assert "connector.toml" in result.stderr


@pytest.mark.parametrize("words", [(), ("--help",), ("call", "--help"), ("--version",)])
def test_help_and_version_are_there(words: tuple[str, ...]) -> None:
    result = run(*words)
    assert result.exit_code == (0 if words else 2)
    assert "connector" in result.stdout + result.stderr


def test_doctor_exits_0_with_warnings_and_names_no_secret() -> None:
    result = run("doctor", env=TOKEN)
    assert (result.exit_code, result.stderr) == (0, "")
    for word in ("python", "catalogue", "mistral-ai", "apiToken", "state", "clock"):
        assert word in result.stdout
    document = run_json("doctor")
    assert document["ok"] is True
    assert {"name", "status", "detail", "hint"} == document["checks"][0].keys()


def test_doctor_exits_2_when_something_fails(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    assert run("doctor", "--definitions", str(tmp_path)).exit_code == 2
    assert run_json("doctor", "--definitions", str(tmp_path), exit_code=2)["ok"] is False


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_is_printed(shell: str) -> None:
    result = run("completion", shell)
    assert result.exit_code == 0
    assert "_CONNECTOR_COMPLETE" in result.stdout
    assert run("completion", "tcsh").exit_code == 2


def complete(*words: str, env: Mapping[str, str] | None = None) -> list[str]:
    """What bash would be offered for the last word."""
    variables = {
        "_CONNECTOR_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(("connector", *words)),
        "COMP_CWORD": str(len(words)),
    }
    with start(env={**variables, **(env or {})}, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        out, err = process.communicate(timeout=20)
    assert err == ""
    return [line.partition(",")[2] for line in out.splitlines() if line]


def test_bash_is_offered_commands_connectors_and_operations(tmp_path: Path) -> None:
    write(tmp_path / "tiny.json", GOOD)
    assert complete("re") == ["render"]
    assert complete("call", "mist") == ["mistral-ai"]
    assert complete("call", "mistral-ai", "fim") == ["fim-completions.create", "fim-completions.stream"]
    assert complete("call", "mistral-ai", "library-s") == [
        *("library-shares.list", "library-shares.set", "library-shares.delete"),
    ]
    assert complete("call", "mistral-ai:team-b", "ocr") == ["ocr.create"]
    assert complete("--definitions", str(tmp_path), "describe", "tiny", "th") == ["things.read"]
    assert complete("call", "absent", "x") == []
    assert complete("--definitions", str(tmp_path / "absent"), "call", "m") == ["mistral-ai"]


def test_the_command_runs_as_a_process_and_keeps_its_streams_apart() -> None:
    words = ("call", *CHAT, *HELLO, "--mock", "--json")
    with start(*words, env=TOKEN, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        out, err = process.communicate(timeout=30)
    assert (process.returncode, without_note(err)) == (0, "")
    assert json.loads(out)["ok"] is True
    with start("list", "absent", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (2, "")
    assert err.startswith("error: ")


MESSAGES = 'messages:=[{"role": "user", "content": "Hello"}]'
UNREAD = (
    ("--help",),
    ("--version",),
    ("call", "--help"),
    ("list",),
    ("list", "mistral-ai"),
    ("list", "mistral-ai", "--json"),
    ("list", "absent", "--json"),
    ("describe", *CHAT),
    ("lint", "--json"),
    ("render", *CHAT, *HELLO, "-o", "curl"),
    ("call", *CHAT, *HELLO, "--mock"),
    ("call", "mistral-ai", "chat-completions.stream", HELLO[0], MESSAGES, "--mock"),
    ("call", "mistral-ai", "chat-completions.stream", HELLO[0], MESSAGES, "--mock", "--json"),
    ("export", "markdown", "mistral-ai"),
    ("mock", "mistral-ai", "--port", "0", "--json"),
    ("doctor",),
    ("completion", "bash"),
)


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", UNREAD, ids=" ".join)
def test_a_command_that_no_one_reads_ends_quietly_as_by_sigpipe(words: tuple[str, ...], unbuffered: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with start(*words, env={"PYTHONUNBUFFERED": unbuffered}, stdout=writing, stderr=subprocess.PIPE) as process:
        os.close(writing)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 141
    assert "report" not in err
    assert "Traceback" not in err
    assert "Broken" not in err


@pytest.mark.parametrize("words", [("list", "absent"), ("nonsense",), ("lint",)], ids=" ".join)
def test_a_command_whose_errors_no_one_reads_ends_as_quietly(words: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with start(*words, stdout=writing, stderr=writing) as process:
        os.close(writing)
        assert process.wait(timeout=20) == 141


def test_one_line_of_a_long_answer_is_enough() -> None:
    with start("list", "mistral-ai", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("operation")
        process.stdout.close()
        err = process.stderr.read()
        # All of it may have been in the pipe before the reader left.
        assert process.wait(timeout=20) in (0, 141)
    assert err == ""


def test_a_terminal_that_wants_no_colour_gets_no_escape() -> None:
    ours, theirs = pty.openpty()
    env = {"NO_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "60"}
    with start("list", "mistral-ai", env=env, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # how Linux says that the other end is closed
            while piece := os.read(ours, 65536):
                shown += piece
    os.close(ours)
    assert process.returncode == 0
    assert b"chat-completions" in shown
    assert b"\x1b" not in shown


@pytest.mark.parametrize("as_json", [False, True])
def test_the_mock_serves_until_it_is_interrupted_and_exits_130(as_json: bool) -> None:
    words = ["mock", "mistral-ai", "--port", "0", *(["--json"] if as_json else [])]
    with start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert found, line
        url = found[0]
        for base in (f"{url}/mistral-ai/v1", f"{url}/v1"):
            result = run("call", *CHAT, *HELLO, "--base-url", base, env=TOKEN)
            assert result.exit_code == 0, result.stderr
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert (out.count("{") if not as_json else json.loads(out.partition("}")[0] + "}")) == (
        {"mistral-ai": f"{url}/mistral-ai/v1"} if as_json else 0
    )


@pytest.mark.parametrize("as_json", [False, True])
def test_a_call_that_is_interrupted_exits_130(as_json: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        words = ["call", *CHAT, *HELLO, "--base-url", url, *(["--json"] if as_json else [])]
        with start(*words, env=TOKEN, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            connection, _ = listener.accept()
            with connection:
                assert connection.recv(1)
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err.strip() == "note: interrupted"
    assert (json.loads(out)["code"] if as_json else out) == ("E_INTERRUPTED" if as_json else "")


def test_a_port_that_is_taken_exits_2() -> None:
    with provider(200, b"") as (url, _):
        port = url.rpartition(":")[2].partition("/")[0]
        result = run("mock", "mistral-ai", "--port", port)
    assert result.exit_code == 2
    assert port in result.stderr


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\nfrom runtime.cli.root import cli\n"
        "try: cli.main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'rich', 'httpx2', 'jinja2', 'jsonschema', 'jsonpath_ng', 'uvicorn', 'connector.model.definition'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        check=False,
        timeout=20,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")


def test_the_mock_needs_no_credential_that_is_declared_without_being_required(tmp_path: Path) -> None:
    token = {"value": "{{key}}", "placeholders": [{"name": "key", "type": "String"}]}
    service = {"baseURL": "https://demo.example", "auth": {"method": "bearer", "params": {"token": token}}}
    operations = {"read": {"method": "GET"}}
    resource = {"handle": "things", "endpoint": "/things", "fields": [], "operations": operations}
    path = write(tmp_path / "demo.json", {"handle": "demo", "service": service, "resources": [resource]})
    assert run("call", "demo", "things.read", "--mock", "--definitions", path).exit_code == 0


def find_commands(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """A command and all below it, each with the words that lead to it."""
    yield path, command
    for name, each in getattr(command, "commands", {}).items():
        yield from find_commands(each, (*path, name))


@pytest.mark.parametrize(
    ("path", "command"), [pytest.param(*each, id=" ".join(each[0])) for each in find_commands(cli)]
)
def test_the_help_of_a_command_fits_80_columns_and_is_not_cut_off(
    path: tuple[str, ...], command: click.Command
) -> None:
    shown = CliRunner().invoke(cli, [*path, "--help"], terminal_width=80).stdout
    lines = shown.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line for line in lines[1:] if line.rstrip().endswith("...")] == []
    words = " ".join(shown.split())
    assert (command.help or "").partition(".")[0] in words
    for each in getattr(command, "commands", {}).values():
        assert f"{(each.help or '').partition('.')[0]}." in words
    for phrase in ("unless told", "whoever", "one that", "nobody", " beside "):
        assert phrase not in words
