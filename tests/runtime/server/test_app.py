"""The application: its roles, its state for operators, its docs, and its routes within the application of a host."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import fastapi
import httpx2
import pytest

from connector.errors import ConfigurationError
from runtime.calls.caller import Caller
from runtime.config.catalog import Catalog
from runtime.config.settings import load_settings
from runtime.config.vault import Vault
from runtime.journal.journal import Journal
from runtime.runtime import Runtime
from runtime.server.app import create_app
from tests.doubles.served import CANARY, DEMO, SECRET, TOKEN, Served, is_problem, settings_in

pytestmark = pytest.mark.anyio


async def test_health_readiness_and_metrics_tell_how_it_is(server: Served) -> None:
    get = server.client.get
    assert (await get(server.url + "/healthz")).json() == {"status": "ok"}
    await server.send()
    await server.client.post(server.url + "/webhooks/demo/made", json={})
    assert (await get(server.url + "/readyz")).json()["status"] == "ready"
    text = (await get(server.url + "/metrics")).text
    assert 'connector_webhook_messages_total{connector="demo",status="202"} 1.0' in text
    assert 'connector_webhook_messages_total{connector="demo",status="401"} 1.0' in text
    assert "connector_journal_events 1.0" in text
    assert (SECRET in text, CANARY in text, "m-1" in text) == (False, False, False)


async def test_the_docs_need_no_other_server(server: Served) -> None:
    page = (await server.client.get(server.url + "/docs")).text
    assets = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert [each for each in assets if "://" in each] == []
    for each in assets:
        assert (await server.client.get(server.url + each)).status_code == 200
    described = (await server.client.get(server.url + "/openapi.json")).json()
    assert described["components"]["schemas"]["ConnectorProblem"]["required"]


async def test_a_host_includes_webhooks_and_interface_in_its_own_application(tmp_path: Path) -> None:
    runtime = Runtime(settings=settings_in(tmp_path, CONNECTOR_ADMIN_TOKEN=TOKEN))
    host = fastapi.FastAPI()
    host.include_router(runtime.router())
    async with host.router.lifespan_context(host), httpx2.AsyncClient(
        transport=httpx2.ASGITransport(host), base_url="http://host.example"
    ) as client:  # fmt: skip
        served_here = Served("http://host.example", 0, None, client)  # type: ignore[arg-type]
        assert (await served_here.send()).status_code == 202
        assert (await client.get("/api/events")).status_code == 401
        answer = await client.get("/api/events", headers={"authorization": f"Bearer {TOKEN}"})
        assert [each["subject"] for each in answer.json()["events"]] == ["t-1"]
        assert is_problem(await client.get("/api/events/none"))


async def test_the_application_takes_webhooks_whatever_server_it_is_given_to(tmp_path: Path) -> None:
    app = create_app(Runtime(settings=settings_in(tmp_path)), roles=["api"])
    async with app.router.lifespan_context(app), httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app), base_url="http://localhost"
    ) as client:  # fmt: skip
        served_here = Served("http://localhost", 0, None, client)  # type: ignore[arg-type]
        assert (await served_here.send()).status_code == 202
        assert (await served_here.send(secret="whsec_" + "A" * 32)).status_code == 401
        answer = await client.get("/api/events")
        assert [each["subject"] for each in answer.json()["events"]] == ["t-1"]
        # `%61` is an `a`, and the path is not the declared one.
        assert (await served_here.send(path="/webhooks/demo/m%61de")).status_code == 404
        assert is_problem(await client.post("/webhooks/demo/none", json={}))


def test_a_role_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="unknown role 'pollr'"):
        create_app(Runtime(settings=load_settings({}, tmp_path)), roles=["pollr"])


async def test_a_process_without_the_role_api_answers_health_only(tmp_path: Path) -> None:
    app = create_app(Runtime(settings=settings_in(tmp_path)), roles=["poller"])
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        transport = httpx2.ASGITransport(app)
        client = await stack.enter_async_context(httpx2.AsyncClient(transport=transport, base_url="http://localhost"))
        statuses = [(await client.get(path)).status_code for path in ("/healthz", "/readyz", "/api/events")]
        assert statuses == [200, 200, 404]
        assert (await client.post("/webhooks/demo/made", json=DEMO)).status_code == 404


async def test_calls_and_routes_of_a_runtime_with_a_journal_of_its_own_share_that_journal(tmp_path: Path) -> None:
    runtime = Runtime(settings=settings_in(tmp_path), journal=f"sqlite:///{tmp_path}/own.db")
    app = create_app(runtime, roles=["api"])
    for _ in range(2):
        async with app.router.lifespan_context(app):
            assert runtime.journal is app.state.lifespan.services().journal
            await runtime.journal.audit("seen", "x")
        assert runtime.journal is None
    async with await Journal.open(f"sqlite:///{tmp_path}/own.db") as journal:
        assert [each.action for each in await journal.audits()] == ["seen", "seen"]


async def test_a_journal_that_the_caller_opened_stays_open_after_the_application(tmp_path: Path) -> None:
    async with await Journal.open("sqlite://") as journal:
        app = create_app(Runtime(settings=settings_in(tmp_path), journal=journal), roles=["api"])
        async with app.router.lifespan_context(app):
            assert app.state.lifespan.services().journal is journal
        await journal.audit("still", "open")


async def test_a_caller_alone_can_be_served_and_routes_are_503_while_its_journal_is_not_open(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    caller = Caller(Catalog(settings.definitions), Vault(environment=settings.environment), settings)
    app = create_app(caller, roles=["api"])
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost") as client:
        closed = await client.get("/api/connectors")
        assert (closed.status_code, is_problem(closed), closed.headers["retry-after"]) == (503, True, "5")
        assert (await client.get("/readyz")).status_code == 503
        async with app.router.lifespan_context(app):
            assert (await client.get("/api/connectors")).status_code == 200
            assert (await Served("http://localhost", 0, app.state.lifespan, client).send()).status_code == 202
