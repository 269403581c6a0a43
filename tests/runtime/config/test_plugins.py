"""Plug-ins as installed packages: the example of `examples/plugin`, and packages that cannot be used.

Each runs in processes of its own, since a row is added for a whole process.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "plugin"
DEFINITIONS = ("--definitions", str(EXAMPLE / "definitions"))
SECRETS = {"CONNECTOR_SECRET__LEDGER__KEYID": "key-1", "CONNECTOR_SECRET__LEDGER__SECRET": "planted-signing-secret"}


def connector(
    *words: str, site: Path, cwd: Path, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The command in a process that finds what is installed in `site`."""
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("CONNECTOR_")}
    env = {**inherited, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}", **(environ or {})}
    command = [sys.executable, "-m", "runtime", *words]
    return subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the example package is installed: built and put there by pip, which asks no index."""
    site = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*pip, "--disable-pip-version-check", "--target", str(site), str(EXAMPLE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return site


class Ledger(BaseHTTPRequestHandler):
    """The API of the example: it checks signatures, and gives three entries by ranges of two."""

    ENTRIES = [{"id": number, "account": "4000", "amount": number + 0.5} for number in (1, 2, 3)]  # noqa: RUF012

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        signed = f"{self.command}\n{self.path}\n{hashlib.sha256(body).hexdigest()}"
        secret = SECRETS["CONNECTOR_SECRET__LEDGER__SECRET"]
        signature = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
        if self.headers["Authorization"] != f"Ledger key=key-1, signature={signature}":
            self.send(401, {"message": "the signature is wrong"})
        elif self.command == "POST":
            self.send(200, {"count": len(body.decode().splitlines()) - 1})
        else:
            unit, _, asked = self.headers.get("Range", "records=0-1").partition("=")
            first, last = map(int, asked.split("-"))
            entries = self.ENTRIES[first : last + 1]
            shown = f"{unit} {first}-{first + len(entries) - 1}/{len(self.ENTRIES)}"
            self.send(206, {"entries": entries}, {"Content-Range": shown})

    do_GET = do_POST = answer  # noqa: N815 - the library's names

    def send(self, status: int, document: Any, headers: Mapping[str, str] | None = None) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        for name, text in {"Content-Type": "application/json", "Content-Length": str(len(content))}.items():
            self.send_header(name, text)
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def ledger() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Ledger) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()


def test_the_example_signs_with_its_method_and_sends_with_its_body_kind(
    installed: Path, ledger: str, tmp_path: Path
) -> None:
    words = ("call", "ledger", "entries.import", 'entries:=[{"account": "4000", "amount": 12}]', "--base-url", ledger)
    done = connector(*words, *DEFINITIONS, "--json", site=installed, cwd=tmp_path, environ=SECRETS)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["fields"] == {"count": 1}
    assert document["request"]["headers"]["Content-Type"] == "application/csv"
    assert document["request"]["body"] == "account,amount\r\n4000,12\r\n"
    assert "planted-signing-secret" not in done.stdout + done.stderr


def test_the_example_walks_pages_with_its_style(installed: Path, ledger: str, tmp_path: Path) -> None:
    words = ("call", "ledger", "entries.list", "--all", "--base-url", ledger)
    done = connector(*words, *DEFINITIONS, "--json", site=installed, cwd=tmp_path, environ=SECRETS)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [record["id"] for record in document["records"]] == [1, 2, 3]
    assert document["truncated"] is False


def test_the_example_works_against_the_built_in_provider(installed: Path, tmp_path: Path) -> None:
    done = connector("call", "ledger", "entries.list", "--mock", *DEFINITIONS, "--json", site=installed, cwd=tmp_path)
    assert (done.returncode, json.loads(done.stdout)["ok"]) == (0, True), done.stderr


def test_lint_knows_what_an_installed_plugin_brings(installed: Path, tmp_path: Path) -> None:
    done = connector("lint", str(EXAMPLE / "definitions"), site=installed, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "note: 0 errors, 0 warnings\n"), done.stdout


def test_doctor_lists_what_is_installed(installed: Path, tmp_path: Path) -> None:
    done = connector("doctor", "--json", site=installed, cwd=tmp_path)
    rows = [check for check in json.loads(done.stdout)["checks"] if check["name"] == "plug-in"]
    brought = "auth_methods ledger_signature, body_kinds csv, pagination_styles range"
    assert [(row["status"], row["detail"]) for row in rows] == [("ok", f"connector-ledger 1.0.0 brings {brought}")]


def test_without_the_plugin_the_definition_names_what_is_missing(tmp_path: Path) -> None:
    done = connector("lint", str(EXAMPLE / "definitions"), site=tmp_path, cwd=tmp_path)
    assert done.returncode == 3
    assert "E_AUTH_METHOD unknown auth method 'ledger_signature'" in done.stdout
    assert "E_BODY_KIND" in done.stdout
    assert "E_PAGINATION unknown style of pagination 'range'" in done.stdout
    assert done.stdout.count("others come with plug-ins") == 3


def package(site: Path, name: str, entry_points: str, code: str = "") -> None:
    """Installs a package of one module that announces these entry points."""
    module = name.replace("-", "_")
    (site / f"{module}.py").write_text(code)
    info = site / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)


READ = "def read(source, read): raise ValueError\n"


@pytest.mark.parametrize(
    ("packages", "said"),
    [
        (
            {"bad-basic": ("[connector.auth_methods]\nBasic = bad_basic:read\n", READ)},
            "the plug-in 'Basic' (connector.auth_methods) of bad-basic 1.0 cannot be used: 'basic' is in auth_methods",
        ),
        (
            {
                "one-kind": ("[connector.pagination_styles]\nsteps = one_kind:read\n", READ),
                "same-kind": ("[connector.pagination_styles]\nsteps = same_kind:read\n", READ),
            },
            "of same-kind 1.0 cannot be used: 'steps' is in pagination_styles already; one-kind 1.0 brought it",
        ),
        (
            {
                "bad-import": (
                    "[connector.body_kinds]\nyaml = bad_import:Yaml\n",
                    "import a_library_that_is_not_there\n",
                )
            },
            "(connector.body_kinds) of bad-import 1.0 cannot be imported from bad_import:Yaml: ModuleNotFoundError: ",
        ),
        (
            {"bad-row": ("[connector.convertors]\nMoney = bad_row:read\n", READ)},
            "of bad-row 1.0 cannot be used: 'Money' is not a row of convertors: expected a Convertor",
        ),
    ],
    ids=["a built-in name", "two plug-ins of one name", "an import that fails", "not a row"],
)
def test_a_plugin_that_cannot_be_used_is_an_error_that_names_its_distribution(
    tmp_path: Path, packages: dict[str, tuple[str, str]], said: str
) -> None:
    for name, (entry_points, code) in packages.items():
        package(tmp_path, name, entry_points, code)
    done = connector("describe", "mistral-ai", site=tmp_path, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert f"pip uninstall {list(packages)[-1]}" in done.stderr
    done = connector("doctor", "--json", site=tmp_path, cwd=tmp_path)
    assert done.returncode == 2
    assert said in next(check["detail"] for check in json.loads(done.stdout)["checks"] if check["name"] == "plug-ins")


def test_help_looks_for_no_plugin(tmp_path: Path) -> None:
    package(tmp_path, "bad-import", "[connector.body_kinds]\nyaml = bad_import:Yaml\n", "1 / 0\n")
    assert connector("--help", site=tmp_path, cwd=tmp_path).returncode == 0
    done = connector("list", site=tmp_path, cwd=tmp_path)
    assert (done.returncode, "ZeroDivisionError" in done.stderr) == (2, True)
