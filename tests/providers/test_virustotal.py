"""The VirusTotal connector against a stand-in: what it uploads, as a parser that is not ours reads it."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from python_multipart import parse_form

from runtime import RateLimited, ResponseError
from tests.doubles.standins import Answer, Call, Standin

pytestmark = pytest.mark.anyio

VALUES = {"apiKey": "vt-canary-key"}
BASE = "/api/v3"
STARTED = Answer({"data": {"type": "analysis", "id": "an-1", "links": {"self": "https://x.example"}}})
CONTENT = bytes(range(256)) * 4096


def parts(call: Call) -> dict[str, Any]:
    """The parts of an upload: the value of each field, and name and content of each file."""
    found: dict[str, Any] = {}

    def file(each: Any) -> None:
        each.file_object.seek(0)
        found[each.field_name.decode()] = (each.file_name.decode(), each.file_object.read())

    headers = {"Content-Type": call.headers["content-type"].encode(), "Content-Length": str(len(call.body)).encode()}
    parse_form(headers, io.BytesIO(call.body), lambda each: found.update({each.field_name.decode(): each.value}), file)
    return found


async def content() -> AsyncIterator[bytes]:
    for start in range(0, len(CONTENT), 100_000):
        yield CONTENT[start : start + 100_000]


async def test_a_file_is_read_from_its_path_while_it_is_sent_and_has_its_own_name(tmp_path: Path) -> None:
    path = tmp_path / "chart.bin"
    path.write_bytes(CONTENT)
    async with Standin(lambda _: STARTED) as virustotal, virustotal.runtime("virustotal", VALUES, BASE) as rt:
        result = await rt.call("virustotal", "files.upload", {"file": path, "password": "ahoy"})
    assert (result.fields or {})["id"] == "an-1"
    call = virustotal.calls[0]
    assert parts(call) == {"file": ("chart.bin", CONTENT), "password": b"ahoy"}
    assert (call.path, call.headers["x-apikey"]) == (f"{BASE}/files", "vt-canary-key")


async def test_a_file_comes_from_an_iterator_with_a_name_and_a_type_of_the_callers() -> None:
    inputs = {"file": content(), "filename": "chärt.bin", "contentType": "application/x-chart"}
    async with Standin(lambda _: STARTED) as virustotal, virustotal.runtime("virustotal", VALUES, BASE) as rt:
        await rt.call("virustotal", "files.upload", inputs)
    assert parts(virustotal.calls[0]) == {"file": ("chärt.bin", CONTENT)}
    assert b"Content-Type: application/x-chart\r\n" in virustotal.calls[0].body


async def test_an_upload_from_an_iterator_is_not_sent_again_though_a_path_is(tmp_path: Path) -> None:
    busy = Answer({"error": {"code": "QuotaExceededError", "message": "Quota exceeded"}}, 429)
    answers = iter([busy])
    (tmp_path / "a.txt").write_bytes(b"ahoy")
    async with (
        Standin(lambda _: next(answers, STARTED)) as virustotal,
        virustotal.runtime("virustotal", VALUES, BASE) as rt,
    ):
        assert (await rt.call("virustotal", "files.upload", {"file": tmp_path / "a.txt"})).attempts == 2
        answers = iter([busy])
        with pytest.raises(RateLimited) as caught:
            await rt.call("virustotal", "files.upload", {"file": content()})
    assert caught.value.message == "Quota exceeded (virustotal files.upload answered 429)"
    assert caught.value.provider_code == "QuotaExceededError"
    assert [parts(call)["file"][1] for call in virustotal.calls[:2]] == [b"ahoy", b"ahoy"]
    assert len(virustotal.calls) == 3


async def test_comments_are_read_to_their_end_by_a_cursor() -> None:
    def comments(call: Call) -> Answer:
        first = int(call.params.get("cursor", "0"))
        meta = {"cursor": str(first + 2)} if first + 2 < 5 else {}
        data = [{"id": f"c{number}", "attributes": {}} for number in range(first, min(first + 2, 5))]
        return Answer({"data": data, "meta": meta})

    async with Standin(comments) as virustotal, virustotal.runtime("virustotal", VALUES, BASE) as rt:
        inputs = {"fileId": "a" * 64}
        found = [record["id"] async for record in rt.records("virustotal", "files.comments", inputs)]
    assert found == ["c0", "c1", "c2", "c3", "c4"]


async def test_an_unknown_file_is_said_in_virustotals_words() -> None:
    unknown = Answer({"error": {"code": "NotFoundError", "message": 'File "abc" not found'}}, 404)
    async with Standin(lambda _: unknown) as virustotal, virustotal.runtime("virustotal", VALUES, BASE) as rt:
        with pytest.raises(ResponseError) as caught:
            await rt.call("virustotal", "files.read", {"fileId": "abc"})
    assert caught.value.message == 'File "abc" not found (virustotal files.read answered 404)'
    assert (caught.value.provider_code, caught.value.hint) == ("NotFoundError", "VirusTotal has never seen it")
