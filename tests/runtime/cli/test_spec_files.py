"""Specifications from files and URLs, and the folders made from them: what is written, kept, compared, refused."""

from __future__ import annotations

import http.server
import json
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from connector.errors import ConfigurationError
from runtime.cli.root import cli
from runtime.cli.spec_files import read_spec
from runtime.config.settings import load_settings

SPECS = Path(__file__).parents[2] / "specs"
ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, words)


def run_json(*words: str) -> Any:
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize("name", [path.stem for path in sorted(SPECS.glob("*.yaml"))])
def test_one_command_leads_from_a_specification_to_a_working_mock(name: str, workplace: Path) -> None:
    document = run_json("import", "openapi", str(SPECS / f"{name}.yaml"))
    folder = str(workplace / document["handle"])
    linted = run("lint", folder)
    assert (linted.exit_code, "0 errors" in linted.stderr) == (0, True), linted.output
    reads = [each for each in document["operations"] if each.endswith((".list", ".read"))]
    for operation in reads[:2]:
        described = run_json("describe", document["handle"], operation, "--definitions", folder)
        inputs = [f"{each['name']}={1}" for each in described["inputs"] if each["required"]]
        called = run("call", document["handle"], operation, *inputs, "--mock", "--definitions", folder)
        assert called.exit_code == 0, called.output


def test_the_report_and_the_next_step_are_shown(workplace: Path) -> None:
    result = run("import", "openapi", str(SPECS / "petstore.yaml"), "--handle", "zoo", "--out", "made")
    assert result.exit_code == 0
    assert result.stdout.split()[:6] == ["kept", "guessed", "lost", "9", "5", "1"]
    assert "lost     security petstore_auth  the OAuth flow 'implicit'" in result.stdout
    assert "try: connector call zoo pet.read petId=… --mock --definitions made/zoo" in result.stderr
    assert (workplace / "made" / "zoo" / "service.json").is_file()


def test_an_import_again_writes_nothing_and_never_touches_the_overlay(workplace: Path) -> None:
    run("import", "openapi", str(SPECS / "petstore.yaml"))
    folder = workplace / "petstore"
    (folder / "overlay.json").write_text('{"meta": {"short": "Mine"}}', "utf-8")
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*.json")}
    result = run("import", "openapi", str(SPECS / "petstore.yaml"))
    assert "nothing changed since the last import" in result.stderr
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*.json")} == before


def test_a_changed_specification_shows_what_breaks(workplace: Path) -> None:
    text = (SPECS / "petstore.yaml").read_text("utf-8")
    run("import", "openapi", str(SPECS / "petstore.yaml"))
    changed = text.replace("enum: [available, pending, sold]", "enum: [available, sold]").replace(
        "/user/login", "/user/logout"
    )
    (workplace / "changed.yaml").write_text(changed, "utf-8")
    result = run("import", "openapi", "changed.yaml")
    assert result.exit_code == 0
    assert "breaking  changed  pet.create" in result.stdout
    assert "takes available, sold only" in result.stdout
    assert "changes since the last import" in result.stderr
    assert not (workplace / "petstore" / "examples" / "user-login.read.json").exists()
    assert (workplace / "petstore" / "examples" / "user-logout.read.json").exists()


def test_many_changes_are_cut_and_json_has_them_all(workplace: Path) -> None:
    def document(count: int) -> str:
        return json.dumps({"openapi": "3.1.0", "info": {"title": "Many"}, "servers": [{"url": "https://x.example"}], "paths": {
            f"/p{number}": {"get": {"callbacks": {"a": {}}}} for number in range(count)}})  # fmt: skip

    (workplace / "a.json").write_text(document(1), "utf-8")
    (workplace / "b.json").write_text(document(60), "utf-8")
    assert run("import", "openapi", "a.json").exit_code == 0
    result = run("import", "openapi", "b.json")
    assert "19 more; --json has them all" in result.stderr
    document_ = run_json("import", "openapi", "a.json")
    assert len(document_["changes"]) == 59
    assert document_["removed"][0] == "examples/p1.read.json"


def test_a_folder_that_no_import_made_is_left_alone(workplace: Path) -> None:
    shutil.copytree(ROOT / "examples" / "definitions" / "petshop", workplace / "petshop")
    before = {path: path.read_bytes() for path in workplace.rglob("*.json")}
    result = run("import", "openapi", str(SPECS / "petstore.yaml"), "--handle", "petshop")
    assert result.exit_code == 2
    assert "is there already, and no import made it" in result.stderr
    (workplace / "petshop" / "service.json").write_text("[", "utf-8")
    assert run("import", "openapi", str(SPECS / "petstore.yaml"), "--handle", "petshop").exit_code == 2
    (workplace / "petshop" / "service.json").write_bytes(before[workplace / "petshop" / "service.json"])
    assert {path: path.read_bytes() for path in workplace.rglob("*.json")} == before


def test_an_earlier_import_that_was_broken_by_hand_is_replaced(workplace: Path) -> None:
    run("import", "openapi", str(SPECS / "petstore.yaml"))
    (workplace / "petstore" / "resources.json").write_text("[", "utf-8")
    assert run_json("import", "openapi", str(SPECS / "petstore.yaml"))["changes"] is None


def test_a_folder_that_cannot_be_written_is_said(workplace: Path) -> None:
    (workplace / "made").mkdir()
    (workplace / "made" / "petstore").write_text("in the way", "utf-8")
    result = run("import", "openapi", str(SPECS / "petstore.yaml"), "--out", "made")
    assert (result.exit_code, "petstore" in result.stderr) == (2, True)


def test_a_specification_without_operations_is_imported(workplace: Path) -> None:
    (workplace / "a.json").write_text('{"openapi": "3.1.0", "info": {"title": "Nothing"}}', "utf-8")
    result = run("import", "openapi", "a.json")
    assert (result.exit_code, "try:" in result.stderr) == (0, False)


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("{", 3, "spec.yaml:1:2 E_JSON not JSON"),
        ("a: [", 3, "E_YAML not YAML"),
        ("swagger: '2.0'", 3, "this is Swagger 2.0, not OpenAPI 3"),
    ],
)
def test_what_is_no_specification_is_said_with_its_place(text: str, code: int, said: str, workplace: Path) -> None:
    (workplace / "spec.yaml").write_text(text, "utf-8")
    result = run("import", "openapi", "spec.yaml")
    assert (result.exit_code, said in result.stderr) == (code, True), result.stderr


def test_a_file_that_is_not_there_is_said() -> None:
    result = run("import", "openapi", "gone.yaml")
    assert (result.exit_code, "gone.yaml: no such file or directory" in result.stderr) == (2, True)


# URLs


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """A server of the specifications, and the paths it was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            path = SPECS / self.path[1:]
            status = 200 if path.is_file() else 301 if self.path == "/moved" else 404
            data = path.read_bytes() if path.is_file() else b"no"
            self.send_response(status)
            if status == 301:
                self.send_header("Location", "/petstore.yaml")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=found.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{found.server_address[1]}", asked
    found.shutdown()
    thread.join()
    found.server_close()


def test_a_url_that_the_operator_names_is_asked_once_and_nothing_it_refers_to(server: Any) -> None:
    url, asked = server
    document = run_json("import", "openapi", f"{url}/events.yaml")
    assert document["handle"] == "assistant"
    assert asked == ["/events.yaml"]
    base = json.loads((Path("assistant") / "service.json").read_text("utf-8"))["service"]["baseURL"]
    assert base == {"value": f"{url}/v2"}


def test_T35_a_redirect_is_not_followed_and_an_error_is_said(server: Any) -> None:
    url, asked = server
    settings = load_settings({}, Path.cwd())
    with pytest.raises(ConfigurationError, match="answered 301") as caught:
        read_spec(f"{url}/moved", settings)
    assert caught.value.hint == "it is said to be at /petstore.yaml"
    with pytest.raises(ConfigurationError, match="answered 404"):
        read_spec(f"{url}/gone", settings)
    assert asked == ["/moved", "/gone"]
    with pytest.raises(ConfigurationError, match="user information"):
        read_spec("http://user@127.0.0.1/x", settings)


# Hazards


def nested_refs() -> str:
    schemas = {f"S{n}": {"allOf": [{"$ref": f"#/components/schemas/S{n + 1}"}] * 2} for n in range(2000)}
    operation = {
        "post": {"requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/S0"}}}}}
    }
    return json.dumps({"openapi": "3.1.0", "info": {"title": "x"}, "servers": [{"url": "https://x.example"}],
                       "paths": {"/a": operation}, "components": {"schemas": schemas}})  # fmt: skip


def many_paths() -> str:
    return "openapi: 3.1.0\ninfo: {title: x}\npaths:\n" + "".join(f"  /p{n}: {{get: {{}}}}\n" for n in range(50_000))


def cyclic() -> str:
    loop = {"$ref": "#/components/schemas/A"}
    schema = {
        "type": "object",
        "properties": {"pattern": {"type": "string", "pattern": "^(a+)+$"}, **{f"p{n}": loop for n in range(300)}},
    }
    paths = {f"/p{n}/{{id}}": {"post": {"requestBody": {"content": {"application/json": {"schema": loop}}},
             "responses": {"200": {"content": {"application/json": {"schema": loop}}}}}} for n in range(150)}  # fmt: skip
    return json.dumps({"openapi": "3.1.0", "info": {"title": "x"}, "servers": [{"url": "https://x.example"}], "paths": paths,
                       "components": {"schemas": {"A": schema}}})  # fmt: skip


HOSTILE: dict[str, tuple[Callable[[], str], int]] = {
    "T12 50 MB": (lambda: "a: " + "x" * 50_000_000, 3),
    "T12 50 MB of JSON": (lambda: '{"a": "' + "x" * 50_000_000 + '"}', 3),
    "T12 brackets": (lambda: "[" * 100_000, 3),
    "T12 brackets in YAML": (lambda: "a: " + "[" * 100_000, 3),
    "T12 16 MB of empty lists": (lambda: "[" + "[]," * 5_000_000 + "[]]", 3),
    "T12 8 MB of YAML values": (lambda: "a: [" + "x, " * 2_500_000 + "x]", 3),
    "T12 a bomb of aliases": (
        lambda: (
            "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
            + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 20))
        ),
        3,
    ),
    "T12 50,000 paths": (many_paths, 3),
    "T52 references that double": (nested_refs, 0),
    "T52 references in circles and a regular expression": (cyclic, 0),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_specification_ends_within_10_seconds_and_500_mb(name: str, workplace: Path) -> None:
    make, code = HOSTILE[name]
    path = workplace / "hostile.yaml"
    path.write_text(make(), "utf-8")
    # Of all children only the largest is known, so each tells its own peak, which the kernel counts from its start.
    program = (
        "import re, sys; from runtime.cli.root import cli\n"
        "code = cli.main(['import', 'openapi', 'hostile.yaml'], standalone_mode=False)\n"
        "peak = int(re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1]) // 1024\n"
        "print('PEAK', peak, file=sys.stderr); sys.exit(code)"
    )
    started = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120, env=environment, cwd=workplace
    )  # fmt: skip
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = ended.ru_utime + ended.ru_stime - started.ru_utime - started.ru_stime
    peak = int(done.stderr.rpartition("PEAK ")[2])
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr[-1000:]
    assert took < 10
    assert peak < 500
