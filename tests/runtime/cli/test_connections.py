"""`connector connections` and `connector secrets` from outside: values go in, and none of them ever comes out again."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from runtime.cli.root import cli
from runtime.config.keys import KEY_VARIABLE, OLD_KEY_VARIABLE

CANARY = "c4nary-in-a-c0al-mine"
KEYS = [base64.b64encode(bytes([number]) * 32).decode() for number in range(2)]
KEY = {KEY_VARIABLE: KEYS[0]}
MISTRAL = "https://api.mistral.ai"
PETSHOP = Path(__file__).parents[3] / "examples" / "definitions"


def run(*words: str, stdin: bytes | str = "", env: Mapping[str, str] = KEY) -> Result:
    """One command in this process. Nothing it writes holds the canary, whatever it does."""
    result = CliRunner(env=dict(env)).invoke(cli, words, input=stdin)
    assert CANARY not in (result.stdout + result.stderr)
    assert "Traceback" not in result.stderr
    return result


def run_json(*words: str, exit_code: int = 0, stdin: bytes | str = "", env: Mapping[str, str] = KEY) -> Any:
    result = run(*words, "--json", stdin=stdin, env=env)
    assert result.exit_code == exit_code, result.stderr
    return json.loads(result.stdout)


def header(*words: str, env: Mapping[str, str] = KEY) -> str:
    """The Authorization header of a request as it would leave."""
    result = CliRunner(env=dict(env)).invoke(cli, ["render", *words, "--show-secrets", "--json"])
    assert result.exit_code == 0, result.stderr
    return next(text for name, text in json.loads(result.stdout)["headers"].items() if name.lower() == "authorization")


def test_T56_a_secret_goes_in_on_stdin_and_is_never_shown_again() -> None:
    stored = run_json("secrets", "set", "mistral-ai", "apiToken", stdin=CANARY + "\n")
    assert stored == {"connection": "mistral-ai", "set": ["apiToken"], "origin": MISTRAL}
    rows = run_json("connections", "list")
    assert [list(row) for row in rows] == [["connection", "name", "kind", "origin", "set_at"]]
    assert "apiToken" in run("connections", "list").stdout
    assert header("mistral-ai", "models.list") == f"Bearer {CANARY}"
    doctor = run("doctor")
    assert "mistral-ai: apiToken" in doctor.stdout
    for words in (
        ("render", "mistral-ai", "models.list"),
        ("secrets", "rotate"),
        ("connections", "remove", "mistral-ai"),
    ):
        assert run(*words).exit_code == 0


def test_a_secret_comes_from_a_variable() -> None:
    env = {**KEY, "TOKEN_OF_MINE": CANARY}
    assert run("secrets", "set", "mistral-ai", "apiToken", "--env", "TOKEN_OF_MINE", env=env).exit_code == 0
    assert header("mistral-ai", "models.list") == f"Bearer {CANARY}"
    assert run("secrets", "set", "mistral-ai", "apiToken", "--env", "NOT_THERE").exit_code == 2


@pytest.mark.parametrize("words", [["apiToken", CANARY], [f"apiToken={CANARY}"]])
def test_a_value_on_the_command_line_is_refused_and_not_repeated(words: list[str]) -> None:
    result = run("secrets", "set", "mistral-ai", *words)
    assert (result.exit_code, "the shell would keep it" in result.stderr) == (2, True)
    assert run_json("connections", "list") == []


@pytest.mark.parametrize(
    ("words", "stdin", "code", "said"),
    [
        (["mistral-ai", "apiTokn"], CANARY, 6, "did you mean 'apiToken'?"),
        (["mistral-a", "apiToken"], CANARY, 2, "did you mean 'mistral-ai'?"),
        (["mistral-ai", "apiToken"], "", 6, "expected a text that is not empty"),
        (["mistral-ai", "dedupe"], "boddy", 6, "dedupe: expected one of none, body"),
        (["mistral-ai", "apiToken"], f"{CANARY}\nmore", 6, "apiToken: "),
        (["mistral-ai", "apiToken"], b"\xff\xfe", 2, "no UTF-8 text"),
        (["mistral-ai", "apiToken", "--base-url", "ftp://x"], CANARY, 6, "base URL"),
    ],
)
def test_what_cannot_be_used_is_refused_before_it_is_stored(
    words: list[str], stdin: bytes | str, code: int, said: str
) -> None:
    result = run("secrets", "set", *words, stdin=stdin)
    assert (result.exit_code, said in result.stderr) == (code, True), result.stderr
    assert run_json("connections", "list") == []


def test_values_of_a_connection_are_stored_all_or_none() -> None:
    words = ("connections", "set", "petshop", "--values", "-", "--definitions", str(PETSHOP))
    bad = run(*words, stdin=json.dumps({"apiKey": CANARY, "shop": "evil.example/"}))
    assert (bad.exit_code, "shop: expected letters" in bad.stderr) == (6, True), bad.stderr
    assert run_json("connections", "list") == []
    assert run(*words, stdin=json.dumps({"apiKey": CANARY, "shop": "berlin"})).exit_code == 0
    rows = {row["name"]: (row["kind"], row["origin"]) for row in run_json("connections", "list")}
    origin = "https://berlin.petshop.example"
    assert rows == {"apiKey": ("secret", origin), "shop": ("value", origin)}


def test_T42_a_changed_host_part_asks_for_the_secret_again() -> None:
    words = ("connections", "set", "petshop", "--values", "-", "--definitions", str(PETSHOP))
    run(*words, stdin=json.dumps({"apiKey": CANARY, "shop": "berlin"}))
    moved = run(*words, stdin='{"shop": "paris"}')
    assert "apiKey was entered for https://berlin.petshop.example and has to be entered again" in moved.stderr
    call = ("render", "petshop", "pets.list", "--definitions", str(PETSHOP), "--show-secrets")
    refused = run(*call)
    assert (refused.exit_code, "entered for https://berlin.petshop.example" in refused.stderr) == (6, True)
    assert run_json(*call, exit_code=6)["code"] == "E_ORIGIN"


def test_a_secret_whose_origin_is_not_known_yet_is_not_stored(tmp_path: Path) -> None:
    folder = tmp_path / "defs"
    folder.mkdir()
    service = {
        "baseURL": "https://{{store}}.shop.example",
        "auth": {"method": "bearer", "params": {"token": "{{token}}"}},
    }
    document = {"handle": "shop", "status": "live", "meta": {"short": "s", "description": "d"}, "service": service}
    (folder / "shop.json").write_text(json.dumps({**document, "resources": []}))
    refused = run("secrets", "set", "shop", "token", "--definitions", str(folder), stdin=CANARY)
    assert (refused.exit_code, "store of the connection is not set" in refused.stderr) == (6, True), refused.stderr
    assert run("secrets", "set", "shop", "store", "--definitions", str(folder), stdin="s1").exit_code == 0
    assert run("secrets", "set", "shop", "token", "--definitions", str(folder), stdin=CANARY).exit_code == 0


def test_T42_another_definition_under_the_same_handle_gets_no_stored_secret(tmp_path: Path) -> None:
    run("secrets", "set", "mistral-ai", "apiToken", stdin=CANARY)
    service = {"baseURL": "https://evil.example", "headers": {"X-Stolen": "{{apiToken}}"}, "auth": {"method": "none"}}
    service["params"] = [{"name": "apiToken", "type": "String"}]
    resource = {"handle": "models", "meta": {}, "endpoint": "/models", "fields": []}
    resource["operations"] = {"list": {"method": "GET"}}
    document = {"handle": "mistral-ai", "status": "live", "meta": {"short": "s", "description": "d"}}
    (tmp_path / "mistral-ai.json").write_text(json.dumps({**document, "service": service, "resources": [resource]}))
    refused = run("render", "mistral-ai", "models.list", "--show-secrets", "--definitions", str(tmp_path))
    assert (refused.exit_code, f"entered for {MISTRAL}" in refused.stderr) == (6, True), refused.stderr


def test_a_base_url_that_the_operator_names_counts_as_the_origin() -> None:
    words = ("mistral-ai:team-b", "models.list", "--base-url", "http://127.0.0.1:9000/v1")
    run("secrets", "set", "mistral-ai:team-b", "apiToken", *words[2:], stdin=CANARY)
    assert header(*words) == f"Bearer {CANARY}"
    assert run("render", *words[:2]).exit_code == 6


def test_the_mock_provider_gets_nothing_of_the_store() -> None:
    run("secrets", "set", "mistral-ai", "apiToken", stdin=CANARY)
    result = run_json("call", "mistral-ai", "models.list", "--mock", env={})
    assert result["ok"]


def test_values_are_taken_from_their_variables_which_win_as_long_as_they_are_set() -> None:
    env = {**KEY, "CONNECTOR_SECRET__MISTRAL_AI__APITOKEN": CANARY}
    stored = run("connections", "set", "mistral-ai", "--env", env=env)
    assert (stored.exit_code, "wins over what is stored" in stored.stderr) == (0, True)
    assert header("mistral-ai", "models.list") == f"Bearer {CANARY}"
    assert run("connections", "set", "mistral-ai", "--env").exit_code == 2


@pytest.mark.parametrize(
    ("stdin", "code"), [("{", 2), ("[]", 2), ('{"apiToken": null}', 6), ('{"apiToken": [1]}', 6), ("{}", 6)]
)
def test_values_that_are_no_object_of_texts_are_refused(stdin: str, code: int) -> None:
    assert run("connections", "set", "mistral-ai", "--values", "-", stdin=stdin).exit_code == code


def test_nobody_is_asked_without_a_terminal() -> None:
    result = run("connections", "set", "mistral-ai")
    assert (result.exit_code, "--values -" in result.stderr) == (2, True)
    assert run("connections", "set", "mistral-ai", "--values", "-", "--env", stdin="{}").exit_code == 2


def test_what_is_not_stored_cannot_be_removed() -> None:
    run("secrets", "set", "mistral-ai", "apiToken", stdin=CANARY)
    missed = run("connections", "remove", "mistral")
    assert (missed.exit_code, "did you mean 'mistral-ai'?" in missed.stderr) == (2, True)
    assert run("connections", "remove", "mistral-ai", "host").exit_code == 2
    assert run_json("connections", "remove", "mistral-ai") == {"connection": "mistral-ai", "removed": ["apiToken"]}
    assert "nothing is stored" in run("connections", "list").stderr


def test_a_rotation_changes_the_key(tmp_path: Path) -> None:
    run("secrets", "set", "mistral-ai", "apiToken", stdin=CANARY)
    both = {KEY_VARIABLE: KEYS[1], OLD_KEY_VARIABLE: KEYS[0]}
    assert run_json("secrets", "rotate", env=both) == {"rotated": 1}
    assert "already" in run("secrets", "rotate", env=both).stderr
    assert header("mistral-ai", "models.list", env={KEY_VARIABLE: KEYS[1]}) == f"Bearer {CANARY}"


def test_T57_nothing_starts_without_the_key_of_what_is_stored() -> None:
    run("secrets", "set", "mistral-ai", "apiToken", stdin=CANARY)
    for env, said in (({}, "CONNECTOR_KEY is not set"), ({KEY_VARIABLE: KEYS[1]}, "another key")):
        refused = run("render", "mistral-ai", "models.list", env=env)
        assert (refused.exit_code, said in refused.stderr) == (2, True)
        check = next(row for row in run_json("doctor", exit_code=2, env=env)["checks"] if row["name"] == "store")
        assert (check["status"], said in check["detail"]) == ("fail", True)


def on_a_terminal(words: list[str], answers: list[tuple[str, str]]) -> str:
    """What a command shows on a terminal where each prompt, found by a part of it, gets its answer."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "runtime", *words],
        env={**os.environ, **KEY, "PYTHONPATH": str(Path(__file__).parents[3])},
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
    )
    os.close(follower)
    shown = b""
    for prompt, answer in answers:
        while prompt.encode() not in shown:
            shown += os.read(leader, 1000)
        os.write(leader, answer.encode() + b"\n")
    with contextlib.suppress(OSError):  # the other end is closed
        while chunk := os.read(leader, 1000):
            shown += chunk
    os.close(leader)
    assert process.wait() == 0, shown
    return shown.decode()


def test_a_terminal_is_asked_without_echo() -> None:
    shown = on_a_terminal(["secrets", "set", "mistral-ai", "apiToken"], [("apiToken of mistral-ai", CANARY)])
    assert CANARY not in shown
    assert header("mistral-ai", "models.list") == f"Bearer {CANARY}"


def test_a_terminal_is_asked_for_each_value_and_what_is_left_empty_stays() -> None:
    words = ["connections", "set", "petshop", "--definitions", str(PETSHOP)]
    shown = on_a_terminal(words, [("(shop)", "berlin"), ("(apiKey)", CANARY)])
    assert ("berlin" in shown, CANARY in shown) == (True, False)
    before = {row["name"]: row["set_at"] for row in run_json("connections", "list")}
    again = on_a_terminal(words, [("(shop), empty keeps it", "berlin"), ("(apiKey), empty keeps it", "")])
    assert "stored for https://berlin.petshop.example: shop of petshop" in again
    assert {row["name"]: row["set_at"] for row in run_json("connections", "list")}["apiKey"] == before["apiKey"]


# ── login ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def authorization_server(status: int = 200) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A token endpoint that gives the canary as a token: its URL, and the fields of the requests it got."""
    seen: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            seen.append(dict(urllib.parse.parse_qsl(text)))
            token = {"access_token": CANARY, "token_type": "Bearer", "expires_in": 3600, "refresh_token": f"r-{CANARY}"}
            body = json.dumps(token if status == 200 else {"error": "invalid_grant"}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", seen
        finally:
            server.shutdown()
            thread.join()


def write_definition(folder: Path, server: str) -> None:
    params = {
        "clientID": {"value": "{{clientID}}"},
        "authURL": "https://login.example/authorize",
        "tokenURL": f"{server}/token",
    }
    service = {
        "baseURL": f"{server}/v1",
        "auth": {"method": "oauth2_authorization_code", "scopes": ["read"], "params": params},
    }
    resource = {"handle": "things", "meta": {}, "endpoint": "/things", "fields": []}
    resource["operations"] = {"list": {"method": "GET"}}
    document = {"handle": "shop", "status": "live", "meta": {"short": "s", "description": "d"}}
    folder.mkdir(exist_ok=True)
    (folder / "shop.json").write_text(json.dumps({**document, "service": service, "resources": [resource]}))


@contextlib.contextmanager
def login(*words: str, env: Mapping[str, str] = KEY) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """A login that has begun in a process of its own, and the fields of the page that it names."""
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), **env}
    command = [sys.executable, "-m", "runtime", "connections", "login", "shop", "--definitions", "defs", *words]
    process = subprocess.Popen(
        command, env=environ, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        assert process.stderr is not None
        line = process.stderr.readline()
        url = line.rpartition(" ")[2].strip()
        assert url.startswith("https://login.example/authorize?"), line + process.stderr.read()
        try:
            yield process, dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
        finally:
            process.kill()


def test_a_login_ends_with_tokens_in_the_store(tmp_path: Path) -> None:
    with authorization_server() as (server, seen):
        env = {**KEY, "CONNECTOR_BASE_URL__SHOP": f"{server}/v1"}
        write_definition(tmp_path / "defs", server)
        run("secrets", "set", "shop", "clientID", "--definitions", "defs", stdin="me", env=env)
        with login("--json", env=env) as (process, page):
            query = urllib.parse.urlencode({"code": "c0de", "state": page["state"]})
            with urllib.request.urlopen(f"{page['redirect_uri']}?{query}") as answer:
                assert answer.status == 200
            out, err = process.communicate(timeout=30)
        assert (process.returncode, json.loads(out)) == (0, {"connection": "shop", "logged_in": True}), err
        assert CANARY not in out + err
        asked = seen[0]
        challenge = base64.urlsafe_b64encode(hashlib.sha256(asked["code_verifier"].encode()).digest()).decode()
        assert page["code_challenge"] == challenge.rstrip("=")
        assert (asked["code"], asked["redirect_uri"]) == ("c0de", page["redirect_uri"])
        assert header("shop", "things.list", "--definitions", "defs", env=env) == f"Bearer {CANARY}"
        rows = run_json("connections", "list", env=env)
        assert [(row["name"], row["kind"]) for row in rows if row["kind"] == "grant"] == [(None, "grant")]
        assert CANARY.encode() not in (tmp_path / ".connector" / "secrets.json").read_bytes()
        # The token URL of another server: neither the grant nor the client goes there.
        write_definition(tmp_path / "defs", server.replace("127.0.0.1", "localhost"))
        moved = run("render", "shop", "things.list", "--definitions", "defs", "--show-secrets", env=env)
        assert (moved.exit_code, f"entered for {server}" in moved.stderr) == (6, True), moved.stderr


def test_a_login_that_is_refused_stores_nothing(tmp_path: Path) -> None:
    with authorization_server(status=400) as (server, _):
        env = {**KEY, "CONNECTOR_BASE_URL__SHOP": f"{server}/v1", "CONNECTOR_SECRET__SHOP__CLIENTID": "me"}
        write_definition(tmp_path / "defs", server)
        with login(env=env) as (process, page):
            query = urllib.parse.urlencode({"code": "c0de", "state": page["state"]})
            urllib.request.urlopen(f"{page['redirect_uri']}?{query}").close()
            _, err = process.communicate(timeout=30)
        assert (process.returncode, "invalid_grant" in err) == (6, True), err
        assert run_json("connections", "list", env=env) == []


def test_a_login_is_interrupted_cleanly(tmp_path: Path) -> None:
    write_definition(tmp_path / "defs", "https://shop.example")
    with login(env={**KEY, "CONNECTOR_SECRET__SHOP__CLIENTID": "me"}) as (process, _):
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err.strip()) == (130, "note: interrupted")


def test_a_login_needs_a_key_and_a_connector_that_is_logged_in(tmp_path: Path) -> None:
    write_definition(tmp_path / "defs", "https://shop.example")
    keyless = run("connections", "login", "shop", "--definitions", "defs", env={})
    assert (keyless.exit_code, "CONNECTOR_KEY is not set" in keyless.stderr) == (2, True)
    missing = run("connections", "login", "shop", "--definitions", "defs")
    assert (missing.exit_code, "CONNECTOR_SECRET__SHOP__CLIENTID" in missing.stderr) == (6, True), missing.stderr
    other = run("connections", "login", "mistral-ai", env={**KEY, "CONNECTOR_SECRET__MISTRAL_AI__APITOKEN": "t"})
    assert (other.exit_code, "not logged in" in other.stderr) == (2, True), other.stderr
