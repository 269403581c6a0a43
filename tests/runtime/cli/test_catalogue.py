"""Commands that show connectors: list, describe, lint, schema, doctor."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.commands import CHAT, GOOD, TOKEN, run, run_json, write


def matched(folder: str, settings: Any, file: str) -> list[str]:
    """The schemas that VS Code uses for a file: a pattern may begin at any folder, `*` stays within one."""
    found = []
    for each in settings["json.schemas"]:
        patterns = [re.escape(pattern).replace(r"\*", "[^/]*") for pattern in each["fileMatch"]]
        if any(re.fullmatch(f"(?:.*/)?{pattern}", f"/home/{folder}/{file}") for pattern in patterns):
            found.append(each["url"].rpartition("/")[2])
    return found


def test_list_names_the_shipped_connectors() -> None:
    result = run("list")
    assert (result.exit_code, result.stderr) == (0, "")
    assert [line.split()[0] for line in result.stdout.splitlines()][:1] == ["connector"]
    assert "mistral-ai" in result.stdout
    row = next(row for row in run_json("list") if row["handle"] == "mistral-ai")
    assert row.keys() == {"handle", "valid", "operations", "triggers", "short"}


def test_list_of_one_connector_names_its_operations_and_triggers() -> None:
    result = run("list", "mistral-ai")
    assert result.exit_code == 0
    document = run_json("list", "mistral-ai")
    for name in [each["id"] for part in ("operations", "triggers") for each in document[part]]:
        assert name in result.stdout
    assert "chat-completions.create" in [each["id"] for each in document["operations"]]
    assert "batch-jobs/batch_job.succeeded" in [each["id"] for each in document["triggers"]]


def test_an_operation_that_the_provider_takes_away_is_shown_as_deprecated() -> None:
    listed = {each["id"]: each["deprecated"] for each in run_json("list", "mistral-ai")["operations"]}
    assert (listed["fine-tuning-jobs.list"], listed["files.list"]) == (True, False)
    assert run("list", "mistral-ai").stdout.count("(deprecated)") == sum(listed.values())
    assert "deprecated: " in run("describe", "mistral-ai", "fine-tuning-jobs.list").stdout
    assert "deprecated: " not in run("describe", "mistral-ai", "files.list").stdout
    assert run_json("describe", "mistral-ai", "fine-tuning-jobs.list")["deprecated"] is True


def test_a_connector_that_is_not_valid_is_listed_and_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    result = run("list", "--definitions", str(tmp_path))
    assert result.exit_code == 0
    assert "mistral-ai" in result.stdout
    assert "warning: broken has problems" in result.stderr


def test_describe_says_of_each_input_what_it_is_and_where_it_lands() -> None:
    document = run_json("describe", *CHAT)
    model = next(each for each in document["inputs"] if each["name"] == "model")
    wanted = {"name", "type", "required", "default", "place"}
    assert {name: model[name] for name in wanted} == {
        "name": "model",
        "type": "String",
        "required": True,
        "default": None,
        "place": "body",
    }
    by_name = {each["name"]: each for each in document["inputs"]}
    assert (by_name["maxTokens"]["default"], by_name["maxTokens"]["required"]) == (1024, False)
    text = run("describe", *CHAT).stdout
    for word in ("model", "String", "required", "body", "default 1024", "choices_message_content"):
        assert word in text
    assert document["triggers"][0]["id"] in text


def test_lint_exits_0_with_warnings_and_says_where_they_are(tmp_path: Path) -> None:
    file = write(tmp_path / "tiny.json", GOOD)
    result = run("lint", file)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert re.fullmatch(re.escape(file) + r":\d+:\d+ W_UNDECLARED .+", lines[0])
    assert lines[1].strip().startswith("hint: ")
    assert result.stderr == "note: 0 errors, 1 warning\n"


def test_lint_exits_3_with_an_error(tmp_path: Path) -> None:
    bad = {**GOOD, "resources": [{**GOOD["resources"][0], "endpoint": "/{{ a | upper }}"}]}
    file = write(tmp_path / "tiny.json", bad)
    result = run("lint", file)
    assert result.exit_code == 3
    assert re.search(r"^\S+tiny\.json:\d+:\d+ E_TEMPLATE_GRAMMAR ", result.stdout, re.MULTILINE)
    document = json.loads(run("lint", file, "--json").stdout)
    assert document["code"] == "E_DEFINITION"
    assert {"file", "line", "column", "code", "message", "hint"} <= document["problems"][0].keys()


def test_lint_without_a_path_checks_the_whole_catalogue(tmp_path: Path) -> None:
    write(tmp_path / "tiny.json", GOOD)
    assert run("lint").exit_code == 0
    assert "tiny.json" in run("lint", "--definitions", str(tmp_path)).stdout
    problems = run("--definitions", str(tmp_path), "lint", "--json")
    assert any("tiny.json" in each["file"] for each in json.loads(problems.stdout)["problems"])


def test_schema_prints_a_path_that_an_editor_can_open() -> None:
    result = run("schema")
    assert result.exit_code == 0
    path = Path(result.stdout.removesuffix("\n"))
    assert path.name == "connector.schema.json"
    assert json.loads(path.read_text("utf-8"))["$ref"] == "definition.schema.json#/$defs/Connector"
    assert all((path.parent / name).is_file() for name in re.findall(r"[\w.]+\.json", result.stderr))


def test_schema_names_a_file_for_each_kind_of_document() -> None:
    files = run_json("schema")
    assert set(files) == {"automation", "connector", "operations", "overlay", "resources", "service"}
    assert all(Path(file).is_file() for file in files.values())


@pytest.mark.parametrize(
    ("file", "schemas"),
    [
        ("petshop.json", ["connector.schema.json"]),
        ("petshop/connector.json", ["connector.schema.json"]),
        ("petshop/service.json", ["service.schema.json"]),
        ("petshop/resources.json", ["resources.schema.json"]),
        ("petshop/resources/pets.json", ["resources.schema.json"]),
        ("petshop/operations.json", ["operations.schema.json"]),
        ("petshop/overlay.json", ["overlay.schema.json"]),
        ("petshop/examples/pets.read.json", []),
        ("automations/fetch.json", ["automation.schema.json"]),
    ],
)
def test_schema_has_the_settings_of_an_editor_for_each_file(tmp_path: Path, file: str, schemas: list[str]) -> None:
    assert matched("definitions", run_json("schema", "--vscode"), file) == schemas
    (tmp_path / "my-connectors" / "petshop").mkdir(parents=True)
    folder = tmp_path / "my-connectors"
    single = write(folder / "tiny.json", GOOD)
    write(folder / "petshop" / "service.json", GOOD)
    for place in (str(folder), str(folder / "petshop"), single):
        settings = json.loads(run("schema", "--vscode", "--definitions", place).stdout)
        assert matched("my-connectors", settings, file) == schemas
        assert matched("elsewhere", settings, file) == (schemas if "automations" in file else [])


def test_doctor_exits_0_with_warnings_and_names_no_secret() -> None:
    result = run("doctor", env=TOKEN)
    assert (result.exit_code, result.stderr) == (0, "")
    for word in ("python", "catalogue", "mistral-ai", "apiToken", "state", "clock"):
        assert word in result.stdout
    document = run_json("doctor")
    assert document["ok"] is True
    assert {"name", "status", "detail", "hint"} == document["checks"][0].keys()


def test_doctor_exits_2_when_something_fails(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    assert run("doctor", "--definitions", str(tmp_path)).exit_code == 2
    assert run_json("doctor", "--definitions", str(tmp_path), exit_code=2)["ok"] is False


def test_describe_has_what_is_required_first_and_long_texts_below_the_table() -> None:
    lines = run("describe", *CHAT).stdout.splitlines()
    table = lines[lines.index(next(line for line in lines if line.startswith("input "))) + 1 :]
    table = table[: table.index("")]
    presence = [line.split()[2] for line in table]
    assert presence == sorted(presence, key=lambda word: word != "required")
    assert max(map(len, table)) <= 80
    assert any(line.startswith("model: Chat model") for line in lines)
