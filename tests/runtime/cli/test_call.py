"""Commands that render a request or send it: what they show, and how they exit."""

from __future__ import annotations

import json
import re
import shlex
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.doubles.commands import CANARY, CHAT, GOOD, HELLO, TOKEN, provider, run, run_json, start, write

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


def test_a_base_url_moves_the_request() -> None:
    document = run_json("render", "mistral-ai", "models.list", "--base-url", "http://127.0.0.1:9/x")
    assert document["url"] == "http://127.0.0.1:9/x/models"
    named = run_json("render", "mistral-ai:team-b", "models.list", "--base-url", "http://127.0.0.1:9/y")
    assert named["url"] == "http://127.0.0.1:9/y/models"


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
