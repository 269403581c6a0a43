"""The fourteen triggers of Mistral AI, none of which the provider sends."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from connector.model.definition import Connector
from runtime.config.catalog import Catalog
from runtime.journal.journal import Journal
from runtime.mock import MockProvider
from runtime.runtime import Runtime

pytestmark = pytest.mark.anyio
CATALOG = Catalog()
MISTRAL = CATALOG.get("mistral-ai")
EXAMPLES = CATALOG.examples("mistral-ai")
NOW = datetime.datetime(2026, 11, 26, tzinfo=datetime.UTC)
CHAT = {"model": "m", "content": "hi"}

#: What each call needs, and the trigger that follows it.
CALLS: dict[str, tuple[dict[str, Any], str]] = {
    "chat-completions.create": (CHAT, "chat-completions/chat_completion.created"),
    "fim-completions.create": ({"model": "m", "prompt": "def"}, "fim-completions/fim_completion.created"),
    "embeddings.create": ({"model": "m", "inputText": "hi"}, "embeddings/embeddings.generated"),
    "agents-completions.create": ({"agentId": "a", "content": "hi"}, "agents-completions/agent_completion.created"),
    "ocr.create": (
        {"model": "m", "documentType": "document_url", "documentUrl": "https://example.com/a.pdf"},
        "ocr/ocr.completed",
    ),
    "models.delete": ({"modelId": "m1"}, "models/model.deleted"),
    "files.create": ({"file": b"{}"}, "files/file.uploaded"),
    "files.delete": ({"fileId": "f1"}, "files/file.deleted"),
}


def test_every_trigger_is_made_after_a_call_or_by_a_poll() -> None:
    after = {webhook.id for webhook in MISTRAL.webhooks if webhook.after}
    polled = {webhook.id for webhook in MISTRAL.webhooks if webhook.poll is not None}
    assert len(MISTRAL.webhooks) == 14
    assert {trigger for _, trigger in CALLS.values()} <= after
    assert polled - {"files/file.uploaded"} == {webhook.id for webhook in MISTRAL.webhooks if "_job." in webhook.event}
    assert after | polled == {webhook.id for webhook in MISTRAL.webhooks}


@pytest.fixture
async def runtime() -> AsyncIterator[Runtime]:
    provider = MockProvider([MISTRAL], {"mistral-ai": EXAMPLES})
    async with (
        await Journal.open("sqlite://") as journal,
        Runtime(
            secrets={"mistral-ai": {"apiToken": "canary-synthetic"}},
            transport=httpx2.ASGITransport(provider),
            environ={},
            journal=journal,
        ) as made,
    ):
        yield made


@pytest.mark.parametrize("operation", CALLS)
async def test_a_call_makes_its_event_with_what_was_answered(runtime: Runtime, operation: str) -> None:
    inputs, trigger = CALLS[operation]
    declared = MISTRAL.operation(operation).inputs
    required = {name: inputs.get(name, "x") for name, each in declared.items() if each.required or name in inputs}
    result = await runtime.call("mistral-ai", operation, required)
    assert runtime.journal is not None
    [stored] = await runtime.journal.events()
    assert (stored.event.type, stored.event.source, stored.origin) == (trigger, "/mistral-ai/default", "after")
    filled = [name for name, value in stored.event.data.items() if value not in (None, [])]
    assert filled, result.raw


def test_a_connector_that_was_read_again_has_the_webhooks_that_it_has_now() -> None:
    from connector.messages import Result
    from connector.parsing.connectors import parse_connector
    from runtime.events.own_calls import OwnCalls

    def read(after: list[str]) -> Connector:
        hook = {"event": "made", "path": "/webhooks/demo/made", "after": after}
        operations = {"create": {"method": "POST"}}
        things = {"handle": "things", "endpoint": "/things", "operations": operations, "webhooks": [hook]}
        return parse_connector({"handle": "demo", "service": {"baseURL": "https://demo.example"}}, [things])

    calls, result = OwnCalls(), Result(ok=True, status=200, raw={}, run="r")
    first, second = read(["things.create"]), read([])
    assert len(calls.events(first, "demo", "things.create", result, 0.0)) == 1
    assert calls.events(second, "demo", "things.create", result, 0.0) == ()
