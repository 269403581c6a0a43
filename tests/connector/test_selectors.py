"""Selectors: rule 10 in all its clauses, and that they touch nothing but data (hazards T50 and T51)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.parsing.connectors import find_problems
from connector.selectors import Selector
from connector.strict_json import MAX_DEPTH

CHAT = {"choices": [{"message": {"content": "a"}}, {"message": {}}, {"message": {"content": "b"}}], "id": "x"}
VECTORS = {"data": [{"embedding": [0.1, 0.2]}, {"other": 1}, {"embedding": [0.3]}]}


@pytest.mark.parametrize(
    ("source", "document", "expected"),
    [
        (["id"], CHAT, "x"),
        (["choices", 0, "message", "content"], CHAT, "a"),
        (["choices", 1, "message", "content"], CHAT, None),
        (["choices", 9, "message", "content"], CHAT, None),
        (["missing", "member"], CHAT, None),
        (["id", "member"], CHAT, None),
        ("choices.2.message.content", CHAT, "b"),
        ("$.choices[2].message.content", CHAT, "b"),
        ("$['choices'][2][\"message\"]", CHAT, {"content": "b"}),
        ("$", CHAT, CHAT),
        ([], CHAT, CHAT),
        (["data", "*", "embedding"], VECTORS, [[0.1, 0.2], None, [0.3]]),
        (["data", "*", "embedding", "*"], VECTORS, [[0.1, 0.2], None, [0.3]]),
        ("data.*.embedding.0", VECTORS, [0.1, None, 0.3]),
        ("$.data[*].embedding[0]", VECTORS, [0.1, None, 0.3]),
        (["missing", "*", "embedding"], VECTORS, None),
        ([0, 1], [["a", "b"]], "b"),
        pytest.param(["__class__"], {"a": 1}, None, id="T50-class"),
        pytest.param(["__class__"], "text", None, id="T50-class of text"),
        pytest.param([-1], [1, 2], 2, id="the last element"),
        pytest.param([-3], [1, 2], None, id="T50-before the first element"),
        pytest.param(["a", -1, "b"], {"a": [{}, {"b": 1}]}, 1, id="from the end"),
        pytest.param([10**9], [1], None, id="T50-huge"),
        pytest.param(["a"], [{"a": 1}], None, id="T50-name on a list"),
        pytest.param(["0"], [1], None, id="T50-digits on a list"),
        pytest.param([0], {"0": 1}, None, id="T50-index on an object"),
        pytest.param(["a", 0], {"a": "text"}, None, id="T50-index on text"),
        pytest.param(["a"] * 1000, {"a": {}}, None, id="T50-1000 deep"),
    ],
)
def test_one_value_or_null_and_never_an_error(source: Any, document: Any, expected: Any) -> None:
    assert expected == Selector.from_json(source).find_one(document)


@pytest.mark.parametrize(
    ("source", "document", "expected"),
    [
        pytest.param(["choices", 0, "message", "content"], CHAT, ["a", None, "b"], id="aligned"),
        pytest.param(["data", 0, "embedding", 0], VECTORS, [0.1, 0.2, 0.3], id="absent inner adds nothing"),
        pytest.param(["choices", 0, "x"], {}, [], id="absent"),
        pytest.param(["choices", 0, "x"], {"choices": None}, [], id="null"),
        pytest.param(["choices", 0, "x"], {"choices": {"x": 1}}, [], id="an object in place of the list"),
        pytest.param(["choices", 0, "x"], {"choices": [1, None]}, [None, None], id="rows that are no objects"),
        pytest.param(["id"], CHAT, ["x"], id="scalar"),
        pytest.param(["missing"], CHAT, [], id="missing scalar"),
        pytest.param(["files", 0], {"files": "f1"}, ["f1"], id="scalar in place of the list"),
        pytest.param(["files", 0], {"files": {"id": 1}}, [], id="object in place of the last list"),
        pytest.param(["files", 0], {"files": ["f1", None]}, ["f1", None], id="last list"),
        pytest.param(["a", 0, "b"], {"a": [{"b": [1, 2]}, {"b": {"c": 3}}]}, [[1, 2], {"c": 3}], id="leaf stays one"),
        pytest.param(["tags"], {"tags": ["a", "b"]}, [["a", "b"]], id="leaf list without an index stays one"),
        pytest.param(["m", 0, 0], {"m": [[1, 2], [3], 4]}, [1, 2, 3, 4], id="list of lists"),
        pytest.param([0, "id"], [{"id": 1}, {}], [1, None], id="root list"),
        pytest.param(["a", 7, "b"], {"a": [{"b": 1}]}, [1], id="any index is every element"),
        pytest.param(["a", "*", "b"], {"a": [{"b": 1}]}, [1], id="star is every element"),
        pytest.param("a.0.b", {"a": [{"b": 1}, {"b": 2}]}, [1, 2], id="dotted"),
        pytest.param(["a", 0, "b", 0, "c"], {"a": [{"b": [{"c": 1}]}, {}, {"b": [{}]}]}, [1, None], id="two levels"),
    ],
)
def test_all_values_are_one_flat_list(source: Any, document: Any, expected: list[Any]) -> None:
    assert expected == Selector.from_json(source).find_all(document)


HEADERS = {"headers": [{"name": "From", "value": "a"}, {"name": "Subject", "value": "b"}, {"name": "Subject"}, 5]}
SUBJECT = {"name": "Subject"}
BY_ID = {"pages": {"1": {"id": 1}, "2": {"id": 2, "tags": ["x"]}}}


@pytest.mark.parametrize(
    ("source", "document", "one", "every"),
    [
        (["headers", SUBJECT, 0, "value"], HEADERS, "b", ["b", None]),
        (["headers", SUBJECT, "value"], HEADERS, "b", ["b", None]),
        (["headers", SUBJECT, -1, "name"], HEADERS, "Subject", ["Subject", "Subject"]),
        (["headers", SUBJECT, "*", "value"], HEADERS, ["b", None], ["b", None]),
        (["headers", SUBJECT], HEADERS, HEADERS["headers"][1:3], HEADERS["headers"][1:3]),
        (["headers", {"name": "To"}, "value"], HEADERS, None, []),
        (["headers", SUBJECT, "value"], {"headers": {"name": "Subject"}}, None, []),
        ([{"a": 1, "b": True}], [{"a": 1, "b": 1}, {"a": 1, "b": True}, {"a": True, "b": True}], [{"a": 1, "b": True}],
         [{"a": 1, "b": True}]),
        (["pages", "*"], BY_ID, [{"id": 1}, {"id": 2, "tags": ["x"]}], [{"id": 1}, {"id": 2, "tags": ["x"]}]),
        (["pages", "*", "id"], BY_ID, [1, 2], [1, 2]),
        (["pages", "*", "tags", "*"], BY_ID, [None, ["x"]], ["x"]),
        (["pages", 0], BY_ID, None, []),
    ],
)  # fmt: skip
def test_elements_are_kept_by_their_members_and_members_are_taken_like_elements(
    source: Any, document: Any, one: Any, every: list[Any]
) -> None:
    selector = Selector.from_json(source)
    assert (selector.find_one(document), selector.find_all(document)) == (one, every)


@pytest.mark.parametrize(
    ("source", "text", "levels"),
    [
        (["choices", 0, "message"], "$.choices[0].message", 0),
        (["data", "*", "a b"], "$.data[*]['a b']", 1),
        ("$.a[*].b[*]", "$.a[*].b[*]", 2),
        ("$..id", "$..id", 1),
        ("$.a[-1]", "$.a[-1]", 0),
        (["a", {"b": "c'", "d e": 1}, -1], """$.a[?@.b=="c'" && @['d e']==1][-1]""", 0),
    ],
)
def test_a_selector_is_shown_as_jsonpath(source: Any, text: str, levels: int) -> None:
    selector = Selector.from_json(source)
    assert (text, levels) == (selector.text, selector.levels)


def test_two_selectors_are_equal_if_they_select_the_same() -> None:
    assert Selector.from_json("a.0") == Selector.from_json(["a", 0])


@pytest.mark.parametrize(
    ("path", "document", "one", "every"),
    [
        ("$..id", {"a": [{"id": 1}, {"b": {"id": 2}}]}, [1, 2], [1, 2]),
        ("$.a[-1]", {"a": [1, 2]}, 2, [2]),
        ("$.a[-1]", {"a": 5}, None, []),
        ("$.a[0:2]", {"a": [1, 2, 3]}, [1, 2], [1, 2]),
        ("$.a[::0]", {"a": [1, 2, 3]}, [], []),
        ("$.a[0,1]", {"a": [1, 2, 3]}, [1, 2], [1, 2]),
        ("$.*", {"a": 1, "b": 2}, [1, 2], [1, 2]),
        ("$.a.*", None, [], []),
    ],
)
def test_jsonpath_that_is_no_walk_finds_too(path: str, document: Any, one: Any, every: list[Any]) -> None:
    selector = Selector.from_json(path)
    assert one == selector.find_one(document)
    assert every == selector.find_all(document)


def test_T47_jsonpath_descends_into_the_deepest_answer() -> None:
    document: Any = {"a": 1}
    for _ in range(MAX_DEPTH):
        document = {"b": document}
    assert Selector.from_json("$..a").find_all(document) == [1]


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("$[?(@.n =~ '^(a+)+$')]", id="T51-filter with a pattern"),
        pytest.param("$.n.`sub(/(a+)+$/, x)`", id="T51-sub"),
        pytest.param("$..*.`parent`.*", id="T51-parent"),
        pytest.param("$.a|$.b", id="T51-union"),
        pytest.param("$..a..b", id="T51-two descents"),
        pytest.param("$." + "a." * 500 + "*", id="T51-long"),
        pytest.param(["*"] * 33, id="T50-33 levels"),
        pytest.param([{"a": 1}, {"b": 1}], id="two objects in a row"),
        "$[",
        "$.",
        "",
        "a..b",
        "a.",
        "9" * 5000,
    ],
)
def test_what_cannot_be_read_or_could_hang_is_refused(source: Any) -> None:
    with pytest.raises(ValueError, match="JSONPath|dotted|'\\*'|digits|two objects"):
        Selector.from_json(source)


@pytest.mark.filterwarnings("ignore:The `&`:DeprecationWarning")
@pytest.mark.parametrize(
    "source",
    [
        "$.a & $.b",
        "$.a where $.b",
        "$.a where b",
        "$.(a where b)",
        "$.a wherenot b",
        "$..a wherenot b",
        "$..b where $.a",
        "$.$.a",
        "$.a.$",
        "$..$",
    ],
)
def test_operators_that_only_the_parser_knows_are_refused_with_the_rule(source: str) -> None:
    with pytest.raises(ValueError, match="names, indexes, slices"):
        Selector.from_json(source)


@pytest.mark.parametrize("source", ["$.a - $.b", "$.a + 1", "$.a * 2", "$.a.`len`", "$.a.`sub(/x/, y)`", "$.a | $.b"])
def test_arithmetic_and_named_operators_are_refused(source: str) -> None:
    with pytest.raises(ValueError, match="JSONPath"):
        Selector.from_json(source)


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)
STEPS = st.lists(st.sampled_from(["a", "b", "c", "*", "__class__"]) | st.integers(-2, 3), max_size=5)


@given(STEPS, DOCUMENTS)
def test_no_selector_fails_on_any_document_or_changes_it(steps: list[str | int], document: Any) -> None:
    before = repr(document)
    selector = Selector.from_json(steps)
    selector.find_one(document)
    assert isinstance(selector.find_all(document), list)
    assert before == repr(document)


def _literal(document: Any, steps: list[str | int]) -> Any:
    for step in steps:
        if isinstance(document, dict) and isinstance(step, str):
            document = document.get(step)
        elif isinstance(document, list) and isinstance(step, int) and -len(document) <= step < len(document):
            document = document[step]
        else:
            return None
    return document


@given(STEPS.filter(lambda steps: "*" not in steps), DOCUMENTS)
def test_without_a_star_a_selector_is_a_plain_walk(steps: list[str | int], document: Any) -> None:
    assert _literal(document, steps) == Selector.from_json(steps).find_one(document)


@pytest.mark.parametrize("path", ["$..a", "$.a[0:1]", "$.*", "$..*", "$..a[0:1].*", "$.a[-1].b"])
@settings(max_examples=20)
@given(document=DOCUMENTS)
def test_T51_no_jsonpath_fails_on_any_document(path: str, document: Any) -> None:
    assert isinstance(Selector.from_json(path).find_all(document), list)


@pytest.mark.parametrize("text", ["$..['a','a']", "$['a']['b','c','b']", "$[0,0]", "$.i[0,1,0][0]", "$..a['x','x']"])
def test_T51_a_jsonpath_that_doubles_its_work_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"names each member and index once|cannot be read"):
        Selector.from_json(text)


def test_T51_a_jsonpath_with_a_doubled_name_is_found_when_the_definition_is_read() -> None:
    path = "$" + "['a','a']" * 22
    fields = [{"name": "deep", "type": "Any", "selector": path}]
    things = {"handle": "things", "endpoint": "/things", "fields": fields, "operations": {"list": {"method": "GET"}}}
    document = {"handle": "demo", "service": {"baseURL": "https://demo.example"}, "resources": [things]}
    (problem,) = find_problems(json.dumps(document), kind="connector")
    assert (problem.code, "each member and index once" in problem.message) == ("E_SELECTOR", True)


def test_T51_a_jsonpath_visits_no_more_values_than_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    every = Selector.from_json("$..x")
    document = {"rows": [{"x": number} for number in range(10)]}
    assert every.find_all(document) == list(range(10))
    monkeypatch.setattr("connector.selectors.MAX_VISITED", 21)
    assert every.find_all(document) == list(range(10))
    monkeypatch.setattr("connector.selectors.MAX_VISITED", 20)
    assert (every.find_all(document), every.find_one(document)) == ([], [])
    assert Selector.from_json("$.rows[-1].x").find_one(document) == 9, "a path to one value needs no bound"
