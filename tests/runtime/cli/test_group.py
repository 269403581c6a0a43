"""What all commands share: options, exit codes, unknown names, and a quiet end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.doubles.commands import CHAT, GOOD, HELLO, TOKEN, run, run_json, start, without_note, write
from tests.doubles.processes import ROOT

MESSAGES = 'messages:=[{"role": "user", "content": "Hello"}]'


UNREAD = (
    ("--help",),
    ("--version",),
    ("call", "--help"),
    ("list",),
    ("list", "mistral-ai"),
    ("list", "mistral-ai", "--json"),
    ("list", "absent", "--json"),
    ("describe", *CHAT),
    ("lint", "--json"),
    ("render", *CHAT, *HELLO, "-o", "curl"),
    ("call", *CHAT, *HELLO, "--mock"),
    ("call", "mistral-ai", "chat-completions.stream", HELLO[0], MESSAGES, "--mock"),
    ("call", "mistral-ai", "chat-completions.stream", HELLO[0], MESSAGES, "--mock", "--json"),
    ("export", "markdown", "mistral-ai"),
    ("mock", "mistral-ai", "--port", "0", "--json"),
    ("doctor",),
    ("completion", "bash"),
)


@pytest.mark.parametrize(
    ("words", "nearest"),
    [
        (("list", "mistral-ia"), "mistral-ai"),
        (("describe", "mistral-ai", "chat-completion.create"), "chat-completions.create"),
        (("render", "mistral-ai", "file.list"), "files.list"),
        (("call", "mistral-ai", "models.lst", "--mock"), "models.list"),
        (("call", "mistrl-ai", "models.list", "--mock"), "mistral-ai"),
        (("mock", "mistral-a"), "mistral-ai"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_an_unknown_name_gets_the_nearest_one_and_exits_2(words: tuple[str, ...], nearest: str) -> None:
    result = run(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"did you mean '{nearest}'?" in result.stderr
    assert nearest in run_json(*words, exit_code=2)["hint"]


def test_options_of_every_verb_stand_before_or_after_it(tmp_path: Path) -> None:
    write(tmp_path / "tiny.json", GOOD)
    (tmp_path / "more").mkdir()
    write(tmp_path / "more" / "other.json", {**GOOD, "handle": "other"})
    before = run(
        "--json", "--definitions", str(tmp_path / "tiny.json"), "list", "--definitions", str(tmp_path / "more")
    )
    handles = [row["handle"] for row in json.loads(before.stdout)]
    assert {"tiny", "other", "mistral-ai"} <= set(handles)


def test_a_settings_file_that_is_wrong_exits_2(tmp_path: Path) -> None:
    (tmp_path / "connector.toml").write_text("definitons = []")
    result = run("list")
    assert result.exit_code == 2
    assert "connector.toml" in result.stderr


def test_the_command_runs_as_a_process_and_keeps_its_streams_apart() -> None:
    words = ("call", *CHAT, *HELLO, "--mock", "--json")
    with start(*words, env=TOKEN, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        out, err = process.communicate(timeout=30)
    assert (process.returncode, without_note(err)) == (0, "")
    assert json.loads(out)["ok"] is True
    with start("list", "absent", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (2, "")
    assert err.startswith("error: ")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", UNREAD, ids=" ".join)
def test_a_command_that_no_one_reads_ends_quietly_as_by_sigpipe(words: tuple[str, ...], unbuffered: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with start(*words, env={"PYTHONUNBUFFERED": unbuffered}, stdout=writing, stderr=subprocess.PIPE) as process:
        os.close(writing)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 141
    assert "report" not in err
    assert "Traceback" not in err
    assert "Broken" not in err


@pytest.mark.parametrize("words", [("list", "absent"), ("nonsense",), ("lint",)], ids=" ".join)
def test_a_command_whose_errors_no_one_reads_ends_as_quietly(words: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with start(*words, stdout=writing, stderr=writing) as process:
        os.close(writing)
        assert process.wait(timeout=20) == 141


def test_one_line_of_a_long_answer_is_enough() -> None:
    with start("list", "mistral-ai", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("operation")
        process.stdout.close()
        err = process.stderr.read()
        # All of it may have been in the pipe before the reader left.
        assert process.wait(timeout=20) in (0, 141)
    assert err == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
@pytest.mark.parametrize("words", [("list",), ("list", "--json"), ("describe", *CHAT), ("--help",)])
def test_output_that_cannot_be_written_is_reported_in_one_sentence(words: tuple[str, ...], tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "runtime", *words]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=env, check=False
        )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: the output cannot be written: no space left on device",
        "hint: write it to another place, or make room",
    ]
