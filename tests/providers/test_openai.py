"""The OpenAI connector against a stand-in: streams of typed events, whole, cut off and failing in the middle."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from runtime import MappingError, ResponseError
from tests.doubles.standins import Answer, Standin

pytestmark = pytest.mark.anyio

VALUES = {"apiKey": "sk-canary-key-1"}
ASK = {"model": "m", "input": "Ahoy?"}
CREATED = {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress", "model": "m"}}


def delta(text: str) -> dict[str, Any]:
    return {"type": "response.output_text.delta", "item_id": "msg_1", "delta": text}


def ending(kind: str, **more: Any) -> dict[str, Any]:
    usage = {"input_tokens": 3, "output_tokens": 2}
    return {"type": f"response.{kind}", "response": {"id": "resp_1", "status": kind, "usage": usage, **more}}


def typed(*events: dict[str, Any]) -> Answer:
    """Events as https://platform.openai.com/docs/guides/streaming-responses describes them: each has its name twice."""
    return stream(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode() for each in events)


def stream(pieces: Iterable[bytes]) -> Answer:
    return Answer(pieces=list(pieces), headers={"content-type": "text/event-stream; charset=utf-8"})


async def test_pieces_come_one_by_one_and_are_put_together() -> None:
    whole = typed(CREATED, delta("Ahoy"), delta(", sailor"), ending("completed"), delta("not any more"))
    async with Standin(lambda _: whole) as openai, openai.runtime("openai", VALUES, "/v1") as rt:
        chunks = [chunk async for chunk in rt.stream("openai", "responses.stream", ASK)]
        result = await rt.call("openai", "responses.stream", ASK)
    assert [chunk.event for chunk in chunks] == [
        "response.created",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.completed",
    ]
    assert [(chunk.fields or {})["text"] for chunk in chunks] == [None, "Ahoy", ", sailor", None]
    fields = result.fields or {}
    assert (fields["text"], fields["status"], fields["output_tokens"]) == ("Ahoy, sailor", "completed", 2)
    assert openai.calls[0].json == {"model": "m", "input": "Ahoy?", "stream": True}
    assert openai.calls[0].headers["accept"] == "text/event-stream"


async def test_an_answer_that_became_too_long_is_whole_and_says_why() -> None:
    short = typed(CREATED, delta("Aho"), ending("incomplete", incomplete_details={"reason": "max_output_tokens"}))
    async with Standin(lambda _: short) as openai, openai.runtime("openai", VALUES, "/v1") as rt:
        fields = (await rt.call("openai", "responses.stream", ASK)).fields or {}
    assert (fields["text"], fields["incomplete_reason"]) == ("Aho", "max_output_tokens")


@pytest.mark.parametrize(
    ("failing", "words", "code"),
    [
        ({"type": "error", "code": "server_error", "message": "Overloaded"}, "Overloaded", "server_error"),
        (ending("failed", error={"code": "server_error", "message": "It broke"}), "It broke", None),
    ],
    ids=["error", "response.failed"],
)
async def test_a_failure_in_the_middle_is_raised_after_what_came_before_it(
    failing: dict[str, Any], words: str, code: str | None
) -> None:
    broken = typed(CREATED, delta("Ah"), failing, delta("oy"))
    async with Standin(lambda _: broken) as openai, openai.runtime("openai", VALUES, "/v1") as rt:
        chunks = rt.stream("openai", "responses.stream", ASK)
        texts = [((await anext(chunks)).fields or {})["text"] for _ in range(2)]
        with pytest.raises(ResponseError) as caught:
            await anext(chunks)
        with pytest.raises(ResponseError) as whole:
            await rt.call("openai", "responses.stream", ASK)
    assert texts == [None, "Ah"]
    assert caught.value.message == whole.value.message == f"{words} (openai responses.stream answered 200)"
    assert (caught.value.provider_code, caught.value.result.raw) == (code, failing)
    assert VALUES["apiKey"] not in repr(caught.value.result)


async def test_P5_a_stream_that_breaks_off_is_no_answer() -> None:
    cut = typed(CREATED, delta("Aho"))
    async with Standin(lambda _: cut) as openai, openai.runtime("openai", VALUES, "/v1") as rt:
        with pytest.raises(MappingError, match=r"ended before 'response\.completed' or 'response\.incomplete'"):
            await rt.call("openai", "responses.stream", ASK)


async def test_T53_a_failure_before_the_stream_is_in_openais_words_and_holds_no_key() -> None:
    said = {"error": {"message": "Incorrect API key provided: sk-canary-key-1.", "code": "invalid_api_key"}}
    async with Standin(lambda _: Answer(said, 401)) as openai, openai.runtime("openai", VALUES, "/v1") as rt:
        with pytest.raises(ResponseError) as caught:
            _ = [
                chunk async for chunk in rt.stream("openai", "chat-completions.stream", {"model": "m", "messages": []})
            ]
    assert caught.value.message == ("Incorrect API key provided: ***. (openai chat-completions.stream answered 401)")
    assert caught.value.provider_code == "invalid_api_key"


def chat(delta: dict[str, Any], **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": more.pop("finish_reason", None)}
    return f"data: {json.dumps({'id': 'c1', 'choices': [choice], **more})}\n\n".encode()


async def test_a_talk_is_put_together_up_to_its_last_message() -> None:
    usage = b'data: {"id": "c1", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}\n\n'
    pieces = [chat({"role": "assistant", "content": ""}), chat({"content": "Ah"}), chat({"content": "oy"})]
    whole = stream([*pieces, chat({}, finish_reason="stop"), usage, b"data: [DONE]\n\n"])
    inputs = {"model": "m", "messages": [{"role": "user", "content": "Ahoy?"}]}
    async with Standin(lambda _: whole) as openai, openai.runtime("openai", VALUES, "/v1") as rt:
        fields = (await rt.call("openai", "chat-completions.stream", inputs)).fields or {}
    assert (fields["content"], fields["finish_reason"], fields["completion_tokens"]) == ("Ahoy", "stop", 2)
    assert openai.calls[0].json["messages"] == inputs["messages"]


async def test_a_failure_in_the_middle_of_a_talk_is_raised() -> None:
    broken = stream([chat({"content": "Ah"}), b'data: {"error": {"message": "Overloaded", "code": null}}\n\n'])
    async with Standin(lambda _: broken) as openai, openai.runtime("openai", VALUES, "/v1") as rt:
        with pytest.raises(ResponseError, match=r"^Overloaded \(openai chat-completions.stream answered 200\)"):
            await rt.call("openai", "chat-completions.stream", {"model": "m", "messages": []})
