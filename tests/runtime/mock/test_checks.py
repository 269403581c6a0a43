"""What the mock expects of a request."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest

from connector import build_request, parse_connector
from runtime.mock.provider import MockProvider
from tests.doubles.mistral import FORM, HOME, changed, complaints, declared, demo, get, post, send, without

pytestmark = pytest.mark.anyio


def sending(template: Any, placeholders: list[dict[str, Any]], kind: str = "application/json") -> MockProvider:
    """A provider with one operation, `POST /api/things`, with that body."""
    body = {"value": template, "placeholders": placeholders}
    return MockProvider(
        [demo({"create": {"method": "POST", "headers": {"Content-Type": kind}, "bodyTemplate": body}})], {}
    )


@pytest.mark.parametrize(
    "body",
    [without("temperature", "max_tokens"), changed(max_tokens=9.0), changed(temperature=0), changed(model="")],
    ids=["optional-members-left-out", "whole-float", "whole-number", "empty-text"],
)
def test_a_body_like_its_template_passes(provider: MockProvider, body: Any) -> None:
    assert provider.answer(post(body)).status == 200


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
