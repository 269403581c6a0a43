"""The `connector` command from outside: what each verb writes where, which code it exits with, what it never shows."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from runtime.cli.root import cli
from tests.doubles.commands import CHAT, GOOD, HELLO, run, run_json, start, write


def test_a_call_of_a_connector_that_is_not_valid_exits_3(tmp_path: Path) -> None:
    write(tmp_path / "tiny.json", {**GOOD, "service": {"baseURL": "ftp://x", "auth": {"method": "none"}}})
    result = run("render", "tiny", "things.read", "id=1", "--definitions", str(tmp_path))
    assert result.exit_code == 3
    assert "tiny.json:" in result.stderr


def test_inputs_come_from_words_files_and_stdin(tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text("from a file\n", newline="")
    stdin = json.dumps({"model": "from stdin", "maxTokens": 7, "temperature": 1})
    document = run_json("render", *CHAT, "--inputs", "-", "content=@prompt.txt", "temperature:=0.5", stdin=stdin)[
        "json"
    ]
    assert document["messages"][0]["content"] == "from a file\n"
    assert (document["model"], document["max_tokens"], document["temperature"]) == ("from stdin", 7, 0.5)


def test_a_repeated_array_input_repeats_its_parameter() -> None:
    document = run_json("render", "mistral-ai", "files.list", "source=upload", "source=mistral")
    assert document["url"].endswith("/files?source=upload&source=mistral")


@pytest.mark.parametrize(
    ("words", "stdin", "code", "said"),
    [
        (("content=x",), "", 6, "model"),
        ((*HELLO, "nonsense=1"), "", 6, "nonsense"),
        ((*HELLO, "maxTokens=many"), "", 6, "maxTokens"),
        ((*HELLO, "maxTokens:=nope"), "", 6, "maxTokens: it is not JSON"),
        ((*HELLO, "model=again"), "", 6, "model: it is given twice"),
        (("model=m", "content=@absent.txt"), "", 6, "absent.txt"),
        (("--inputs", "-"), "[1]", 6, "--inputs"),
        (("--inputs", "-"), "", 6, "--inputs"),
        (("Hello",), "", 2, "expected name=text"),
        (("--inputs", "absent.json"), "", 2, "absent.json"),
        (("--no-such-option",), "", 2, "No such option"),
        (("-o", "xml", *HELLO), "", 2, "xml"),
    ],
)
def test_inputs_that_are_wrong_exit_6_and_words_that_are_none_exit_2(
    words: tuple[str, ...], stdin: str, code: int, said: str
) -> None:
    result = run("render", *CHAT, *words, stdin=stdin)
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr
    document = run_json("render", *CHAT, *words, stdin=stdin, exit_code=code)
    assert {"title", "detail", "code", "hint"} <= document.keys()


def test_a_wrong_input_is_named_in_the_problem_document() -> None:
    document = run_json("render", *CHAT, "nonsense=1", exit_code=6)
    assert {each["name"] for each in document["errors"]} == {"model", "content", "nonsense"}


@pytest.mark.parametrize("words", [(), ("--help",), ("call", "--help"), ("--version",)])
def test_help_and_version_are_there(words: tuple[str, ...]) -> None:
    result = run(*words)
    assert result.exit_code == (0 if words else 2)
    assert "connector" in result.stdout + result.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_is_printed(shell: str) -> None:
    result = run("completion", shell)
    assert result.exit_code == 0
    assert "_CONNECTOR_COMPLETE" in result.stdout
    assert run("completion", "tcsh").exit_code == 2


def complete(*words: str) -> list[str]:
    """Returns what bash is offered for the last word."""
    variables = {
        "_CONNECTOR_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(("connector", *words)),
        "COMP_CWORD": str(len(words)),
    }
    done = CliRunner(env=variables).invoke(cli, prog_name="connector")
    assert (done.exit_code, done.stderr) == (0, "")
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_bash_is_offered_commands_connectors_and_operations(tmp_path: Path) -> None:
    write(tmp_path / "tiny.json", GOOD)
    assert complete("re") == ["render"]
    assert complete("call", "mist") == ["mistral-ai"]
    assert complete("call", "mistral-ai", "fim") == ["fim-completions.create", "fim-completions.stream"]
    assert complete("call", "mistral-ai", "library-s") == [
        *("library-shares.list", "library-shares.set", "library-shares.delete"),
    ]
    assert complete("call", "mistral-ai:team-b", "ocr") == ["ocr.create"]
    assert complete("--definitions", str(tmp_path), "describe", "tiny", "th") == ["things.read"]
    assert complete("call", "absent", "x") == []
    assert complete("--definitions", str(tmp_path / "absent"), "call", "m") == ["mistral-ai"]


def test_a_terminal_that_wants_no_colour_gets_no_escape() -> None:
    ours, theirs = pty.openpty()
    env = {"NO_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "60"}
    with start("list", "mistral-ai", env=env, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # how Linux says that the other end is closed
            while piece := os.read(ours, 65536):
                shown += piece
    os.close(ours)
    assert process.returncode == 0
    assert b"chat-completions" in shown
    assert b"\x1b" not in shown


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\nfrom runtime.cli.root import cli\n"
        "try: cli.main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'rich', 'httpx2', 'jinja2', 'jsonschema', 'jsonpath_ng', 'uvicorn', 'connector.model.definition'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        check=False,
        timeout=20,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")


def find_commands(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """A command and all below it, each with the words that lead to it."""
    yield path, command
    for name, each in getattr(command, "commands", {}).items():
        yield from find_commands(each, (*path, name))


@pytest.mark.parametrize(
    ("path", "command"), [pytest.param(*each, id=" ".join(each[0])) for each in find_commands(cli)]
)
def test_the_help_of_a_command_fits_80_columns_and_is_not_cut_off(
    path: tuple[str, ...], command: click.Command
) -> None:
    shown = CliRunner().invoke(cli, [*path, "--help"], terminal_width=80).stdout
    lines = shown.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line for line in lines[1:] if line.rstrip().endswith("...")] == []
    words = " ".join(shown.split())
    assert (command.help or "").partition(".")[0] in words
    for each in getattr(command, "commands", {}).values():
        assert f"{(each.help or '').partition('.')[0]}." in words
    for phrase in ("unless told", "whoever", "one that", "nobody", " beside "):
        assert phrase not in words
