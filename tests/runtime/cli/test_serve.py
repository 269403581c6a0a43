"""Commands that serve: what stops them, and what they refuse."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from runtime.cli.root import cli

CANARY = "c4nary-in-a-c0al-mine"


TOKEN = {"CONNECTOR_SECRET__MISTRAL_AI__APITOKEN": CANARY}


CHAT = ("mistral-ai", "chat-completions.create")


HELLO = ("model=mistral-small-latest", "content=Hello")


def run(*words: str, stdin: bytes | str = "", env: Mapping[str, str] | None = None) -> Result:
    """One command in this process. Nothing it writes holds the canary, whatever it does."""
    result = CliRunner(env=dict(env or {})).invoke(cli, words, input=stdin)
    shown = result.stdout + result.stderr
    assert CANARY not in shown or "--show-secrets" in words
    assert "Traceback" not in shown
    return result


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


def write(path: Path, document: Any) -> str:
    path.write_text(json.dumps(document, indent=2))
    return str(path)


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


def test_a_port_that_is_taken_exits_2() -> None:
    with provider(200, b"") as (url, _):
        port = url.rpartition(":")[2].partition("/")[0]
        result = run("mock", "mistral-ai", "--port", port)
    assert result.exit_code == 2
    assert port in result.stderr


def test_the_mock_needs_no_credential_that_is_declared_without_being_required(tmp_path: Path) -> None:
    token = {"value": "{{key}}", "placeholders": [{"name": "key", "type": "String"}]}
    service = {"baseURL": "https://demo.example", "auth": {"method": "bearer", "params": {"token": token}}}
    operations = {"read": {"method": "GET"}}
    resource = {"handle": "things", "endpoint": "/things", "fields": [], "operations": operations}
    path = write(tmp_path / "demo.json", {"handle": "demo", "service": service, "resources": [resource]})
    assert run("call", "demo", "things.read", "--mock", "--definitions", path).exit_code == 0
