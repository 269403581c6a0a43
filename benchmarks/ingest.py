"""Taking messages: each verified and durably kept before its 202, beside a bare Starlette handler that parses JSON.

Both servers are uvicorn in a process of their own, on the same event loop and the same parser of HTTP: those of the
extra `speed`, and those of a plain installation. A third process sends them the same signed messages: over fifty
connections as fast as they are answered, then a thousand a second whether answered or not. It is a bare loop over
epoll, so that it takes as little as possible of the cores that it shares with them. The servers take turns of a quarter
of a second, many of them, since a core of a rented machine can be twice as fast in one second as in the next, and a
spell during which the host took the processors for others is made again; the figures are those of all spells together.
The time of a flush to the disk stands beside them.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from benchmarks.measuring import TRIES, Host, Row, time_flush
from connector.events.signatures import sign

T = TypeVar("T")

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PATH = "/webhooks/bench/made"
CONNECTIONS = 50
#: Seconds of each spell, messages a second when they come whether answered or not, and turns of each server.
SECONDS = 0.25
RATE = 1000
TURNS = 40
SERVERS = ("bare", "ours")
#: What a plain installation does not have.
SPEED = ("httptools", "uvloop")
_TICKS = os.sysconf("SC_CLK_TCK")
_FIELDS = [{"name": "id", "type": "String"}]
_DEFINITION = {
    "handle": "bench",
    "service": {"baseURL": "https://bench.example"},
    "resources": [
        {"handle": "things", "endpoint": "/t", "webhooks": [{"event": "made", "path": PATH, "payload": _FIELDS}]}
    ],
}


def measure_ingest() -> list[Row]:
    """Throughput and time of an answer, ours against the bare handler's, in turns."""
    rows: list[Row] = []
    flushes: list[float] = []
    failed = again = 0.0
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        home = Path(folder)
        (home / "bench.json").write_text(json.dumps(_DEFINITION), "utf-8")
        for speed in ("with speed", "plain"):
            flushes += [time_flush(home) for _ in range(200)]
            found = _compare(speed, home)
            bare, ours = (found[server] for server in SERVERS)
            slower, late = bare["throughput"] / ours["throughput"], ours["p99"] / bare["p99"]
            rows += [
                Row(f"{speed}: messages a second, bare handler", bare["throughput"], "1/s"),
                Row(f"{speed}: messages a second, verified and kept", ours["throughput"], "1/s", slower, 2.5),
                Row(f"{speed}: CPU of one, bare handler", bare["cpu"], "µs"),
                Row(f"{speed}: CPU of one, verified and kept", ours["cpu"], "µs", ours["cpu"] / bare["cpu"]),
                Row(f"{speed}: p50 at {RATE:,} a second, bare handler", bare["p50"], "ms"),
                Row(f"{speed}: p50 at {RATE:,} a second, verified and kept", ours["p50"], "ms"),
                Row(f"{speed}: p99 at {RATE:,} a second, bare handler", bare["p99"], "ms"),
                Row(f"{speed}: p99 at {RATE:,} a second, verified and kept", ours["p99"], "ms", late, 5),
            ]
            failed += bare["failed"] + ours["failed"]
            again += bare["again"] + ours["again"]
    return [
        Row("a flush to the disk, p50", statistics.median(flushes), "ms"),
        Row("a flush to the disk, p99", statistics.quantiles(flushes, n=100)[98], "ms"),
        *rows,
        Row("answers other than 2xx", failed, "of all"),
        Row("spells made again, since the host took the processors", again, "spells"),
    ]


def _compare(speed: str, home: Path) -> dict[str, dict[str, float]]:
    """The figures of each server, which take turns."""
    environment = {
        **os.environ,
        "CONNECTOR_HOME": str(home / f"state-{speed}"),
        "CONNECTOR_LIMIT_WEBHOOK_RATE": "1000000000",
        "CONNECTOR_SECRET__BENCH__WEBHOOKSECRET": SECRET,
    }
    with contextlib.ExitStack() as running:
        where = []
        for server in SERVERS:
            serving = running.enter_context(
                subprocess.Popen(  # noqa: S603 - our own
                    [sys.executable, "-m", "benchmarks.ingest", server, speed, str(home)],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env=environment,
                    text=True,
                )
            )
            running.callback(serving.terminate)
            assert serving.stdout is not None  # noqa: S101 - it is piped
            text = ""
            while not text.endswith("}\n"):
                text += serving.stdout.readline()
            where += [json.loads(text)["url"].rpartition(":")[2], str(serving.pid)]
        command = [sys.executable, "-m", "benchmarks.ingest", "load", *where]
        done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own
    answer: dict[str, dict[str, float]] = json.loads(done.stdout)
    return answer


def _serve(server: str, speed: str, home: str) -> None:
    if speed == "plain":
        # As if they were not installed.
        sys.modules.update(dict.fromkeys(SPEED))  # type: ignore[arg-type] - None is what Python looks for
    if server == "bare":
        _serve_bare()
        return
    from runtime.cli import main

    sys.argv = ["connector", "serve", "--port", "0", "--json", "--role", "api", "--definitions", home]
    main()


def _serve_bare() -> None:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    async def take(request: Request) -> Response:
        await request.json()
        return Response(status_code=202)

    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
    app = Starlette(routes=[Route(PATH, take, methods=["POST"])])
    # Event loop and parser are the best that are there, as with ours.
    uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False)).run([listener])


def _messages(label: str, count: int) -> list[bytes]:
    """Signed requests, each with an id of its own and 1 KiB of body."""
    now, made = int(time.time()), []
    for number in range(count):
        body = json.dumps({"id": f"{label}-{number}", "text": "x" * 980}).encode()
        fields = "".join(
            f"{name}: {value}\r\n" for name, value in sign([SECRET], f"{label}-{number}", now, body).items()
        )
        head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        made.append(f"{head}{fields}\r\n".encode() + body)
    return made


class Load:
    """Connections to one server, over which prepared requests are sent."""

    def __init__(self, port: int) -> None:
        self._sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
        self._by_file = {each.fileno(): each for each in self._sockets}
        self._partial = dict.fromkeys(self._by_file, b"")
        self._poll = select.epoll()
        for file, each in self._by_file.items():
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._poll.register(file, select.EPOLLIN)
        self.free = deque(self._by_file)
        self.failed = 0

    def close(self) -> None:
        """Closes the connections."""
        self._poll.close()
        for each in self._sockets:
            each.close()

    def send(self, message: bytes) -> int:
        """Sends a request over the connection that was free for longest; gives its number."""
        file = self.free.popleft()
        self._by_file[file].sendall(message)
        return file

    def answered(self, seconds: float) -> Iterator[int]:
        """The connections on which an answer came, within so many seconds."""
        for file, _ in self._poll.poll(seconds):
            if not (data := self._by_file[file].recv(65536)):
                raise ConnectionError("the server closed a connection")
            data = self._partial[file] + data
            head, found, body = data.partition(b"\r\n\r\n")
            _, _, length = head.lower().partition(b"content-length:")
            if not found or len(body) < int(length.partition(b"\r\n")[0] or 0):
                self._partial[file] = data
                continue
            self._partial[file] = b""
            self.failed += not head.startswith(b"HTTP/1.1 2")
            self.free.append(file)
            yield file


def _hurry(load: Load, messages: list[bytes]) -> int:
    """As many as are answered within a spell, over all connections; gives how many."""
    begun, count = time.perf_counter(), 0
    for _ in range(CONNECTIONS):
        load.send(messages.pop())
    while len(load.free) < CONNECTIONS:
        for _ in load.answered(10):
            count += 1
            if messages and time.perf_counter() - begun < SECONDS:
                load.send(messages.pop())
    return count


def _at_rate(load: Load, messages: Sequence[bytes]) -> list[float]:
    """So many a second whether answered or not; the milliseconds from when each was due, so that waiting counts."""
    begun, number, times = time.perf_counter(), 0, []
    due: dict[int, float] = {}
    while len(times) < len(messages):
        now = time.perf_counter()
        while number < len(messages) and load.free and begun + number / RATE <= now:
            due[load.send(messages[number])] = begun + number / RATE
            number += 1
        waits = begun + number / RATE - time.perf_counter() if number < len(messages) and load.free else 10.0
        times += [(time.perf_counter() - due[file]) * 1e3 for file in load.answered(max(0.0, waits))]
    return times


class Turns:
    """What one server did in its turns."""

    def __init__(self, server: str, port: int, pid: int) -> None:
        self._server = server
        self._port = port
        self._pid = pid
        self._count, self._seconds, self._cpu = 0, 0.0, 0.0
        self._times: list[float] = []
        self._failed = self._again = 0

    def hurry(self, turn: int) -> None:
        """A spell as fast as messages are answered; the first one only warms the server up."""
        count, seconds, cpu = self._undisturbed(_hurry, f"{self._server}-{turn}-c", 6000)
        if turn:
            self._count, self._seconds, self._cpu = self._count + count, self._seconds + seconds, self._cpu + cpu

    def keep_pace(self, turn: int) -> None:
        """A spell at the rate; the first one does not count."""
        times, _, _ = self._undisturbed(_at_rate, f"{self._server}-{turn}-o", int(RATE * SECONDS))
        if turn:
            self._times += times

    def _undisturbed(self, spell: Callable[[Load, list[bytes]], T], label: str, most: int) -> tuple[T, float, float]:
        """What a spell gives, its seconds and those of the server's CPU."""
        for number in range(TRIES):
            messages = _messages(f"{label}-{number}", most)
            with contextlib.closing(Load(self._port)) as load:
                host, cpu, begun = Host(), _cpu(self._pid), time.perf_counter()
                found = spell(load, messages)
                seconds, cpu, disturbed = time.perf_counter() - begun, _cpu(self._pid) - cpu, host.disturbs()
            self._failed += load.failed
            if not disturbed:
                break
            self._again += 1
        return found, seconds, cpu

    def figures(self) -> dict[str, float]:
        """Those of all turns together."""
        times = sorted(self._times)
        return {
            "throughput": self._count / self._seconds,
            "cpu": self._cpu / self._count * 1e6,
            "p50": times[len(times) // 2],
            "p99": times[int(len(times) * 0.99)],
            "failed": self._failed,
            "again": self._again,
        }


def _load(where: Sequence[str]) -> dict[str, dict[str, float]]:
    servers = {
        server: Turns(server, int(port), int(pid))
        for server, port, pid in zip(SERVERS, where[::2], where[1::2], strict=True)
    }
    for spell in (Turns.hurry, Turns.keep_pace):
        for turn in range(TURNS + 1):
            for each in servers.values() if turn % 2 else reversed(servers.values()):
                spell(each, turn)
    return {server: each.figures() for server, each in servers.items()}


def _cpu(pid: int) -> float:
    """Seconds of CPU that a process has had; 0 where the system does not say."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS
    return 0.0


if __name__ == "__main__":
    if sys.argv[1] == "load":
        print(json.dumps(_load(sys.argv[2:])))
    else:
        _serve(*sys.argv[1:4])
