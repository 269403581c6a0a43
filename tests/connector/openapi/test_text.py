"""The text of a specification: YAML 1.2 and JSON, within limits, every refusal with its place."""

from __future__ import annotations

import builtins
import json
from typing import Any

import pytest

from connector.errors import ConfigurationError, InvalidDefinition
from connector.openapi.text import MAX_DEPTH, MAX_JSON_BYTES, MAX_NODES, MAX_YAML_BYTES, parse_spec, read_plain


def parse(text: str | bytes) -> Any:
    return parse_spec(text if isinstance(text, bytes) else text.encode(), "spec")


def refusal(text: str | bytes) -> tuple[str, str, int | None, int | None]:
    with pytest.raises(InvalidDefinition) as caught:
        parse(text)
    (problem,) = caught.value.problems
    assert problem.file == "spec"
    return problem.code, problem.message, problem.line, problem.column


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-08", 1e-08),
        ("1e+09", 1e9),
        (".5", 0.5),
        ("5.", 5.0),
        ("-7", -7),
        ("+7", 7),
        ("0o17", 15),
        ("0xFf", 255),
        ("010", 10),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("2026-01-02", "2026-01-02"),
        ("no", "no"),
        ("on", "on"),
        ("TRUE", True),
        ("False", False),
        ("~", None),
        ("", None),
        (".inf", ".inf"),
        ("1e999", "1e999"),
        ("9" * 500, "9" * 500),
        ("-", "-"),
        ("0x", "0x"),
    ],
)
def test_a_plain_scalar_is_read_by_the_core_schema(text: str, value: Any) -> None:
    assert read_plain(text) == value
    assert type(read_plain(text)) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, 2.5, "x", null]}', {"a": [1, 2.5, "x", None]}),
        ("\ufeff{}", {}),
        ("a: {200: ok, true: 'no', ~: [1, two]}", {"a": {"200": "ok", "true": "no", "~": [1, "two"]}}),
        ("a: &x {b: 1}\nc: *x\nd: [*x, *x]", {"a": {"b": 1}, "c": {"b": 1}, "d": [{"b": 1}, {"b": 1}]}),
        ("- &s text\n- *s\n- {*s : 1}", ["text", "text", {"text": 1}]),
        ("a: !!str 1\nb: !!int '2'\nc: ! 3\nd: !!map {}\ne: !!seq []", {"a": "1", "b": 2, "c": "3", "d": {}, "e": []}),
        ("a: |\n  one\n  two\n", {"a": "one\ntwo\n"}),
        ("", None),
        ("just text", "just text"),
        ("--- 5", 5),
    ],
)
def test_a_text_is_read(text: str, value: Any) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("text", "code", "said", "line", "column"),
    [
        (b"\xff", "E_YAML", "the file is not UTF-8", 1, 1),
        ('{"a": }', "E_JSON", "not JSON: expecting value", 1, 7),
        ('{"a": NaN}', "E_JSON", "not JSON: NaN is not a JSON number", 1, 1),
        ('{"a": ' + "1" * 5000 + "}", "E_JSON", "not JSON: a number is too long", 1, 1),
        ('{"a": "\\ud800"}', "E_JSON", "not JSON: the text holds an unpaired surrogate, which cannot be encoded", 1, 1),
        ("[" * 100_000, "E_LIMIT", f"the file nests deeper than {MAX_DEPTH}", 1, 1),
        ("[" * 101 + "]" * 101, "E_LIMIT", f"the file nests deeper than {MAX_DEPTH}", 1, 1),
        ("a: [\n", "E_YAML", "not YAML: did not find expected node content", 2, 1),
        ("a: \x00", "E_YAML", "not YAML: it holds a character that YAML does not allow", 1, 1),
        ("a: " + "[" * 101 + "]" * 101, "E_LIMIT", f"the file nests deeper than {MAX_DEPTH}", 1, 103),
        ("- " * 500 + "x", "E_LIMIT", f"the file nests deeper than {MAX_DEPTH}", 1, 201),
        ("a: !!python/object/apply:os.system ['id']", "E_YAML", "the tag 'tag:yaml.org,2002:python/object/apply:os.system' is not in the core schema", 1, 4),
        ("a: !!binary aGk=", "E_YAML", "the tag 'tag:yaml.org,2002:binary' is not in the core schema", 1, 4),
        ("? {a: 1}\n: 2", "E_YAML", "a key must be text", 1, 3),
        ("a: &x [1]\n? *x\n: 2", "E_YAML", "a key must be text", 2, 3),
        ("a: &x [*x]", "E_YAML", "the alias *x has no anchor that ends before it", 1, 8),
        ("a: 1\n---\nb: 2", "E_YAML", "the file holds more than one document", 2, 1),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_its_place(text: Any, code: str, said: str, line: int, column: int) -> None:
    assert refusal(text) == (code, said, line, column)


def test_T12_brackets_without_end_are_refused() -> None:
    # By the limit here, or by that of the parser below, which looks ahead.
    assert refusal("a: " + "[" * 100_000)[0] in ("E_LIMIT", "E_YAML")


def test_T12_an_alias_counts_as_all_the_values_it_repeats() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
    )
    assert refusal(bomb)[:2] == ("E_LIMIT", f"the file holds more than {MAX_NODES} values, aliases included")
    deep = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 120))
    assert refusal(deep)[:2] == ("E_LIMIT", f"the file nests deeper than {MAX_DEPTH}")


def test_T12_a_file_that_is_too_large_is_refused_before_it_is_read() -> None:
    assert refusal(b"x" * (MAX_JSON_BYTES + 1))[0] == "E_LIMIT"
    assert refusal(b"x" * (MAX_YAML_BYTES + 1))[0] == "E_LIMIT"
    assert refusal("[" + "0," * 2 * MAX_NODES + "0]")[:2] == ("E_LIMIT", f"the file holds more than {MAX_NODES} values")


def test_without_pyyaml_json_is_read_and_yaml_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "yaml":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert parse(json.dumps({"a": 1})) == {"a": 1}
    with pytest.raises(ConfigurationError, match="PyYAML is needed") as caught:
        parse("a: 1")
    assert "pip install 'connector-runtime[openapi]'" in caught.value.hint
