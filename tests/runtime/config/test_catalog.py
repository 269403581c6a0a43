"""Which connectors are found, when they are read, and what is said of broken ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from connector.errors import ConfigurationError, InvalidDefinition, UnknownConnector
from runtime.config.catalog import Catalog, find_problems_in, read_examples, shipped_definitions

SERVICE: dict[str, Any] = {"handle": "demo", "service": {"baseURL": "https://demo.example/v1"}}
RESOURCES: list[Any] = [
    {
        "handle": "things",
        "endpoint": "/things",
        "fields": [{"name": "id", "type": "String"}],
        "operations": {"read": {"method": "GET", "path": "/{{id}}"}},
    }
]


def write(folder: Path, **documents: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(document if isinstance(document, str) else json.dumps(document))
    return folder


def test_the_shipped_connectors_are_always_there() -> None:
    catalog = Catalog()
    assert "mistral-ai" in catalog.handles()
    assert len(catalog.get("mistral-ai").operations) == 162
    found = catalog.get("mistral-ai")
    # What calls any path has no answer of its own.
    assert set(catalog.examples("mistral-ai")) == {*found.operations, *found.custom_operations} - {"api-request"}


def test_a_shipped_connector_is_read_once_in_a_process_and_again_on_a_reload() -> None:
    first = Catalog().get("twilio")
    other = Catalog()
    assert other.get("twilio") is first
    assert other.reload("twilio") is not first


def test_every_shipped_connector_is_free_of_errors() -> None:
    catalog = Catalog()
    for handle in catalog.handles():
        assert [problem for problem in catalog.problems(handle) if problem.is_error] == []


def test_a_folder_of_connectors_one_connector_and_one_file_are_all_found(tmp_path: Path) -> None:
    write(tmp_path / "all" / "demo", service=SERVICE, resources=RESOURCES)
    write(tmp_path / "all", whole={**SERVICE, "handle": "whole", "resources": RESOURCES})
    write(tmp_path / "all" / ".hidden", service=SERVICE)
    assert {"demo", "whole"} <= set(Catalog([tmp_path / "all"]).handles())
    assert "things.read" in Catalog([tmp_path / "all" / "demo"]).get("demo").operations
    assert "things.read" in Catalog([tmp_path / "all" / "whole.json"]).get("whole").operations


def test_a_connector_folder_is_laid_out_as_the_language_says(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "demo",
        service=SERVICE,
        resources=RESOURCES,
        overlay={"resources": {"things": {"operations": {"read": {"method": "POST"}}}}},
        operations=[{"handle": "copy", "steps": [{"type": "http", "http": {"method": "GET", "path": "/x"}}]}],
    )
    more = {"handle": "more", "endpoint": "/more", "operations": {"list": {"method": "GET"}}}
    write(folder / "resources", more=[more])
    connector = Catalog([folder]).get("demo")
    assert set(connector.operations) == {"things.read", "more.list"}
    assert connector.operation("things.read").method == "POST"
    assert set(connector.custom_operations) == {"copy", "api-request"}


def test_a_later_folder_replaces_a_handle_as_a_whole(tmp_path: Path) -> None:
    write(tmp_path / "mistral-ai", service={**SERVICE, "handle": "mistral-ai"}, resources=RESOURCES)
    assert set(Catalog([tmp_path]).get("mistral-ai").operations) == {"things.read"}


def test_connectors_are_read_when_first_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "good", service={**SERVICE, "handle": "good"}, resources=RESOURCES)
    write(tmp_path / "bad", service="{")
    catalog = Catalog([tmp_path])
    assert catalog.get("good") is catalog.get("good")
    with pytest.raises(InvalidDefinition, match=r"bad/service\.json:1:2 E_JSON"):
        catalog.get("bad")


def test_T12_a_broken_new_version_leaves_the_old_one_live(tmp_path: Path) -> None:
    folder = write(tmp_path / "demo", service=SERVICE, resources=RESOURCES)
    catalog = Catalog([folder])
    before = catalog.get("demo")
    write(folder, resources="[" * 100_000)
    with pytest.raises(InvalidDefinition, match="E_LIMIT"):
        catalog.reload("demo")
    assert catalog.get("demo") is before


def test_T12_a_file_beyond_the_limit_is_refused_unread(tmp_path: Path) -> None:
    folder = write(tmp_path / "demo", service=SERVICE, resources=" " * (1024 * 1024 + 1))
    with pytest.raises(InvalidDefinition, match="E_LIMIT"):
        Catalog([folder]).get("demo")


def test_problems_name_the_file_that_holds_them_the_overlay_too(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "demo",
        service=SERVICE,
        resources=RESOURCES,
        overlay='{"resources": {"things": {"operations": {\n  "read": {"path": "/{{id.x}}"}}}}}',
    )
    problems = [each for each in Catalog([folder]).problems("demo") if each.is_error]
    assert [(each.file, each.line, each.column, each.code) for each in problems] == [
        (str(folder / "overlay.json"), 2, 20, "E_TEMPLATE_GRAMMAR")
    ]


def test_a_handle_that_differs_from_its_folder_is_an_error(tmp_path: Path) -> None:
    folder = write(tmp_path / "other", service=SERVICE, resources=RESOURCES)
    with pytest.raises(InvalidDefinition, match=r"service\.json:1:12 E_HANDLE"):
        Catalog([folder]).get("other")


def test_lints_of_examples_come_with_the_problems(tmp_path: Path) -> None:
    folder = write(tmp_path / "demo", service=SERVICE, resources=RESOURCES)
    write(folder / "examples", **{"things.raed": {"body": {}}, "things.read": {"body": {"no": 1}}})
    codes = {problem.code for problem in Catalog([folder]).problems("demo")}
    assert {"W_EXAMPLE_UNKNOWN", "W_FIELDS_UNMATCHED"} <= codes
    write(folder / "examples", **{"things.read": "{"})
    assert "E_JSON" in {problem.code for problem in Catalog([folder]).problems("demo")}


@pytest.mark.parametrize("name", ["service", "resources", "overlay", "operations", "whole"])
def test_one_document_can_be_checked_by_itself(tmp_path: Path, name: str) -> None:
    write(tmp_path, **{name: "[1"})
    problems = find_problems_in(tmp_path / f"{name}.json")
    assert [(problem.code, problem.line) for problem in problems] == [("E_JSON", 1)]


def test_a_resources_group_is_checked_as_resources(tmp_path: Path) -> None:
    write(tmp_path / "resources", group=[{"handle": "x", "endpoint": "/x", "operations": {}}])
    assert find_problems_in(tmp_path / "resources" / "group.json") == []


def test_a_file_that_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "resources.json").write_bytes(b"\xff")
    assert [problem.code for problem in find_problems_in(tmp_path / "resources.json")] == ["E_JSON"]


def test_a_path_without_connectors_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no connector in"):
        Catalog([tmp_path])
    with pytest.raises(ConfigurationError, match="no connector in"):
        find_problems_in(tmp_path)
    with pytest.raises(ConfigurationError, match="is not there"):
        Catalog([tmp_path / "gone"])


def test_an_unknown_handle_names_the_nearest() -> None:
    with pytest.raises(UnknownConnector) as caught:
        Catalog().get("mistral")
    assert caught.value.hint == (
        "did you mean 'mistral-ai'?; name the folder of other connectors with --definitions DIR or CONNECTOR_DEFINITIONS"
    )


def test_the_shipped_folder_holds_the_first_connector() -> None:
    assert (shipped_definitions() / "mistral-ai" / "service.json").is_file()


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"body": ' + "7" * 5000 + "}", '{"a": 1, "a": 2}'], ids=["deep", "digits", "doubled"]
)
def test_an_example_that_no_reader_can_use_is_a_problem_of_its_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "things.read.json").write_text(text, "utf-8")
    with pytest.raises(InvalidDefinition) as caught:
        read_examples(tmp_path)
    assert (caught.value.problems[0].file or "").endswith("things.read.json")
