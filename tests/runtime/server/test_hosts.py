"""Applications of hosts that include the router: who closes what, where webhooks are, who is let in, who answers errors."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import fastapi
import httpx2
import pytest
from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.security import APIKeyHeader
from openapi_spec_validator import validate
from pydantic import BaseModel

from connector.errors import ConnectorError
from connector.messages import Event
from runtime import Runtime
from runtime.journal.journal import Journal
from tests.doubles.served import PATH, TOKEN, Served, is_problem, settings_in

pytestmark = pytest.mark.anyio

DEMO = {
    "handle": "shop",
    "service": {"baseURL": "https://shop.example/v1", "auth": {"method": "none"}},
    "resources": [
        {
            "handle": "things",
            "endpoint": "/things",
            "fields": [{"name": "id", "type": "String"}],
            "operations": {"list": {"method": "GET"}, "create": {"method": "POST"}},
            "webhooks": [
                {
                    "event": "made",
                    "path": "/webhooks/shop/made",
                    "after": ["things.create"],
                    "payload": [{"name": "id", "type": "String"}],
                }
            ],
        }
    ],
}


@contextlib.asynccontextmanager
async def client_of(app: FastAPI, *, lifespan: bool = True, **transport: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of an application, which lives as long as the block."""
    async with contextlib.AsyncExitStack() as stack:
        if lifespan:
            await stack.enter_async_context(app.router.lifespan_context(app))
        transport = httpx2.ASGITransport(app, **transport)  # type: ignore[assignment]
        yield await stack.enter_async_context(
            httpx2.AsyncClient(transport=transport, base_url="http://localhost")  # type: ignore[arg-type]
        )


def posted(client: httpx2.AsyncClient) -> Served:
    """Sends signed messages of providers."""
    return Served("http://localhost", 0, None, client)  # type: ignore[arg-type]


def shop(home: Path, **more: Any) -> Runtime:
    """A runtime whose provider makes a thing at each call."""
    answer = httpx2.MockTransport(lambda _: httpx2.Response(200, json={"id": "t-1"}))
    return Runtime(settings=settings_in(home, DEMO, CONNECTOR_ADMIN_TOKEN=TOKEN), transport=answer, **more)


@pytest.mark.parametrize("journal", ["sqlite://", "sqlite:///{}/x.db"])
async def test_E1_a_runtime_that_the_host_opened_is_open_after_its_application(tmp_path: Path, journal: str) -> None:
    heard = asyncio.Queue[Event]()
    async with shop(tmp_path, journal=journal.format(tmp_path)) as rt:
        rt.on("shop", "things/made")(heard.put)
        app = FastAPI()
        app.include_router(rt.router())
        async with client_of(app) as client:
            assert (await client.get("/api/events", headers={"authorization": f"Bearer {TOKEN}"})).status_code == 200
            assert rt.journal is not None
        assert (await rt.call("shop", "things.create", {})).warnings == ()
        assert (await asyncio.wait_for(heard.get(), 20)).data == {"id": "t-1"}
        assert rt.journal is not None
        assert len(await rt.journal.events()) == 1
    assert rt.journal is None


async def test_E1_a_runtime_that_only_the_application_opened_is_closed_with_it(tmp_path: Path) -> None:
    rt = shop(tmp_path, journal=f"sqlite:///{tmp_path}/x.db")
    app = FastAPI()
    app.include_router(rt.router())
    for _ in range(2):
        async with client_of(app):
            assert rt.journal is not None
        assert rt.journal is None
    async with await Journal.open(f"sqlite:///{tmp_path}/x.db"):
        pass


async def test_E1_the_lifespan_of_the_host_may_open_the_runtime(tmp_path: Path) -> None:
    rt = shop(tmp_path, journal=f"sqlite:///{tmp_path}/x.db")
    seen = []

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with rt:
            yield
            seen.append((await rt.call("shop", "things.create", {})).warnings)

    app = FastAPI(lifespan=lifespan)
    app.include_router(rt.router())
    async with client_of(app) as client:
        assert (await client.get("/api/connectors", headers={"authorization": f"Bearer {TOKEN}"})).status_code == 200
    assert (seen, rt.journal) == ([()], None)


async def test_E1_two_routers_of_a_runtime_do_its_work_once(tmp_path: Path) -> None:
    rt = shop(tmp_path, journal="sqlite://")
    app, other = FastAPI(), FastAPI()
    app.include_router(rt.router(), prefix="/a")
    app.include_router(rt.router(auth=lambda: None), prefix="/b")
    other.include_router(rt.router(auth=lambda: None))
    async with client_of(other) as apart:
        async with client_of(app) as client:
            assert (await client.get("/b/api/events")).status_code == 200
            dispatching = [
                task for task in asyncio.all_tasks() if "run" in repr(task.get_coro()) and "Embedded" in repr(task)
            ]
            assert len(dispatching) == 1, dispatching
        assert (await apart.get("/api/events")).status_code == 200


async def test_E1_two_runtimes_live_in_one_application(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    first, second = shop(tmp_path, journal="sqlite://"), shop(tmp_path / "b", journal="sqlite://")
    app = FastAPI()
    app.include_router(first.router(auth=lambda: None), prefix="/a")
    app.include_router(second.router(auth=lambda: None), prefix="/b")
    async with client_of(app) as client:
        await first.call("shop", "things.create", {})
        counts = [len((await client.get(f"/{each}/api/events")).json()["events"]) for each in "ab"]
        assert counts == [1, 0]
        urls = [(await client.get(f"/{each}/api/webhooks")).json() for each in "ab"]
        paths = [[each["url"] for each in shown if each["trigger"] == "things/made"] for shown in urls]
        assert paths == [["/a/webhooks/shop/made"], ["/b/webhooks/shop/made"]]


async def test_E1_a_call_whose_journal_is_not_open_says_that_its_event_was_not_kept(tmp_path: Path) -> None:
    rt = shop(tmp_path, journal="sqlite://")
    result = await rt.call("shop", "things.create", {})
    assert "was not kept" in result.warnings[0]
    await rt.aclose()


async def test_E8_webhooks_are_taken_and_listed_below_a_prefix(tmp_path: Path) -> None:
    rt = Runtime(settings=settings_in(tmp_path, CONNECTOR_PUBLIC_URL="https://hooks.example"), journal="sqlite://")
    app, between = FastAPI(), fastapi.APIRouter()
    between.include_router(rt.router(auth=lambda: None), prefix="/inner")
    app.include_router(between, prefix="/integrations")
    async with client_of(app) as client:
        below = "/integrations/inner"
        assert (await posted(client).send(path=below + PATH)).status_code == 202
        assert (await posted(client).send(path=PATH)).status_code == 404
        # `%61` is an `a`: the path of a webhook is exact, whatever is before it.
        assert (await posted(client).send(path=below + PATH.replace("made", "m%61de"))).status_code == 404
        assert rt._lifespan is not None  # noqa: SLF001
        urls = {each["trigger"]: each["url"] for each in rt._lifespan.ingress.documents([])}  # noqa: SLF001 - before any request
        assert urls["things/made"] == f"https://hooks.example{below}{PATH}"
        listed = {each["trigger"]: each["url"] for each in (await client.get(below + "/api/webhooks")).json()}
        assert listed["things/made"] == f"https://hooks.example{below}{PATH}"


@pytest.mark.parametrize("made_before", [True, False])
async def test_E8_an_application_that_is_mounted_works_while_its_host_holds_the_runtime(
    tmp_path: Path, made_before: bool
) -> None:
    rt = Runtime(settings=settings_in(tmp_path), journal="sqlite://")
    app, mounted = FastAPI(), FastAPI()
    app.mount("/x", mounted)
    if made_before:
        mounted.include_router(rt.router(auth=lambda: None))
    async with rt, client_of(app) as client:
        if not made_before:
            mounted.include_router(rt.router(auth=lambda: None))
        assert (await posted(client).send(path="/x" + PATH)).status_code == 202
        listed = {each["trigger"]: each["url"] for each in (await client.get("/x/api/webhooks")).json()}
        assert listed["things/made"] == "/x" + PATH
        assert len((await client.get("/x/api/events")).json()["events"]) == 1
    assert rt.journal is None
    async with client_of(app) as client:
        closed = await client.get("/x/api/events")
        assert (closed.status_code, is_problem(closed)) == (503, True)


async def test_E8_a_token_in_a_url_is_taken_below_a_prefix(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, CONNECTOR_SECRET__DEMO__UNSIGNED="true")
    rt = Runtime(settings=settings, journal="sqlite://")
    app = FastAPI()
    app.include_router(rt.router(auth=lambda: None), prefix="/p")
    async with client_of(app) as client:
        listed = {each["trigger"]: each["url"] for each in (await client.get("/p/api/webhooks")).json()}
        assert listed["things/made"].startswith("/p" + PATH + "/")
        assert (await client.post(listed["things/made"], json={"id": "1"})).status_code == 202
        assert (await client.post(listed["things/made"] + "0", json={"id": "1"})).status_code == 404


class Problem(BaseModel):
    """A model of the host that has the name of an idea of ours."""

    why: str


@pytest.mark.parametrize("auth", [None, APIKeyHeader(name="X-Key", scheme_name="hostKey")])
def test_E9_the_document_of_a_host_is_valid_with_our_schemas_and_security(tmp_path: Path, auth: Any) -> None:
    app = FastAPI()

    @app.get("/own")
    def own() -> Problem:
        return Problem(why="no")

    app.include_router(shop(tmp_path).router(auth=auth), prefix="/integrations")
    app.include_router(shop(tmp_path).router(auth=auth), prefix="/again")
    document = app.openapi()
    validate(json.loads(json.dumps(document)))
    described = document["paths"]["/integrations/api/events"]["get"]
    schema = described["responses"]["404"]["content"]["application/problem+json"]["schema"]["$ref"]
    assert "hint" in document["components"]["schemas"][schema.rpartition("/")[2]]["required"]
    (scheme,) = described["security"][0]
    assert scheme in document["components"]["securitySchemes"]
    assert scheme == ("hostKey" if auth is not None else "connectorAdminToken")


async def test_E10_a_dependency_of_the_host_decides_instead_of_our_token(tmp_path: Path) -> None:
    def host_auth(authorization: Annotated[str, Header()] = "") -> str:
        if authorization != "Bearer of-the-host":
            raise HTTPException(401, "not a user of the host")
        return "ann"

    rt = shop(tmp_path, journal="sqlite://")
    app = FastAPI()
    app.include_router(rt.router(auth=host_auth))
    async with client_of(app, client=("203.0.113.7", 1)) as client:
        assert (await client.get("/api/events", headers={"authorization": "Bearer of-the-host"})).status_code == 200
        refused = await client.get("/api/events", headers={"authorization": f"Bearer {TOKEN}"})
        assert (refused.status_code, refused.json()) == (401, {"detail": "not a user of the host"})
        form = {"authorization": "Bearer of-the-host", "content-type": "text/plain"}
        assert (await client.post("/api/events/send-test", content=b"{}", headers=form)).status_code == 415


@pytest.mark.parametrize(
    ("client", "headers", "status"),
    [("127.0.0.1", {}, 200), ("203.0.113.7", {}, 403), ("127.0.0.1", {"x-forwarded-for": "203.0.113.7"}, 403)],
)
async def test_E10_without_token_and_dependency_only_programs_on_this_machine_are_let_in(
    tmp_path: Path, client: str, headers: dict[str, str], status: int
) -> None:
    app = FastAPI()
    app.include_router(Runtime(settings=settings_in(tmp_path), journal="sqlite://").router())
    async with client_of(app, client=(client, 1)) as calling:
        assert (await calling.get("/api/events", headers=headers)).status_code == status


class Denied(Exception):
    """An exception of the host."""


async def test_E11_handlers_of_the_host_answer_its_exceptions(tmp_path: Path) -> None:
    def deny(kind: Annotated[str, Header()]) -> None:
        if kind == "http":
            raise HTTPException(402, "pay first")
        if kind == "caused":
            raise HTTPException(402, "pay first") from ConnectorError("x")
        if kind == "own":
            raise Denied

    app = FastAPI()
    app.add_exception_handler(Denied, lambda *_: fastapi.responses.JSONResponse({"denied": True}, 418))
    rt = shop(tmp_path, journal="sqlite://")
    app.include_router(rt.router(auth=lambda: None), dependencies=[Depends(deny)])
    async with client_of(app) as client:
        for kind in ("http", "caused"):
            answer = await client.get("/api/events", headers={"kind": kind})
            assert (answer.status_code, answer.json()) == (402, {"detail": "pay first"})
        answer = await client.get("/api/events", headers={"kind": "own"})
        assert (answer.status_code, answer.json()) == (418, {"denied": True})
        # What is ours stays a problem document.
        assert is_problem(await client.get("/api/events/none", headers={"kind": "-"}))
        garbage = {"kind": "-", "content-type": "application/json"}
        for body in (b"[" * 9, b"\xff", b"x" * 2_000_000):
            assert is_problem(await client.post("/api/triggers/poll-now", content=body, headers=garbage))
