"""Commands of `connector` for tests: run in this process or started as one, against a provider on a socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from runtime.cli.root import cli
from tests.doubles.processes import ROOT

CANARY = "c4nary-in-a-c0al-mine"
TOKEN = {"CONNECTOR_SECRET__MISTRAL_AI__APITOKEN": CANARY}
CHAT = ("mistral-ai", "chat-completions.create")
HELLO = ("model=mistral-small-latest", "content=Hello")
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


def run(*words: str, stdin: bytes | str = "", env: Mapping[str, str] | None = None) -> Result:
    """One command in this process. Nothing it writes holds the canary, whatever it does."""
    result = CliRunner(env=dict(env or {})).invoke(cli, words, input=stdin)
    shown = result.stdout + result.stderr
    assert CANARY not in shown or "--show-secrets" in words
    assert "Traceback" not in shown
    return result


async def run_in_thread(home: Path, *words: str, env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Runs one command in a folder and returns its exit code, stdout and stderr; the loop of the test goes on."""

    def invoke() -> Result:
        with contextlib.chdir(home):
            return CliRunner(env=dict(env or {})).invoke(cli, [*words, "--definitions", str(home)])

    async with asyncio.timeout(60):
        done = await asyncio.to_thread(invoke)
    return done.exit_code, done.stdout, done.stderr


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
    environ = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
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
