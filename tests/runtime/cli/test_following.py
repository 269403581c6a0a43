"""Streams and files on the command line, against the built-in provider."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from runtime.cli.root import cli

FIELDS = [
    {"name": "text", "type": "String", "selector": ["delta"]},
    {"name": "n", "type": "Integer", "selector": ["n"]},
]
FILE = [{"name": "file", "type": "File", "required": True}]


def post(template: Any, content_type: str, **more: Any) -> dict[str, Any]:
    headers = {"Content-Type": content_type}
    body = {"value": template, "placeholders": [*FILE, {"name": "tags", "type": "Array"}]}
    return {"method": "POST", "path": more.pop("path"), "headers": headers, "bodyTemplate": body, **more}


OPERATIONS = {
    "joined": {"method": "GET", "path": "/j", "response": {"kind": "sse", "done": "[DONE]", "join": ["text"]}},
    "plain": {"method": "GET", "path": "/p", "response": "sse"},
    "lines": {"method": "GET", "path": "/l", "response": {"kind": "ndjson", "done": "end"}, "fields": []},
    "binary": {"method": "GET", "path": "/b", "response": "binary"},
    "xml": {"method": "GET", "path": "/x", "response": "xml", "fields": [{**FIELDS[0], "selector": ["a", "b", "@c"]}]},
    "xmls": {"method": "GET", "path": "/xs", "response": "xml"},
    "upload": post(
        {"file": "{{file}}", "tags": "{{tags}}"}, "multipart/form-data", path="/u", form={"lists": "brackets"}
    ),
    "put": post("{{file}}", "application/octet-stream", path="/o"),
    "soap": post("<a>{{file}}</a>", "text/xml", path="/s"),
    "graph": post({"query": "{ me }", "variables": {"f": "{{file}}"}}, "application/graphql+json", path="/g"),
    "rows": post("{{tags}}", "application/x-ndjson", path="/r"),
    "row": post({"f": "{{file}}"}, "application/x-ndjson", path="/r1"),
}


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    resource = {"handle": "a", "meta": {"short": "A"}, "endpoint": "/a", "fields": FIELDS, "operations": OPERATIONS}
    definition = {"handle": "demo", "service": {"baseURL": "https://x.example"}, "resources": [resource]}
    (tmp_path / "demo.json").write_text(json.dumps(definition), "utf-8")
    (tmp_path / "up.bin").write_bytes(b"text")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(operation: str, *words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(cli, ["call", "demo", f"a.{operation}", "--mock", "--definitions", "demo.json", *words])
    assert result.exit_code == code, result.output
    return result


def test_joined_texts_are_written_as_they_come(demo: Path) -> None:
    assert run("joined").stdout == "text-1text-2\n"


def test_a_stream_is_one_json_document_a_line(demo: Path) -> None:
    lines = [json.loads(line) for line in run("plain", "--json").stdout.splitlines()]
    assert [line["fields"] for line in lines] == [{"text": "text-1", "n": 1}, {"text": "text-2", "n": 2}]
    assert lines[0].keys() == {"fields", "raw", "event", "id"}


def test_without_joined_texts_each_message_is_a_line(demo: Path) -> None:
    assert run("plain").stdout.splitlines() == ['{"text":"text-1","n":1}', '{"text":"text-2","n":2}']
    assert run("lines").stdout.splitlines() == ["{}", "{}"]


def test_a_binary_answer_goes_to_stdout_or_a_file(demo: Path) -> None:
    assert run("binary").stdout_bytes == bytes(range(256))
    saved = run("binary", "--out", "answer.bin", "--json")
    assert (demo / "answer.bin").read_bytes() == bytes(range(256))
    assert json.loads(saved.stdout)["raw"] is None
    assert sorted(path.name for path in demo.iterdir() if path.suffix != ".json") == ["answer.bin", "up.bin"]
    assert json.loads(run("binary", "--json").stdout)["raw"].startswith("AAECAw")


def test_a_file_that_cannot_be_written_is_said(demo: Path) -> None:
    (demo / "folder").mkdir(mode=0o755)
    blocked = demo / "folder" / ("x" * 255)
    assert "too long" in run("binary", "--out", str(blocked), code=2).output


def test_xml_is_mapped(demo: Path) -> None:
    assert json.loads(run("xml", "--json").stdout)["fields"] == {"text": "text"}
    assert json.loads(run("xmls", "--json").stdout)["raw"] == {"document": {"delta": "text", "n": "1"}}


@pytest.mark.parametrize("operation", ["upload", "put", "soap", "graph", "row"])
def test_a_file_is_sent_in_every_kind_of_body(demo: Path, operation: str) -> None:
    assert json.loads(run(operation, "file=@up.bin", "--json").stdout)["ok"]


def test_lists_are_sent_in_parts_and_lines(demo: Path) -> None:
    assert json.loads(run("upload", "file=@up.bin", "tags=a", "tags=b", "--json").stdout)["ok"]
    assert json.loads(run("rows", 'tags:=[{"a":1},2]', "--json").stdout)["ok"]


def test_a_request_with_a_file_is_rendered_without_reading_it(demo: Path) -> None:
    words = ["render", "demo", "a.put", "--definitions", "demo.json", "file=@up.bin"]
    shown = CliRunner().invoke(cli, words).stdout
    assert shown.endswith("<content of up.bin>\n")
    curl = CliRunner().invoke(cli, [*words, "-o", "curl"]).stdout
    assert curl.startswith("cat up.bin | curl")
    parts = CliRunner().invoke(cli, ["render", "demo", "a.upload", *words[3:], "-o", "curl"]).stdout
    assert "; cat up.bin; echo " in parts
