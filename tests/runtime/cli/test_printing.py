"""What is shown: tables for a terminal and for a pipe, JSON, and requests that can be pasted into a shell."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.errors import Problem
from connector.headers import Headers
from connector.messages import Request, Result
from runtime.cli.printing import (
    MAX_LINES,
    MAX_WIDTH,
    choose_columns,
    clean,
    curl_text,
    http_text,
    print_document,
    print_fields,
    print_problems,
    print_records,
    print_result,
    print_table,
    print_text,
    print_value,
    progress,
    say,
    share_width,
    show,
)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Ascii(io.StringIO):
    """A stream that can only take ASCII."""

    encoding = "ascii"


Shown = tuple[list[str], list[str]]


def shown(action: Callable[[], None], stream: type[io.StringIO] = io.StringIO) -> Shown:
    """The lines of stdout and of stderr."""
    out, err = stream(), stream()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        action()
    return out.getvalue().splitlines(), err.getvalue().splitlines()


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The width of a small terminal without colours, in cells."""
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    return 40


def test_fields_are_one_row_each_and_lists_one_line_per_element() -> None:
    out, err = shown(lambda: print_fields({"id": "a", "parts": ["x", {"y": [1]}, None], "none": None, "done": False}))
    assert out == [
        "field  value",
        "id     a",
        "parts  x",
        '       {"y":[1]}',
        "       null",
        "none   null",
        "done   false",
    ]
    assert err == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", ""),
        (None, "null"),
        (True, "true"),
        (0.00001, "0.00001"),
        ([], "[]"),
        ({}, "{}"),
        ([[1, 2], []], "[1,2]\n[]"),
        ({"é": 1}, '{"é":1}'),
    ],
)
def test_every_value_has_one_text(value: object, text: str) -> None:
    assert show(value) == text


def test_a_pipe_receives_every_value_whole_however_long() -> None:
    long = "word " * 400
    out, _ = shown(lambda: print_records([{"id": "a", "text": long, "other": "x" * 5000}]))
    assert out[1:] == ["a   " + long + "  " + "x" * 5000]
    vector = [float(number) for number in range(500)]
    out, _ = shown(lambda: print_fields({"vector": vector}))
    assert len(out) == 1 + len(vector)


@given(st.text())
def test_a_pipe_gets_every_text_line_by_line(text: str) -> None:
    first, *others = clean(text).expandtabs().split("\n")
    expected = ["field  value", f"f      {first}", *(f"       {line}" for line in others)]
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        print_fields({"f": text})
    assert out.getvalue().split("\n")[:-1] == [line.rstrip(" ") for line in expected]


def test_a_terminal_receives_a_shortened_list_with_a_note(narrow: int) -> None:
    out, _ = shown(lambda: print_fields({"vector": list(range(500))}), Terminal)
    assert [line.split() for line in out[MAX_LINES : MAX_LINES + 2]] == [
        ["19"],
        ["…", "and", "480", "more;", "--json", "shows", "all"],
    ]
    assert max(map(len, out)) <= narrow


def test_a_terminal_wraps_long_values_and_loses_nothing_of_them(narrow: int) -> None:
    out, _ = shown(lambda: print_fields({"id": "x" * 100, "y" * 60: "z"}), Terminal)
    assert max(map(len, out)) <= narrow
    assert [sum(line.count(letter) for line in out) for letter in "xyz"] == [100, 60, 1]


def test_records_show_the_columns_that_fit_and_a_note_names_the_others(narrow: int) -> None:
    record = {"id": "a" * 10, "none": None, "name": "b" * 10, "text": "c" * 80, "size": 12}
    out, err = shown(lambda: print_records([record, record]), Terminal)
    assert [line.split() for line in out] == [["id", "name"], ["a" * 10, "b" * 10], ["a" * 10, "b" * 10]]
    assert err == ["note: 2 of 5 columns fit; --json shows the others: none, text, size"]
    assert shown(lambda: print_records([record]))[0][0].split() == list(record)


def test_records_of_different_shapes_share_one_table() -> None:
    out, _ = shown(lambda: print_records([{"a": 1}, {"b": 2}]))
    assert [line.split() for line in out] == [["a", "b"], ["1", "null"], ["null", "2"]]


@given(st.dictionaries(st.text(max_size=3), st.integers(1, 200), min_size=1), st.integers(1, 300))
def test_the_chosen_columns_fit_keep_their_order_and_are_never_none(widths: dict[str, int], available: int) -> None:
    chosen = choose_columns(widths, available)
    assert chosen == list(widths)[: len(chosen)]
    assert chosen
    needed = sum(min(widths[name], MAX_WIDTH) for name in chosen) + 2 * (len(chosen) - 1)
    assert needed <= available or len(chosen) == 1


@given(st.lists(st.integers(1, 300), min_size=1, max_size=6), st.integers(20, 300))
def test_columns_share_a_terminal_without_losing_one(naturals: list[int], available: int) -> None:
    widths = share_width(naturals, available)
    assert all(width >= 1 for width in widths)
    assert sum(widths) + 2 * (len(widths) - 1) <= available
    if sum(naturals) + 2 * (len(naturals) - 1) <= available:
        assert widths == naturals


def test_the_first_column_stays_whole_as_long_as_the_others_can_be_read() -> None:
    assert share_width([30, 5, 100], 74) == [30, 5, 35]
    assert share_width([60, 60], 40) == [28, 10]


def test_a_narrow_terminal_shows_every_character_of_every_column(narrow: int) -> None:
    out, _ = shown(lambda: print_table("abcde", [["v" * 30, "w" * 30, "x" * 30, "y" * 30, "z" * 30]]), Terminal)
    assert max(map(len, out)) <= narrow
    assert [sum(line.count(letter) for line in out) for letter in "vwxyz"] == [30] * 5


def test_columns_without_values_come_last() -> None:
    assert choose_columns({"a": 10, "b": 10, "c": 10}, 22, last=["a"]) == ["b", "c"]


def test_no_column_of_a_table_is_lost_when_there_are_no_rows() -> None:
    assert shown(lambda: print_table(("a", "b"), []))[0] == ["a  b"]


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("\x1b[2J\x1b]0;owned\x07", "\\x1b[2J\\x1b]0;owned\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("a\rb", "a\\x0db"),
        ("safe\u202egnp.exe", "safe\\u202egnp.exe"),
    ],
    ids=["ESC", "C1", "CR", "bidi"],
)
def test_no_terminal_obeys_what_a_provider_wrote(
    text: str, harmless: str, stream: type[io.StringIO], narrow: int
) -> None:
    assert narrow
    for action in (lambda: print_fields({"f": text}), lambda: print_records([{"f": text}])):
        out, _ = shown(action, stream)
        assert harmless in "".join(out)
        assert text not in "".join(out)
    _, err = shown(lambda: say("warning", text), stream)
    assert err == [f"warning: {harmless}"]


def test_text_goes_into_a_pipe_as_it_is_and_onto_a_terminal_cleaned() -> None:
    out, err = io.StringIO(), Terminal()
    with contextlib.redirect_stdout(out):
        print_value("a\x1b[0mb\n")
    with contextlib.redirect_stdout(err):
        print_text("a\x1b[0mb")
    assert out.getvalue() == "a\x1b[0mb\n"
    assert err.getvalue() == "a\\x1b[0mb\n"


def test_clean_text_keeps_tabs_lines_and_all_scripts() -> None:
    assert clean("a\tb\r\nc é 日本 🙂") == "a\tb\nc é 日本 🙂"


def test_a_document_is_json_that_no_terminal_obeys() -> None:
    document = {"a": "\x1b[2J\x9bé🙂", "b": [1, None, 0.1]}
    out, _ = shown(lambda: print_document(document))
    text = "\n".join(out)
    assert json.loads(text) == document
    assert "é🙂" in text
    assert not {"\x1b", "\x9b"} & set(text)


def test_a_document_goes_through_an_ascii_pipe() -> None:
    out, _ = shown(lambda: print_document({"a": "é🙂"}), Ascii)
    text = "\n".join(out)
    assert text.isascii()
    assert json.loads(text) == {"a": "é🙂"}


@pytest.mark.parametrize(
    ("result", "out", "err"),
    [
        (Result(ok=True, status=200, fields={"a": 1}, raw={"a": 1}), ["field  value", "a      1"], []),
        (Result(ok=True, status=200, records=[{"a": 1}]), ["a", "1"], []),
        (Result(ok=True, status=200, records=[]), [], ["note: there are no records"]),
        (Result(ok=True, status=200, raw="plain\ntext"), ["plain", "text"], []),
        (Result(ok=True, status=200, raw=[1]), ["[", "  1", "]"], []),
        (Result(ok=True, status=204), [], ["note: the provider answered 204, with nothing in it"]),
    ],
    ids=["fields", "records", "no records", "text", "no fields", "nothing"],
)
def test_data_goes_to_stdout_and_all_else_to_stderr(result: Result, out: list[str], err: list[str]) -> None:
    assert shown(lambda: print_result(result)) == (out, err)


def test_an_answer_that_went_to_a_file_is_not_shown_again() -> None:
    assert shown(lambda: print_result(Result(ok=True, status=200, raw="text"), with_raw=False)) == ([], [])


def test_a_problem_is_one_line_that_an_editor_can_jump_to() -> None:
    problems = [
        Problem("E_TYPE", "no such type", hint="did you mean 'String'?", pointer="/a", file="x.json", line=3, column=7),
        Problem("W_UNUSED", "'b' is used nowhere", file="y.json"),
    ]
    assert shown(lambda: print_problems(problems))[0] == [
        "x.json:3:7 E_TYPE no such type",
        "  hint: did you mean 'String'?",
        "y.json:1:1 W_UNUSED 'b' is used nowhere",
    ]


def test_a_terminal_sees_colours_unless_NO_COLOR_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    _, err = shown(lambda: say("warning", "careful"), Terminal)
    assert "\x1b[33mwarning:\x1b[0m careful" in err
    monkeypatch.setenv("NO_COLOR", "1")
    _, err = shown(lambda: say("warning", "careful"), Terminal)
    assert err == ["warning: careful"]
    out, _ = shown(lambda: print_fields({"a": 1}), Terminal)
    assert "\x1b" not in "".join(out)


def test_progress_prints_nothing_without_a_terminal() -> None:
    def work() -> None:
        with progress("calling"):
            pass

    assert shown(work) == ([], [])
    assert "calling" in "".join(shown(work, Terminal)[1])


POST = Request(
    "POST",
    "https://api.example.com/v1/a%20b?created[gte]=1&x='$(id)'",
    headers=Headers({"Authorization": "Bearer ***", "Content-Type": "application/json", "X-Empty": ""}),
    body=b'{"a": "it\'s `$HOME` \\\\ \xc3\xa9\\n"}',
)


def test_a_request_is_shown_as_an_http_message() -> None:
    assert http_text(POST).splitlines() == [
        "POST https://api.example.com/v1/a%20b?created[gte]=1&x='$(id)' HTTP/1.1",
        "Authorization: Bearer ***",
        "Content-Type: application/json",
        "X-Empty: ",
        "",
        '{"a": "it\'s `$HOME` \\\\ é\\n"}',
    ]
    assert http_text(Request("GET", "https://a.example/")) == "GET https://a.example/ HTTP/1.1\n"
    assert http_text(Request("PUT", "https://a.example/", body=b"\xff")).endswith("\n\n(1 bytes)")


def _arguments(command: str) -> list[str]:
    """What a POSIX shell hands to curl."""
    script = f'curl() {{ for word; do printf "%s\\0" "$word"; done; }}\n{command}'
    run = subprocess.run(["sh", "-c", script], capture_output=True, check=True, timeout=10)
    assert run.stderr == b""
    return run.stdout.decode().split("\0")[:-1]


def test_a_shell_reads_the_curl_command_word_by_word() -> None:
    assert _arguments(curl_text(POST)) == [
        *("--globoff", "--request", "POST", POST.url),
        *("--header", "Authorization: Bearer ***"),
        *("--header", "Content-Type: application/json"),
        *("--header", "X-Empty;"),
        *("--data-raw", POST.text),
    ]


@given(st.text().filter(lambda text: "\0" not in text).filter(lambda text: text.isprintable()))
def test_no_body_breaks_out_of_its_quotes(text: str) -> None:
    import shlex

    request = Request("PUT", "https://a.example/", headers=Headers({"Content-Type": "text/plain"}), body=text.encode())
    assert shlex.split(curl_text(request).replace(" \\\n ", ""))[-1] == text


def test_curl_adds_no_header_of_its_own_and_sends_a_head_request_as_one() -> None:
    assert _arguments(curl_text(Request("HEAD", "https://a.example/"))) == ["--globoff", "--head", "https://a.example/"]
    assert _arguments(curl_text(Request("PUT", "https://a.example/", body=b"")))[3:] == [
        *("https://a.example/", "--header", "Content-Type:", "--data-raw", "")
    ]


def test_a_binary_body_reaches_curl_byte_by_byte() -> None:
    command = curl_text(
        Request("PUT", "https://a.example/", headers=Headers({"Content-Type": "image/png"}), body=b"\0\xff'")
    )
    script = f"curl() {{ cat; }}\n{command}"
    run = subprocess.run(["sh", "-c", script], capture_output=True, check=True, timeout=10)
    assert run.stdout == b"\0\xff'"


def test_printing_does_not_import_rich_until_it_draws() -> None:
    script = "import sys, runtime.cli.printing; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=20).returncode == 0
