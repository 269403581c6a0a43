"""The loopback end of a login: only the request with the right state counts, and the wait ends in every case."""

from __future__ import annotations

import asyncio
import urllib.parse

import pytest

from connector.errors import ConfigurationError, NeedsReauthorization
from runtime.config.login import Loopback

pytestmark = pytest.mark.anyio
STATE = "the-state"


async def ask(loopback: Loopback, target: str, method: str = "GET") -> str:
    """What the server answers, as text."""
    port = urllib.parse.urlsplit(loopback.redirect_uri).port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_the_code_with_the_state_of_this_login_is_taken() -> None:
    async with Loopback("shop", STATE) as loopback:
        answer = await ask(loopback, f"/callback?code=c%2F1&state={STATE}")
        assert await loopback.code() == "c/1"
    assert answer.startswith("HTTP/1.1 200 OK")
    assert "c/1" not in answer
    assert "c%2F1" not in answer


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/callback?code=evil&state=other", 400),
        ("GET", "/callback?code=evil", 400),
        ("GET", "/callback?code=evil&state=th%C3%A9", 400),
        ("GET", f"/favicon.ico?code=evil&state={STATE}", 404),
        ("POST", f"/callback?code=evil&state={STATE}", 404),
        ("GET", "*", 404),
    ],
)
async def test_any_other_request_is_answered_and_forgotten(method: str, target: str, status: int) -> None:
    async with Loopback("shop", STATE) as loopback:
        answer = await ask(loopback, target, method)
        assert answer.startswith(f"HTTP/1.1 {status} ")
        await ask(loopback, f"/callback?code=good&state={STATE}")
        assert await loopback.code() == "good"


async def test_the_first_code_counts() -> None:
    async with Loopback("shop", STATE) as loopback:
        for code in ("first", "second"):
            await ask(loopback, f"/callback?code={code}&state={STATE}")
        assert await loopback.code() == "first"


async def test_a_refusal_is_said_in_the_words_of_the_provider_and_shown_in_no_page() -> None:
    async with Loopback("shop:b", STATE) as loopback:
        answer = await ask(loopback, f"/callback?error=access_denied&error_description=%1B[2J<b>no&state={STATE}")
        with pytest.raises(NeedsReauthorization, match=r"the provider refused: access_denied:  \[2J<b>no") as caught:
            await loopback.code()
    assert "<b>" not in answer
    assert "connector connections login shop:b" in caught.value.hint


async def test_the_wait_ends_after_its_time_and_leaves_no_open_door() -> None:
    async with Loopback("shop", STATE, patience=0.01) as loopback:
        port = urllib.parse.urlsplit(loopback.redirect_uri).port
        # A browser may open a connection that it never uses.
        _, idle = await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises(NeedsReauthorization, match=r"no one allowed it within 0.01 s"):
            await loopback.code()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    idle.close()


async def test_a_head_without_an_end_is_not_read_for_ever() -> None:
    async with Loopback("shop", STATE) as loopback:
        assert await _flood(loopback) == b""
        await ask(loopback, f"/callback?code=good&state={STATE}")
        assert await loopback.code() == "good"


async def _flood(loopback: Loopback) -> bytes:
    port = urllib.parse.urlsplit(loopback.redirect_uri).port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET /" + b"x" * 200_000)
        await writer.drain()
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_a_port_that_is_taken_is_named() -> None:
    async with Loopback("shop", STATE) as loopback:
        port = urllib.parse.urlsplit(loopback.redirect_uri).port
        assert port is not None
        with pytest.raises(ConfigurationError, match=f"port {port} of 127.0.0.1: "):
            async with Loopback("shop", STATE, port=port):
                pass
