"""Pages about connectors for people: inputs, fields, values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from click.testing import CliRunner, Result

from runtime.cli.root import cli

CANARY = "c4nary-in-a-c0al-mine"


TOKEN = {"CONNECTOR_SECRET__MISTRAL_AI__APITOKEN": CANARY}


def run(*words: str, stdin: bytes | str = "", env: Mapping[str, str] | None = None) -> Result:
    """One command in this process. Nothing it writes holds the canary, whatever it does."""
    result = CliRunner(env=dict(env or {})).invoke(cli, words, input=stdin)
    shown = result.stdout + result.stderr
    assert CANARY not in shown or "--show-secrets" in words
    assert "Traceback" not in shown
    return result


def run_json(*words: str, exit_code: int = 0, stdin: bytes | str = "", env: Mapping[str, str] | None = None) -> Any:
    """The one document that a command with `--json` writes."""
    result = run(*words, "--json", stdin=stdin, env=env)
    assert (result.exit_code, without_note(result.stderr) if exit_code == 0 else "") == (exit_code, "")
    return json.loads(result.stdout)


def without_note(stderr: str) -> str:
    """What is on stderr besides the note that an answer of the mock is a recorded one."""
    return "".join(line for line in stderr.splitlines(True) if "is the recorded example" not in line)


def test_describe_of_a_connector_names_the_variables_of_its_values() -> None:
    document = run_json("describe", "mistral-ai", env=TOKEN)
    token = next(each for each in document["values"] if each["name"] == "apiToken")
    assert (token["secret"], token["variable"]) == (True, "CONNECTOR_SECRET__MISTRAL_AI__APITOKEN")
    text = run("describe", "mistral-ai", env=TOKEN).stdout
    assert "CONNECTOR_SECRET__MISTRAL_AI__APITOKEN" in text
    assert "https://api.mistral.ai/v1" in text
