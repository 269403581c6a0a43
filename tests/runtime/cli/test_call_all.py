"""`connector call --all` and the pages of the built-in provider."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import pytest
from click.testing import CliRunner, Result

from connector.headers import Headers
from connector.messages import Request
from runtime.cli.printing import progress_bar
from runtime.cli.root import cli
from runtime.config.catalog import Catalog
from runtime.mock import MockProvider

FILES = ("call", "mistral-ai", "files.list", "--mock")


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, words)


def ask_mock(query: str, operation: str = "files") -> dict[str, Any]:
    """What the built-in provider answers a list."""
    catalog = Catalog()
    provider = MockProvider([catalog.get("mistral-ai")], {"mistral-ai": catalog.examples("mistral-ai")})
    headers = Headers({"Authorization": "Bearer x"})
    response = provider.answer(Request("GET", f"http://mock.invalid/v1/{operation}{query}", headers=headers))
    assert response.status == 200
    document: dict[str, Any] = json.loads(response.body)
    return document


def test_all_pages_are_one_document() -> None:
    result = run(*FILES, "page_size:=4", "--all", "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert (len(document["records"]), document["truncated"], document["attempts"]) == (6, False, 2)
    assert [len(raw["data"]) for raw in document["raw"]] == [4, 2]
    assert [record["id"] for record in document["records"]] == [record["id"] for record in ask_mock("")["data"]]


def test_a_limit_on_pages_is_said_aloud() -> None:
    result = run(*FILES, "page_size:=2", "--all", "--max-pages", "2", "--json")
    document = json.loads(result.stdout)
    assert (len(document["records"]), document["truncated"]) == (4, True)
    assert document["warnings"] == ["there are more records; it ended after 2 pages"]
    assert "warning: there are more records; it ended after 2 pages" in result.stderr


def test_one_page_of_several_says_that_there_are_more() -> None:
    result = run(*FILES, "page_size:=2")
    assert "note: there are more pages; --all reads them\n" in result.stderr
    assert len(result.stdout.splitlines()) == 1 + 2
    assert "more pages" not in run(*FILES).stderr


def test_all_of_what_is_no_list_is_its_one_answer() -> None:
    result = run("call", "mistral-ai", "files.read", "fileId=f", "--mock", "--all", "--json")
    document = json.loads(result.stdout)
    assert (document["fields"]["object"], document["records"], document["truncated"]) == ("file", None, False)


def test_a_limit_goes_with_all() -> None:
    assert run(*FILES, "--max-pages", "2").exit_code == 2
    assert run(*FILES, "--all", "--max-pages", "0").exit_code == 2


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_bar_shows_on_a_terminal_how_much_of_how_much_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with progress_bar("calling demo [red]things") as show:
        show(2, None)
        show(3, 6)
    shown = sys.stderr.getvalue()  # type: ignore[attr-defined]
    assert "calling demo [red]things" in shown
    assert "3 of 6" in shown


def test_a_bar_is_not_drawn_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("calling") as show:
        show(1, 2)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("query", "first", "count"),
    [("", 0, 6), ("?page=0", 0, 6), ("?page_size=4", 0, 4), ("?page=1&page_size=4", 4, 2), ("?page=9", 6, 0)],
)
def test_the_built_in_provider_has_pages(query: str, first: int, count: int) -> None:
    whole, page = ask_mock(""), ask_mock(query)
    assert whole["data"][first : first + count] == page["data"]
    assert whole["total"] == page["total"] == 6


@pytest.mark.parametrize(("path", "count"), [("fine_tuning/jobs", 5), ("batch/jobs", 6)])
def test_every_shipped_list_that_has_pages_declares_them(path: str, count: int) -> None:
    assert len(ask_mock("?page_size=2", path)["data"]) == 2
    handle = {"fine_tuning/jobs": "fine-tuning-jobs", "batch/jobs": "batch-jobs"}[path]
    document = json.loads(
        run("call", "mistral-ai", f"{handle}.list", "--mock", "page_size:=2", "--all", "--json").stdout
    )
    assert len(document["records"]) == count
