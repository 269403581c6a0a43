"""Credentials in a host's own store: queried when a call needs them, and saved by compare-and-set."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import fastapi
import httpx2
import pytest

from connector.errors import ConfigurationError, MissingCredentials, NeedsReauthorization
from runtime import Runtime
from runtime.config.credentials import CLAIM, LEASE, HostGrants
from tests.doubles.clock import Clock
from tests.doubles.embedded import SHOP, write_shop
from tests.doubles.rotating import HostStore, Rotating, prepare, rotating
from tests.doubles.served import SECRET, Served

pytestmark = pytest.mark.anyio

KEYED = {
    **SHOP,
    "service": {
        "baseURL": "https://shop.example/v1",
        "auth": {"method": "bearer", "params": {"token": "{{apiToken}}"}},
    },
}


class Tenants:
    """The values of a host's tenants, in memory."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, str]] = {}
        self.grants: dict[str, Mapping[str, Any]] = {}
        self.asked: list[str] = []

    async def get(self, connection: str) -> Mapping[str, str]:
        self.asked.append(connection)
        return self.values.get(connection, {})

    async def grant(self, connection: str) -> Mapping[str, Any] | None:
        return self.grants.get(connection)

    async def save_grant(self, connection: str, grant: Mapping[str, Any], expected: Mapping[str, Any] | None) -> bool:
        if self.grants.get(connection) != expected:
            return False
        self.grants[connection] = dict(grant)
        return True


def shop(folder: Path, seen: list[str], **options: Any) -> Runtime:
    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers["authorization"])
        return httpx2.Response(200, json=[{"id": "1"}])

    write_shop(folder / "definitions", KEYED)
    environ = {"CONNECTOR_HOME": str(folder / "home")}
    options = {"environ": environ, **options}
    return Runtime(folder / "definitions", transport=httpx2.MockTransport(answer), **options)


async def test_E16_a_tenant_who_signs_up_later_is_known_at_the_next_call(tmp_path: Path) -> None:
    tenants, seen = Tenants(), list[str]()
    async with shop(tmp_path, seen, credentials=tenants) as rt:
        assert tenants.asked == []
        with pytest.raises(MissingCredentials):
            await rt.call("shop:ann", "things.list", {})
        tenants.values["shop:ann"] = {"apiToken": "one"}
        await rt.call("shop:ann", "things.list", {})
        tenants.values["shop:ann"] = {"apiToken": "two"}
        assert [each async for each in rt.records("shop:ann", "things.list", {})] == [{"id": "1"}]
        assert [each.status async for each in rt.stream("shop:ann", "things.list", {})] == [200]
        assert "shop:ann" in rt.connections()
        del tenants.values["shop:ann"]
        with pytest.raises(MissingCredentials):
            await rt.call("shop:ann", "things.list", {})
    assert seen == ["Bearer one", "Bearer two", "Bearer two"]


async def test_E16_a_mapping_is_queried_when_a_call_needs_it(tmp_path: Path) -> None:
    class Lazy(Mapping[str, Mapping[str, Any]]):
        known: dict[str, dict[str, str]] = {}  # noqa: RUF012 - of this test
        asked: list[str] = []  # noqa: RUF012 - of this test

        def __getitem__(self, name: str) -> Mapping[str, Any]:
            self.asked.append(name)
            return self.known[name]

        def __iter__(self) -> Iterator[str]:
            raise AssertionError("it cannot be listed")

        def __len__(self) -> int:
            raise AssertionError("it cannot be counted")

    lazy, seen = Lazy(), list[str]()
    async with shop(tmp_path, seen, secrets=lazy) as rt:
        assert lazy.asked == []
        with pytest.raises(MissingCredentials):
            await rt.call("shop:ann", "things.list", {})
        lazy.known["shop:ann"] = {"apiToken": "one"}
        await rt.call("shop:ann", "things.list", {})
        lazy.known["shop:ann"]["apiToken"] = "two"
        await rt.call("shop:ann", "things.list", {})
    assert seen == ["Bearer one", "Bearer two"]
    assert set(lazy.asked) == {"shop:ann"}


async def test_E16_values_are_set_in_our_own_store(tmp_path: Path) -> None:
    from runtime.config.keys import Key

    seen = list[str]()
    environ = {"CONNECTOR_HOME": str(tmp_path / "home"), "CONNECTOR_KEY": Key.generate().to_text()}
    async with shop(tmp_path, seen, environ=environ) as rt:
        assert await rt.set_values("shop:ann", {"apiToken": "one"}) == "https://shop.example"
        await rt.call("shop:ann", "things.list", {})
        await rt.set_values("shop:ann", {"apiToken": "two"})
        await rt.call("shop:ann", "things.list", {})
    assert seen == ["Bearer one", "Bearer two"]
    async with shop(tmp_path, seen, credentials=Tenants()) as rt:
        with pytest.raises(ConfigurationError, match="store of the host"):
            await rt.set_values("shop:ann", {"apiToken": "one"})


async def test_E16_a_message_for_a_tenant_is_verified_by_the_value_of_the_host(tmp_path: Path) -> None:
    tenants = Tenants()
    rt = shop(tmp_path, [], credentials=tenants, journal="sqlite://")
    app = fastapi.FastAPI()
    app.include_router(rt.router(auth=lambda: None))
    async with app.router.lifespan_context(app), httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app), base_url="http://localhost"
    ) as client:  # fmt: skip
        posted = Served("http://localhost", 0, None, client)  # type: ignore[arg-type]
        path = "/webhooks/shop/made"
        tenants.values["shop:ann"] = {"webhookSecret": SECRET}
        assert (await posted.send(path=f"{path}?connection=ann")).status_code == 202
        assert (await posted.send(path=f"{path}?connection=bob")).status_code == 401
        assert len((await client.get("/api/events")).json()["events"]) == 1


async def test_E16_the_value_of_an_unknown_connection_takes_no_memory(tmp_path: Path) -> None:
    async with shop(tmp_path, [], credentials=Tenants()) as rt:
        for number in range(20):
            await rt.vault.load(f"shop:made-up-{number}")
        assert rt.vault.connections() == set()


@pytest.fixture
def server() -> Iterator[Rotating]:
    with rotating(1000) as running:
        yield running


async def test_E2_calls_of_two_runtimes_renew_a_grant_once(tmp_path: Path, server: Rotating) -> None:
    path = prepare(tmp_path, server)
    made = [
        Runtime(
            tmp_path / "demo.json", credentials=HostStore(path), base_urls={"demo": f"{server.url}/api"}, environ={}
        )
        for _ in range(3)
    ]
    results = await asyncio.gather(*(rt.call("demo", "things.read", {}) for rt in made for _ in range(4)))
    assert [each.ok for each in results] == [True] * 12
    assert (server.renewals, server.reuses) == (1, 0)
    saved = await HostStore(path).grant("demo")
    assert saved is not None
    assert (saved["refresh_token"], CLAIM in saved) == ("r1", False)
    for rt in made:
        await rt.aclose()


async def test_E2_a_renewal_that_fails_leaves_the_grant_free(tmp_path: Path, server: Rotating) -> None:
    path = prepare(tmp_path, server)
    store = HostStore(path)
    server.renew("r0")
    async with Runtime(
        tmp_path / "demo.json", credentials=store, base_urls={"demo": f"{server.url}/api"}, environ={}
    ) as rt:
        with pytest.raises(NeedsReauthorization):
            await rt.call("demo", "things.read", {})
        saved = await store.grant("demo")
        assert saved is not None
        assert (CLAIM in saved, "needs_reauth" in saved) == (False, True)
        # The host logs in again, in its own pages.
        store.put("demo", await store.get("demo"), {"token": "a9", "issued_at": 0.0, "refresh_token": "r9"})
        server._left["a9"] = 5  # noqa: SLF001 - what its login gave
        assert (await rt.call("demo", "things.read", {})).ok


async def test_E2_what_another_process_saved_meanwhile_is_used(tmp_path: Path) -> None:
    tenants, clock = Tenants(), Clock()
    first, second = HostGrants(tenants, clock), HostGrants(tenants, clock)
    async with first.renewing("x", lambda _: False):
        # The claim of a process that was killed is void after a while.
        clock.now += LEASE + 1
        async with second.renewing("x", lambda _: False):
            assert await second.save("x", {"token": "newer"})
        assert not await first.save("x", {"token": "late"})
    assert tenants.grants == {"x": {"token": "newer"}}
    assert await first.read("x") == {"token": "newer"}
    assert await first.save("x", {"token": "next"})


async def test_E2_nothing_is_claimed_once_the_grant_is_usable(tmp_path: Path) -> None:
    tenants, clock = Tenants(), Clock()
    tenants.grants["x"] = {"token": "fresh"}
    async with HostGrants(tenants, clock).renewing("x", lambda stored: stored.get("token") == "fresh"):
        assert tenants.grants["x"] == {"token": "fresh"}
