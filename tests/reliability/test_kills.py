"""Kills of the real server, `connector serve`, over real sockets; then what was acknowledged against what is kept."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import signal
import sqlite3
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from runtime.config.keys import Key
from tests.doubles.processes import ROOT, Arrival, Subscriber, message, post, process
from tests.doubles.served import PATH

pytestmark = pytest.mark.anyio
KILLED = (str(ROOT / "tests" / "doubles" / "killed_server.py"),)


def kept(home: Path) -> Counter[str]:
    """How often the journal that a process left behind has each message, by the sender's id."""
    with contextlib.closing(sqlite3.connect(home / ".connector" / "journal.db")) as journal:
        assert journal.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return Counter(json.loads(dedupe) for (dedupe,) in journal.execute("SELECT dedupe FROM events"))


async def test_K1_K2_K3_K4_a_server_killed_around_its_commit_loses_nothing_acknowledged_and_doubles_nothing(
    tmp_path: Path,
) -> None:
    """Each start is also the restart after the kill before it. Without the role that delivers nobody looks at what is
    in line, so that the last start is the first to see it (K4)."""
    armed = tmp_path / "armed"
    async with Subscriber() as subscriber, httpx2.AsyncClient(trust_env=False, timeout=30) as client:
        environment = {
            "CONNECTOR_KEY": Key.generate().to_text(),
            "CONNECTOR_SUBSCRIBER_ORIGINS": subscriber.origin,
            "KILL_ARMED": str(armed),
        }
        expected: Counter[str] = Counter()
        # Before the transaction, before its commit, and after it.
        for point, stays in (("K1", 0), ("K2", 0), ("K3", 1)):
            armed.unlink(missing_ok=True)
            killed = {**environment, "KILL_AT": point}
            async with process(tmp_path, "--role", "api", environment=killed, program=KILLED) as (server, url):
                if point == "K1":
                    made = await client.post(url + "/api/subscriptions", json={"url": subscriber.origin + "/hook"})
                    assert made.status_code == 201
                expected[f"before-{point}"] = 1
                assert await post(client, url, f"before-{point}") == 202
                armed.write_text("1", "utf-8")
                with pytest.raises(httpx2.TransportError):
                    await post(client, url, f"at-{point}")
                assert await server.wait() == -signal.SIGKILL
            expected += Counter({f"at-{point}": stays})
            assert kept(tmp_path) == expected
        assert subscriber.arrivals == []
        async with process(tmp_path, environment=environment) as (server, url):
            # As a sender does, who heard nothing; and one who did.
            for id in ("at-K1", "at-K1", "at-K2", "at-K3", "before-K1"):
                assert await post(client, url, id) == 202
            await subscriber.until(lambda: len(subscriber.arrivals) >= 6)
            server.kill()
            await server.wait()
        everything = Counter(f"{when}-{point}" for point in ("K1", "K2", "K3") for when in ("before", "at"))
        assert kept(tmp_path) == everything
        assert (len(subscriber.counts), set(subscriber.counts.values())) == (6, {1})


@pytest.mark.parametrize(
    ("point", "status", "state", "posts"),
    [("K5", 204, "delivered", 1), ("K6", 204, "delivered", 2), ("K7", 204, "delivered", 2), ("K8", 410, "dead", 2)],
)
async def test_K5_K6_K7_K8_a_server_killed_before_an_outcome_is_kept_delivers_again_with_the_same_id(
    tmp_path: Path, point: str, status: int, state: str, posts: int
) -> None:
    """At K5 the delivery was handed out and not sent, so the subscriber sees one POST only."""
    killed, armed = asyncio.Event(), tmp_path / "armed"

    async def answer(_: Arrival) -> int:
        if point == "K6":
            await killed.wait()
        return status

    def states() -> list[tuple[str, int]]:
        with contextlib.closing(sqlite3.connect(tmp_path / ".connector" / "journal.db")) as journal:
            return journal.execute("SELECT state, attempts FROM deliveries").fetchall()

    async with Subscriber(answer) as subscriber, httpx2.AsyncClient(trust_env=False, timeout=30) as client:
        environment = {"CONNECTOR_KEY": Key.generate().to_text(), "CONNECTOR_SUBSCRIBER_ORIGINS": subscriber.origin}
        at = {**environment, "KILL_ARMED": str(armed), "KILL_AT": point}
        async with process(tmp_path, environment=at, program=KILLED) as (server, url):
            made = await client.post(url + "/api/subscriptions", json={"url": subscriber.origin + "/hook"})
            assert made.status_code == 201
            armed.write_text("1", "utf-8")
            assert await post(client, url, "m") == 202
            if point == "K6":
                await subscriber.until(lambda: subscriber.arrivals)
                server.kill()
            assert await asyncio.wait_for(server.wait(), 60) == -signal.SIGKILL
            killed.set()
        assert states() == [("pending", 0)]
        async with process(tmp_path, environment=environment) as (server, _):
            await subscriber.until(lambda: len(subscriber.arrivals) >= posts)
            server.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(server.wait(), 60) == 0
    # The attempt of which nobody kept the outcome is as if it had not been.
    assert states() == [(state, 1)]
    assert len(subscriber.arrivals) == posts
    first, again = subscriber.arrivals[0], subscriber.arrivals[-1]
    assert again.id == first.id
    assert int(again.headers["webhook-timestamp"]) >= int(first.headers["webhook-timestamp"])


#: A provider without webhooks, whose jobs are asked for.
JOBS = {
    "handle": "jobs",
    "service": {"baseURL": "https://jobs.example", "auth": {"method": "bearer", "params": {"token": "{{key}}"}}},
    "resources": [
        {
            "handle": "jobs", "endpoint": "/jobs", "fields": [{"name": "id", "type": "String"}],
            "operations": {"list": {"method": "GET", "records": ["data"]}},
            "webhooks": [
                {
                    "event": "created", "path": "/webhooks/jobs/created", "payload": [{"name": "id", "type": "String"}],
                    "poll": {"operation": "jobs.list", "interval": 60, "when": "new", "start": "all"},
                }
            ],
        }
    ],
}  # fmt: skip


@pytest.mark.parametrize("point", ["K9", "K10"])
async def test_K9_K10_a_server_killed_while_it_keeps_what_a_poll_found_asks_again_and_has_each_event_once(
    tmp_path: Path, point: str
) -> None:
    armed = tmp_path / "armed"
    answer = json.dumps({"data": [{"id": "a"}, {"id": "b"}]}).encode()

    async def provide(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                # The next transaction is that which keeps this answer.
                armed.write_text("1", "utf-8")
                head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
                writer.write(head % len(answer) + answer)
        writer.close()

    (tmp_path / "jobs.json").write_text(json.dumps(JOBS), "utf-8")
    provider = await asyncio.start_server(provide, "127.0.0.1", 0)
    async with provider, Subscriber() as subscriber, httpx2.AsyncClient(trust_env=False, timeout=30) as client:
        environment = {
            "CONNECTOR_KEY": Key.generate().to_text(),
            "CONNECTOR_SUBSCRIBER_ORIGINS": subscriber.origin,
            "CONNECTOR_BASE_URL__JOBS": f"http://127.0.0.1:{provider.sockets[0].getsockname()[1]}",
            "CONNECTOR_SECRET__JOBS__KEY": "canary-of-a-poll",
        }
        async with process(tmp_path, "--role", "api", environment=environment) as (_, url):
            made = await client.post(url + "/api/subscriptions", json={"url": subscriber.origin + "/hook"})
            assert made.status_code == 201
        at = {**environment, "KILL_ARMED": str(armed), "KILL_AT": point}
        async with process(tmp_path, "--role", "poller", environment=at, program=KILLED) as (server, _):
            assert await asyncio.wait_for(server.wait(), 60) == -signal.SIGKILL
        assert armed.exists()
        assert kept(tmp_path) == Counter()
        with contextlib.closing(sqlite3.connect(tmp_path / ".connector" / "journal.db")) as journal:
            assert journal.execute("SELECT * FROM sightings").fetchall() == []
        async with process(tmp_path, environment=environment):
            await subscriber.until(lambda: len(subscriber.arrivals) > 1)
    assert len(kept(tmp_path)) == 2
    assert set(kept(tmp_path).values()) == {1}
    assert sorted(each.event["data"]["id"] for each in subscriber.arrivals) == ["a", "b"]


async def until_refused(port: int | None) -> None:
    """Waits until nobody listens any more."""
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                return
            except ConnectionResetError:
                # Just in between.
                continue
            writer.close()


async def test_K14_a_sigterm_with_1000_messages_half_sent_takes_no_more_and_answers_them_all(tmp_path: Path) -> None:
    """Each has been told to go on with its body (RFC 9110, section 10.1.1), so all are in the application by then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2200:
        pytest.skip(f"this process may open no more than {hard} files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2200), hard))
    acknowledged: set[str] = set()
    try:
        async with process(tmp_path) as (server, url):
            port = urlsplit(url).port
            told = signalled = 0
            all_told, go_on = asyncio.Event(), asyncio.Event()

            async def send(id: str) -> None:
                nonlocal told
                body, headers = message(id)
                fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {len(body)}\r\n"
                writer.write(f"{head}{fields}\r\n".encode())
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
                told += 1
                if told == 1000:
                    all_told.set()
                # Only when it takes nobody any more.
                await asyncio.wait_for(go_on.wait(), 60)
                writer.write(body)
                if (await reader.read()).startswith(b"HTTP/1.1 202"):
                    acknowledged.add(id)
                writer.close()

            async def end() -> None:
                nonlocal signalled
                await asyncio.wait_for(all_told.wait(), 60)
                server.send_signal(signal.SIGTERM)
                signalled = time.monotonic()
                await until_refused(port)
                go_on.set()

            await asyncio.gather(end(), *(send(f"m-{number}") for number in range(1000)))
            assert await asyncio.wait_for(server.wait(), 60) == 0
            assert time.monotonic() - signalled < 25
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert not (tmp_path / ".connector" / "server.json").exists()
    assert len(acknowledged) == 1000
    assert kept(tmp_path) == Counter(acknowledged)


async def test_K14_a_delivery_that_has_begun_is_finished_after_a_sigterm_and_not_made_again(tmp_path: Path) -> None:
    go_on = asyncio.Event()

    async def answer(_: Arrival) -> int:
        await go_on.wait()
        return 204

    async with Subscriber(answer) as subscriber, httpx2.AsyncClient(trust_env=False, timeout=30) as client:
        environment = {"CONNECTOR_KEY": Key.generate().to_text(), "CONNECTOR_SUBSCRIBER_ORIGINS": subscriber.origin}
        async with process(tmp_path, environment=environment) as (server, url):
            made = await client.post(url + "/api/subscriptions", json={"url": subscriber.origin + "/hook"})
            assert made.status_code == 201
            assert await post(client, url, "begun") == 202
            await subscriber.until(lambda: subscriber.arrivals)
            server.send_signal(signal.SIGTERM)
            await until_refused(urlsplit(url).port)
            go_on.set()
            assert await asyncio.wait_for(server.wait(), 60) == 0
        async with process(tmp_path, environment=environment) as (_, url):
            found = (await client.get(url + "/api/deliveries")).json()["deliveries"]
            assert [each["state"] for each in found] == ["delivered"]
            assert await post(client, url, "later") == 202
            await subscriber.until(lambda: len(subscriber.arrivals) > 1)
    assert list(subscriber.counts.values()) == [1, 1]
