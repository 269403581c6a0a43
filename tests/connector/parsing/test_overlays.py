"""How an overlay corrects a published definition without touching it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.parsing.overlays import NAMED_LISTS, Merge, apply_overlay
from connector.parsing.schema import Finding

#: No list of named things and no template, so that nothing but RFC 7396 applies.
KEYS = st.sampled_from(["a", "b", "c", "operations of none"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=15,
)


def merge_patch(target: Any, patch: Any) -> Any:
    """The pseudo code of RFC 7396, section 2, as it stands there."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def laid(target: Any, patch: Any, path: tuple[str, ...] = ()) -> tuple[Any, Merge]:
    merge = Merge()
    return merge.lay(target, patch, (), path), merge


@given(JSON, JSON)
def test_without_lists_of_named_things_it_is_a_merge_patch(document: Any, overlay: Any) -> None:
    before = copy.deepcopy((document, overlay))
    if isinstance(document, list) and not document and isinstance(overlay, dict):
        document = None
    assert merge_patch(document, overlay) == apply_overlay(document, overlay)
    assert before[1] == overlay
    assert before[0] in (document, [])


# The examples of RFC 7396, appendix A.
@pytest.mark.parametrize(
    ("document", "overlay", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_the_examples_of_the_rfc(document: Any, overlay: Any, result: Any) -> None:
    assert apply_overlay(document, overlay) == result


@pytest.mark.parametrize("identity", ["handle", "name", "event"])
def test_an_item_of_a_list_is_addressed_by_its_handle_name_or_event(identity: str) -> None:
    items = [{identity: "a", "x": 1, "y": {"z": 2}}, {identity: "b", "x": 3}]
    assert apply_overlay(items, {"a": {"x": 9, "y": {"w": 4}}}) == [
        {identity: "a", "x": 9, "y": {"z": 2, "w": 4}},
        {identity: "b", "x": 3},
    ]


def test_a_name_that_is_not_there_is_added_without_the_nulls_in_it() -> None:
    assert apply_overlay([{"event": "a"}], {"b": {"x": 1, "y": None, "z": {"w": None}}}) == [
        {"event": "a"},
        {"event": "b", "x": 1, "z": {}},
    ]


def test_a_null_deletes_an_item_and_the_others_keep_their_order() -> None:
    items = [{"name": name} for name in "abcd"]
    assert apply_overlay(items, {"b": None, "d": {"x": 1}, "e": {}}) == [
        {"name": "a"},
        {"name": "c"},
        {"name": "d", "x": 1},
        {"name": "e"},
    ]


def test_of_two_items_of_one_name_the_first_is_addressed() -> None:
    assert apply_overlay([{"name": "a"}, {"name": "a"}], {"a": {"x": 1}}) == [{"name": "a", "x": 1}, {"name": "a"}]


def test_a_list_of_anything_else_is_replaced_whole() -> None:
    assert apply_overlay({"tags": ["a", "b"]}, {"tags": ["c"]}) == {"tags": ["c"]}
    assert apply_overlay({"selector": ["a", 0]}, {"selector": {"b": 1}}) == {"selector": {"b": 1}}
    assert apply_overlay([{"name": "a"}, {"x": 1}], {"a": {"y": 1}}) == {"a": {"y": 1}}


@pytest.mark.parametrize("member", sorted(map(str, NAMED_LISTS)))
def test_an_empty_list_of_named_things_takes_additions(member: str) -> None:
    assert apply_overlay({member: []}, {member: {"a": {"x": 1}}}) == {member: [{NAMED_LISTS[member]: "a", "x": 1}]}


@pytest.mark.parametrize("member", ["webhooks", "fields", "payload", "input", "output"])
def test_a_missing_list_that_cannot_be_an_object_is_begun(member: str) -> None:
    assert apply_overlay({}, {member: {"a": {}}}) == {member: [{NAMED_LISTS[member]: "a"}]}


@pytest.mark.parametrize("member", ["resources", "operations", "placeholders", "params", "queryParams"])
def test_what_is_missing_and_may_be_an_object_becomes_one(member: str) -> None:
    assert apply_overlay({}, {member: {"a": {}}}) == {member: {"a": {}}}


def test_a_body_knows_no_lists_of_ours() -> None:
    body = {"bodyTemplate": {"fields": []}}
    assert apply_overlay(body, {"bodyTemplate": {"fields": {"a": 1}}}) == {"bodyTemplate": {"fields": {"a": 1}}}


def test_a_bare_template_that_is_given_placeholders_becomes_its_long_form() -> None:
    patch = {"path": {"placeholders": {"id": {"type": "ID"}}}}
    assert apply_overlay({"path": "/{{id}}"}, patch) == {
        "path": {"value": "/{{id}}", "placeholders": {"id": {"type": "ID"}}}
    }


def test_neither_input_is_changed() -> None:
    document: Any = [{"handle": "a", "operations": {"list": {"method": "GET"}}, "fields": [{"name": "x"}]}]
    overlay: Any = {"a": {"operations": {"list": {"method": "POST"}}, "fields": {"x": {"type": "ID"}, "y": {}}}}
    before = copy.deepcopy((document, overlay))
    apply_overlay(document, overlay)
    assert before == (document, overlay)


def test_deleting_what_is_not_there_is_a_lint_at_its_key() -> None:
    _, merge = laid({"a": 1, "fields": [{"name": "x"}]}, {"b": None, "fields": {"y": None}}, ("resources",))
    assert [(each.code, each.path, each.at_key) for each in merge.findings] == [
        ("W_OVERLAY_ADDRESS", ("resources", "b"), True),
        ("W_OVERLAY_ADDRESS", ("resources", "fields", "y"), True),
    ]


@pytest.mark.parametrize(
    ("path", "missing", "place"),
    [
        # Replaced, added and enclosed in what was added: the overlay's.
        (("a", "x"), "", (("top", "a", "x"), True)),
        (("items", 1, "new"), "", (("top", "items", "c", "new"), True)),
        (("items", 2, "deep", "leaf"), "", (("top", "items", "d", "deep", "leaf"), True)),
        # Not touched: the document's, counted as it was before items were deleted.
        (("a", "y"), "", (("a", "y"), False)),
        (("a",), "", (("a",), False)),
        (("items", 1), "", (("items", 2), False)),
        (("items", 0, "own"), "", (("items", 1, "own"), False)),
        # Missing since the overlay deleted it.
        (("a",), "gone", (("top", "a", "gone"), True)),
        (("a",), "never", (("a",), False)),
    ],
)
def test_a_problem_is_traced_to_where_its_author_wrote_it(path: Any, missing: str, place: Any) -> None:
    document = {"a": {"x": 1, "y": 2, "gone": 3}, "items": [{"name": "a"}, {"name": "b", "own": 1}, {"name": "c"}]}
    overlay = {"a": {"x": 5, "gone": None}, "items": {"a": None, "c": {"new": 1}, "d": {"deep": {"leaf": 1}}}}
    _, merge = laid(document, overlay, ("top",))
    finding, from_overlay = merge.trace(Finding("E_X", "x", path, missing=missing))
    assert (finding.path, from_overlay) == place
