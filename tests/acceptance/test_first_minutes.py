"""What a newcomer does in the first minutes, with real processes and real sockets."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connector.errors import ResponseError
from runtime import Catalog, Runtime

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parent.parent.parent
#: Inputs for every published operation: what each needs and nothing more.
INPUTS: dict[str, dict[str, Any]] = {
    "chat-completions.create": {"model": "mistral-small-latest", "content": 'Quote "this"\nand \\ that'},
    "fim-completions.create": {"model": "codestral-latest", "prompt": "def f("},
    "embeddings.create": {"model": "mistral-embed", "input": "text"},
    "models.list": {},
    "models.read": {"modelId": "mistral-small-latest"},
    "models.delete": {"modelId": "ft:open-mistral-7b:1"},
    "files.list": {"page": 0, "page_size": 3},
    "files.read": {"fileId": "497f6eca-6276-4993-bfeb-53cbbbba6f09"},
    "files.delete": {"fileId": "497f6eca-6276-4993-bfeb-53cbbbba6f09"},
    "fine-tuning-jobs.list": {"status": "RUNNING"},
    "fine-tuning-jobs.read": {"jobId": "497f6eca-6276-4993-bfeb-53cbbbba6f09"},
    "fine-tuning-jobs.create": {"model": "open-mistral-7b", "trainingFileId": "497f6eca-6276-4993-bfeb-53cbbbba6f09"},
    "fine-tuning-jobs.delete": {"jobId": "497f6eca-6276-4993-bfeb-53cbbbba6f09"},
    "batch-jobs.list": {"status": ["QUEUED", "RUNNING"]},
    "batch-jobs.read": {"jobId": "497f6eca-6276-4993-bfeb-53cbbbba6f09"},
    "batch-jobs.create": {
        "inputFileId": "497f6eca-6276-4993-bfeb-53cbbbba6f09",
        "endpoint": "/v1/chat/completions",
        "model": "mistral-small-latest",
    },
    "batch-jobs.delete": {"jobId": "497f6eca-6276-4993-bfeb-53cbbbba6f09"},
    "agents-completions.create": {"agentId": "ag_1", "content": "Hello"},
    "ocr.create": {
        "model": "mistral-ocr-latest",
        "documentType": "image_url",
        "documentUrl": "https://example.com/a.png",
    },
}


@pytest.fixture(scope="module")
def mock_url() -> Iterator[str]:
    """The base URL of `connector mock mistral-ai` in a process of its own."""
    command = [sys.executable, "-m", "runtime", "mock", "mistral-ai", "--port", "0", "--json"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = []
        while not lines or lines[-1].strip() != "}":
            lines.append(process.stdout.readline())
            assert lines[-1], process.stderr.read() if process.stderr else ""
        yield next(iter(json.loads("".join(lines)).values()))
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130


def test_the_inputs_cover_every_published_operation() -> None:
    published = json.loads((ROOT / "definitions" / "mistral-ai" / "resources.json").read_text("utf-8"))
    assert set(INPUTS) == {f"{each['handle']}.{name}" for each in published for name in each["operations"]}
    assert set(INPUTS) < set(Catalog().get("mistral-ai").operations)


@pytest.mark.parametrize("operation", INPUTS)
async def test_every_operation_is_answered_and_mapped_over_a_real_socket(mock_url: str, operation: str) -> None:
    async with Runtime(
        secrets={"mistral-ai": {"apiToken": "key"}}, base_urls={"mistral-ai": mock_url}, environ={}
    ) as rt:
        result = await rt.call("mistral-ai", operation, INPUTS[operation])
    assert (result.ok, result.warnings) == (True, ())
    rows = [result.fields] if result.records is None else result.records
    assert rows
    assert all(any(value not in (None, []) for value in (row or {}).values()) for row in rows)


async def test_a_single_mock_answers_at_its_own_base_path_too(mock_url: str) -> None:
    origin = mock_url.split("/mistral-ai", maxsplit=1)[0]
    async with Runtime(
        secrets={"mistral-ai": {"apiToken": "key"}}, base_urls={"mistral-ai": f"{origin}/v1"}, environ={}
    ) as rt:
        assert (await rt.call("mistral-ai", "models.list", {})).ok


async def test_the_cancel_of_the_published_file_is_refused_as_the_provider_would(mock_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "mistral-ai"
    folder.mkdir()
    for name in ("service", "resources"):
        # Without its overlay the definition still says DELETE.
        (folder / f"{name}.json").write_text((ROOT / f"definitions/mistral-ai/{name}.json").read_text("utf-8"))
    async with Runtime(
        tmp_path, secrets={"mistral-ai": {"apiToken": "key"}}, base_urls={"mistral-ai": mock_url}, environ={}
    ) as rt:
        with pytest.raises(ResponseError) as caught:
            await rt.call("mistral-ai", "batch-jobs.delete", INPUTS["batch-jobs.delete"])
    assert caught.value.status == 405


def test_the_command_prints_mapped_fields_as_json() -> None:
    command = [sys.executable, "-m", "runtime", "call", "mistral-ai", "chat-completions.create"]
    inputs = ["model=mistral-small-latest", "content=Say hello", "--mock", "--json"]
    done = subprocess.run([*command, *inputs], cwd=ROOT, capture_output=True, text=True, check=True)
    document = json.loads(done.stdout)
    assert document["ok"] is True
    assert len(document["fields"]) == 10
    assert document["fields"]["choices_message_content"] == ["Hello! How can I help you today?"]
    assert document["request"]["headers"]["Authorization"] == "Bearer ***"


def test_T41_the_mock_never_gets_the_real_secret_nor_a_proxy() -> None:
    with socket.socket() as proxy:
        proxy.bind(("127.0.0.1", 0))
        proxy.listen()
        proxy.setblocking(False)
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        environ = {**os.environ, "CONNECTOR_SECRET__MISTRAL_AI__APITOKEN": "sk-canary-27182"}
        environ |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), address)
        command = [sys.executable, "-m", "runtime", "call", "mistral-ai", "models.list", "--mock", "--json"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env=environ)
        assert "canary" not in done.stdout + done.stderr
        with pytest.raises(BlockingIOError):
            proxy.accept()
