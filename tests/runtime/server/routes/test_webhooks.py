"""The routes of webhooks: their URLs, and how messages are verified."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.doubles.served import PATH, is_problem, served, settings_in

pytestmark = pytest.mark.anyio


async def test_webhooks_are_listed_for_the_connections_that_can_receive(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, CONNECTOR_PUBLIC_URL="https://hooks.example.com", CONNECTOR_ADMIN_TOKEN="t" * 20)
    secrets = {"demo:open": {"unsigned": "true"}, "demo:closed": {"apiToken": "x"}}
    async with served(settings, secrets=secrets) as server:
        answer = await server.client.get(server.url + "/api/webhooks", headers={"authorization": "Bearer " + "t" * 20})
        rows = [row for row in answer.json() if row["trigger"] == "things/made"]
        token = server.lifespan.ingress.verifications.find("demo:open").token
    assert [(row["connection"], row["verified"], row["url"]) for row in rows] == [
        ("demo", "signed", f"https://hooks.example.com{PATH}"),
        ("demo:open", "unsigned", f"https://hooks.example.com{PATH}/{token}?connection=open"),
    ]


async def test_a_webhook_that_its_provider_cannot_be_subscribed_to_is_a_404_with_a_way_out(tmp_path: Path) -> None:
    async with served(settings_in(tmp_path)) as server:
        body = {"connection": "demo", "trigger": "things/made"}
        for route in ("subscribe", "unsubscribe"):
            answer = await server.client.post(server.url + f"/api/webhooks/{route}", json=body)
            assert (answer.status_code, is_problem(answer)) == (404, True)
            assert answer.json()["hint"] == "set it up at the provider"
        answer = await server.client.post(server.url + "/api/webhooks/subscribe", json=body | {"connection": "demo:é"})
        assert answer.json()["hint"] == "a connection is CONNECTOR or CONNECTOR:NAME"
