"""Conversions of texts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.conversions.pipeline import ConversionError, Pipeline, PipelineError
from connector.conversions.texts import names_in


def convert(step: Any, value: Any, **names: Any) -> Any:
    return Pipeline.from_json([step]).convert(value, names)


@pytest.mark.parametrize(
    ("step", "value", "made"),
    [
        ({"split": ","}, "", []),
        ({"split": ","}, "a", ["a"]),
        ({"join": ""}, [True, 1.5, "x", None], "true1.5x"),
        ({"replace": {"from": ".", "to": "%"}}, "a.b.", "a%b%"),
        ({"before": "@"}, "no mark", "no mark"),
        ({"before": "@"}, "a@b@c", "a"),
        ({"after": "@"}, "no mark", None),
        ({"after": "@"}, "a@b@c", "b@c"),
        ({"slice": {"from": -3}}, "abcdef", "def"),
        ({"slice": {"to": -1}}, "abc", "ab"),
        ({"slice": {"from": 9}}, "abc", ""),
        ({"truncate": 3}, "abcdef", "abc"),
        ({"truncate": {"length": 3}}, "abc", "abc"),
        ("trim", "\t a\N{NO-BREAK SPACE}\n", "a"),
        ("upper", 1.5, "1.5"),
        ("lower", True, "true"),
    ],
)
def test_texts_are_changed(step: Any, value: Any, made: Any) -> None:
    assert convert(step, value) == made


@given(st.text(max_size=30), st.text(min_size=1, max_size=2))
def test_joining_undoes_splitting(text: str, mark: str) -> None:
    pipeline = Pipeline.from_json([{"split": mark}, {"join": mark}])
    assert pipeline.convert(text, {}) == text


@given(st.text(max_size=40), st.integers(1, 20))
def test_a_truncated_text_is_never_longer_than_it_may_be(text: str, length: int) -> None:
    made = convert({"truncate": {"length": length, "end": "…"}}, text)
    assert len(made) <= length
    assert made == text or (made.endswith("…") and text.startswith(made[:-1]))


def test_an_end_that_is_longer_than_the_whole_is_refused() -> None:
    with pytest.raises(PipelineError, match="'end' is longer than 'length'"):
        Pipeline.from_json([{"truncate": {"length": 1, "end": "..."}}])


def test_a_text_that_would_fill_the_memory_is_refused() -> None:
    with pytest.raises(ConversionError, match="more than 10000000 characters"):
        convert({"replace": {"from": "a", "to": "b" * 1000}}, "a" * 100_000)


def test_a_template_is_filled_with_the_value_and_with_others() -> None:
    assert convert({"template": "{{a}}: {{value}}"}, 1.0, a="x") == "x: 1.0"
    assert convert({"template": "{{a}}: {{value}}"}, 1.0) is None
    assert convert({"template": "fixed"}, 1) == "fixed"
    assert names_in("{{value}} {{a}}") == ("a",)
    with pytest.raises(ConversionError, match="template: expected text, got a list"):
        convert({"template": "{{value}}"}, [1])
