"""`connector export`: a connector as OpenAPI, as tools, as a page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from runtime.cli.root import cli
from runtime.config.catalog import Catalog


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, words)


@pytest.mark.parametrize("handle", Catalog().handles())
def test_what_is_exported_can_be_imported_and_works(handle: str, tmp_path: Path) -> None:
    written = tmp_path / "openapi.json"
    assert run("export", "openapi", handle, "--out", str(written)).exit_code == 0
    assert run("export", "openapi", handle).stdout == written.read_text("utf-8")
    assert run("import", "openapi", str(written), "--out", str(tmp_path)).exit_code == 0
    linted = run("lint", str(tmp_path / handle))
    assert linted.exit_code == 0, linted.output
    again = Catalog([tmp_path / handle]).get(handle)
    assert sorted(again.operations) == sorted(Catalog().get(handle).operations)


def test_tools_are_written_for_mcp_and_for_function_calling() -> None:
    tools = json.loads(run("export", "tools", "mistral-ai", "--json").stdout)
    assert {"name", "description", "inputSchema", "outputSchema"} <= tools[0].keys()
    functions = json.loads(run("export", "tools", "mistral-ai", "--for", "functions").stdout)
    assert functions[0]["type"] == "function"
    assert [each["function"]["name"] for each in functions] == [each["name"] for each in tools]


def test_a_page_is_text_and_with_json_a_document() -> None:
    page = run("export", "markdown", "mistral-ai").stdout
    assert page.startswith("# Mistral AI\n")
    assert json.loads(run("export", "markdown", "mistral-ai", "--json").stdout) == {"markdown": page}


def test_what_cannot_be_exported_or_written_is_said(tmp_path: Path) -> None:
    unknown = run("export", "openapi", "mistral")
    assert (unknown.exit_code, "did you mean 'mistral-ai'" in unknown.stderr) == (2, True)
    refused = run("export", "markdown", "mistral-ai", "--out", str(tmp_path / "gone" / "page.md"))
    assert (refused.exit_code, "no such file or directory" in refused.stderr) == (2, True)
