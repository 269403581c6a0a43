"""Whom a connection trusts and as whom it presents itself (the cases `transport-19` and `-26`)."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
import trustme

from connector.errors import ConfigurationError, TransportError
from runtime.http.options import HttpOptions
from runtime.http.transport import Route
from runtime.http.trust import Trusts, system_trust
from tests.doubles.raw import Peer, demo, serving

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def pem(authority: trustme.CA, tmp_path: Path) -> str:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return str(tmp_path / "ca.pem")


def server_side(authority: trustme.CA, *, wants: trustme.CA | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    if wants is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        wants.configure_trust(context)
    return context


async def respond(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.answer()


async def test_transport_19_a_private_authority_is_trusted_by_the_connector_it_is_named_for(
    authority: trustme.CA, pem: str, tmp_path: Path
) -> None:
    async with serving(respond, server_side(authority)) as server:
        both: Any = {"handles": ("demo", "else"), "retry": 1}
        async with demo(tmp_path, server, server, **both, environ={"CONNECTOR_CA__DEMO": pem}) as rt:
            assert (await rt.call("demo", "s.get", {})).status == 200
            assert (await rt.call("demo:a", "s.get", {})).status == 200
            with pytest.raises(TransportError, match="not trusted") as caught:
                await rt.call("else", "s.make", {})
            assert not caught.value.sent
            assert "CONNECTOR_CA__ELSE" in caught.value.hint
        async with demo(tmp_path, server, server, **both, http=HttpOptions(cas={"else:a": Path(pem)})) as rt:
            assert (await rt.call("else:a", "s.get", {})).status == 200
            for connection in ("demo", "else", "else:b"):
                with pytest.raises(TransportError, match="not trusted"):
                    await rt.call(connection, "s.get", {})


async def test_transport_19_the_systems_authorities_stay_trusted(pem: str) -> None:
    contexts = Trusts()
    plain, private = await contexts.of(Route()), await contexts.of(Route(trust=pem))
    assert len(private.get_ca_certs()) == len(plain.get_ca_certs()) + 1
    assert plain is await contexts.of(Route(tenant="another"))


async def test_T41_the_environment_decides_on_no_authority(monkeypatch: pytest.MonkeyPatch, pem: str) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", pem)
    system_trust.cache_clear()
    assert len((await Trusts().of(Route())).get_ca_certs()) > 1


async def test_an_authority_that_was_replaced_is_read_again(authority: trustme.CA, pem: str) -> None:
    contexts = Trusts()
    old = await contexts.of(Route(trust=pem))
    trustme.CA(organization_name="another authority, with a longer name").cert_pem.write_to_path(pem)
    assert await contexts.of(Route(trust=pem)) is not old


async def test_a_client_certificate_is_shown_and_its_refusal_says_which_setting_it_is(
    authority: trustme.CA, pem: str, tmp_path: Path
) -> None:
    customers = trustme.CA()
    certificate = tmp_path / "client.pem"
    customers.issue_cert("client@example.com").private_key_and_cert_chain_pem.write_to_path(certificate)
    async with serving(respond, server_side(authority, wants=customers)) as server:
        environ = {"CONNECTOR_CA": pem, "CONNECTOR_CERT__DEMO__A": str(certificate)}
        async with demo(tmp_path, server, retry=1, environ=environ) as rt:
            assert (await rt.call("demo:a", "s.get", {})).status == 200
            with pytest.raises(TransportError, match="cut off before an answer") as caught:  # asyncio says no more
                await rt.call("demo:b", "s.get", {})
            assert "CONNECTOR_CERT__DEMO__B" in caught.value.hint


async def test_transport_17_the_alert_of_a_server_that_wants_a_certificate_is_understood(
    authority: trustme.CA, pem: str, tmp_path: Path
) -> None:
    """A server in a thread, since that of asyncio sends no alert; TLS 1.3 and 1.2 refuse at other moments."""
    for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
        context = server_side(authority, wants=trustme.CA())
        context.maximum_version = version
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def refuse() -> None:
                accepted, _ = listener.accept()
                with accepted, pytest.raises(ssl.SSLError):
                    context.wrap_socket(accepted, server_side=True)  # noqa: B023

            thread = threading.Thread(target=refuse, daemon=True)
            thread.start()
            url = f"https://127.0.0.1:{listener.getsockname()[1]}"
            async with demo(tmp_path, url, retry=1, environ={"CONNECTOR_CA": pem}) as rt:
                with pytest.raises(TransportError, match="client certificate|cut off|handshake failed") as caught:
                    await rt.call("demo", "s.get", {})
                assert "CONNECTOR_CERT__DEMO" in caught.value.hint
            thread.join(10)


async def test_transport_26_tenants_share_no_connection_and_no_session(
    authority: trustme.CA, pem: str, tmp_path: Path
) -> None:
    reused = []

    async def play(peer: Peer) -> None:
        reused.append(peer.writer.get_extra_info("ssl_object").session_reused)
        await respond(peer)

    async with serving(play, server_side(authority)) as server:
        async with demo(tmp_path, server, environ={"CONNECTOR_CA": pem}) as rt:
            for connection in ("demo:a", "demo:b", "demo:a", "demo:b", "demo"):
                await rt.call(connection, "s.get", {})
        assert (server.connections, reused) == (3, [False] * 3)


@pytest.mark.parametrize("setting", ["CONNECTOR_CA", "CONNECTOR_CA__DEMO", "CONNECTOR_CERT__DEMO__A"])
@pytest.mark.parametrize("content", [b"not PEM", b"", None], ids=["garbage", "empty", "missing"])
def test_transport_19_a_file_that_cannot_be_used_is_found_at_the_start(
    setting: str, content: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / "x.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=f"{setting}: .*x.pem cannot be"):
        demo(tmp_path, "http://127.0.0.1:1", environ={setting: str(path)})


def test_making_a_context_does_not_hold_up_the_event_loop() -> None:
    """It is made in a thread: the loop goes on while a context reads its certificates."""

    async def count() -> int:
        turns, making = 0, asyncio.ensure_future(Trusts().of(Route()))
        while not making.done():
            turns += 1
            await asyncio.sleep(0)
        return turns

    assert asyncio.run(count()) > 2


async def test_a_burst_of_connections_makes_one_context(authority: trustme.CA, pem: str) -> None:
    contexts = Trusts()
    made = await asyncio.gather(*(contexts.of(Route(tenant=str(number), trust=pem)) for number in range(50)))
    assert len(set(map(id, made))) == 1


async def test_a_file_that_went_missing_is_reported_and_read_again_when_it_is_back(
    authority: trustme.CA, pem: str
) -> None:
    contexts, content = Trusts(), Path(pem).read_bytes()
    Path(pem).unlink()
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="CONNECTOR_CA: .*cannot be read"):
            await contexts.of(Route(trust=pem))
    Path(pem).write_bytes(content)
    assert await contexts.of(Route(trust=pem))
