"""The routes that call operations: whole answers, streams of chunks, and requests that are not sent."""

from __future__ import annotations

import json
from pathlib import Path

import httpx2
import pytest

from tests.doubles.served import CANARY, Served, is_problem, served, settings_in

pytestmark = pytest.mark.anyio
CHAT = "/api/connectors/mistral-ai/operations/chat-completions.create"
INPUTS = {"model": "mistral-small-latest", "content": "hi"}


async def test_a_call_answers_as_the_command_line_does_with_secrets_masked(server: Served) -> None:
    answer = await server.client.post(server.url + CHAT, json=INPUTS)
    document = answer.json()
    assert (answer.status_code, document["ok"], document["status"]) == (200, True, 200)
    assert document["fields"]["choices_message_content"]
    assert document["request"]["headers"]["Authorization"] == "Bearer ***"
    assert CANARY not in answer.text


async def test_a_render_sends_nothing_and_masks_what_is_secret(server: Served) -> None:
    answer = await server.client.post(server.url + CHAT + "/render", json=INPUTS)
    assert answer.json()["json"]["messages"][0]["content"] == "hi"
    assert (answer.status_code, CANARY in answer.text) == (200, False)


async def test_inputs_that_are_not_right_are_422_and_each_is_named(server: Served) -> None:
    answer = await server.client.post(server.url + CHAT, json={"model": "m", "temprature": 1, "maxTokens": "x"})
    assert (answer.status_code, is_problem(answer)) == (422, True)
    assert {each["name"] for each in answer.json()["errors"]} == {"content", "temprature", "maxTokens"}


async def test_T71_no_input_names_a_file_of_ours(server: Served) -> None:
    url = server.url + "/api/connectors/mistral-ai/operations/files.create"
    for value in ({"path": "/etc/passwd"}, ["/etc/passwd"]):
        answer = await server.client.post(url, json={"file": value, "purpose": "batch"})
        assert answer.status_code in (404, 422)


async def test_a_providers_failure_is_502_with_its_status(server: Served, tmp_path: Path) -> None:
    async with served(
        settings_in(tmp_path / "b", CONNECTOR_SECRET__DEMO__APITOKEN=CANARY), transport=refusing()
    ) as other:
        answer = await other.client.post(
            other.url + "/api/connectors/demo/operations/things.read", json={"thingId": "7"}
        )
        assert (answer.status_code, answer.json()["provider_status"], is_problem(answer)) == (502, 418, True)
        assert ("no coffee" in answer.json()["detail"], CANARY in answer.text) == (True, False)


def refusing() -> httpx2.MockTransport:
    return httpx2.MockTransport(
        lambda request: httpx2.Response(418, json={"message": "no coffee for " + request.headers["authorization"]})
    )


async def test_a_call_is_streamed_to_whoever_accepts_events(server: Served) -> None:
    headers = {"accept": "text/event-stream"}
    lines = []
    async with server.client.stream("POST", server.url + CHAT, json=INPUTS, headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line async for line in answer.aiter_lines()]
    chunks = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    assert chunks[0]["fields"]
    assert "event: done" in lines
    refused = await server.client.post(server.url + CHAT, json={}, headers=headers)
    assert (refused.status_code, is_problem(refused)) == (422, True)
