"""Commands that serve: what stops them, and what they refuse."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.doubles.commands import CHAT, HELLO, TOKEN, provider, run, start, write


@pytest.mark.parametrize("as_json", [False, True])
def test_the_mock_serves_until_it_is_interrupted_and_exits_130(as_json: bool) -> None:
    words = ["mock", "mistral-ai", "--port", "0", *(["--json"] if as_json else [])]
    with start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert found, line
        url = found[0]
        for base in (f"{url}/mistral-ai/v1", f"{url}/v1"):
            result = run("call", *CHAT, *HELLO, "--base-url", base, env=TOKEN)
            assert result.exit_code == 0, result.stderr
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert (out.count("{") if not as_json else json.loads(out.partition("}")[0] + "}")) == (
        {"mistral-ai": f"{url}/mistral-ai/v1"} if as_json else 0
    )


def test_a_port_that_is_taken_exits_2() -> None:
    with provider(200, b"") as (url, _):
        port = url.rpartition(":")[2].partition("/")[0]
        result = run("mock", "mistral-ai", "--port", port)
    assert result.exit_code == 2
    assert port in result.stderr


def test_the_mock_needs_no_credential_that_is_declared_without_being_required(tmp_path: Path) -> None:
    token = {"value": "{{key}}", "placeholders": [{"name": "key", "type": "String"}]}
    service = {"baseURL": "https://demo.example", "auth": {"method": "bearer", "params": {"token": token}}}
    operations = {"read": {"method": "GET"}}
    resource = {"handle": "things", "endpoint": "/things", "fields": [], "operations": operations}
    path = write(tmp_path / "demo.json", {"handle": "demo", "service": service, "resources": [resource]})
    assert run("call", "demo", "things.read", "--mock", "--definitions", path).exit_code == 0
