"""An authorization server with reuse detection (RFC 9700, section 4.14.2), and processes of a host that renew at once.

A refresh token works once. The second use of one revokes everything that came of the same login, which is a grant lost.
`python -m tests.doubles.rotating DATABASE URL CALLS` is one process of a host whose credentials are in SQLite.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import itertools
import json
import sqlite3
import sys
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from runtime import Runtime

DEMO = {
    "handle": "demo",
    "service": {"baseURL": "https://api.example.com/api", "auth": {"method": "oauth2_authorization_code"}},
    "resources": [
        {
            "handle": "things",
            "endpoint": "/things",
            "fields": [{"name": "id", "type": "String"}],
            "operations": {"read": {"method": "GET"}},
        }
    ],
}


class HostStore:
    """The credentials of a host, in one table of SQLite."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._open() as database:
            database.execute("CREATE TABLE IF NOT EXISTS connections (name TEXT PRIMARY KEY, data TEXT, grant_ TEXT)")

    def put(self, connection: str, values: Mapping[str, str], grant: Mapping[str, Any] | None = None) -> None:
        row = connection, json.dumps(dict(values)), None if grant is None else json.dumps(dict(grant))
        with self._open() as database:
            database.execute("INSERT OR REPLACE INTO connections VALUES (?, ?, ?)", row)

    async def get(self, connection: str) -> Mapping[str, str]:
        found = self._row(connection)
        return {} if found is None else dict(json.loads(found[0]))

    async def grant(self, connection: str) -> Mapping[str, Any] | None:
        found = self._row(connection)
        return None if found is None or found[1] is None else dict(json.loads(found[1]))

    async def save_grant(self, connection: str, grant: Mapping[str, Any], expected: Mapping[str, Any] | None) -> bool:
        with self._open() as database:
            database.execute("BEGIN IMMEDIATE")
            found = database.execute("SELECT grant_ FROM connections WHERE name = ?", (connection,)).fetchone()
            stored = None if found is None or found[0] is None else json.loads(found[0])
            if stored != (None if expected is None else dict(expected)):
                return False
            database.execute("UPDATE connections SET grant_ = ? WHERE name = ?", (json.dumps(dict(grant)), connection))
        return True

    def _row(self, connection: str) -> Any:
        with self._open() as database:
            return database.execute("SELECT data, grant_ FROM connections WHERE name = ?", (connection,)).fetchone()

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self._path, timeout=60, isolation_level=None)) as database:
            yield database
            if database.in_transaction:
                database.execute("COMMIT")


class Rotating:
    """The server: each access token is good for some calls, each refresh token for one renewal."""

    def __init__(self, calls: int) -> None:
        self._calls = calls
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._left: dict[str, int] = {}
        self._live = {"r0"}
        self._used: set[str] = set()
        self.url = ""
        #: How often a token was renewed, and how often a refresh token came a second time.
        self.renewals = self.reuses = 0

    def renew(self, token: str) -> tuple[int, Any]:
        with self._lock:
            if token not in self._live:
                if token in self._used:
                    self.reuses += 1
                    self._live.clear()
                    self._left.clear()
                return 400, {"error": "invalid_grant"}
            self.renewals += 1
            self._live.remove(token)
            self._used.add(token)
            number = next(self._numbers)
            self._live.add(f"r{number}")
            self._left = {f"a{number}": self._calls}
            return 200, {"access_token": f"a{number}", "refresh_token": f"r{number}", "expires_in": 3600}

    def call(self, token: str) -> tuple[int, Any]:
        with self._lock:
            if self._left.get(token, 0) < 1:
                return 401, {"message": "the token has ended"}
            self._left[token] -= 1
        return 200, {"id": "7"}


@contextlib.contextmanager
def rotating(calls: int) -> Iterator[Rotating]:
    """The server on a free port of the loopback; an access token is good for so many calls."""
    server = Rotating(calls)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            form = urllib.parse.parse_qs(self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode())
            if self.path == "/token":
                status, document = server.renew(form["refresh_token"][0])
            else:
                status, document = server.call(self.headers.get("Authorization", "").removeprefix("Bearer "))
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST  # noqa: N815 - theirs

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        server.url = f"http://127.0.0.1:{listening.server_port}"
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown()
            thread.join()


def prepare(folder: Path, server: Rotating) -> Path:
    """Writes the definition, and a store with a login whose token has ended; returns the store."""
    (folder / "demo.json").write_text(json.dumps(DEMO), "utf-8")
    values = {
        "tokenURL": f"{server.url}/token",
        "authURL": f"{server.url}/auth",
        "clientID": "host",
        "clientSecret": "canary-host",
    }
    path = folder / "host.db"
    HostStore(path).put("demo", values, {"token": "a0", "issued_at": 0.0, "expires_at": 1.0, "refresh_token": "r0"})
    return path


async def _work(path: Path, url: str, calls: int) -> None:
    rt = Runtime(path.parent / "demo.json", credentials=HostStore(path), base_urls={"demo": f"{url}/api"}, environ={})
    failed = dict[str, int]()
    async with rt:
        print("ready", flush=True)  # noqa: T201 - what the test waits for
        await asyncio.to_thread(sys.stdin.readline)

        async def one() -> None:
            try:
                await rt.call("demo", "things.read", {})
            except Exception as error:  # noqa: BLE001 - the test judges it
                failed[type(error).__name__] = failed.get(type(error).__name__, 0) + 1

        for _ in range(calls // 5):
            await asyncio.gather(*(one() for _ in range(5)))
    print(json.dumps(failed), flush=True)  # noqa: T201 - as above


if __name__ == "__main__":
    asyncio.run(_work(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
