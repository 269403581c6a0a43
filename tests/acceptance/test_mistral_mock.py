"""Every operation of the shipped Mistral connector over a real socket, with no word of Mistral's own file.

The mock provider, made from the definitions, answers all of them; small stand-ins that page as Mistral does show that
each of its seven ways of paging is walked to its end. Which values the inputs get is `test_mistral_spec`'s.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from connector.answers.mapping import ChunkReader, combine, map_response
from connector.answers.streams import STREAM_KINDS
from connector.describe.samples import read_example
from connector.messages import Response
from runtime import Runtime
from tests.acceptance.test_mistral_spec import CONNECTOR, EXAMPLES, TABLE, inputs_of, request_of

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
DEPRECATED = {
    *("agents-completions.create", "agents-completions.stream", "fine-tuning-jobs.list", "fine-tuning-jobs.read"),
    *("fine-tuning-jobs.create", "fine-tuning-jobs.delete", "fine-tuning-jobs.cancel", "fine-tuning-jobs.start"),
    *("workflow-registrations.execute", "workflow-workers.whoami"),
}


@pytest.fixture(scope="module")
def mock_url() -> Iterator[str]:
    """The base URL of `connector mock mistral-ai` in a process of its own."""
    command = [sys.executable, "-m", "runtime", "mock", "mistral-ai", "--port", "0", "--json"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        lines = []
        while not lines or lines[-1].strip() != "}":
            lines.append(process.stdout.readline())
            assert lines[-1], "the mock did not start"
        yield next(iter(json.loads("".join(lines)).values()))
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130


def runtime(url: str) -> Runtime:
    return Runtime(secrets={"mistral-ai": {"apiToken": "key"}}, base_urls={"mistral-ai": url}, environ={})


async def test_every_operation_is_answered_over_a_socket_and_mapped_without_a_warning(mock_url: str) -> None:
    async with runtime(mock_url) as rt:
        for name, operation in CONNECTOR.operations.items():
            for full in (False, True):
                result = await rt.call("mistral-ai", name, inputs_of(operation, full=full))
                assert (name, result.ok, result.warnings) == (name, True, ())
                rows = [result.fields] if result.records is None else result.records
                assert all(any(value not in (None, []) for value in row.values()) for row in rows if row is not None)
                assert bool(operation.fields) == (result.records is not None or result.fields is not None), name


async def test_every_stream_comes_piece_by_piece(mock_url: str) -> None:
    streams = [name for name, each in CONNECTOR.operations.items() if each.response == "sse"]
    assert len(streams) == 10
    async with runtime(mock_url) as rt:
        for name in streams:
            inputs = inputs_of(CONNECTOR.operation(name), full=False)
            pieces = [chunk.fields async for chunk in rt.stream("mistral-ai", name, inputs)]
            assert len(pieces) >= 2, name


def matched_fields(name: str) -> set[str]:
    """The fields of an operation that its example answers."""
    operation = CONNECTOR.operation(name)
    found = set()
    for answer in read_example(name, EXAMPLES[name]):
        for row in rows_of(name, answer):
            found |= {key for key, value in row.items() if value not in (None, [])}
    return found & {each.name for each in operation.fields}


def rows_of(name: str, answer: Response) -> list[dict[str, Any]]:
    operation = CONNECTOR.operation(name)
    if operation.response in STREAM_KINDS:
        reader = ChunkReader(operation, operation.response, limit=1 << 20)
        result = combine(operation, [*reader.feed(answer.body), *reader.finish()])
    else:
        result = map_response(operation, answer)
    return [*(result.records or []), *([result.fields] if result.fields else [])]


def test_nearly_all_fields_match_the_examples(capsys: pytest.CaptureFixture[str]) -> None:
    declared = {name: {each.name for each in operation.fields} for name, operation in CONNECTOR.operations.items()}
    missing = {name: sorted(fields - matched_fields(name)) for name, fields in declared.items()}
    total, unmatched = sum(map(len, declared.values())), sum(map(len, missing.values()))
    with capsys.disabled():
        sys.stdout.write(f"\n{total - unmatched} of {total} fields match the examples ({1 - unmatched / total:.1%})\n")
    assert unmatched / total <= 0.05, {name: fields for name, fields in missing.items() if fields}


@pytest.mark.parametrize("full", [False, True], ids=["minimal", "full"])
def test_every_request_has_method_and_path_of_its_endpoint(full: bool) -> None:
    for name, row in TABLE.items():
        request = request_of(CONNECTOR.operation(name), full=full)
        method, _, path = row["endpoint"].partition(" ")
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path.partition("#")[0]))
        assert (request.method, "#" in request.url) == (method, False)
        assert re.fullmatch(pattern, urllib.parse.urlsplit(request.url).path), name


def test_all_154_endpoints_have_an_operation() -> None:
    assert sorted({row["number"] for row in TABLE.values()}) == list(range(1, 155))
    assert {row["number"]: row["endpoint"] for row in TABLE.values()}[154].endswith("/unarchive")


def test_what_the_provider_takes_away_is_marked_as_deprecated() -> None:
    assert {name for name, each in CONNECTOR.operations.items() if each.deprecated} == DEPRECATED


# Paging: a stand-in for each way in which Mistral pages, five records in pages of two.

ROWS = [{"id": f"r{number}", "event_id": f"r{number}", "execution_id": f"r{number}"} for number in range(5)]
Query = dict[str, str]


def by_number(query: Query, start: int) -> list[dict[str, str]]:
    assert int(query["page"]) >= start
    first = (int(query["page"]) - start) * 2
    return ROWS[first : first + 2]


def bare(query: Query) -> Any:
    return by_number({"page": "0", **query}, 0)


def with_total(query: Query) -> Any:
    return {"object": "list", "data": bare(query), "total": len(ROWS)}


def with_more(query: Query) -> Any:
    found = bare(query)
    return {"pagination": {"has_more": found[-1] is not ROWS[-1], "total_items": len(ROWS)}, "data": found}


def by_offset(query: Query) -> Any:
    first = int(query.get("offset", "0"))
    return {"items": ROWS[first : first + 2], "total": len(ROWS)}


def counted(name: str) -> Callable[[Query], Any]:
    def answer(query: Query) -> Any:
        found = by_number({"page": "1", **query}, 1)
        return {name: {"results": found, "count": len(ROWS), "next": None, "previous": None}}

    return answer


def by_mark(param: str, wrap: Callable[[list[dict[str, str]], str | None], Any]) -> Callable[[Query], Any]:
    def answer(query: Query) -> Any:
        first = int(query.get(param, "m0").removeprefix("m"))
        following = f"m{first + 2}" if first + 2 < len(ROWS) else None
        return wrap(ROWS[first : first + 2], following)

    return answer


SEARCH = {"searchParams": {"filters": None}}
FAMILIES: list[tuple[str, dict[str, Any], Callable[[Query], Any]]] = [
    ("conversations.list", {"page_size": 2}, bare),
    ("agents.list", {"page_size": 2}, bare),
    ("agent-versions.list", {"agentId": "a", "page_size": 2}, bare),
    ("files.list", {"page_size": 2}, with_total),
    ("fine-tuning-jobs.list", {"page_size": 2}, with_total),
    ("batch-jobs.list", {"page_size": 2}, with_total),
    ("library-documents.list", {"libraryId": "l", "page_size": 2}, with_more),
    ("voices.list", {"limit": 2}, by_offset),
    ("judges.list", {"page_size": 2}, counted("judges")),
    ("campaigns.list", {"page_size": 2}, counted("campaigns")),
    ("campaigns.list-events", {"campaignId": "c", "page_size": 2}, counted("completion_events")),
    ("datasets.list", {"page_size": 2}, counted("datasets")),
    ("dataset-records.list", {"datasetId": "d", "page_size": 2}, counted("records")),
    ("dataset-imports.list", {"datasetId": "d", "page_size": 2}, counted("tasks")),
    (
        "chat-completion-events.search",
        {**SEARCH, "page_size": 2},
        by_mark("cursor", lambda rows, mark: {"completion_events": {"results": rows, "next": None, "cursor": mark}}),
    ),
    (
        "workflow-runs.list",
        {"page_size": 2},
        by_mark("next_page_token", lambda rows, mark: {"executions": rows, "next_page_token": mark}),
    ),
    (
        "workflow-events.list",
        {"limit": 2},
        by_mark("cursor", lambda rows, mark: {"events": rows, "next_cursor": mark}),
    ),
    (
        "workflow-registrations.list",
        {"limit": 2},
        by_mark("cursor", lambda rows, mark: {"workflow_registrations": rows, "next_cursor": mark}),
    ),
]


@contextlib.contextmanager
def stand_in(answer: Callable[[Query], Any]) -> Iterator[tuple[str, list[str]]]:
    """A server that answers every request by its query; gives its URL, and the queries it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            query = urllib.parse.urlsplit(self.path).query
            asked.append(query)
            body = json.dumps(answer(dict(urllib.parse.parse_qsl(query)))).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _answer  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1", asked
        server.shutdown()


@pytest.mark.parametrize(("name", "inputs", "answer"), FAMILIES, ids=[each[0] for each in FAMILIES])
async def test_a_list_is_read_to_its_end(name: str, inputs: dict[str, Any], answer: Callable[[Query], Any]) -> None:
    with stand_in(answer) as (url, asked):
        async with runtime(url) as rt:
            found = [record async for record in rt.records("mistral-ai", name, inputs)]
    keys = ("id", "event_id", "execution_id")
    assert [next(row[key] for key in keys if row.get(key)) for row in found] == [row["id"] for row in ROWS]
    assert len(asked) == len(set(asked)) == 3


def test_every_operation_that_pages_has_a_stand_in() -> None:
    paging = {name for name, each in CONNECTOR.operations.items() if each.pagination is not None}
    assert paging == {name for name, _, _ in FAMILIES}
