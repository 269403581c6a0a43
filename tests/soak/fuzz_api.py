"""The HTTP interface fuzzed from its own description, over a real socket: `python tests/soak/fuzz_api.py [CASES]`.

Schemathesis makes requests of every route, those that fit and those that do not; no answer may be a failure of ours, and
none may have a status that the description does not name. The long form has 5,000 cases and more, and ends with their
number.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Streams do not end, and a call of a provider that nobody can reach says nothing of us.
LEFT_OUT = "/stream$"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance"


@contextlib.contextmanager
def server(home: Path) -> Iterator[str]:
    """A server of ours with the shipped connectors, and its URL."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("CONNECTOR_")},
        "PYTHONPATH": str(ROOT),
        "CONNECTOR_KEY": "bm9uc2Vuc2Utbm9uc2Vuc2Utbm9uc2Vuc2Utbm9uc2U=",
    }
    command = [sys.executable, "-m", "runtime", "serve", "--port", "0", "--json", "--role", "api"]
    with subprocess.Popen(
        command, cwd=home, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as running:
        assert running.stdout is not None
        text = ""
        while not text.endswith("}\n"):
            text += running.stdout.readline()
        try:
            yield json.loads(text)["url"]
        finally:
            running.terminate()


def fuzz(cases: int, *, seed: int = 1) -> tuple[int, str]:
    """How many cases there were, and the report; raises CalledProcessError if one of them was answered wrongly."""
    program = Path(sys.executable).with_name("schemathesis")
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as url:
        command = [
            str(program), "run", f"{url}/openapi.json", "--exclude-path-regex", LEFT_OUT, "--checks", CHECKS,
            "--phases", "examples,fuzzing", "--max-examples", str(cases), "--seed", str(seed), "--no-color",
        ]  # fmt: skip
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    report = done.stdout + done.stderr
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command, report)
    found = re.search(r"(\d[\d,]*) generated", report)
    return int(found[1].replace(",", "")) if found else 0, report


if __name__ == "__main__":
    try:
        number, text = fuzz(int(sys.argv[1]) if len(sys.argv) > 1 else 250)
    except subprocess.CalledProcessError as error:
        sys.exit(error.stdout)
    sys.stdout.write(text)
    sys.stdout.write(f"{number} cases, none answered with a 5xx or with what the description does not name\n")
