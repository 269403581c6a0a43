"""The HTTP client against providers and networks that misbehave; hazards by their ids, P2 and P4 are the faults."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import logging
import os
import ssl
import sys
import textwrap
import time
import traceback
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpcore2 as httpcore
import httpx2 as httpx
import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.errors import BlockedAddress, MappingError, TransportError
from connector.headers import Headers
from connector.messages import Request, Response
from runtime.config.settings import Limits
from runtime.http.client import DEFAULT_LIMITS, Client
from runtime.http.guard import Guard
from tests.doubles.faults import MIB, FaultServer, black_hole, canary

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[3]
SECRET = "canary-of-a-secret"
SHORT = Limits(deadline=0.3, connect=0.2)


@pytest.fixture
async def provider() -> AsyncIterator[FaultServer]:
    async with FaultServer() as server:
        yield server


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def tls_provider(authority: trustme.CA) -> AsyncIterator[FaultServer]:
    """A provider called api.example.com that speaks TLS; nothing but an injected resolver knows where it is."""
    async with FaultServer(tls=server_side(authority, "api.example.com"), host="api.example.com") as server:
        yield server


def server_side(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


class Loopback:
    """A resolver for which every name is on loopback; counts the lookups."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses or ("127.0.0.1",)
        self.lookups = 0

    async def __call__(self, _host: str, _port: int) -> Sequence[str]:
        self.lookups += 1
        return self.addresses


def client_for(server: FaultServer, limits: Limits = DEFAULT_LIMITS, **options: Any) -> Client:
    return Client(Guard({server.origin}, Loopback()), limits, **options)


async def get(client: Client, url: str, **fields: str) -> Response:
    return await client.send(Request("GET", url, headers=Headers(fields)), operation="files.list")


async def failure_of(client: Client, url: str) -> TransportError | MappingError:
    """What a call ends with; the checks that hold for every failure are made here."""
    headers = Headers({"Authorization": f"Bearer {SECRET}"})
    request = Request("POST", f"{url}?key={SECRET}", headers=headers, body=SECRET.encode(), secrets=frozenset({SECRET}))
    with pytest.raises((TransportError, MappingError)) as caught:
        async with asyncio.timeout(20):
            await client.send(request, operation="files.list")
    error = caught.value
    assert isinstance(error, TransportError | MappingError)
    assert error.message.startswith("files.list: ")
    assert error.operation == "files.list"
    assert error.hint
    assert error.request == request.masked()
    assert error.__context__ is None
    shown = "".join(traceback.format_exception(error)) + error.hint
    assert SECRET not in shown
    assert "canary-of-the-provider" not in shown
    return error


# --- a call that goes well -------------------------------------------------------------------------------------------


async def test_a_request_arrives_with_what_was_declared_and_the_fields_every_request_needs(
    provider: FaultServer,
) -> None:
    async with client_for(provider) as client:
        request = Request(
            "POST", provider.url("/echo?a=b%20c#fragment"), headers=Headers({"X-Api-Key": "k"}), body=b'{"a": 1}'
        )
        response = await client.send(request, operation="files.create")
    (received,) = provider.requests
    assert received.line == "POST /echo?a=b%20c HTTP/1.1"
    assert received.body == b'{"a": 1}'
    assert dict(received.headers) == {
        "host": f"127.0.0.1:{provider.port}",
        "x-api-key": "k",
        "user-agent": received.values("user-agent")[0],
        "accept-encoding": "gzip",
        "content-length": "8",
    }
    assert received.values("user-agent")[0].startswith("connector-runtime/")
    assert (response.status, response.content_type) == (200, "application/json")
    assert json.loads(response.body)["body"] == '{"a": 1}'


async def test_a_declared_field_is_sent_once_and_as_declared(provider: FaultServer) -> None:
    declared = {"User-Agent": "mine", "ACCEPT-ENCODING": "identity", "host": "virtual.example", "X-Empty": ""}
    async with client_for(provider) as client:
        await client.send(Request("GET", provider.url("/echo"), headers=Headers(declared)), operation="files.list")
    assert sorted(provider.requests[0].headers) == sorted((name.lower(), text) for name, text in declared.items())


@pytest.mark.parametrize(
    "declared", [{"content-length": "1"}, {"Content-Length": "99"}, {"TRANSFER-ENCODING": "chunked"}]
)
async def test_T27_the_length_of_a_body_is_what_it_is_and_not_what_was_declared(
    provider: FaultServer, declared: dict[str, str]
) -> None:
    async with client_for(provider) as client:
        await client.send(
            Request("PUT", provider.url("/echo"), headers=Headers(declared), body=b"four"), operation="files.put"
        )
    (received,) = provider.requests
    assert received.body == b"four"
    assert received.values("content-length") == ["4"]
    assert received.values("transfer-encoding") == []


@pytest.mark.parametrize(
    ("method", "body", "length"),
    [("GET", None, []), ("DELETE", None, []), ("POST", None, ["0"]), ("GET", b"x", ["1"]), ("PATCH", b"", ["0"])],
)
async def test_a_body_states_its_length_and_none_is_none(
    provider: FaultServer, method: str, body: bytes | None, length: list[str]
) -> None:
    async with client_for(provider) as client:
        await client.send(Request(method, provider.url("/echo"), body=body), operation="files.list")
    assert provider.requests[0].values("content-length") == length


async def test_a_connection_serves_one_request_after_another(provider: FaultServer) -> None:
    async with client_for(provider) as client:
        for _ in range(3):
            await get(client, provider.url("/echo"))
    assert (provider.connections, len(provider.requests)) == (1, 3)
    await provider.all_closed()


async def test_requests_beyond_the_connections_wait_for_one(provider: FaultServer) -> None:
    async with client_for(provider, Limits(connections=2)) as client:
        answers = await asyncio.gather(*(get(client, provider.url("/echo")) for _ in range(8)))
    assert [answer.status for answer in answers] == [200] * 8
    assert provider.connections == 2


async def test_an_interim_answer_and_forty_kilobytes_of_fields_are_fine(provider: FaultServer) -> None:
    async with client_for(provider) as client:
        assert (await get(client, provider.url("/interim"))).body == b"ok"
        assert len((await get(client, provider.url("/some-fields"))).headers) == 41


# --- where a request goes --------------------------------------------------------------------------------------------


async def test_T34_the_numeric_address_is_connected_to_while_sni_host_and_certificate_keep_the_name(
    tls_provider: FaultServer, authority: trustme.CA
) -> None:
    names = Loopback()
    async with Client(Guard({tls_provider.origin}, names), ssl_context=trusting(authority)) as client:
        response = await get(client, tls_provider.url("/echo"))
        await get(client, tls_provider.url("/echo"))
    assert response.status == 200
    received = tls_provider.requests[0]
    assert received.sni == "api.example.com"
    assert received.values("host") == [f"api.example.com:{tls_provider.port}"]
    assert names.lookups == 1, "a lookup is made for a connection, not for a request"


async def test_T34_a_name_that_changes_its_mind_is_refused_when_it_is_connected_to() -> None:
    answers = iter([["93.184.215.14"], ["127.0.0.1"]])

    async def rebinding(_host: str, _port: int) -> Sequence[str]:
        return next(answers)

    guard = Guard(resolver=rebinding)
    await guard.resolve("api.example.com", 443)
    async with Client(guard) as client:
        error = await failure_of(client, "https://api.example.com/v1")
    assert isinstance(error, BlockedAddress)


async def test_T34_the_next_address_is_tried_when_one_refuses(provider: FaultServer) -> None:
    provider.host = "api.example.com"
    guard = Guard({provider.origin}, Loopback("127.0.0.2", "127.0.0.3", "127.0.0.1"))
    async with Client(guard) as client:
        assert (await get(client, provider.url("/echo"))).status == 200


@pytest.mark.parametrize(
    "other",
    [
        pytest.param("http://evil.example/v1", id="T29-T36-other-host"),
        pytest.param("https://api.example.com/v1", id="T37-other-scheme"),
        pytest.param("http://api.example.com:81/v1", id="T37-other-port"),
    ],
)
async def test_T29_T36_T37_a_credential_is_not_sent_to_another_origin(provider: FaultServer, other: str) -> None:
    """The operator allowed the address itself; its credentials still belong elsewhere."""
    async with client_for(provider) as client:
        with pytest.raises(BlockedAddress, match=r"^files\.list: .*credentials belong to") as caught:
            await client.send(Request("GET", provider.url("/echo")), operation="files.list", origin=other)
    assert caught.value.request == Request("GET", provider.url("/echo"))
    assert provider.connections == 0


async def test_T29_a_credential_is_sent_to_its_own_origin(provider: FaultServer) -> None:
    async with client_for(provider) as client:
        base = provider.url("/v1").upper().replace("/V1", "/v1")
        response = await client.send(Request("GET", provider.url("/echo")), operation="files.list", origin=base)
    assert response.status == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param("/redirect-inside", 302, id="T35-internal-address"),
        pytest.param("/redirect-post", 307, id="T35-307-on-post"),
        pytest.param("/redirect-file", 302, id="T35-file"),
        pytest.param("/redirect-loop", 302, id="T35-loop"),
        pytest.param("/redirect-nowhere", 302, id="T35-no-location"),
    ],
)
async def test_T35_T36_a_redirect_is_an_answer_and_is_not_followed(
    provider: FaultServer, path: str, status: int
) -> None:
    async with client_for(provider) as client:
        request = Request("POST", provider.url(path), headers=Headers({"X-Api-Key": "k"}), body=b"{}")
        assert (await client.send(request, operation="files.create")).status == status
    assert len(provider.requests) == 1


async def test_T41_proxies_and_netrc_of_the_environment_are_ignored(
    provider: FaultServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with canary() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        async with client_for(provider) as client:
            assert (await get(client, provider.url("/unauthorized"))).status == 401
            assert (await get(client, provider.url("/echo"))).status == 200
        assert proxy.connections == 0
    assert [request.values("authorization") for request in provider.requests] == [[], []]


async def test_T41_a_certificate_authority_from_the_environment_is_not_trusted(
    tls_provider: FaultServer, authority: trustme.CA, tmp_path: Path
) -> None:
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    output = await run_python(
        """
        async with Client(Guard({origin}, loopback)) as client:
            try:
                await client.send(Request("GET", origin + "/echo"), operation="files.list")
            except TransportError as error:
                print(error)
        """,
        tls_provider.origin,
        SSL_CERT_FILE=str(bundle),
        SSL_CERT_DIR=str(tmp_path),
    )
    assert "certificate of the host is not trusted" in output
    assert tls_provider.requests == []


async def run_python(code: str, origin: str, **environment: str) -> str:
    """Run the body of a coroutine in a process of its own; give what it printed."""
    prelude = """
        import asyncio, resource, sys
        from connector.errors import TransportError
        from connector.messages import Request
        from runtime.http.client import Client
        from runtime.http.guard import Guard
        from runtime.config.settings import Limits
        origin = sys.argv[1]
        async def loopback(host, port):
            return ["127.0.0.1"]
        async def main():
        """
    program = textwrap.dedent(prelude) + textwrap.indent(textwrap.dedent(code), "    ") + "\nasyncio.run(main())\n"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, origin),
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


# --- answers that cost too much --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/drip", "/drip-head", "/drip-interim", "/half-open", "/half-a-body"])
async def test_T45_P4_a_drip_ends_at_the_total_deadline_and_frees_its_connection(
    provider: FaultServer, path: str
) -> None:
    async with client_for(provider, SHORT) as client:
        started = time.monotonic()
        error = await failure_of(client, provider.url(path))
        assert 0.3 <= time.monotonic() - started < 10
        assert "no complete answer within 0.3 s" in error.message
        assert "may have been carried out" in error.hint
        await provider.all_closed()


async def test_T45_the_wait_for_a_connection_counts_as_well(provider: FaultServer) -> None:
    async with client_for(provider, Limits(deadline=0.3, connections=1)) as client:
        errors = await asyncio.gather(*(failure_of(client, provider.url("/half-open")) for _ in range(2)))
        answered, waited = errors
        assert answered.message == "files.list: no complete answer within 0.3 s"
        assert "waiting for one of the 1 connections" in waited.message
        assert isinstance(waited, TransportError)
        assert not waited.sent
        assert (await get(client, provider.url("/echo"))).status == 200, "the slot is free again"


async def test_T45_a_provider_that_does_not_read_is_left_at_the_deadline() -> None:
    async def deaf(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await stopped.wait()
        writer.close()

    stopped = asyncio.Event()
    async with await asyncio.start_server(deaf, "127.0.0.1", 0, limit=1) as server:
        origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with Client(Guard({origin}), SHORT) as client:
            with pytest.raises(TransportError, match=r"within 0\.3 s"):
                await client.send(Request("POST", origin, body=bytes(32 * MIB)), operation="files.create")
        stopped.set()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        pytest.param("/interim-flood", "head of the answer is larger", id="T46-1xx-flood"),
        pytest.param("/many-fields", "head of the answer is larger", id="T46-300-fields"),
        pytest.param("/length-and-chunked", "states its length twice", id="T46-CL-and-TE"),
        pytest.param("/two-lengths", "expected an answer in HTTP/1.1", id="T46-two-CL"),
        pytest.param("/short-body", "broke off after 9 of 100 bytes", id="T46-short-body"),
        pytest.param("/short-chunk", "broke off after 9 of an unknown number of bytes", id="T46-short-chunk"),
        pytest.param("/garbage", "expected an answer in HTTP/1.1", id="T46-garbage-status"),
        pytest.param("/garbage-field", "expected an answer in HTTP/1.1", id="T46-garbage-field"),
        pytest.param("/switch", "another protocol than HTTP", id="T46-switch-unasked"),
        pytest.param("/close", "closed before the head", id="P2-close"),
        pytest.param("/reset", "broke before an answer", id="P2-reset"),
        pytest.param("/reset-in-body", "broke off after 9 of 100 bytes", id="P2-reset-in-body"),
    ],
)
async def test_T46_an_answer_that_is_not_one_is_a_typed_error_and_takes_its_connection_with_it(
    provider: FaultServer, path: str, words: str
) -> None:
    async with client_for(provider) as client:
        error = await failure_of(client, provider.url(path))
        assert type(error) is TransportError
        assert words in error.message
        assert "may have been carried out" in error.hint
        await provider.all_closed()
    assert len(provider.requests) == 1, "nothing is tried again here"


#: Pieces that answers are made of, right and wrong, from which the fuzz test below puts its own together.
PIECES = [
    *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200\r\n", b"HTTP/1.1 204 No Content\r\n", b"HTTP/1.1 100 C\r\n\r\n"),
    *(b"HTTP/1.1 099 X\r\n", b"HTTP/1.1 999 X\r\n", b"HTTP/2 200\r\n", b"HTTP/1.1 200", b"ICY 200 OK\r\n"),
    *(b"Content-Length: 3\r\n", b"Content-Length: -1\r\n", b"Content-Length: 99999999999999999999999\r\n"),
    *(b"Content-Length: \xb2\r\n", b"Content-Length: 1, 2\r\n", b"Transfer-Encoding: chunked\r\n"),
    *(b"Transfer-Encoding: gzip\r\n", b"Content-Encoding: gzip\r\n", b"Content-Encoding: gzip, br\r\n"),
    *(b"Content-Encoding: \xe9\r\n", b"Connection: close\r\n", b"X: \x00\r\n", b" folded\r\n", b": no name\r\n"),
    *(
        b"Upgrade: h2c\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"3\r\nabc\r\n",
        b"0\r\n\r\n",
        b"ffffffffffffffffffff\r\n",
        b"-1\r\n",
    ),
    *(b"abc", b"\x1f\x8b\x08", gzip.compress(b"abc"), gzip.compress(b""), b"\x00" * 100, b"x" * 70_000),
]


@given(st.lists(st.sampled_from(PIECES), max_size=12))
@settings(max_examples=300, deadline=None)
async def test_T46_whatever_bytes_come_the_end_is_an_answer_or_a_typed_error(pieces: list[bytes]) -> None:
    async with FaultServer() as provider, client_for(provider, Limits(deadline=5)) as client:
        request = Request("POST", provider.url("/raw"), body=b"".join(pieces))
        with contextlib.suppress(TransportError, MappingError):
            assert 200 <= (await client.send(request, operation="files.list")).status <= 999
        await provider.all_closed()


async def test_T46_the_limit_of_a_head_holds_to_the_byte_even_if_all_of_it_comes_at_once(provider: FaultServer) -> None:
    head = b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n"
    request = Request("POST", provider.url("/raw"), body=head)
    async with client_for(provider, Limits(head_bytes=len(head))) as client:
        assert (await client.send(request, operation="files.list")).status == 204
    async with client_for(provider, Limits(head_bytes=len(head) - 1)) as client:
        with pytest.raises(TransportError, match=f"larger than {len(head) - 1} bytes"):
            await client.send(request, operation="files.list")


async def test_T46_a_protocol_switch_that_was_asked_for_is_refused_as_well(provider: FaultServer) -> None:
    async with client_for(provider) as client:
        with pytest.raises(TransportError, match="switched to another protocol"):
            await get(client, provider.url("/switch"), Upgrade="chat", Connection="Upgrade")
        await provider.all_closed()


async def test_T46_an_answer_left_over_from_the_request_before_is_never_read(provider: FaultServer) -> None:
    async with client_for(provider) as client:
        assert (await get(client, provider.url("/stray"))).status == 204
        assert (await get(client, provider.url("/echo"))).status == 200
        assert provider.connections == 2


async def test_T49_a_cookie_is_forgotten(provider: FaultServer) -> None:
    async with client_for(provider) as client:
        assert (await get(client, provider.url("/cookie"))).headers["set-cookie"] == "sid=tenantA; Path=/"
        await get(client, provider.url("/echo"))
    assert provider.requests[1].values("cookie") == []


# --- a network that fails --------------------------------------------------------------------------------------------


async def test_P2_a_name_that_does_not_resolve_is_told_apart() -> None:
    async def unknown(_host: str, _port: int) -> Sequence[str]:
        raise OSError(SECRET)

    async with Client(Guard(resolver=unknown)) as client:
        error = await failure_of(client, "https://api.example.com/v1")
    assert "the name api.example.com could not be resolved" in error.message
    assert "safe to try again" in error.hint


async def test_P2_a_port_nobody_listens_on_is_told_apart(provider: FaultServer) -> None:
    async with Client(Guard({"http://127.0.0.1:1"})) as client:
        error = await failure_of(client, "http://127.0.0.1:1/")
    assert "no connection to 127.0.0.1 port 1" in error.message
    assert "safe to try again" in error.hint


async def test_P4_a_black_hole_costs_the_time_to_connect_and_not_the_deadline() -> None:
    with black_hole() as port:
        async with Client(Guard({f"http://127.0.0.1:{port}"}), Limits(deadline=60, connect=0.2)) as client:
            error = await failure_of(client, f"http://127.0.0.1:{port}/")
    assert "no connection" in error.message
    assert "safe to try again" in error.hint


async def test_P4_a_lookup_that_hangs_costs_the_time_to_connect_and_not_the_deadline() -> None:
    async def hanging(_host: str, _port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    async with Client(Guard(resolver=hanging), Limits(deadline=60, connect=0.2)) as client:
        error = await failure_of(client, "https://api.example.com/")
    assert "no connection to api.example.com port 443 in the time allowed for it, 0.2 s" in error.message


async def test_P4_a_black_hole_leaves_time_for_the_next_address() -> None:
    """127.0.0.1 swallows connections on this port; the address after it has a server on the same one."""
    with black_hole() as port:
        server = await asyncio.start_server(answer_once, "127.0.0.2", port)
        async with (
            server,
            Client(
                Guard({f"http://api.example.com:{port}"}, Loopback("127.0.0.1", "127.0.0.2")), Limits(connect=0.6)
            ) as client,
        ):
            assert (await get(client, f"http://api.example.com:{port}/")).body == b"ok"


async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
    writer.close()
    await writer.wait_closed()


async def test_P2_a_certificate_of_an_unknown_authority_is_refused(
    tls_provider: FaultServer, authority: trustme.CA
) -> None:
    async with client_for(tls_provider) as client:
        error = await failure_of(client, tls_provider.url("/echo"))
    assert "certificate of the host is not trusted" in error.message
    assert tls_provider.requests == []


async def test_P2_a_certificate_of_another_name_is_refused(authority: trustme.CA) -> None:
    context = server_side(authority, "other.example.com")
    async with FaultServer(tls=context, host="api.example.com") as server:
        async with client_for(server, ssl_context=trusting(authority)) as client:
            error = await failure_of(client, server.url("/echo"))
        assert "not trusted: Hostname mismatch" in error.message
        assert server.requests == []


async def test_P2_a_port_that_does_not_speak_tls_is_told_apart() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
        origin = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with Client(Guard({origin})) as client:
            error = await failure_of(client, origin)
    assert "TLS handshake failed" in error.message
    assert "safe to try again" in error.hint


async def test_P4_a_tls_handshake_that_hangs_ends_and_its_connection_is_closed() -> None:
    """Whether the time to connect comes first, or the deadline, or somebody stops waiting."""
    closed = asyncio.Semaphore(0)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1024):
            pass
        writer.close()
        closed.release()

    async with asyncio.timeout(20), await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        origin = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with Client(Guard({origin}), Limits(connect=0.2)) as client:
            error = await failure_of(client, origin)
            assert "handshake was not finished" in error.message
            assert "safe to try again" in error.hint
            await closed.acquire()
        async with Client(Guard({origin}), Limits(deadline=0.2)) as client:
            assert "within 0.2 s" in (await failure_of(client, origin)).message
            await closed.acquire()
        async with Client(Guard({origin})) as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(get(client, origin), 0.2)
            await closed.acquire()


@pytest.mark.parametrize("path", ["/half-open", "/half-a-body", "/drip-head", "/endless"])
async def test_P4_a_cancelled_call_closes_its_connection(provider: FaultServer, path: str) -> None:
    async with client_for(provider, Limits(connections=1)) as client:
        call = asyncio.create_task(get(client, provider.url(path)))
        async with asyncio.timeout(10):
            while not provider.requests:
                await asyncio.sleep(0.001)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await provider.all_closed()
        assert (await get(client, provider.url("/echo"))).status == 200


# --- what is shown ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [{"X-Key": f"{SECRET}\r\nX-Evil: 1"}, {"X-Key": f"{SECRET}é"}, {"X Key": SECRET}, {"X-Key": f"{SECRET}\0"}],
)
async def test_T26_a_field_that_would_break_the_request_is_not_sent_and_not_shown(
    provider: FaultServer, fields: dict[str, str]
) -> None:
    async with client_for(provider) as client:
        request = Request("GET", provider.url("/echo"), headers=Headers(fields), secrets=frozenset(fields.values()))
        with pytest.raises(TransportError, match=r"not valid HTTP/1\.1") as caught:
            await client.send(request, operation="files.list")
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None
    assert provider.requests == []


async def test_T55_nothing_of_a_call_is_logged_even_at_debug(
    provider: FaultServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with client_for(provider) as client:
        await get(client, provider.url(f"/cookie?key={SECRET}"), Authorization=SECRET)
    assert [record for record in caplog.records if record.name != "asyncio"] == []
    assert SECRET not in caplog.text


# --- in place of the network -----------------------------------------------------------------------------------------


async def test_an_injected_transport_stands_in_for_the_network_and_the_guard_is_not_asked() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(201, json={"url": str(request.url), "sent": request.content.decode(), **request.headers})

    async with Client(Guard(), transport=httpx.MockTransport(handle)) as client:
        request = Request("POST", "http://localhost/v1?a=b", headers=Headers({"X-Api-Key": "k"}), body=b"{}")
        response = await client.send(request, operation="files.create", origin="http://localhost/")
        with pytest.raises(BlockedAddress):
            await client.send(request, operation="files.create", origin="https://localhost/")
    assert response.status == 201
    seen = json.loads(response.body)
    assert (seen["url"], seen["sent"], seen["x-api-key"]) == ("http://localhost/v1?a=b", "{}", "k")
    assert (seen["host"], seen["content-length"], seen["accept-encoding"]) == ("localhost", "2", "gzip")


async def test_an_asgi_application_stands_in_for_the_network() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": scope["path"].encode() + body})

    async with Client(Guard(), transport=httpx.ASGITransport(application)) as client:
        response = await client.send(Request("POST", "http://x/v1", body=b"!"), operation="files.create")
    assert response == Response(200, Headers({"Content-Type": "text/plain"}), b"/v1!")


async def test_the_limits_hold_for_an_injected_transport_as_well() -> None:
    async def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/slow":
            await asyncio.Event().wait()
        return httpx.Response(200, content=b"x" * 11)

    limits = Limits(deadline=0.1, response_bytes=10)
    async with Client(Guard(), limits, transport=httpx.MockTransport(handle)) as client:
        assert "within 0.1 s" in (await failure_of(client, "http://x/slow")).message
        assert "larger than 10 bytes" in (await failure_of(client, "http://x/large")).message


async def test_a_call_that_ends_early_has_cleaned_up_when_it_ends() -> None:
    class Endless(httpx.AsyncByteStream):
        ended = False

        async def __aiter__(self) -> AsyncIterator[bytes]:
            try:
                while True:
                    yield bytes(1000)
            finally:
                self.ended = True

    stream = Endless()
    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=stream))
    async with Client(Guard(), Limits(response_bytes=5000), transport=transport) as client:
        await failure_of(client, "https://api.example.com/")
        assert stream.ended, "not by the garbage collector, some time later"


async def test_a_stream_whose_iterator_cannot_be_closed_is_read_as_well() -> None:
    class Three:
        left = 3

        def __aiter__(self) -> AsyncIterator[bytes]:
            return self

        async def __anext__(self) -> bytes:
            self.left -= 1
            if self.left < 0:
                raise StopAsyncIteration
            return b"x"

    class Stream(httpx.AsyncByteStream):
        def __aiter__(self) -> AsyncIterator[bytes]:
            return Three()

    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=Stream()))
    async with Client(Guard(), transport=transport) as client:
        assert (await get(client, "https://api.example.com/")).body == b"xxx"


def library_errors() -> Iterator[type[Exception]]:
    """Every exception by which httpcore2 and httpx2 say that an exchange failed."""
    for name in httpcore.__all__:
        each = getattr(httpcore, name)
        if isinstance(each, type) and issubclass(each, Exception):
            yield each
    for name in httpx.__all__:
        each = getattr(httpx, name)
        if isinstance(each, type) and issubclass(each, httpx.TransportError):
            yield each


#: Raised only about proxies, which there are none of, about schemes, which the guard reads, and inside the pool.
IMPOSSIBLE = {httpcore.ProxyError, httpcore.UnsupportedProtocol, httpcore.ConnectionNotAvailable}


@pytest.mark.parametrize("kind", sorted(set(library_errors()) - IMPOSSIBLE, key=str), ids=str)
async def test_no_error_of_the_libraries_gets_through(kind: type[Exception]) -> None:
    """Fails when the layer below grows an exception that nobody gave a meaning."""

    def handle(_: httpx.Request) -> httpx.Response:
        raise kind("canary-of-the-provider")

    async with Client(Guard(), transport=httpx.MockTransport(handle)) as client:
        assert type(await failure_of(client, "https://api.example.com/")) is TransportError


@pytest.mark.parametrize("error", [TimeoutError("mine"), AssertionError("mine"), FileNotFoundError("mine")])
async def test_a_mistake_in_an_injected_transport_is_shown_as_it_is(error: Exception) -> None:
    def handle(_: httpx.Request) -> httpx.Response:
        raise error

    async with Client(Guard(), transport=httpx.MockTransport(handle)) as client:
        with pytest.raises(type(error), match="mine"):
            await get(client, "https://api.example.com/")


async def test_closing_a_client_closes_an_injected_transport() -> None:
    class Closing(httpx.AsyncBaseTransport):
        closed = False

        async def aclose(self) -> None:
            self.closed = True

    transport = Closing()
    async with Client(Guard(), transport=transport):
        assert not transport.closed
    assert transport.closed


async def test_the_guard_and_the_runtime_do_not_load_an_http_library() -> None:
    """It takes 75 ms, which `connector --help` must not pay for."""
    program = "import sys, runtime.http.guard; print({'httpx2', 'httpcore2'} & set(sys.modules))"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert output == b"set()\n"
