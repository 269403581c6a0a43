"""Hazards at the edge of a running server: what is refused there, what is kept, and that nothing else suffers."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import logging
import socket
import sqlite3
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from runtime.config.keys import Key
from runtime.journal.dispatcher import Embedded
from runtime.journal.journal import Journal
from runtime.journal.space import disk_usage
from runtime.journal.storage.sqlite import SQLite
from tests.doubles.processes import Subscriber, post, process
from tests.doubles.served import PATH, served, settings_in
from tests.runtime.events.test_poller import CREATED, DONE, World

pytestmark = pytest.mark.anyio


async def test_T42_a_stored_secret_goes_to_no_other_origin_and_the_answer_is_403(tmp_path: Path) -> None:
    arrived: list[httpx2.Request] = []

    def provider(request: httpx2.Request) -> httpx2.Response:
        arrived.append(request)
        return httpx2.Response(200, json={"id": "7"})

    key = Key.generate().to_text()
    call = "/api/connectors/demo/operations/things.read"
    stand_in = httpx2.MockTransport(provider)
    async with served(settings_in(tmp_path, CONNECTOR_KEY=key), transport=stand_in) as server:
        put = await server.client.put(server.url + "/api/connections/demo", json={"apiToken": "canary-of-A"})
        assert put.status_code == 200
        assert (await server.client.post(server.url + call, json={"thingId": "7"})).status_code == 200
    assert [request.headers["authorization"] for request in arrived] == ["Bearer canary-of-A"]
    # The same connection, whose definition leads elsewhere since.
    moved = settings_in(tmp_path, CONNECTOR_KEY=key, CONNECTOR_BASE_URL__DEMO="https://b.example/v1")
    async with served(moved, transport=stand_in) as server:
        answer = await server.client.post(server.url + call, json={"thingId": "7"})
        assert (answer.status_code, answer.json()["code"]) == (403, "E_ORIGIN")
        assert "canary" not in answer.text
        # Entered again, it is meant.
        await server.client.put(server.url + "/api/connections/demo", json={"apiToken": "canary-of-B"})
        assert (await server.client.post(server.url + call, json={"thingId": "7"})).status_code == 200
    assert [request.url.host for request in arrived] == ["demo.example", "b.example"]
    assert arrived[1].headers["authorization"] == "Bearer canary-of-B"


async def test_F3_on_a_full_disk_messages_are_503_and_everything_else_is_answered(tmp_path: Path) -> None:
    free = 50 << 30
    settings = settings_in(tmp_path)
    assert settings.journal is not None
    async with await Journal.open(settings.journal, usage=lambda _: (100 << 30, free)) as journal:
        assert journal.space is not None
        journal.space.pause = 0.0
        async with served(settings, journal=journal) as server:
            assert (await server.send(id="m-1")).status_code == 202
            free = 0
            refused = await server.send(id="m-2")
            assert (refused.status_code, refused.json()["code"]) == (503, "E_JOURNAL")
            assert int(refused.headers["retry-after"]) >= 1
            get = server.client.get
            paths = ("/api/events", "/api/deliveries", "/healthz", "/metrics")
            assert [(await get(server.url + path)).status_code for path in paths] == [200] * 4
            assert (await get(server.url + "/readyz")).status_code == 503
            free = 50 << 30
            # By itself.
            assert (await server.send(id="m-2")).status_code == 202
            assert (await get(server.url + "/readyz")).status_code == 200


async def test_F4_a_file_that_another_process_locks_for_long_makes_messages_503(tmp_path: Path) -> None:
    async with served(settings_in(tmp_path)) as server:
        assert (await server.send(id="m-1")).status_code == 202
        with contextlib.closing(sqlite3.connect(tmp_path / ".connector" / "journal.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            began = time.monotonic()
            answers = await asyncio.gather(*(server.send(id=f"m-{number}") for number in range(2, 22)))
            # Whoever waits is told together, after the five seconds of the driver; the first may have been alone.
            assert 4.5 <= time.monotonic() - began < 20
            assert {each.status_code for each in answers} == {503}
            assert all(int(each.headers["retry-after"]) >= 1 for each in answers)
        assert (await server.send(id="m-2")).status_code == 202
        assert len(await server.journal.events()) == 2


async def test_W1_a_hundred_repetitions_at_once_and_after_a_restart_are_one_event_and_all_2xx(tmp_path: Path) -> None:
    statuses: list[int] = []
    for _ in range(2):
        async with served(settings_in(tmp_path)) as server:
            statuses += [each.status_code for each in await asyncio.gather(*(server.send() for _ in range(100)))]
            assert len(await server.journal.events()) == 1
    assert statuses == [202] * 200


async def test_W2_what_comes_in_another_order_is_delivered_as_it_came_with_its_number_and_time(tmp_path: Path) -> None:
    numbers = list(range(100))
    for place in range(0, 100, 10):
        # Every tenth is overtaken, as `succeeded` may overtake `created`.
        numbers[place], numbers[place + 1] = numbers[place + 1], numbers[place]
    async with Subscriber() as subscriber:
        environment = {"CONNECTOR_KEY": Key.generate().to_text(), "CONNECTOR_SUBSCRIBER_ORIGINS": subscriber.origin}
        async with served(settings_in(tmp_path, **environment)) as server:
            source = {"url": subscriber.origin + "/hook", "ordered": True}
            (await server.client.post(server.url + "/api/subscriptions", json=source)).raise_for_status()
            for number in numbers:
                path = PATH if number % 2 else "/webhooks/demo/gone"
                sent = await server.send({"id": "one", "size": number}, id=f"m-{number}", path=path)
                assert sent.status_code == 202
            await subscriber.until(lambda: len(subscriber.arrivals) >= 100)
            kept = [each.dedupe for each in await server.journal.events(limit=1000)]
        assert kept == [f"m-{number}" for number in numbers]
    sequences = [int(each.event["sequence"]) for each in subscriber.arrivals]
    assert sequences == list(range(1, 101))
    assert [each.event["type"] == "things/made" for each in subscriber.arrivals] == [bool(each % 2) for each in numbers]
    assert all(each.event["time"] for each in subscriber.arrivals)


async def test_P6_what_shifts_between_two_pages_is_told_once_and_never_lost(tmp_path: Path) -> None:
    async with await Journal.open("sqlite://") as journal:
        world = World(tmp_path, journal, [CREATED, DONE])
        world.provider.add(*(f"j{number}" for number in range(150)))
        change: Any = None

        def answer(request: httpx2.Request) -> httpx2.Response:
            world.provider.answer = None
            page = world.provider(request)
            world.provider.answer = answer
            if int(request.url.params.get("page", 0)) == 0 and change is not None:
                change()
            return page

        world.provider.answer = answer
        # Something new while the pages are walked: the last of the first page is the first of the second one as well.
        change = lambda: world.provider.add("new")  # noqa: E731 - what changes, once
        told = await world.poll()
        assert sorted(told) == sorted(f"job.created j{number}" for number in range(150))
        # Something is deleted: the first of the second page is on neither.
        change = lambda: world.provider.jobs.pop(5)  # noqa: E731 - as above
        world.provider.add("more")
        told += await world.poll()
        change = None
        told += await world.poll()
        created = {each.removeprefix("job.created ") for each in told if each.startswith("job.created ")}
        assert created >= {job["id"] for job in world.provider.jobs}
        assert len(told) == len(set(told))


async def test_T70_950_half_sent_requests_are_closed_in_time_and_a_good_client_is_answered_meanwhile(
    tmp_path: Path,
) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2200:
        pytest.skip(f"this process may open no more than {hard} files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2200), hard))
    try:
        async with (
            process(tmp_path) as (_, url),
            httpx2.AsyncClient(trust_env=False, timeout=30) as client,
        ):
            port = int(url.rpartition(":")[2])
            loop = asyncio.get_running_loop()
            closed: list[float] = []

            async def hold(sent: bytes) -> None:
                # Before the server can know of it, so that a busy machine makes the time longer and never shorter.
                began = loop.time()
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(sent)
                with contextlib.suppress(ConnectionError):
                    await asyncio.wait_for(reader.read(), 60)
                writer.close()
                closed.append(loop.time() - began)

            head = b"POST /x HTTP/1.1\r\nhost: x\r\n"
            body = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nabc".encode()
            holding = [asyncio.create_task(hold(each)) for each in [head] * 900 + [body] * 50]
            for number in itertools.count():
                # Acknowledged while the others are held, from the first turn to the last.
                assert await post(client, url, f"m-{number}") == 202
                done, _ = await asyncio.wait(holding, timeout=0.2)
                if len(done) == 950:
                    break
            assert len(closed) == 950
            # Ten seconds by default; what is longer is this machine's.
            assert min(closed) > 8
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_C1_a_wall_clock_that_stepped_by_more_than_a_minute_is_said_once_and_shown(caplog: Any) -> None:
    steps = 0.0
    database = SQLite(None)
    journal = Journal(database, Embedded(database, time.time), time.time, lambda: time.time() + steps, disk_usage)
    async with journal:
        for steps, said in ((59.0, 0), (-3600.0, 1), (-3600.0, 1), (0.0, 1), (3 * 86400.0, 2)):
            assert round((await journal.health()).clock_skew) == steps
            assert caplog.text.count("the wall clock has stepped") == said
    assert "by -3600 s" in caplog.text


async def test_T75_a_subscription_that_leads_back_to_our_own_ingress_ends_after_five_deliveries(tmp_path: Path) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    own = f"http://127.0.0.1:{port}"
    settings = settings_in(
        tmp_path,
        CONNECTOR_KEY=Key.generate().to_text(),
        CONNECTOR_SUBSCRIBER_ORIGINS=own,
        CONNECTOR_SECRET__DEMO__UNSIGNED="true",
    )
    async with served(settings, port=port) as server:
        rows = (await server.client.get(server.url + "/api/webhooks")).json()
        url = next(row["url"] for row in rows if row["trigger"] == "things/made")
        added = await server.client.post(server.url + "/api/subscriptions", json={"url": own + url})
        assert added.status_code == 201
        assert (await server.send()).status_code == 202
        async with asyncio.timeout(20):
            while (await server.journal.deliveries(state="pending")) or not await server.journal.deliveries():
                await asyncio.sleep(0.01)
        hops = [each.hops for each in await server.journal.events()]
        (dead,) = await server.journal.deliveries(state="dead")
    assert hops == [0, 1, 2, 3, 4, 5]
    assert dead.reason == "a loop: the event came through 5 deliveries"


async def test_T55_T57_a_server_shows_none_of_its_secrets_anywhere(tmp_path: Path, caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)
    canaries = {name: f"canary-{name}-0123456789" for name in ("token", "api", "path", "header", "sender")}
    canaries["webhook"] = "whsec_" + base64.b64encode(b"canary of the webhooks!!").decode()
    canaries["key"] = Key.generate().to_text()
    seen: dict[str, str] = {}
    bearer = {"authorization": f"Bearer {canaries['token']}"}

    async def answer(arrival: Any) -> int:
        return 410 if arrival.path.startswith("/gone") else 500

    def provider(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(403, json={"message": f"what is {request.headers['authorization']}?"})

    async with Subscriber(answer) as subscriber:
        settings = settings_in(
            tmp_path,
            CONNECTOR_KEY=canaries["key"],
            CONNECTOR_ADMIN_TOKEN=canaries["token"],
            CONNECTOR_SUBSCRIBER_ORIGINS=subscriber.origin,
            CONNECTOR_SECRET__DEMO__APITOKEN=canaries["api"],
            CONNECTOR_SECRET__DEMO__WEBHOOKSECRET=canaries["webhook"],
        )
        async with served(settings, transport=httpx2.MockTransport(provider)) as server:

            async def ask(method: str, path: str, **more: Any) -> httpx2.Response:
                answered = await server.client.request(method, server.url + path, headers=bearer, **more)
                seen[f"{method} {path} {len(seen)}"] = answered.text + str(dict(answered.headers))
                return answered

            for place in ("gone", "down"):
                source = {
                    "url": f"{subscriber.origin}/{place}?key={canaries['path']}",
                    "headers": {"X-Key": canaries["header"]},
                    "trigger": "things/made",
                }
                added = await server.client.post(server.url + "/api/subscriptions", json=source, headers=bearer)
                # It is shown this once.
                canaries[f"signing {place}"] = added.json()["secret"]
            await ask("PUT", "/api/connections/demo:b", json={"apiToken": canaries["api"], "webhookSecret": "short"})
            await ask("POST", "/api/connectors/demo/operations/things.read", json={"thingId": "7"})
            await ask("POST", "/api/connectors/demo/operations/things.read/render", json={"thingId": "7"})
            assert (await server.send(secret=canaries["webhook"])).status_code == 202
            forged = await server.client.post(
                server.url + PATH, json={"id": "t"}, headers={"authorization": f"Bearer {canaries['sender']}"}
            )
            seen["forged"] = forged.text
            assert forged.status_code == 401
            async with asyncio.timeout(20):
                while len({each.attempts for each in await server.journal.deliveries()} - {0}) < 1 or (
                    not await server.journal.deliveries(state="dead")
                ):
                    await asyncio.sleep(0.01)
            for path in (
                "/openapi.json", "/docs", "/metrics", "/readyz", "/api/events", "/api/deliveries", "/api/deliveries?state=dead",
                "/api/subscriptions", "/api/connections", "/api/connections/demo", "/api/webhooks", "/api/connectors/demo",
                "/api/triggers", "/api/automations", "/ui",
            ):  # fmt: skip
                await ask("GET", path)
            for each in await server.journal.deliveries():
                await ask("GET", f"/api/deliveries/{each.id}")
            seen["audit"] = repr(await server.journal.audits())
            seen["repr"] = repr((settings, server.lifespan, await server.journal.subscriptions()))
    seen["log"] = caplog.text
    for file in (tmp_path / ".connector").rglob("*"):
        if file.is_file():
            seen[file.name] = file.read_bytes().decode("latin-1")
    assert len(seen["journal.db"]) > 4096
    assert "what is Bearer ***?" in "".join(seen.values())
    assert [(where, name) for where, text in seen.items() for name, each in canaries.items() if each in text] == []
