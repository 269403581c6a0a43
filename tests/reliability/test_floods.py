"""Floods at the ingress, and what they take: processor time for signatures, memory for bodies."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from connector.errors import InvalidSignature
from connector.events.signatures import SIGNATURE_SCHEMES, StandardWebhooks, Verified, read_signature, sign
from connector.headers import Headers
from connector.messages import Request
from tests.doubles.processes import post, process
from tests.doubles.served import PATH, SECRET

NOW, BODY, MANY = 1_800_000_000, b'{"id": "t"}', 100_000
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PUBLIC = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
BOGUS = base64.b64encode(b"\0" * 32).decode()


@pytest.mark.parametrize(
    ("source", "secret", "good", "bogus"),
    [
        ({"scheme": "standard-webhooks"}, SECRET, sign([SECRET], "m-1", NOW, BODY)["webhook-signature"], f"v1,{BOGUS} "),
        (
            {"scheme": "hmac", "header": "webhook-signature", "prefix": "v1="},
            "a-secret",
            "v1=" + hmac.new(b"a-secret", BODY, hashlib.sha256).hexdigest(),
            f"v1={'0' * 64},",
        ),
        (
            {"scheme": "ed25519", "header": "webhook-signature"},
            PUBLIC,
            KEY.sign(BODY).hex(),
            f"{'0' * 128},",
        ),
        ({"scheme": "bearer", "header": "webhook-signature"}, "a-secret", "a-secret", "another-secret "),
        (
            {"scheme": "asymmetric", "algorithm": "ed25519", "header": "webhook-signature"},
            PUBLIC,
            KEY.sign(BODY).hex(),
            f"{'0' * 128},",
        ),
    ],
    ids=SIGNATURE_SCHEMES,
)  # fmt: skip
def test_T61_100000_signatures_and_then_the_good_one_are_refused_in_no_time(
    source: dict[str, Any], secret: str, good: str, bogus: str
) -> None:
    scheme = read_signature(source, lambda _: None)

    def verify(text: str) -> Verified:
        headers = {"webhook-id": "m-1", "webhook-timestamp": str(NOW), "webhook-signature": text}
        return scheme.verify(Request("POST", "https://x.example", headers=Headers(headers), body=BODY), [secret], NOW)

    assert verify(good)
    with pytest.raises(InvalidSignature):
        verify(bogus * MANY + good)
    flood, taken = bogus * MANY + good, []
    for _ in range(7):
        began = time.process_time()
        with contextlib.suppress(InvalidSignature):
            verify(flood)
        taken.append(time.process_time() - began)
    # Without a limit it would be 35 ms and more.
    assert min(taken) < 0.002


@pytest.mark.parametrize(("count", "refused"), [(9, False), (10, True)])
def test_T61_ten_signatures_are_looked_at(count: int, refused: bool) -> None:
    headers = sign([SECRET], "m-1", NOW, BODY)
    headers["webhook-signature"] = f"v1,{BOGUS} " * count + headers["webhook-signature"]
    request = Request("POST", "https://x.example", headers=Headers(headers), body=BODY)
    with pytest.raises(InvalidSignature) if refused else contextlib.nullcontext():
        assert StandardWebhooks().verify(request, [SECRET], NOW) == Verified("m-1", NOW)


def memory(pid: int, name: str) -> int:
    """Bytes of a process, as Linux counts them: VmRSS, what it has now, VmHWM, the most that it had."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text("utf-8"))
    assert found is not None
    return int(found[1]) * 1024


def bodies() -> Iterator[tuple[str, int, Iterator[bytes]]]:
    """The framing of each hostile body, how many mebibytes it has, and its pieces."""
    mebibyte = b"x" * 1024 * 1024
    for length, count in ((300 * len(mebibyte), 300), (10**12, 300), (5 * len(mebibyte), 5)):
        yield f"content-length: {length}", count, (mebibyte for _ in range(count))
    for count in (2, 300):
        pieces = (b"%x\r\n%s\r\n" % (len(mebibyte), mebibyte) for _ in range(count))
        yield "transfer-encoding: chunked", count, pieces


async def flood(port: int, framing: str, pieces: Iterator[bytes]) -> bytes:
    """Sends as much as the server takes; gives the status, or nothing if what we still sent destroyed the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    answer = asyncio.create_task(reader.readline())
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{framing}\r\n\r\n"
    with contextlib.suppress(ConnectionError):
        writer.write(head.encode())
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            if answer.done():
                break
        if "chunked" in framing:
            writer.write(b"0\r\n\r\n")
    line = b""
    with contextlib.suppress(ConnectionError):
        line = await asyncio.wait_for(answer, 30)
    writer.close()
    return line[9:12]


@pytest.mark.anyio
async def test_T68_bodies_of_any_length_are_413_and_take_no_5_mebibytes_of_memory(tmp_path: Path) -> None:
    peak = Path("/proc/self/clear_refs")
    if not peak.exists():
        pytest.skip("only Linux says how much memory a process had at most")
    async with process(tmp_path) as (server, url), httpx2.AsyncClient(trust_env=False, timeout=30) as client:
        port = urlsplit(url).port
        assert port is not None
        for number in range(50):
            assert await post(client, url, f"m-{number}") == 202
        # What it had at most begins anew (proc(5)).
        Path(f"/proc/{server.pid}/clear_refs").write_text("5", "ascii")
        before = memory(server.pid, "VmRSS")
        for framing, mebibytes, pieces in bodies():
            status = await flood(port, framing, pieces)
            assert status == b"413" or (mebibytes > 5 and not status), framing
        assert memory(server.pid, "VmHWM") - before <= 5 * 1024 * 1024
        assert await post(client, url, "after") == 202
