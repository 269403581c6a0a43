"""The made provider: what it answers, what it refuses and with which words, in pure calls and over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import httpx2
import pytest

from connector import build_request, map_response
from connector.answers.mapping import ChunkReader, combine
from connector.errors import ConfigurationError
from connector.headers import Headers
from connector.messages import Request, Response
from connector.model.definition import Operation
from connector.protocols import Moment
from connector.requests.steps import run_steps
from runtime.config.catalog import Catalog
from runtime.mock.provider import MAX_BODY, MAX_DRAINED, MockProvider, serve
from tests.doubles.mistral import (
    CHAT,
    EXAMPLES,
    FOLDER,
    FORM,
    HOME,
    MISTRAL,
    TOKEN,
    TYPED,
    complaints,
    declared,
    demo,
    get,
    post,
    without,
)

pytestmark = pytest.mark.anyio

MOMENT = Moment(time=1_800_000_000.0, nonce="n-1")


@pytest.fixture
def inventing() -> MockProvider:
    """The same provider without its examples."""
    return MockProvider([MISTRAL], {})


def fields(**selectors: tuple[Any, ...]) -> list[dict[str, Any]]:
    """Fields from name=(type, selector) or name=(type, selector, multivalue)."""
    return [
        {"name": name, "type": type_, "selector": selector, "multivalue": bool(more)}
        for name, (type_, selector, *more) in selectors.items()
    ]


def some_inputs(operation: Operation, *, optional: bool) -> dict[str, Any]:
    """A value for each input; without `optional` for the required ones only."""
    by_type = {"Integer": 1, "Number": 1, "Boolean": True, "Array": ["a", "b"], "Object": {"a": 1}}
    values: dict[str, Any] = {}
    for name, each in operation.inputs.items():
        option = each.options[0] if each.options else None
        value = [option] if option is not None and each.type == "Array" else option
        if value is None:
            value = by_type.get(each.type, "text") if each.maximum is None else min(1, each.maximum)
        if optional or each.required:
            values[name] = value
    return values


def authenticated(operation: Operation, inputs: Mapping[str, Any], values: Mapping[str, Any]) -> Request:
    """The request of a call as it leaves, credentials in it."""
    config = operation.service.configure(values)
    return operation.service.auth.apply(build_request(operation, inputs, config), config.values, MOMENT)


# Answers


@pytest.mark.parametrize("optional", [False, True], ids=["required-inputs", "all-inputs"])
@pytest.mark.parametrize("name", sorted(MISTRAL.operations))
@pytest.mark.parametrize("kind", ["examples", "made-up"])
def test_every_shipped_operation_is_answered_and_its_answer_maps_without_a_warning(
    name: str, kind: str, *, optional: bool
) -> None:
    operation = MISTRAL.operation(name)
    provider = MockProvider([MISTRAL], {"mistral-ai": EXAMPLES if kind == "examples" else {}})
    request = authenticated(operation, some_inputs(operation, optional=optional), {"apiToken": "k"})
    response = provider.answer(request)
    assert 200 <= response.status <= 204, response.body
    if operation.response == "sse":
        assert response.content_type == "text/event-stream"
        reader = ChunkReader(operation, "sse", limit=1 << 20)
        result = combine(operation, [*reader.feed(response.body), *reader.finish()])
    else:
        result = map_response(operation, response)
    assert result.warnings == ()
    assert result.fields or result.records or not operation.fields


def test_each_shipped_operation_has_an_example() -> None:
    customs = {name for name, each in MISTRAL.custom_operations.items() if not each.calls[0].path.is_open}
    assert {*MISTRAL.operations, *customs} == set(EXAMPLES)


def test_an_example_is_sent_as_it_is_recorded(provider: MockProvider) -> None:
    response = provider.answer(get(f"{HOME}/files/f1"))
    assert EXAMPLES["files.read"]["body"] == json.loads(response.body)


def test_examples_in_an_array_are_played_in_order_for_each_path_and_the_last_one_repeats(
    provider: MockProvider,
) -> None:
    recorded = [each["body"]["status"] for each in EXAMPLES["batch-jobs.read"]]
    assert len(recorded) > 1

    def read(job: str) -> str:
        return str(json.loads(provider.answer(get(f"{HOME}/batch/jobs/{job}")).body)["status"])

    assert recorded[0] == read("other")
    assert [*recorded, recorded[-1]] == [read("one") for _ in range(len(recorded) + 1)]
    assert recorded[1] == read("other")


def test_a_refused_call_moves_no_job(provider: MockProvider) -> None:
    url = f"{HOME}/batch/jobs/one"
    for _ in range(5):
        provider.answer(get(url, {}))
    assert EXAMPLES["batch-jobs.read"][0]["body"] == json.loads(provider.answer(get(url)).body)


def test_an_example_has_its_own_status_and_headers() -> None:
    example = [
        {"status": 429, "headers": {"Retry-After": "2", "Content-Length": "9"}, "body": {"message": "slow down"}},
        {"status": 204},
        {"headers": {"Content-Type": "text/csv"}, "body": "a;b"},
        {"body": "text"},
    ]
    provider = MockProvider([demo({"read": {"method": "GET"}})], {"demo": {"things.read": example}})
    answers = [provider.answer(get("https://demo.example/api/things")) for _ in example]
    assert answers == [
        Response(429, Headers({"Retry-After": "2", "Content-Type": "application/json"}), b'{"message":"slow down"}'),
        Response(204),
        Response(200, Headers({"Content-Type": "text/csv"}), b"a;b"),
        Response(200, Headers({"Content-Type": "application/json"}), b'"text"'),
    ]


@pytest.mark.parametrize(
    "example",
    [
        "text",
        [1],
        {"status": "200"},
        {"status": True},
        {"status": 99},
        {"headers": []},
        {"headers": {"A": "b\r\nC: d"}},
    ],
    ids=repr,
)
def test_an_example_that_cannot_be_sent_is_refused_when_the_provider_is_made(example: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"things\.read"):
        MockProvider([demo({"read": {"method": "GET"}})], {"demo": {"things.read": example}})


XML = '<order id="{{id}}"><n>{{n}}</n><note>{{note}}</note> {{rest}} {{lost}}</order>'


@pytest.mark.parametrize(
    ("body", "complaints"),
    [
        ('<order id="7"><n>1.5</n><note>a &lt; b</note> x 5</order>', []),
        ('<order id="7"><n></n><note></note> x 5</order>', []),
        ('<order id="x"><n>y</n><note>z</note> x 5</order>', [["body", "id"], ["body", "n"]]),
        ('<order id="7"><n>1</n><note>a</note></order>', [["body"]]),
    ],
)
def test_values_in_an_xml_document_have_their_types(body: str, complaints: list[Any]) -> None:
    declared = {"id": "Integer", "n": "Number", "note": "String", "rest": "Integer", "lost": "Integer"}
    placeholders = [{"name": name, "type": kind} for name, kind in declared.items()]
    template = {"value": XML, "placeholders": placeholders}
    head = {"Content-Type": "application/xml"}
    provider = MockProvider([demo({"do": {"method": "POST", "headers": head, "bodyTemplate": template}})], {})
    answer = provider.answer(
        Request("POST", "https://demo.example/api/things", headers=Headers(head), body=body.encode())
    )
    found = json.loads(answer.body).get("detail", []) if answer.status == 422 else []
    assert [each["loc"] for each in found] == complaints


def test_an_empty_list_of_examples_is_none() -> None:
    provider = MockProvider([demo({"read": {"method": "GET"}})], {"demo": {"things.read": []}})
    assert provider.answer(get("https://demo.example/api/things")).body == b"{}"


# Made-up answers


EVERY_TYPE = fields(
    id=("String", ["id"]),
    count=("Integer", ["stats", "count"]),
    ratio=("Number", ["stats", "ratio"]),
    open=("Boolean", ["open"]),
    labels=("Array", ["labels"]),
    owner=("Object", ["owner"]),
    owner_name=("String", ["owner", "full name"]),
    anything=("Any", ["anything"]),
    day=("Date", ["day"]),
    moment=("DateTime", ["moment"]),
    third=("String", ["rows", 2, "name"]),
    names=("String", ["rows", 0, "name"], True),
    matrix=("Number", ["data", 0, "cells", 0], True),
    vectors=("Integer", ["vectors", "*", "cells"]),
    deep=("String", "$..nested"),
    plain=("String", "$.plain['it']"),
)


def test_every_field_of_a_made_up_answer_matches_with_its_type_and_lists_have_more_than_one_element() -> None:
    connector = demo({"read": {"method": "GET"}}, fields=EVERY_TYPE)
    response = MockProvider([connector], {}).answer(get("https://demo.example/api/things"))
    result = map_response(connector.operation("things.read"), response)
    assert result.warnings == ()
    assert result.fields is not None
    assert [name for name, value in result.fields.items() if value in (None, [])] == []
    lists = {name: len(value) for name, value in result.fields.items() if isinstance(value, list)}
    assert lists == {"labels": 2, "names": 3, "matrix": 4, "vectors": 2, "deep": 1}
    assert len(set(result.fields["names"])) == 3


@pytest.mark.parametrize(
    ("records", "envelope"),
    [(["data"], "data"), (["page", "rows"], "page"), (["rows", "*", "inner"], "rows"), (None, None)],
    ids=["one-level", "two-levels", "in-each-element", "not-declared"],
)
def test_a_made_up_list_has_the_envelope_that_records_names(records: Any, envelope: str | None) -> None:
    operation = {"method": "GET", **({"records": records} if records else {})}
    connector = demo({"list": operation}, fields=fields(id=("String", ["id"]), tags=("String", ["tags", 0], True)))
    response = MockProvider([connector], {}).answer(get("https://demo.example/api/things"))
    result = map_response(connector.operation("things.list"), response)
    assert [each for each in result.warnings if not (records is None and each.startswith("records: taken"))] == []
    assert result.records == [
        {"id": "id-1", "tags": ["tags-1-1", "tags-1-2"]},
        {"id": "id-2", "tags": ["tags-2-1", "tags-2-2"]},
    ]
    document = json.loads(response.body)
    assert ([envelope] if envelope else None) == (list(document) if isinstance(document, dict) else None)


def test_a_selector_that_no_made_up_value_can_stand_at_is_left_out() -> None:
    """Hazard T50: an index may be any number."""
    odd = fields(id=("String", ["id"]), far=("String", ["rows", 10**9]), slice=("String", "$.rows[0:2].name"))
    connector = demo({"read": {"method": "GET"}}, fields=odd)
    response = MockProvider([connector], {}).answer(get("https://demo.example/api/things"))
    assert json.loads(response.body) == {"id": "id"}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("empty", Response(204)),
        ("text", Response(200, Headers({"Content-Type": "text/plain; charset=utf-8"}), b"made-up text")),
    ],
)
def test_an_answer_is_made_up_in_the_kind_that_is_declared(kind: str, expected: Response) -> None:
    connector = demo({"read": {"method": "GET", "response": kind}}, fields=EVERY_TYPE)
    assert expected == MockProvider([connector], {}).answer(get("https://demo.example/api/things"))


def poll(when: Any, operation: str = "things.list") -> dict[str, Any]:
    """A webhook that polls."""
    return {"event": "thing.done", "path": "/webhooks/demo/done", "poll": {"operation": operation, "when": when}}


JOB = {
    "list": {"method": "GET", "records": ["data"]},
    "read": {"method": "GET", "path": "/{{id}}"},
    "create": {"method": "POST"},
}


@pytest.mark.parametrize(
    ("field", "when", "words"),
    [
        ("status", {"selector": ["status"], "in": ["SUCCESS", "OK"]}, ["QUEUED", "RUNNING", "SUCCESS", "SUCCESS"]),
        ("status", {"selector": ["status"], "in": ["done"]}, ["queued", "running", "done", "done"]),
        ("state", {"selector": ["state"], "in": ["Done"]}, ["QUEUED", "RUNNING", "Done", "Done"]),
        ("status", "new", ["status"] * 4),
        ("status", {"selector": ["status"], "in": [1]}, ["status"] * 4),
    ],
)
def test_a_made_up_job_moves_to_the_first_word_its_webhook_waits_for(field: str, when: Any, words: list[str]) -> None:
    connector = demo(JOB, fields=fields(id=("String", ["id"]), **{field: ("String", [field])}), webhooks=[poll(when)])
    provider = MockProvider([connector], {})

    def read(job: str) -> str:
        return str(json.loads(provider.answer(get(f"https://demo.example/api/things/{job}")).body)[field])

    assert words == [read("one") for _ in words]
    assert words[0] == read("two")


def test_a_made_up_job_that_is_created_is_new_each_time_and_a_list_of_jobs_moves() -> None:
    webhook = poll({"selector": ["status"], "in": ["SUCCESS"]})
    connector = demo(JOB, fields=fields(id=("String", ["id"]), status=("String", ["status"])), webhooks=[webhook])
    provider = MockProvider([connector], {})
    url = "https://demo.example/api/things"
    created = [json.loads(provider.answer(Request("POST", url)).body)["status"] for _ in range(3)]
    listed = [{each["status"] for each in json.loads(provider.answer(get(url)).body)["data"]} for _ in range(3)]
    assert created == ["QUEUED"] * 3
    assert [{"QUEUED"}, {"RUNNING"}, {"SUCCESS"}] == listed


def test_the_shipped_jobs_move_without_their_examples(inventing: MockProvider) -> None:
    answers = [inventing.answer(get(f"{HOME}/batch/jobs/one")) for _ in range(4)]
    assert [json.loads(each.body)["status"] for each in answers] == ["QUEUED", "RUNNING", "SUCCESS", "SUCCESS"]


# Paths and methods


@pytest.mark.parametrize("path", ["/mistral-ai/v1/models", "/v1/models"])
def test_a_single_connector_answers_under_its_handle_and_at_its_own_base_path(
    provider: MockProvider, path: str
) -> None:
    assert provider.answer(get(f"http://127.0.0.1:9{path}")).status == 200


def test_several_connectors_answer_under_their_handles_alone() -> None:
    provider = MockProvider([MISTRAL, demo({"read": {"method": "GET"}})], {})
    assert provider.paths == {"mistral-ai": "/mistral-ai/v1", "demo": "/demo/api"}
    paths = ["/mistral-ai/v1/models", "/demo/api/things", "/v1/models", "/api/things", "/demo/v1/models"]
    assert [provider.answer(get(f"http://h{path}")).status for path in paths] == [200, 200, 404, 404, 404]


@pytest.mark.parametrize(
    ("base", "path", "answered"),
    [
        ("https://{{storeUrl}}.myshop.example/admin", "/demo/admin", ["/admin/things", "/demo/admin/things"]),
        ("https://h.example/{{account}}/v2/", "/demo/account/v2", ["/any%2Fone/v2/things", "/demo/x/v2/things"]),
        ("{{baseUrl}}/v3", "/demo/v3", ["/v3/things", "/demo/v3/things"]),
        ("{{baseUrl}}", "/demo", ["/things", "/demo/things"]),
        ("https://h.example", "/demo", ["/things", "/demo/things"]),
    ],
)
def test_a_base_url_with_placeholders_is_routed_by_its_path(base: str, path: str, answered: list[str]) -> None:
    provider = MockProvider([demo({"read": {"method": "GET"}}, base=base)], {})
    assert {"demo": path} == provider.paths
    assert [200] * len(answered) == [provider.answer(get(f"http://h{each}")).status for each in answered]
    assert provider.answer(get("http://h/a/b/things")).status == 404


def test_an_operation_without_any_path_answers_at_the_root() -> None:
    connector = demo({"read": {"method": "GET", "path": "?action=x"}}, base="https://h.example", endpoint="")
    provider = MockProvider([connector], {})
    urls = ["https://h.example?action=x", "https://h.example/?action=x", "https://h.example/demo?action=x"]
    assert [provider.answer(get(url)).status for url in urls] == [200] * 3


@pytest.mark.parametrize(
    "path",
    [
        "/v1/nothing", "/v1", "/", "/v1/models/", "/v1//models", "/V1/models", "/v1/Models", "/v1/files/a/b",
        "/v1/files/..", "/v1/files/.", "/v1/files/%2e%2e", "/v1/files/../models", "/v1/./models",
        "/v1/files/a%00b", "/v1/files/%ff", "/v1%2Fmodels", "/other/v1/models",
    ],
)  # fmt: skip
def test_T67_a_path_that_no_operation_has_is_404(provider: MockProvider, path: str) -> None:
    response = provider.answer(get(f"http://127.0.0.1:9{path}"))
    assert response.status == 404
    assert "/mistral-ai/v1" in json.loads(response.body)["detail"]


@pytest.mark.parametrize("value", ["a/b", "..%2Fadmin", "a b", "é", "%252e", "x?y", "x#y", "{{fileId}}"])
def test_T20_a_value_in_a_path_is_one_segment_decoded_once(value: str) -> None:
    operation = demo({"read": {"method": "GET", "path": "/{{id}}"}}).operation("things.read")
    path = {"value": "/{{id}}", "placeholders": declared(id={"type": "String", "options": [value]})}
    provider = MockProvider([demo({"read": {"method": "GET", "path": path}})], {})
    assert provider.answer(build_request(operation, {"id": value}, {})).status == 200
    assert provider.answer(build_request(operation, {"id": f"{value}!"}, {})).status == 422


def test_a_fixed_path_wins_over_one_with_a_placeholder_and_several_segments_come_last() -> None:
    several = {"value": "/{{path}}:run", "placeholders": [{"name": "path", "type": "String", "multi": True}]}
    connector = demo({
        "several": {"method": "GET", "path": several},
        "read": {"method": "GET", "path": "/{{id}}"},
        "report": {"method": "GET", "path": "/{{id}}.csv"},
        "search": {"method": "GET", "path": "/search"},
        "remove": {"method": "DELETE", "path": "/{{id}}"},
    })  # fmt: skip
    provider = MockProvider([connector], {"demo": {name: {"body": name} for name in connector.operations}})

    def asked(method: str, path: str) -> Any:
        return json.loads(provider.answer(Request(method, f"https://demo.example/api/things{path}")).body)

    assert asked("GET", "/search") == "things.search"
    assert asked("GET", "/a.csv") == "things.report"
    assert asked("GET", "/else") == "things.read"
    assert asked("GET", "/a/b/c:run") == "things.several"
    assert asked("DELETE", "/search") == "things.remove"


def test_operations_that_share_method_and_path_are_told_apart_by_what_they_expect() -> None:
    connector = demo({
        "open": {"method": "GET", "path": "?state=open"},
        "closed": {"method": "GET", "path": "?state=closed"},
    })  # fmt: skip
    provider = MockProvider([connector], {"demo": {name: {"body": name} for name in connector.operations}})
    url = "https://demo.example/api/things?state="
    assert [json.loads(provider.answer(get(url + state)).body) for state in ("open", "closed")] == [
        "things.open",
        "things.closed",
    ]
    assert complaints(provider.answer(get(f"{url}lost"))) == [(["query", "state"], "literal_error")]


def test_operations_that_differ_in_a_fixed_header_alone_are_told_apart_by_it() -> None:
    connector = demo({
        "show": {"method": "GET", "path": "/{{id}}"},
        "bare": {"method": "GET", "path": "/{{id}}", "headers": {"Accept": "text/plain", "X-Form": "bare"}},
        "page": {"method": "GET", "path": "/{{id}}", "headers": {"Accept": "text/html"}},
    })  # fmt: skip
    provider = MockProvider([connector], {"demo": {name: {"body": name} for name in connector.operations}})

    def asked(**headers: str) -> Any:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return json.loads(
            provider.answer(Request("GET", "https://demo.example/api/things/1", headers=Headers(fields))).body
        )

    assert asked(Accept="text/html") == "things.page"
    assert asked(accept="text/plain", x_form="bare") == "things.bare"
    assert asked(Accept="application/json") == asked() == "things.show"


def test_what_github_has_at_one_path_are_three_answers() -> None:
    catalog = Catalog()
    connector = catalog.get("github")
    provider = MockProvider([connector], {"github": catalog.examples("github")})
    inputs, config = {"owner": "a", "repo": "b", "path": "docs/c.md"}, connector.service.configure({"token": "t"})
    answers = {}
    for name in ("list", "read", "download"):
        request = build_request(connector.operation(f"contents.{name}"), inputs, config)
        response = provider.answer(config.auth.apply(request, config.values, MOMENT))
        answers[name] = response.body[:1]
    assert answers == {"list": b"[", "read": b"{", "download": b"O"}


def test_api_request_is_answered_as_the_operation_that_has_its_path(provider: MockProvider) -> None:
    connector = Catalog().get("mistral-ai")
    config = connector.service.configure({"apiToken": "t"})

    def asked(**inputs: Any) -> Response:
        call = next(run_steps(connector.custom_operations["api-request"], inputs, config))
        return provider.answer(config.auth.apply(call.request, config.values, MOMENT))

    models = provider.answer(get(f"{HOME}/models"))
    assert (models.status, asked(path="/models")) == (200, models)
    asked_badly = asked(method="POST", path="/embeddings", body={"model": "mistral-embed"})
    assert (asked_badly.status, complaints(asked_badly)) == (422, [(["body", "input"], "missing")])
    assert asked(path="/nothing").status == 404


@pytest.mark.parametrize("method", ["PUT", "PATCH", "POST", "HEAD", "OPTIONS", "get", "TRACE"])
def test_a_method_that_no_operation_has_there_is_405_and_says_which_it_takes(
    provider: MockProvider, method: str
) -> None:
    response = provider.answer(Request(method, f"{HOME}/files/f1", headers=Headers(TOKEN)))
    assert (response.status, response.headers["Allow"]) == (405, "DELETE, GET")


# Credentials


# Content type and body


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"Content-Type": ""}, {"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
    ids=repr,
)  # fmt: skip
def test_T69_a_body_of_another_type_or_compressed_is_415(provider: MockProvider, headers: dict[str, str]) -> None:
    assert provider.answer(post(CHAT, {**TOKEN, **headers})).status == 415


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "application/vnd.api+json"])
def test_a_body_of_the_declared_type_is_read_whatever_its_parameters(provider: MockProvider, kind: str) -> None:
    assert provider.answer(post(CHAT, {**TOKEN, "Content-Type": kind})).status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"hello", b'{"a": NaN}', b"\xff\xfe", b"[" * 100_000, b'{"model": 1, "model": 2}', b"{} {}",
        b'{"a": "\\ud800"}',
    ],
    ids=["cut", "text", "NaN", "UTF-16", "deep", "doubled-key", "two", "surrogate"],
)  # fmt: skip
def test_T47_a_body_that_is_not_json_is_400(provider: MockProvider, body: bytes) -> None:
    response = provider.answer(post(body))
    assert response.status == 400
    assert "not JSON" in json.loads(response.body)["detail"]


def test_T68_a_body_beyond_four_mebibytes_is_413(provider: MockProvider) -> None:
    text = "x" * (MAX_BODY - len(json.dumps({**CHAT, "model": ""})))
    largest = post({**CHAT, "model": text})
    assert len(largest.body or b"") == MAX_BODY
    assert [provider.answer(each).status for each in (largest, post({**CHAT, "model": text + "x"}))] == [200, 413]


# Path, query and header values


# ASGI and sockets


async def listening(provider: MockProvider, host: str = "127.0.0.1") -> tuple[asyncio.Task[None], int]:
    """The task of a server, and its port."""
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(provider, host, 0, ready.set_result))
    return task, await ready


@pytest.fixture
async def client(provider: MockProvider) -> AsyncIterator[httpx2.AsyncClient]:
    """A plain client of the provider on a socket."""
    task, port = await listening(provider)
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}/v1/", trust_env=False, headers=TOKEN) as client:
        yield client
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_every_answer_comes_over_a_socket_as_it_was_made(
    client: httpx2.AsyncClient, provider: MockProvider
) -> None:
    ok = await client.post("chat/completions", json=CHAT)
    assert (200, provider.answer(post(CHAT)).body) == (ok.status_code, ok.content)
    assert ok.headers["content-type"] == "application/json"
    refused = {
        404: await client.get("nothing"),
        405: await client.put("models"),
        401: await client.get("models", headers={"Authorization": "key"}),
        415: await client.post("chat/completions", content=b"a=1", headers={"Content-Type": FORM}),
        400: await client.post("chat/completions", content=b"{", headers={"Content-Type": "application/json"}),
        422: await client.post("chat/completions", json=without("model")),
    }
    assert list(refused) == [each.status_code for each in refused.values()]
    assert (
        refused[405].headers["allow"],
        refused[401].headers["www-authenticate"],
    ) == ("GET", 'Bearer realm="mistral-ai"')
    assert [each["loc"] for each in refused[422].json()["detail"]] == [["body", "model"]]


async def test_head_and_options_are_405(client: httpx2.AsyncClient) -> None:
    head, options = await client.head("models"), await client.options("models")
    assert [
        (head.status_code, head.content),
        (options.status_code, options.headers["allow"]),
    ] == [(405, b""), (405, "GET")]


async def test_a_job_moves_on_over_a_socket(client: httpx2.AsyncClient) -> None:
    seen = [(await client.get("batch/jobs/one")).json()["status"] for _ in EXAMPLES["batch-jobs.read"]]
    assert [each["body"]["status"] for each in EXAMPLES["batch-jobs.read"]] == seen


async def test_a_body_in_chunks_is_one_body(client: httpx2.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for char in json.dumps(CHAT).encode():
            yield bytes([char])

    response = await client.post("chat/completions", content=chunks(), headers=TYPED)
    assert response.status_code == 200


async def test_T68_a_chunked_body_beyond_the_limit_is_413_and_the_sender_sees_it(client: httpx2.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(6):
            yield b" " * (1024 * 1024)

    response = await client.post("chat/completions", content=chunks(), headers=TYPED)
    assert response.status_code == 413


async def test_T67_dot_segments_on_the_wire_are_404(client: httpx2.AsyncClient) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
    writer.write(b"GET /v1/files/../models HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer x\r\nConnection: close\r\n\r\n")
    status = await reader.readline()
    writer.close()
    await writer.wait_closed()
    assert status == b"HTTP/1.1 404 Not Found\r\n"


async def test_a_caller_that_leaves_in_the_middle_of_its_body_disturbs_nobody(client: httpx2.AsyncClient) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
    writer.write(b'POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 900\r\n\r\n{"model"')
    await writer.drain()
    writer.transport.abort()
    assert (await client.get("models")).status_code == 200


async def test_it_answers_in_process_without_a_socket(provider: MockProvider) -> None:
    transport = httpx2.ASGITransport(provider)
    async with httpx2.AsyncClient(transport=transport, base_url="http://mock/mistral-ai/v1/", headers=TOKEN) as client:
        answers = [
            await client.get("files/a%2Fb"),
            await client.get("models"),
            await client.post("batch/jobs/x/cancel"),
        ]
    assert [each.status_code for each in answers] == [200, 200, 200]


Receive = Callable[[], Any]


def script(*messages: Mapping[str, Any]) -> tuple[Receive, list[Mapping[str, Any]], Callable[[Any], Any]]:
    """A `receive` that says these messages, what was sent, and the `send` that notes it."""
    waiting, sent = list(messages), []

    async def receive() -> Mapping[str, Any]:
        return waiting.pop(0)

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    return receive, sent, send


def scope(path: str, **more: Any) -> dict[str, Any]:
    headers = [(b"authorization", b"Bearer x")]
    return {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": headers, **more}


async def test_no_answer_is_sent_to_a_caller_that_left(provider: MockProvider) -> None:
    receive, sent, send = script({"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"})
    await provider(scope("/v1/models"), receive, send)
    assert sent == []


async def test_T68_an_endless_body_is_not_read_for_ever(provider: MockProvider) -> None:
    chunk = {"type": "http.request", "body": b" " * (MAX_DRAINED // 2), "more_body": True}
    receive, sent, send = script(chunk, chunk, chunk)
    await provider(scope("/v1/chat/completions", method="POST"), receive, send)
    assert sent[0]["status"] == 413
    assert len([each for each in sent if each.get("more_body")]) == 0


async def test_lifespan_is_taken_part_in_and_a_web_socket_is_closed(provider: MockProvider) -> None:
    receive, sent, send = script({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    await provider({"type": "lifespan"}, receive, send)
    await provider({"type": "websocket"}, receive, send)
    assert [each["type"] for each in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
        "websocket.close",
    ]


@pytest.mark.parametrize(
    "more",
    [
        {"path": "/v1/files/a b"},
        {"path": "/v1/files/a", "raw_path": None},
        {"path": "/under/v1/files/a", "raw_path": b"/under/v1/files/a", "root_path": "/under"},
        {"path": "/v1/files/a#b", "raw_path": b"/v1/files/a#b"},
    ],
    ids=["no-raw-path", "raw-path-none", "mounted", "number-sign"],
)
async def test_every_form_of_an_asgi_scope_is_understood(provider: MockProvider, more: dict[str, Any]) -> None:
    receive, sent, send = script({"type": "http.request"})
    await provider({**scope("/"), **more}, receive, send)
    assert sent[0]["status"] == 200


async def test_a_number_sign_on_the_wire_ends_no_path(provider: MockProvider) -> None:
    receive, sent, send = script({"type": "http.request"})
    await provider(scope("/v1/models#x", raw_path=b"/v1/models#x"), receive, send)
    assert sent[0]["status"] == 404


async def test_an_answer_without_content_has_no_body_and_no_length() -> None:
    connector = demo({"read": {"method": "GET"}})
    provider = MockProvider([connector], {"demo": {"things.read": {"status": 204, "body": {"a": 1}}}})
    receive, sent, send = script({"type": "http.request"})
    await provider(scope("/api/things"), receive, send)
    assert [sent[0]["status"], sent[1]["body"]] == [204, b""]
    assert b"content-length" not in dict(sent[0]["headers"])


async def test_an_address_that_cannot_be_used_is_a_configuration_error(provider: MockProvider) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigurationError, match="already in use"):
        await serve(provider, "127.0.0.1", taken.getsockname()[1], print)
    for host, port in (("192.0.2.1", 0), ("127.0.0.1", 65536), ("127.0.0.1", -1)):
        with pytest.raises(ConfigurationError, match=f"cannot listen on {host}, port {port}"):
            await serve(provider, host, port, print)


async def test_a_cancelled_server_finishes_what_it_began_and_frees_its_port(provider: MockProvider) -> None:
    task, port = await listening(provider)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
    task.cancel()
    writer.write(b"{}")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert b"401 Unauthorized" in answer
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


SERVER = """
import asyncio, sys
from runtime.mock import MockProvider, serve
ready = lambda port: print(port, file=sys.stderr, flush=True)
try:
    asyncio.run(serve(MockProvider([], {}), "127.0.0.1", 0, ready))
except KeyboardInterrupt:
    sys.exit(130)
"""


async def test_an_interrupt_stops_it_cleanly_and_nothing_is_written_to_stdout() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", SERVER, cwd=FOLDER.parents[1],
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    port = int(await process.stderr.readline())
    async with httpx2.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"http://127.0.0.1:{port}/v1/models")).status_code == 404
        process.send_signal(signal.SIGINT)
        stdout, stderr = await process.communicate()
    assert (process.returncode, stdout, stderr) == (130, b"", b"")
