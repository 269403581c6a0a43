"""The Actions of Mistral's page: requests, judged by Mistral's own OpenAPI file too, and what comes of answers."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from connector.describe.samples import read_example
from connector.errors import InputError
from connector.headers import Headers
from connector.messages import Request, Response
from connector.model.definition import CustomOperation
from connector.protocols import Moment
from connector.requests.steps import run_steps
from runtime import Catalog, Runtime
from runtime.mock import MockProvider
from tests.acceptance.mistral_judge import (
    BESIDE,
    VARIABLE,
    Spec,
    answer_complaints,
    complaints,
    find_spec,
    is_defect,
    load_spec,
)

MOMENT = Moment(time=1_800_000_000.0, nonce="n-1")
CONNECTOR = Catalog().get("mistral-ai")
EXAMPLES = Catalog().examples("mistral-ai")
PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
MODEL = {"model": "mistral-small-latest"}
TOOL = {"type": "function", "function": {"name": "find_weather", "parameters": {"type": "object", "properties": {}}}}
HISTORY = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello! And now?"}]

CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "create-chat-completion",
        {**MODEL, "prompt": "Hi"},
        {**MODEL, "messages": [{"role": "user", "content": "Hi"}]},
    ),
    (
        "create-chat-completion",
        {
            **MODEL,
            "prompt": "Hi",
            "system": "Be kind.",
            "history": HISTORY,
            "temperature": "0.2",
            "maxTokens": 50,
            "jsonMode": True,
            "tools": [TOOL],
        },
        {
            **MODEL,
            "messages": [{"role": "system", "content": "Be kind."}, *HISTORY, {"role": "user", "content": "Hi"}],
            "temperature": 0.2,
            "max_tokens": 50,
            "response_format": {"type": "json_object"},
            "tools": [TOOL],
        },
    ),
    (
        "create-chat-completion",
        {**MODEL, "prompt": '"}], "model": "other', "history": [], "jsonMode": False},
        {**MODEL, "messages": [{"role": "user", "content": '"}], "model": "other'}]},
    ),
    (
        "analyze-image",
        {**MODEL, "prompt": "What is it?", "image": "https://example.com/cat.png"},
        {
            **MODEL,
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What is it?"},
                        {"type": "image_url", "image_url": "https://example.com/cat.png"},
                    ],
                }
            ],
        },
    ),
    (
        "analyze-image",
        {**MODEL, "prompt": "What is it?", "image": PNG},
        {
            **MODEL,
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What is it?"},
                        {"type": "image_url", "image_url": "data:image/png;base64," + base64.b64encode(PNG).decode()},
                    ],
                }
            ],
        },
    ),
    ("create-embeddings", {"model": "mistral-embed", "input": "a"}, {"model": "mistral-embed", "input": "a"}),
    (
        "create-embeddings",
        {"model": "mistral-embed", "input": ["a", "b"]},
        {"model": "mistral-embed", "input": ["a", "b"]},
    ),
]
ENDPOINTS = {
    "create-chat-completion": "POST /v1/chat/completions",
    "analyze-image": "POST /v1/chat/completions",
    "create-embeddings": "POST /v1/embeddings",
}


def request_of(handle: str, inputs: dict[str, Any]) -> Request:
    custom = CONNECTOR.operation(handle)
    assert isinstance(custom, CustomOperation)
    config = CONNECTOR.service.configure({"apiToken": "test-key"})
    call = next(run_steps(custom, inputs, config))
    return config.auth.apply(call.request, config.values, MOMENT)


@pytest.mark.parametrize(("handle", "inputs", "body"), CASES)
def test_an_action_makes_this_request(handle: str, inputs: dict[str, Any], body: dict[str, Any]) -> None:
    request = request_of(handle, inputs)
    assert f"{request.method} {request.url.removeprefix('https://api.mistral.ai')}" == ENDPOINTS[handle]
    assert body == request.json


@pytest.fixture(scope="module")
def spec() -> Spec:
    path = find_spec()
    if path is None:
        pytest.skip(f"Mistral's OpenAPI file is neither at {VARIABLE} nor at {BESIDE}")
    return load_spec(path)


@pytest.mark.parametrize(("handle", "inputs", "body"), CASES)
def test_mistrals_own_file_has_no_complaint(
    spec: Spec, handle: str, inputs: dict[str, Any], body: dict[str, Any]
) -> None:
    assert complaints(spec, ENDPOINTS[handle], request_of(handle, inputs)) == []


@pytest.mark.parametrize("handle", ENDPOINTS)
def test_mistrals_own_file_has_no_complaint_about_the_recorded_answers(spec: Spec, handle: str) -> None:
    for answer in read_example(handle, EXAMPLES[handle]):
        found = answer_complaints(
            spec, ENDPOINTS[handle], Response(answer.status, Headers(answer.headers), answer.body)
        )
        assert [each for each in found if not is_defect(ENDPOINTS[handle], each)] == []


@pytest.mark.parametrize(
    ("handle", "inputs", "name"),
    [
        ("create-chat-completion", {**MODEL, "prompt": "Hi", "temperature": 1.6}, "temperature"),
        ("create-chat-completion", {**MODEL, "prompt": "Hi", "history": "Hello"}, "history"),
        ("create-chat-completion", {**MODEL, "prompt": "Hi", "jsonMode": "yes"}, "jsonMode"),
        ("create-chat-completion", MODEL, "prompt"),
        ("create-embeddings", {"model": "mistral-embed"}, "input"),
    ],
)
def test_an_input_that_is_not_right_is_refused(handle: str, inputs: dict[str, Any], name: str) -> None:
    with pytest.raises(InputError) as caught:
        request_of(handle, inputs)
    assert [each.name for each in caught.value.errors] == [name]


def mock_runtime() -> Runtime:
    provider = MockProvider([CONNECTOR], {"mistral-ai": EXAMPLES})
    secrets = {"mistral-ai": {"apiToken": "not-a-real-key"}}
    return Runtime(secrets=secrets, transport=httpx2.ASGITransport(provider), environ={})


async def call(rt: Runtime, handle: str, **inputs: Any) -> dict[str, Any]:
    fields = (await rt.call("mistral-ai", handle, inputs)).fields
    assert fields is not None
    return fields


@pytest.mark.anyio
async def test_content_is_one_text_whether_it_came_as_one_in_parts_or_not_at_all() -> None:
    async with mock_runtime() as rt:
        found = [await call(rt, "create-chat-completion", **MODEL, prompt="Hi", system="Be kind.") for _ in range(3)]
    assert [each["content"] for each in found] == ["Bonjour ! Comment allez-vous ?", "Hello, how are you?", None]
    assert [each["finishReason"] for each in found] == ["stop", "stop", "tool_calls"]
    assert [each["totalTokens"] for each in found] == [30, 35, 111]
    assert [each["toolCalls"] and each["toolCalls"][0]["function"]["name"] for each in found] == [
        None,
        None,
        "find_weather",
    ]


@pytest.mark.anyio
async def test_a_picture_may_be_a_file(tmp_path: Path) -> None:
    file = tmp_path / "cat.png"
    file.write_bytes(PNG)
    async with mock_runtime() as rt:
        assert await call(rt, "analyze-image", **MODEL, prompt="What is it?", image=file) == {
            "content": "A grey cat asleep on a red sofa."
        }


@pytest.mark.anyio
async def test_embeddings_are_one_vector_for_each_text() -> None:
    async with mock_runtime() as rt:
        found = await call(rt, "create-embeddings", model="mistral-embed", input=["a", "b"])
    assert found == {"vectors": [[-0.0165, 0.0283, 0.0117], [0.0021, -0.0345, 0.0409]]}


@pytest.mark.anyio
async def test_any_path_can_be_asked() -> None:
    async with mock_runtime() as rt:
        result = await rt.call("mistral-ai", "api-request", {"path": "/files", "query": {"page": 0}})
    assert (result.fields, result.records) == (None, None)
    assert json.loads(json.dumps(result.raw))["data"]


def test_an_action_makes_the_event_that_its_call_makes() -> None:
    after = {webhook.id: set(webhook.after) for webhook in CONNECTOR.webhooks}
    assert {"create-chat-completion", "analyze-image"} <= after["chat-completions/chat_completion.created"]
    assert "create-embeddings" in after["embeddings/embeddings.generated"]
