"""Providers told where messages go, over real sockets: asked, renewed when it is time, and told to stop."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from runtime.events.registrations import RENEWAL
from tests.doubles.served import SECRET, Served, served, settings_in

pytestmark = pytest.mark.anyio
HOOKS = {
    "handle": "hooks",
    "service": {"baseURL": "https://hooks.example/v1", "auth": {"method": "bearer", "params": {"token": "{{apiToken}}"}}},
    "resources": [{
        "handle": "repos", "endpoint": "/repos",
        "webhooks": [{
            "event": "pushed", "path": "/webhooks/hooks/pushed", "payload": [{"name": "id", "type": "String"}],
            "subscribe": {
                "method": "POST", "path": "/hooks",
                "bodyTemplate": {"url": "{{webhookUrl}}", "secret": "{{webhookSecret}}"},
                "fields": [{"name": "hookId", "type": "Integer", "selector": ["id"]}, {"name": "secret", "type": "String"}],
            },
            "renew": {"method": "PATCH", "path": "/hooks/{{hookId}}"},
            "unsubscribe": {"method": "DELETE", "path": "/hooks/{{hookId}}"},
            "renewEvery": 600,
        }],
    }],
}  # fmt: skip
BODY = {"connection": "hooks", "trigger": "repos/pushed"}


class Provider:
    """Remembers what it was asked, and answers as its status says."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.status = 200

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        body = json.loads(request.content) if request.content else None
        self.asked.append((request.method, str(request.url), body))
        return httpx2.Response(self.status, json={"id": 7, "secret": SECRET})


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
async def server(tmp_path: Path, provider: Provider) -> AsyncIterator[Served]:
    settings = settings_in(
        tmp_path,
        HOOKS,
        CONNECTOR_PUBLIC_URL="https://us.example",
        CONNECTOR_SECRET__HOOKS__APITOKEN="token-of-hooks",
        CONNECTOR_SECRET__HOOKS__WEBHOOKSECRET=SECRET,
    )
    async with served(settings, transport=httpx2.MockTransport(provider)) as running:
        yield running


async def test_a_provider_is_asked_with_our_url_renewed_when_it_is_due_and_told_to_stop(
    server: Served, provider: Provider
) -> None:
    answer = await server.client.post(server.url + "/api/webhooks/subscribe", json=BODY)
    assert (answer.status_code, answer.json()["fields"]) == (200, {"hookId": 7, "secret": "***"})
    assert provider.asked == [
        (
            "POST", "https://hooks.example/v1/repos/hooks",
            {"url": "https://us.example/webhooks/hooks/pushed", "secret": SECRET},
        )
    ]  # fmt: skip
    await server.lifespan.services().registrations.renew(f"{RENEWAL}hooks repos/pushed")
    assert provider.asked[1][:2] == ("PATCH", "https://hooks.example/v1/repos/hooks/7")
    answer = await server.client.post(server.url + "/api/webhooks/unsubscribe", json=BODY)
    assert (answer.status_code, provider.asked[2][:2]) == (200, ("DELETE", "https://hooks.example/v1/repos/hooks/7"))
    assert [each.action for each in await server.journal.audits()] == ["webhook.unsubscribe", "webhook.subscribe"]
    assert SECRET not in str(await server.journal.checkpoint("webhook hooks repos/pushed"))


async def test_a_renewal_that_fails_is_noted_and_stays_in_line(server: Served, provider: Provider) -> None:
    await server.client.post(server.url + "/api/webhooks/subscribe", json=BODY)
    provider.status = 422
    await server.lifespan.services().registrations.renew(f"{RENEWAL}hooks repos/pushed")
    assert (await server.journal.audits())[0].action == "webhook.renewal_failed"
    checkpoint = await server.journal.checkpoint("webhook hooks repos/pushed")
    assert checkpoint is not None
    assert checkpoint.state["hookId"] == 7
    await server.lifespan.services().registrations.renew(f"{RENEWAL}hooks repos/gone")


async def test_what_cannot_be_asked_for_is_said(server: Served, tmp_path: Path) -> None:
    post = server.client.post
    unknown = await post(server.url + "/api/webhooks/subscribe", json=BODY | {"trigger": "repos/pushd"})
    assert (unknown.status_code, unknown.json()["hint"]) == (404, "did you mean 'repos/pushed'?")
    nothing = await post(server.url + "/api/webhooks/subscribe", json=BODY | {"connection": "mistral-ai"})
    assert (nothing.status_code, nothing.json()["hint"]) == (404, "set it up at the provider")
    named = await post(server.url + "/api/webhooks/subscribe", json=BODY | {"connection": "hooks:team-b"})
    assert (named.status_code, named.json()["errors"][0]["name"]) == (422, "webhookSecret")
    async with served(settings_in(tmp_path / "b", HOOKS)) as other:
        nowhere = await post(other.url + "/api/webhooks/subscribe", json=BODY)
        assert (nowhere.status_code, nowhere.json()["code"]) == (422, "E_CONFIGURATION")
