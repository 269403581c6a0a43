"""Words of a command line become inputs: text, JSON, files, one JSON object; problems come all at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from connector.errors import InputError
from connector.templates import Placeholder
from connector.types import CONVERTORS
from runtime.cli.inputs import Item, gather_inputs, read_json


def declare(**types: str) -> dict[str, Placeholder]:
    return {name: Placeholder(name, CONVERTORS[kind.lower()]) for name, kind in types.items()}


def gather(*words: str, document: bytes | None = None, **types: str) -> dict[str, Any]:
    return gather_inputs("things.create", map(Item.from_text, words), declare(**types), document)


def messages(*words: str, document: bytes | None = None, **types: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        gather(*words, document=document, **types)
    return [each.message for each in caught.value.errors]


@pytest.mark.parametrize(
    ("word", "item"),
    [
        ("a=b", Item("a", "text", "b")),
        ("a=", Item("a", "text", "")),
        ("a=b=c:=d", Item("a", "text", "b=c:=d")),
        ("a:=1", Item("a", "json", "1")),
        ("a=@", Item("a", "text", "@")),
        ("a=@x=y", Item("a", "file", "x=y")),
        ("a:=@x", Item("a", "json file", "x")),
        ("created[gte]=1", Item("created[gte]", "text", "1")),
        ("$top=1", Item("$top", "text", "1")),
        ("a= b ", Item("a", "text", " b ")),
    ],
)
def test_a_word_is_split_at_its_first_sign(word: str, item: Item) -> None:
    assert Item.from_text(word) == item


@pytest.mark.parametrize("word", ["", "a", "=b", ":=1", "@file", "--x"])
def test_a_word_without_name_or_sign_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="expected name=text, name:=json or name=@file"):
        Item.from_text(word)


def test_text_stays_text_and_json_is_read() -> None:
    assert gather("a=1", "b:=1", 'c:={"d": [true, null]}', "e:=null") == {
        "a": "1",
        "b": 1,
        "c": {"d": [True, None]},
        "e": None,
    }


def test_a_file_is_its_text_and_for_a_File_input_its_path(tmp_path: Path) -> None:
    file = tmp_path / "é.txt"
    file.write_bytes(b"\xef\xbb\xbfone\r\ntwo\n")
    assert gather(f"a=@{file}", f"b=@{file}", a="String", b="File") == {
        "a": "one\r\ntwo\n",
        "b": file,
    }
    file.write_text('[1, "x"]')
    assert gather(f"a:=@{file}") == {"a": [1, "x"]}


@pytest.mark.parametrize("name", ["gone", "."])
def test_a_path_that_cannot_be_read_is_refused_beforehand(tmp_path: Path, name: str) -> None:
    assert messages(f"b=@{tmp_path / name}", b="File")[0].startswith(f"b: {tmp_path / name}: ")
    assert "NUL" in messages("b=@a\0b", b="File")[0]


def test_an_array_collects_what_is_repeated() -> None:
    assert gather("tag=a", "tag=b", tag="Array") == {"tag": ["a", "b"]}
    assert gather("tag=a", tag="Array") == {"tag": ["a"]}
    assert gather('tag:=["a","b"]', tag="Array") == {"tag": ["a", "b"]}


@pytest.mark.parametrize("words", [("a=1", "a=2"), ("a:=[1]", "a=2"), ("a=1", "a:=[2]"), ("a:=[1]", "a:=[2]")])
@pytest.mark.parametrize("kind", ["String", "Array"])
def test_all_else_may_be_given_once(words: tuple[str, str], kind: str) -> None:
    if kind == "Array" and words == ("a=1", "a=2"):
        assert gather(*words, a=kind) == {"a": ["1", "2"]}
    else:
        assert messages(*words, a=kind) == ["a: it is given twice"]


def test_a_document_gives_inputs_and_words_win_over_it() -> None:
    assert gather("a=2", "t=x", document=b'\xef\xbb\xbf{"a": 1, "b": [2], "t": ["y"]}', t="Array") == {
        "a": "2",
        "b": [2],
        "t": ["x"],
    }


def test_every_problem_is_named_at_once_and_no_value_is_repeated(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    absent = tmp_path / "absent"
    found = messages(
        "a:=s3cret", f"b=@{absent}", f"c=@{tmp_path}/binary", "d=1", "d=s3cret", 'e:={"k": 1, "k": 2}', document=b"[]"
    )
    assert found == [
        "--inputs: expected one JSON object of inputs by name",
        "a: it is not JSON (expecting value at line 1, column 1)",
        f"b: {absent}: no such file or directory",
        "c: what is in the file is not UTF-8 text",
        "d: it is given twice",
        "e: duplicate key",
    ]


@pytest.mark.parametrize("document", [b"", b"{", b"\xff", b"1", b"null"])
def test_a_document_that_is_no_object_is_refused(document: bytes) -> None:
    assert messages(document=document)[0].startswith("--inputs: ")


@pytest.mark.parametrize("name", ["no\0name", "/", "x" * 5000])
def test_a_file_that_cannot_be_read_is_an_input_that_is_wrong(name: str) -> None:
    assert messages(f"a=@{name}")[0].startswith("a: ")


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5000], ids=["T47-depth", "T47-digits"])
def test_json_that_no_reader_should_take_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"it nests too deeply|a number has too many digits"):
        read_json(text)
