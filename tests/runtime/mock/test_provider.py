"""The made provider: what it answers, what it refuses and with which words, in pure calls and over real sockets."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import httpx2
import pytest

from connector import build_request, map_response, parse_connector
from connector.answers.mapping import ChunkReader, combine
from connector.errors import ConfigurationError
from connector.headers import Headers
from connector.messages import Request, Response
from connector.model.definition import Connector, Operation
from connector.protocols import Moment
from connector.requests.steps import run_steps
from connector.templates import Values
from runtime.config.catalog import Catalog
from runtime.mock.provider import MAX_BODY, MAX_DRAINED, MockProvider, serve

pytestmark = pytest.mark.anyio

MOMENT = Moment(time=1_800_000_000.0, nonce="n-1")
FOLDER = Path(__file__).parents[3] / "definitions" / "mistral-ai"
HOME = "https://api.mistral.ai/v1"
TOKEN = {"Authorization": "Bearer some-key"}
TYPED = {**TOKEN, "Content-Type": "application/json"}


MISTRAL = Catalog().get("mistral-ai")
EXAMPLES = {
    file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted((FOLDER / "examples").glob("*.json"))
}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.7, "max_tokens": 9}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def provider() -> MockProvider:
    return MockProvider([MISTRAL], {"mistral-ai": EXAMPLES})


@pytest.fixture
def inventing() -> MockProvider:
    """The same provider without its examples."""
    return MockProvider([MISTRAL], {})


def demo(
    operations: Mapping[str, Any],
    *,
    base: Any = "https://demo.example/api",
    auth: Any = None,
    options: Any = (),
    **resource: Any,
) -> Connector:
    """A connector `demo` with one resource `things`."""
    service = {"baseURL": base, **({"auth": auth, "authOptions": list(options)} if auth else {})}
    things = {"handle": "things", "endpoint": "/things", "fields": [], "operations": operations, **resource}
    return parse_connector({"handle": "demo", "service": service, "resources": [things]})


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


def post(body: Any, headers: Mapping[str, str] = TYPED, url: str = f"{HOME}/chat/completions") -> Request:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Request("POST", url, Headers(headers), content)


def get(url: str, headers: Mapping[str, str] = TOKEN) -> Request:
    return Request("GET", url, Headers(headers))


def complaints(response: Response) -> list[tuple[list[Any], str]]:
    """Where and of which type each complaint of a 422 is."""
    assert response.status == 422, response.body
    return [(each["loc"], each["type"]) for each in json.loads(response.body)["detail"]]


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
    answer = provider.answer(Request("POST", "https://demo.example/api/things", Headers(head), body.encode()))
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
        return json.loads(provider.answer(Request("GET", "https://demo.example/api/things/1", Headers(fields))).body)

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
    response = provider.answer(Request(method, f"{HOME}/files/f1", Headers(TOKEN)))
    assert (response.status, response.headers["Allow"]) == (405, "DELETE, GET")


# Credentials


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"Authorization": ""}, {"Authorization": "some-key"}, {"Authorization": "Bearer"},
        {"Authorization": "Bearer "}, {"Authorization": "Bearer  "}, {"Authorization": ": x"}, {"X-API-Key": "key"},
    ],
    ids=repr,
)  # fmt: skip
def test_a_credential_that_is_missing_or_malformed_is_401_with_a_challenge(
    provider: MockProvider, headers: dict[str, str]
) -> None:
    response = provider.answer(get(f"{HOME}/models", headers))
    assert (response.status, response.headers["WWW-Authenticate"]) == (401, 'Bearer realm="mistral-ai"')
    assert "Authorization: Bearer <credential>" in json.loads(response.body)["detail"]


@pytest.mark.parametrize("value", ["Bearer x", "bearer x", "Bot a.b-c_d", "AWS4 Credential=a, Signature=b"])
def test_any_well_formed_credential_passes(provider: MockProvider, value: str) -> None:
    assert provider.answer(get(f"{HOME}/models", {"authorization": value})).status == 200


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


@dataclass(frozen=True)
class QueryKey:
    """An auth method that this module has never heard of: a key in the query."""

    credentials: frozenset[str] = frozenset({"key"})

    def apply(self, request: Request, values: Values, moment: Moment) -> Request:
        return replace(request, url=f"{request.url}?api_key={values['key']}")


@dataclass(frozen=True)
class Signed:
    """An auth method that needs a real key."""

    credentials: frozenset[str] = frozenset()

    def apply(self, request: Request, values: Values, moment: Moment) -> Request:
        raise ValueError("this is not a key")


PAIR = {"username": "{{user}}", "password": "{{password}}"}
HEADER = {"value": "{{header}}", "placeholders": [{"name": "header", "type": "String", "required": True}]}


@pytest.mark.parametrize(
    ("auth", "good", "bad", "challenge"),
    [
        (
            {"method": "basic", "params": PAIR},
            [basic("a:b"), basic("a:"), basic(":")],
            ["", "Bearer x", "Basic", "Basic !!", basic("ab"), "Basic é", basic("a:b").replace("Basic", "Bearer")],
            'Basic realm="demo"',
        ),
        (
            {"method": "api_token", "params": {"token": "{{t}}", "headerName": "X-Key"}},
            ["x", "Bearer x"], ["", " "], 'ApiKey realm="demo", header="X-Key"',
        ),
        ({"method": "apikey", "params": {"apikey": "{{t}}"}}, ["x"], [""], 'ApiKey realm="demo", header="X-API-Key"'),
        (
            {"method": "api_token", "params": {"token": "Klaviyo-API-Key {{t}}"}},
            ["Klaviyo-API-Key x"], ["x"], 'Klaviyo-API-Key realm="demo"',
        ),
    ],
    ids=["basic", "own-header", "apikey", "own-scheme"],
)  # fmt: skip
def test_a_credential_has_the_form_of_its_method(auth: Any, good: list[str], bad: list[str], challenge: str) -> None:
    provider = MockProvider([demo({"read": {"method": "GET"}}, auth=auth)], {})
    header = {"own-header": "X-Key", "apikey": "X-API-Key"}
    name = next((each for each in header.values() if each in challenge), "Authorization")

    def ask(value: str) -> Response:
        return provider.answer(get("https://demo.example/api/things", {name: value}))

    assert [200] * len(good) == [ask(value).status for value in good]
    assert [(401, challenge)] * len(bad) == [(each.status, each.headers["WWW-Authenticate"]) for each in map(ask, bad)]


def test_every_one_of_several_tokens_is_asked_for() -> None:
    tokens = {"a": {"token": "{{a}}", "headerName": "X-A"}, "b": {"token": "{{b}}", "headerName": "X-B"}}
    provider = MockProvider([demo({"read": {"method": "GET"}}, auth={"method": "api_token", "params": tokens})], {})
    headers = [{"X-A": "1", "X-B": "2"}, {"X-A": "1"}, {"X-B": "2"}]
    asked = [provider.answer(get("https://demo.example/api/things", each)).status for each in headers]
    assert asked == [200, 401, 401]


def test_a_header_whose_name_only_the_connection_knows_is_not_asked_for() -> None:
    auth = {"method": "api_token", "params": {"token": "{{t}}", "headerName": HEADER}}
    provider = MockProvider([demo({"read": {"method": "GET"}}, auth=auth)], {})
    assert provider.answer(get("https://demo.example/api/things", {})).status == 200


def test_an_operation_that_sets_the_header_of_the_credential_itself_is_not_asked_for_one() -> None:
    read = {"method": "GET", "headers": {"Authorization": "none"}}
    auth = {"method": "bearer", "params": {"token": "{{t}}"}}
    provider = MockProvider([demo({"read": read}, auth=auth)], {})
    assert provider.answer(get("https://demo.example/api/things", {"Authorization": "none"})).status == 200


def test_one_of_several_methods_is_enough() -> None:
    connector = demo(
        {"read": {"method": "GET"}},
        auth={"method": "bearer", "params": {"token": "{{t}}"}},
        options=[{"method": "apikey", "params": {"apikey": "{{k}}"}}],
    )
    provider = MockProvider([connector], {})
    headers = [{"Authorization": "Bearer x"}, {"X-API-Key": "x"}, {}, {"Authorization": "x"}]
    asked = [provider.answer(get("https://demo.example/api/things", each)).status for each in headers]
    assert asked == [200, 200, 401, 401]


@pytest.mark.parametrize(
    ("auth", "good", "bad"),
    [
        (QueryKey(), ("?api_key=x", {}), [("", {}), ("?api_key=", {}), ("?key=x", {})]),
        (Signed(), ("", TOKEN), [("", {}), ("", {"Authorization": "x"})]),
    ],
    ids=["in-the-query", "unable-to-work-with-samples"],
)
def test_where_a_method_puts_its_secret_is_learned_from_the_method(auth: Any, good: Any, bad: list[Any]) -> None:
    connector = demo({"read": {"method": "GET"}}, auth={"method": "bearer", "params": {"token": "{{key}}"}})
    service = replace(connector.service, auth=auth)
    operation = replace(connector.operation("things.read"), service=service)
    provider = MockProvider([replace(connector, service=service, operations={operation.id: operation})], {})

    def ask(query: str, headers: Mapping[str, str]) -> int:
        return provider.answer(get(f"https://demo.example/api/things{query}", headers)).status

    assert ask(*good) == 200
    assert [401] * len(bad) == [ask(*each) for each in bad]


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


def test_a_request_is_judged_by_path_then_method_then_credential_then_size_then_type_then_values(
    provider: MockProvider,
) -> None:
    headers: dict[str, str] = {}
    url, method, body = f"{HOME}/chat/nothing", "PUT", b"x" * (MAX_BODY + 1)
    seen = []
    for step in range(7):
        seen.append(provider.answer(Request(method, url, Headers(headers), body)).status)
        if step == 0:
            url = f"{HOME}/chat/completions"
        elif step == 1:
            method = "POST"
        elif step == 2:
            headers = dict(TOKEN)
        elif step == 3:
            body = b"x"
        elif step == 4:
            headers = dict(TYPED)
        elif step == 5:
            body = b"{}"
    assert seen == [404, 405, 401, 413, 415, 400, 422]


def changed(**members: Any) -> dict[str, Any]:
    return {**CHAT, **members}


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in CHAT.items() if name not in names}


def messages(message: Any) -> dict[str, Any]:
    return changed(messages=[message])


HELLO = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    ("body", "location", "kind"),
    [
        (without("model"), ["model"], "missing"),
        (without("messages"), ["messages"], "missing"),
        (messages({"role": "user"}), ["messages", 0, "content"], "missing"),
        (messages({"content": "hi"}), ["messages", 0, "role"], "missing"),
        (messages({"role": "system", "content": "hi"}), ["messages", 0, "role"], "literal_error"),
        (messages({**HELLO, "name": "x"}), ["messages", 0, "name"], "extra_forbidden"),
        (messages("hi"), ["messages", 0], "dict_type"),
        (messages({"role": "user", "content": 5}), ["messages", 0, "content"], "string_type"),
        (messages({"role": "user", "content": None}), ["messages", 0, "content"], "string_type"),
        (messages({"role": "user", "content": ["hi"]}), ["messages", 0, "content"], "string_type"),
        (changed(messages=HELLO), ["messages"], "list_type"),
        (changed(messages=[]), ["messages"], "too_short"),
        (changed(messages=[HELLO, HELLO]), ["messages"], "too_long"),
        (changed(tools=[]), ["tools"], "extra_forbidden"),
        (changed(max_tokens="9"), ["max_tokens"], "integer_type"),
        (changed(max_tokens=True), ["max_tokens"], "integer_type"),
        (changed(max_tokens=1.5), ["max_tokens"], "integer_type"),
        (changed(max_tokens=2**63), ["max_tokens"], "integer_type"),
        (changed(max_tokens=None), ["max_tokens"], "integer_type"),
        (changed(temperature="0.7"), ["temperature"], "number_type"),
        (changed(temperature=1.6), ["temperature"], "value_error"),
        (changed(temperature=-0.1), ["temperature"], "value_error"),
        ([CHAT], [], "dict_type"),
        (None, [], "dict_type"),
    ],
)
def test_T15_a_body_unlike_its_template_is_422_and_says_where(body: Any, location: list[Any], kind: str) -> None:
    # Its custom operations take other bodies at the same path.
    provider = MockProvider([replace(MISTRAL, custom_operations={})], {"mistral-ai": EXAMPLES})
    assert [(["body", *location], kind)] == complaints(provider.answer(post(body)))


@pytest.mark.parametrize(
    "body",
    [without("temperature", "max_tokens"), changed(max_tokens=9.0), changed(temperature=0), changed(model="")],
    ids=["optional-members-left-out", "whole-float", "whole-number", "empty-text"],
)
def test_a_body_like_its_template_passes(provider: MockProvider, body: Any) -> None:
    assert provider.answer(post(body)).status == 200


def test_everything_wrong_with_a_body_is_said_at_once_in_words_and_without_its_values(provider: MockProvider) -> None:
    response = provider.answer(post({"messages": [{"role": "user", "content": 12345}], "max_tokens": "s3cret"}))
    assert [location for location, _ in complaints(response)] == [
        ["body", "model"],
        ["body", "messages", 0, "content"],
        ["body", "max_tokens"],
    ]
    assert all(each.keys() == {"loc", "msg", "type"} and each["msg"] for each in json.loads(response.body)["detail"])
    assert b"12345" not in response.body
    assert b"s3cret" not in response.body


@pytest.mark.parametrize("body", [b"", b" \n"], ids=["none", "blank"])
def test_a_body_that_is_missing_is_422(provider: MockProvider, body: bytes) -> None:
    assert complaints(provider.answer(post(body))) == [(["body"], "missing")]


def test_a_body_where_none_is_declared_is_422(provider: MockProvider) -> None:
    url = f"{HOME}/batch/jobs/one/cancel"
    assert complaints(provider.answer(post({"a": 1}, url=url))) == [(["body"], "extra_forbidden")]
    assert provider.answer(Request("POST", url, Headers(TOKEN))).status == 200


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"type": "document_url", "document_url": "u"}, []),
        ({"type": "image_url", "image_url": "u"}, []),
        ({"type": "image_url", "document_url": "u"}, [("image_url", "missing"), ("document_url", "extra_forbidden")]),
        ({"type": "document_url"}, [("document_url", "missing")]),
        ({"document_url": "u"}, [("type", "missing")]),
        ({"type": "video", "document_url": "u"}, [("type", "string_parsing")]),
    ],
)
def test_a_key_that_is_a_placeholder_is_the_option_that_its_sibling_says(
    provider: MockProvider, document: Any, expected: list[tuple[str, str]]
) -> None:
    response = provider.answer(post({"model": "m", "document": document}, url=f"{HOME}/ocr"))
    wanted = [(["body", "document", name], kind) for name, kind in expected]
    assert wanted == (complaints(response) if response.status == 422 else [])


def declared(**types: Any) -> list[dict[str, Any]]:
    """Placeholders from name=type or name={type, …}; `a_` at the front of a name makes it optional."""
    return [
        {"name": name, "required": not name.startswith("a_"), **(each if isinstance(each, dict) else {"type": each})}
        for name, each in types.items()
    ]


def sending(template: Any, placeholders: list[dict[str, Any]], kind: str = "application/json") -> MockProvider:
    """A provider with one operation, `POST /api/things`, with that body."""
    body = {"value": template, "placeholders": placeholders}
    return MockProvider(
        [demo({"create": {"method": "POST", "headers": {"Content-Type": kind}, "bodyTemplate": body}})], {}
    )


def send(provider: MockProvider, body: Any, kind: str = "application/json") -> list[tuple[list[Any], str]]:
    """The complaints about a body; none if it is content."""
    content = body.encode() if isinstance(body, str) and kind != "application/json" else body
    response = provider.answer(post(content, {"Content-Type": kind}, "https://demo.example/api/things"))
    return [] if response.status == 200 else complaints(response)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"system": {"text": "a"}, "items": [{"role": "system"}, 1, "x"], "fixed": [1, {"on": True}]}, []),
        ({"items": [1, "x"], "fixed": [1, {"on": True}]}, []),
        ({"items": [1], "fixed": [1, {"on": True}]}, []),
        ({"items": [{"role": "system"}, 1], "fixed": [1, {"on": True}]}, []),
        ({"items": [], "fixed": [1, {"on": True}]}, [(["items"], "too_short")]),
        ({"items": [1, "x", 2, 3], "fixed": [1, {"on": True}]}, [(["items"], "too_long")]),
        ({"items": [{"role": "x"}, 1], "fixed": [1, {"on": True}]}, [(["items", 0, "role"], "literal_error")]),
        ({"items": [1, 2], "fixed": [1, {"on": True}]}, [(["items", 1], "string_type")]),
        ({"items": [1], "fixed": [1, {"on": 1}]}, [(["fixed", 1, "on"], "literal_error")]),
        ({"items": [1], "fixed": [1, {}]}, [(["fixed", 1, "on"], "missing")]),
        ({"items": [1], "fixed": [1, {"on": True, "off": 1}]}, [(["fixed", 1, "off"], "extra_forbidden")]),
        ({"items": [1], "fixed": [1]}, [(["fixed"], "literal_error")]),
        ({"items": [1], "fixed": [1, {"on": True}], "system": {"x": 1}}, [(["system", "x"], "extra_forbidden")]),
    ],
)  # fmt: skip
def test_parts_with_a_condition_and_optional_items_may_be_left_out(body: Any, expected: Any) -> None:
    template = {
        "system": {"$if": "a_system", "text": "{{a_system}}"},
        "items": [{"$if": "a_system", "role": "system"}, "{{number}}", "{{a_last}}"],
        "fixed": [1, {"on": True}],
    }
    provider = sending(template, declared(a_system="String", number="Integer", a_last="String"))
    assert [(["body", *location], kind) for location, kind in expected] == send(provider, body)


@pytest.mark.parametrize(
    ("template", "placeholders", "good", "bad"),
    [
        ('{"v": "{{v}}"}', declared(v="Integer"), ["5"], [5, "x", True, "1.5", None, [1]]),
        ('{"v": "{{v}}"}', declared(v="Array"), [["a"], []], ["a", {"a": 1}, None]),
        ('{"v": "{{v}}"}', declared(v="Any"), ["a", ["a"], {"a": 1}], [5, None, True]),
        ('{"v": {{v}}}', declared(v="Any"), ["a", ["a"], {"a": None}, 5, 0.5, True], [None]),
        ('{"v": {{v}}}', declared(v="Object"), [{}, {"a": 1}], ["{}", [1], None]),
        ('{"v": {{v}}}', declared(v="Boolean"), [True, False], ["true", 1, None]),
        ('{"v": {{v}}}', declared(v="Date"), ["2026-01-01", 1767225600], [True, None]),
        ('{"v": {{v}}}', declared(v={"type": "String", "nullable": True}), ["a", None], [5]),
        ('{"v": {{v}}}', declared(v={"type": "Integer", "options": ["1", "2"]}), [1, 2], [3, "1"]),
        ('{"v": {{v}}}', declared(v={"type": "Array", "options": ["a", "b"]}), [["a", "b"], []], [["c"], "a"]),
        ('{"v": {{v}}}', declared(v="String"), ["a", ""], [1.0, 1, True]),
        ('{"v": "ab{{v}}ba"}', declared(v="String"), ["abba", "abxba"], ["aba", "ab", "abxb"]),
        ('{"v": "Hi {{v}}!"}', declared(v="String"), ["Hi x!", "Hi !", "Hi !!"], ["Hi x", "Ho x!", "Hi!", 5]),
        ('{"v": "{{v}} %"}', declared(v="Integer"), ["5 %"], ["five %", "5.5 %", "5%"]),
        ('{"v": "{{v}}-{{w}}-{{v}}."}', declared(v="String", w="String"), ["a-b-a.", "a-b-c-."], ["a-b.", "a-b-c"]),
    ],
)  # fmt: skip
def test_a_value_in_a_body_is_what_its_placeholder_says(
    template: str, placeholders: Any, good: list[Any], bad: list[Any]
) -> None:
    provider = sending(template, placeholders)
    assert [[]] * len(good) == [send(provider, {"v": value}) for value in good]
    assert [[["body", "v"]]] * len(bad) == [[at for at, _ in send(provider, {"v": value})] for value in bad]


def test_a_required_value_with_a_default_may_be_missing_from_a_body() -> None:
    provider = sending('{"v": {{v}}, "w": {{w}}}', declared(v={"type": "Integer", "default": "5"}, w="Integer"))
    assert send(provider, {}) == [(["body", "w"], "missing")]


def test_a_whole_body_that_is_one_optional_value_may_be_missing() -> None:
    provider = sending("{{a_body}}", declared(a_body="Object"))
    assert [send(provider, b""), send(provider, {"a": 1})] == [[], []]


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("name=a&kind=fixed", []),
        ("name=a+b%26c&kind=fixed&tags=x&tags=y&note=n%3A5&size=7", []),
        ("kind=fixed", [("name", "missing")]),
        ("name=a", [("kind", "missing")]),
        ("name=a&kind=other", [("kind", "literal_error")]),
        ("name=a&name=b&kind=fixed", [("name", "too_long")]),
        ("name=a&kind=fixed&size=big", [("size", "integer_parsing")]),
        ("name=a&kind=fixed&tags=z", [("tags", "list_parsing")]),
        ("name=a&kind=fixed&more=1", [("more", "extra_forbidden")]),
        ("name=a&kind=fixed&note=5", [("note", "string_pattern_mismatch")]),
        ("", [("name", "missing"), ("kind", "missing")]),
    ],
)
@pytest.mark.parametrize("shape", ["text", "object"])
def test_a_form_is_held_to_its_template(shape: str, body: str, expected: list[tuple[str, str]]) -> None:
    template: Any = "name={{name}}&kind=fixed&tags={{a_tags}}&size={{a_size}}"
    if shape == "object":
        template = {"name": "{{name}}", "kind": "fixed", "tags": "{{a_tags}}", "size": "{{a_size}}"}
    if "note" in body:
        template = f"{template}&note=n:{{{{a_note}}}}" if shape == "text" else {**template, "note": "n:{{a_note}}"}
    placeholders = declared(
        name="String", a_tags={"type": "Array", "options": ["x", "y"]}, a_size="Integer", a_note="Integer"
    )
    assert [(["body", name], kind) for name, kind in expected] == send(
        sending(template, placeholders, FORM), body, FORM
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("card[number]=4&card[tags]=a&card[tags]=b&card[on]=true&file=x", []),
        ("card[number]=4&card[tags]=a&card[tags]=b&card[on]=true&meta[a]=1&meta[b][c]=2&link=x", []),
        ("card[tags]=a&card[tags]=b&card[on]=true", [("card[number]", "missing")]),
        ("card[number]=4&card[tags]=a&card[on]=true", [("card[tags]", "missing")]),
        ("card[number]=4&card[tags]=a&card[tags]=c&card[on]=true", [("card[tags]", "literal_error")]),
        ("card[number]=4&card[tags]=a&card[tags]=b&card[on]=true&card[x]=1", [("card[x]", "extra_forbidden")]),
    ],
)
def test_a_form_of_nested_objects_is_held_to_its_template(body: str, expected: list[tuple[str, str]]) -> None:
    template = {
        "card": {"number": "{{number}}", "tags": ["a", "b"], "on": True},
        "meta": "{{a_meta}}",
        "{{a_kind}}": "{{a_link}}",
    }
    kinds = {"type": "String", "options": ["file", "link"]}
    placeholders = declared(number="Integer", a_meta="Object", a_kind=kinds, a_link="String")
    assert [(["body", name], kind) for name, kind in expected] == send(
        sending(template, placeholders, FORM), body, FORM
    )


def test_a_form_without_any_placeholder_is_its_template() -> None:
    provider = sending({"grant": "x", "scopes": ["a", "b"]}, [], FORM)
    assert send(provider, "grant=x&scopes=a&scopes=b", FORM) == []
    assert send(provider, "grant=y&scopes=a&scopes=b", FORM) == [(["body", "grant"], "literal_error")]


def test_in_a_form_a_value_of_any_type_may_be_a_list_or_spread() -> None:
    provider = sending(
        {"v": "{{a_v}}", "items": ["{{one}}", "{{a_two}}"]}, declared(a_v="Any", one="Integer", a_two="Integer"), FORM
    )
    bodies = ["items=1&v=a", "items=1&v=a&v=b", "items=1&items=2&v[a]=b", "items=1"]
    assert [[]] * len(bodies) == [send(provider, body, FORM) for body in bodies]
    assert send(provider, "items=1&items=x", FORM) == [(["body", "items"], "integer_parsing")]


def test_a_text_body_is_held_to_its_template() -> None:
    provider = sending("Dear {{name}}, you owe {{sum}}.", declared(name="String", sum="Number"), "text/plain")
    assert send(provider, "Dear Ann, you owe 5.", "text/plain") == []
    assert send(provider, "Dear Ann", "text/plain") == [(["body"], "string_pattern_mismatch")]
    fixed = sending("ping", [], "text/plain")
    assert [send(fixed, body, "text/plain") for body in ("ping", "pingpong", "pin")] == [
        [],
        [(["body"], "string_pattern_mismatch")],
        [(["body"], "string_pattern_mismatch")],
    ]


def test_a_body_of_a_kind_that_is_not_known_here_is_taken_as_it_is() -> None:
    @dataclass(frozen=True)
    class Anything:
        content_type: ClassVar[str] = "application/xml"

        @classmethod
        def accepts(cls, media_type: str) -> bool:
            return media_type == cls.content_type

    connector = demo({"create": {"method": "POST"}})
    operation: Any = replace(connector.operation("things.create"), body=Anything())  # type: ignore[arg-type]
    provider = MockProvider([replace(connector, operations={operation.id: operation})], {})
    assert send(provider, "<a/>", "application/xml") == []


@pytest.mark.parametrize(("kind", "template"), [("text/plain", "Hi {{name}}"), (FORM, "name={{name}}")])
def test_a_body_of_text_that_is_not_utf8_is_400(kind: str, template: str) -> None:
    provider = sending(template, declared(name="String"), kind)
    response = provider.answer(post(b"Hi \xff", {"Content-Type": kind}, "https://demo.example/api/things"))
    assert response.status == 400


# Path, query and header values


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", []),
        ("page=0&page_size=5&include_total=true&search=a%20b&purpose=batch", []),
        ("sample_type=pretrain&sample_type=instruct", []),
        ("search=", []),
        ("pages=1", [("pages", "extra_forbidden")]),
        ("page=one", [("page", "integer_parsing")]),
        ("page=1.5", [("page", "integer_parsing")]),
        ("page=", [("page", "integer_parsing")]),
        ("page=1&page=2", [("page", "too_long")]),
        ("include_total=1", [("include_total", "boolean_parsing")]),
        ("purpose=none", [("purpose", "string_parsing")]),
        ("sample_type=none", [("sample_type", "list_parsing")]),
        ("a&b=1", [("a", "extra_forbidden"), ("b", "extra_forbidden")]),
    ],
)
def test_T25_a_query_unlike_what_is_declared_is_422(
    provider: MockProvider, query: str, expected: list[tuple[str, str]]
) -> None:
    response = provider.answer(get(f"{HOME}/files?{query}"))
    assert [(["query", name], kind) for name, kind in expected] == (
        complaints(response) if response.status != 200 else []
    )


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("page=1&team=docs&year=2026", []),
        ("page=1", []),
        ("page=one&team=docs", [("page", "integer_parsing")]),
        ("metadata=docs", []),
    ],
)
def test_members_of_an_object_that_explodes_may_have_any_name(
    provider: MockProvider, query: str, expected: list[tuple[str, str]]
) -> None:
    response = provider.answer(get(f"{HOME}/batch/jobs?{query}"))
    assert [(["query", name], kind) for name, kind in expected] == (
        complaints(response) if response.status != 200 else []
    )


def test_an_object_that_explodes_and_is_required_has_to_have_members() -> None:
    params = {"meta": {"type": "Object", "required": True, "explode": True}}
    provider = MockProvider([demo({"list": {"method": "GET", "queryParams": params}})], {})
    assert complaints(provider.answer(get("https://demo.example/api/things"))) == [(["query", "meta"], "missing")]
    assert provider.answer(get("https://demo.example/api/things?a=b")).status == 200


def test_a_query_that_is_not_utf8_is_422(provider: MockProvider) -> None:
    assert complaints(provider.answer(get(f"{HOME}/files?page=%ff"))) == [(["query"], "string_unicode")]


def test_a_required_a_fixed_and_a_composed_query_parameter_are_held_to_their_templates() -> None:
    connector = demo({
        "find": {
            "method": "GET",
            "path": "/{{id}}?v=a%20b",
            "queryParams": {
                "q": {"type": "String", "required": True},
                "created[gte]": {"type": "Integer", "minimum": 1},
                "range": {"value": "from:{{n}}", "placeholders": declared(n="Integer")},
                "filter": {"type": "Object"},
                "none": {"type": "Integer", "nullable": True},
            },
        }
    })  # fmt: skip
    provider = MockProvider([connector], {})

    def ask(query: str) -> list[Any]:
        response = provider.answer(get(f"https://demo.example/api/things/1?{query}"))
        return [] if response.status == 200 else [location[1] for location, _ in complaints(response)]

    full = "v=a%20b&q=x&range=from%3A5"
    assert ask(full) == []
    assert ask(f"{full}&created%5Bgte%5D=3&filter=%7B%22a%22%3A1%7D&none=") == []
    assert ask("") == ["v", "q", "range"]
    assert ask("v=b&q=x&range=from%3A5") == ["v"]
    assert ask("v=a%20b&q=x&range=from%3Ax") == ["range"]
    assert ask(f"{full}&created%5Bgte%5D=0&filter=a") == ["created[gte]", "filter"]
    assert ask(f"{full}&filter%5Ba%5D=1") == ["filter[a]"]


def test_values_in_path_and_headers_are_read_as_they_are_declared() -> None:
    connector = demo({
        "read": {
            "method": "GET",
            "path": {"value": "/{{id}}", "placeholders": declared(id="Integer")},
            "headers": {
                "X-Trace": {"value": "{{trace}}", "placeholders": declared(trace="Integer")},
                "X-Note": {"value": "{{a_note}}", "placeholders": declared(a_note="String")},
                "X-Version": "2",
            },
        }
    })  # fmt: skip
    provider = MockProvider([connector], {})
    url = "https://demo.example/api/things"
    assert provider.answer(get(f"{url}/5", {"x-trace": "1"})).status == 200
    assert complaints(provider.answer(get(f"{url}/five", {}))) == [
        (["path", "id"], "integer_parsing"),
        (["header", "X-Trace"], "missing"),
    ]
    assert complaints(provider.answer(get(f"{url}/5", {"X-Trace": "a"}))) == [
        (["header", "X-Trace"], "integer_parsing")
    ]


def test_a_name_of_the_connection_is_read_as_the_connection_declares_it_in_path_and_as_the_operation_does_in_body() -> (
    None
):
    user = {"type": "String", "options": ["AC1"]}
    body = {"value": {"user": "{{user}}"}, "placeholders": declared(user="String")}
    connector = parse_connector({
        "handle": "demo",
        "service": {"baseURL": "https://demo.example", "params": declared(user=user)},
        "resources": [{
            "handle": "things", "endpoint": "/{{user}}/things", "fields": [],
            "operations": {"create": {"method": "POST", "bodyTemplate": body}},
        }],
    })  # fmt: skip
    provider = MockProvider([connector], {})
    operation = connector.operation("things.create")
    assert provider.answer(build_request(operation, {"user": "ann"}, {"user": "AC1"})).status == 200
    wrong = post({"user": "ann"}, url="https://demo.example/AC2/things")
    assert complaints(provider.answer(wrong)) == [(["path", "user"], "string_parsing")]


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


async def test_an_address_that_cannot_be_listened_on_is_the_operators_to_mend(provider: MockProvider) -> None:
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
