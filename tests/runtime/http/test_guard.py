"""The egress guard: what it refuses (hazards T29 to T34, T37 to T40), and that refusing means no connection at all."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.errors import BlockedAddress, ConfigurationError, TransportError
from connector.messages import Request
from runtime.http.client import Client
from runtime.http.guard import (
    DENIED_NAMES,
    DENIED_NETWORKS,
    MAX_ADDRESSES,
    Guard,
    Origin,
    find_denied_network,
    normalise_origin,
    parse_url,
    refuse_other_origin,
)
from runtime.http.lookups import system_resolver
from tests.doubles.faults import Canary, canary

pytestmark = pytest.mark.anyio

PUBLIC = "93.184.215.14"


@pytest.fixture
async def tempting() -> AsyncIterator[Canary]:
    async with canary() as port:
        yield port


class Names:
    """A resolver from a table; counts the lookups."""

    def __init__(self, **answers: Sequence[str]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        return self.answers[host.partition(".")[0]]


#: Each form of each denied address, by hazard, with a word of the reason it must be refused for.
DENIED = [
    ("T31", "169.254.169.254", "link-local"),
    ("T31", "169.254.169.254.", "link-local"),
    ("T31", "[fd00:ec2::254]", "unique local"),
    ("T31", "168.63.129.16", "Azure"),
    ("T31", "100.100.100.200", "Alibaba"),
    ("T31", "192.0.0.192", "Oracle"),
    ("T31", "metadata.google.internal", "metadata"),
    ("T31", "METADATA.google.INTERNAL.", "metadata"),
    ("T31", "metadata.goog", "metadata"),
    ("T31", "metadata", "without a dot"),
    ("T32", "127.0.0.1", "loopback"),
    ("T32", "127.0.0.1.", "loopback"),
    ("T32", "127.255.255.254", "loopback"),
    ("T32", "2130706433", "no plain numeric address"),
    ("T32", "0x7f000001", "no plain numeric address"),
    ("T32", "0X7F000001", "no plain numeric address"),
    ("T32", "017700000001", "no plain numeric address"),
    ("T32", "0177.0.0.1", "no plain numeric address"),
    ("T32", "0x7f.1", "no plain numeric address"),
    ("T32", "0x7f.0x0.0x0.0x1", "no plain numeric address"),
    ("T32", "127.1", "no plain numeric address"),
    ("T32", "127.0.1", "no plain numeric address"),
    ("T32", "0", "no plain numeric address"),
    ("T32", "0x", "no plain numeric address"),
    ("T32", "%31%32%37.0.0.1", "no plain numeric address"),
    ("T32", "127.0.0.1.1", "no plain numeric address"),
    ("T32", "0.0.0.0", "this host"),
    ("T32", "[::1]", "loopback"),
    ("T32", "[0:0:0:0:0:0:0:1]", "loopback"),
    ("T32", "[::]", "this host"),
    ("T32", "[::ffff:127.0.0.1]", "IPv4-mapped"),
    ("T32", "[::ffff:7f00:1]", "IPv4-mapped"),
    ("T32", "[::FFFF:8.8.8.8]", "IPv4-mapped"),
    ("T32", "[127.0.0.1]", "can be read"),
    ("T32", "[::1%25lo]", "can be read"),
    ("T32", "[fe80::1%eth0]", "can be read"),
    ("T32", "[::1", "can be read"),
    ("T32", "localhost", "without a dot"),
    ("T32", "app.localhost", "a name of a machine"),
    ("T32", "localhost.localdomain", "a name of a machine"),
    ("T32", "printer.local", "a name of a machine"),
    ("T32", "a:b@127.0.0.1", "user information"),
    ("T32", "api.example.com@127.0.0.1", "user information"),
    ("T33", "[64:ff9b::7f00:1]", "NAT64"),
    ("T33", "[64:ff9b:1::1]", "NAT64"),
    ("T33", "[2002:7f00:1::]", "6to4"),
    ("T33", "[::127.0.0.1]", "IPv4-compatible"),
    ("T33", "[::ffff:0:127.0.0.1]", "IPv4-translated"),
    ("T33", "[fec0::1]", "site-local"),
    ("T33", "[fe80::1]", "link-local"),
    ("T33", "[fc00::1]", "unique local"),
    ("T33", "[3fff::1]", "documentation"),
    ("T33", "[2001:db8::1]", "documentation"),
    ("T33", "[2001::1]", "Teredo"),
    ("T33", "[2001:10::1]", "protocol assignments"),
    ("T33", "[ff02::1]", "multicast"),
    ("T33", "[100::1]", "discard"),
    ("T33", "[5f00::1]", "segment"),
    ("T33", "[1000::1]", "outside of 2000::/3"),
    ("T33", "[4000::1]", "outside of 2000::/3"),
    ("T33", "[8000::1]", "outside of 2000::/3"),
    ("T33", "224.0.0.1", "multicast"),
    ("T33", "192.88.99.1", "6to4"),
    ("T33", "100.64.0.1", "shared"),
    ("T33", "10.0.0.1", "private"),
    ("T33", "172.31.255.255", "private"),
    ("T33", "192.168.1.1", "private"),
    ("T33", "198.18.0.1", "benchmarking"),
    ("T33", "192.0.2.1", "documentation"),
    ("T33", "198.51.100.1", "documentation"),
    ("T33", "203.0.113.1", "documentation"),
    ("T33", "255.255.255.255", "broadcast"),
    ("T33", "0.1.2.3", "this host"),
    ("T38", "provider", "without a dot"),
    ("T38", "db.internal", "a name of a machine"),
    ("T38", "api.default.svc", "a name of a machine"),
    ("T38", "api.default.svc.cluster.local", "a name of a machine"),
    ("T38", "router.home.arpa", "a name of a machine"),
    *(("T38", f"x.{name}", "a name of a machine") for name in ("corp", "home", "intranet", "lan", "private")),
    ("T40", "аpple.com", "not ASCII"),
    ("T40", "mistral。ai", "not ASCII"),
    ("T40", "①②⑦.0.0.1", "not ASCII"),
    ("T40", "x..example.com", "DNS"),
    ("T40", ".example.com", "DNS"),
    ("T40", "example.com..", "DNS"),
    ("T40", "-x.example.com", "DNS"),
    ("T40", "a" * 64 + ".example.com", "DNS"),
    ("T40", "a." * 126 + "com", "DNS"),
    ("T40", "exa mple.com", "white space"),
    ("T40", "exa\tmple.com", "white space"),
    ("T40", "exa\r\nmple.com", "control character"),
    ("T40", "exa\x00mple.com", "control character"),
    ("T40", "exa%00mple.com", "DNS"),
    ("T40", "", "can be read"),
]


@pytest.mark.parametrize(("host", "reason"), [pytest.param(h, r, id=f"{t}-{h!a:.40}") for t, h, r in DENIED])
def test_a_denied_host_is_refused_and_the_reason_is_said(host: str, reason: str) -> None:
    with pytest.raises(BlockedAddress, match=reason) as caught:
        Guard().check(f"https://{host}/v1")
    assert caught.value.hint


async def test_T31_T32_T33_T40_a_canary_sees_no_connection_for_any_denied_form(tempting: Canary) -> None:
    """The property of the whole section: the socket is there, every form means it or could, and nobody comes."""
    async with Client(Guard()) as client:
        for _, host, _ in DENIED:
            for scheme in ("http", "https"):
                for url in (f"{scheme}://{host}:{tempting.port}/", f"{scheme}://{host}/"):
                    with pytest.raises(BlockedAddress):
                        await client.send(Request("GET", url), operation="files.list")
    assert tempting.connections == 0


async def test_the_canary_would_have_sung(tempting: Canary) -> None:
    """The control: named by the operator, the same address is connected to."""
    url = f"http://127.0.0.1:{tempting.port}/"
    async with Client(Guard({url})) as client:
        with pytest.raises(TransportError, match="closed before|broke before"):  # whichever is seen first
            await client.send(Request("GET", url), operation="files.list")
    assert tempting.connections == 1


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        pytest.param("https://api.example.com@evil.example/", "user information", id="T30-at"),
        pytest.param("https://api.example.com:443@evil.example/", "user information", id="T30-port-at"),
        pytest.param("https://@evil.example/", "user information", id="T30-empty-user"),
        pytest.param("https://api.example.com\\@evil.example/", "backslash", id="T30-backslash"),
        pytest.param("https:\\\\evil.example/", "backslash", id="T30-backslashes"),
        pytest.param("http://api.example.com/", "not https", id="T37-http"),
        pytest.param("https://api.example.com:8443/", "port is not 443", id="T37-other-port"),
        pytest.param("https://api.example.com:22/", "port is not 443", id="T39-22"),
        pytest.param("https://api.example.com:25/", "port is not 443", id="T39-25"),
        pytest.param("https://api.example.com:6379/", "port is not 443", id="T39-6379"),
        pytest.param("https://api.example.com:99999/", "can be read", id="T39-99999"),
        pytest.param("https://api.example.com:0/", "can be read", id="T39-0"),
        pytest.param("https://api.example.com:/", "can be read", id="T39-no-port"),
        pytest.param("https://api.example.com:443:443/", "can be read", id="T39-two-ports"),
        pytest.param("https://api.example.com:４４３/", "not ASCII", id="T39-fullwidth-port"),
        pytest.param("file:///etc/passwd", "file: URLs", id="T39-file"),
        pytest.param("gopher://api.example.com/", "gopher: URLs", id="T39-gopher"),
        pytest.param("ftp://api.example.com/", "ftp: URLs", id="T39-ftp"),
        pytest.param("ws://api.example.com/", "ws: URLs", id="T39-ws"),
        pytest.param("unix:/var/run/docker.sock", "not absolute", id="T39-unix"),
        pytest.param("http+unix://%2Fvar%2Frun%2Fdocker.sock/", "URLs are not called", id="T39-http+unix"),
        pytest.param("data:text/plain,x", "not absolute", id="T39-data"),
        pytest.param("//api.example.com/", "not absolute", id="T39-no-scheme"),
        pytest.param("https:/api.example.com/", "not absolute", id="T39-one-slash"),
        pytest.param("/v1/files", "not absolute", id="T39-path"),
        pytest.param("", "not absolute", id="T39-empty"),
        pytest.param("https://api.example.com/a b", "white space", id="T40-space-in-path"),
        pytest.param("https://api.example.com/é", "not in ASCII", id="T40-path-not-ascii"),
        pytest.param(" https://api.example.com/", "white space", id="T40-space-before"),
        pytest.param("https://api.example.com/\x7f", "control character", id="T40-delete"),
    ],
)
def test_a_url_that_is_not_https_to_a_public_name_is_refused(url: str, reason: str) -> None:
    with pytest.raises(BlockedAddress, match=reason):
        Guard().check(url)


def test_T40_a_host_that_is_not_ascii_is_refused_with_the_way_to_write_it() -> None:
    with pytest.raises(BlockedAddress) as caught:
        Guard().check("https://аpple.com/")
    assert "xn--" in caught.value.hint


@pytest.mark.parametrize(
    ("url", "origin", "target"),
    [
        ("https://api.mistral.ai/v1/files?page=1", "https://api.mistral.ai:443", "/v1/files?page=1"),
        ("https://api.mistral.ai", "https://api.mistral.ai:443", "/"),
        ("https://api.mistral.ai?x=1", "https://api.mistral.ai:443", "/?x=1"),
        ("https://api.mistral.ai/a#fragment?x", "https://api.mistral.ai:443", "/a"),
        ("HTTPS://Api.Mistral.AI.:443/V1", "https://api.mistral.ai:443", "/V1"),
        ("https://api.mistral.ai/x@127.0.0.1:80//y", "https://api.mistral.ai:443", "/x@127.0.0.1:80//y"),
        ("https://xn--pple-43d.com/", "https://xn--pple-43d.com:443", "/"),
        ("https://my_bucket.s3.example.com/", "https://my_bucket.s3.example.com:443", "/"),
        ("https://8.8.8.8/", "https://8.8.8.8:443", "/"),
        ("https://[2606:4700:0:0::1111]/", "https://[2606:4700::1111]:443", "/"),
        ("https://localhost.example.com/", "https://localhost.example.com:443", "/"),
    ],
)
def test_a_public_url_passes_and_is_given_back_as_it_was_read(url: str, origin: str, target: str) -> None:
    destination = Guard().check(url)
    assert (str(destination.origin), destination.target) == (origin, target)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("HTTPS://API.Example.com./v1", "https://api.example.com:443"),
        ("http://127.0.0.1:9000/v1", "http://127.0.0.1:9000"),
        ("http://localhost", "http://localhost:80"),
        ("http://[0::1]:8080", "http://[::1]:8080"),
        ("https://api.example.com:0443", "https://api.example.com:443"),
    ],
)
def test_an_origin_has_one_text_whatever_way_its_url_is_written(url: str, expected: str) -> None:
    assert normalise_origin(url) == expected
    assert normalise_origin(expected) == expected


@pytest.mark.parametrize("url", ["", "localhost:9000", "ftp://x", "http://a:b@x/", "http://127.1/", "http://é/"])
def test_an_origin_that_cannot_be_read_is_the_operators_mistake(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        normalise_origin(url)
    assert caught.value.hint
    with pytest.raises(ConfigurationError):
        Guard({url})


@pytest.mark.parametrize(
    ("origin", "authority"),
    [
        (Origin("https", "api.example.com", 443), "api.example.com"),
        (Origin("http", "api.example.com", 443), "api.example.com:443"),
        (Origin("http", "::1", 8080), "[::1]:8080"),
    ],
)
def test_an_authority_leaves_out_the_default_port(origin: Origin, authority: str) -> None:
    assert origin.authority == authority


async def test_an_origin_the_operator_named_is_allowed_even_if_it_is_private() -> None:
    guard = Guard({"http://localhost:9000/v1", "http://10.0.0.7"}, Names(localhost=["::1", "127.0.0.1"]))
    assert guard.allowed_origins == {"http://localhost:9000", "http://10.0.0.7:80"}
    guard.check("http://LOCALHOST:9000/other/path")
    guard.check("http://10.0.0.7/")
    assert await guard.resolve("localhost", 9000) == ["::1", "127.0.0.1"]
    assert await guard.resolve("10.0.0.7", 80) == ["10.0.0.7"]


@pytest.mark.parametrize(
    "url",
    [
        "https://localhost:9000/",
        "http://localhost:9001/",
        "http://localhost/",
        "http://127.0.0.1:9000/",
        "http://app.localhost:9000/",
    ],
)
def test_T37_what_the_operator_named_allows_no_other_scheme_port_or_host(url: str) -> None:
    with pytest.raises(BlockedAddress):
        Guard({"http://localhost:9000"}).check(url)


async def test_T34_what_the_operator_named_allows_no_other_port_at_connect_time_either() -> None:
    guard = Guard({"http://localhost:9000"}, Names(localhost=["127.0.0.1"]))
    with pytest.raises(BlockedAddress):
        await guard.resolve("localhost", 443)


async def test_T34_one_denied_address_among_public_ones_refuses_the_name() -> None:
    guard = Guard(resolver=Names(mixed=[PUBLIC, "2606:4700::1111", "10.0.0.5"]))
    with pytest.raises(BlockedAddress, match=r"mixed\.example\.com .*private") as caught:
        await guard.resolve("mixed.example.com", 443)
    assert "10.0.0.5" not in str(caught.value), "the answer would map an internal network for a definition's author"


@pytest.mark.parametrize("address", ["fe80::1%eth0", "2606:4700::1111%2"])
async def test_T34_an_address_with_a_zone_is_refused(address: str) -> None:
    with pytest.raises(BlockedAddress, match="zone"):
        await Guard(resolver=Names(api=[address])).resolve("api.example.com", 443)


async def test_T34_a_hundred_addresses_are_all_checked_and_few_are_tried() -> None:
    many = [f"93.184.215.{last}" for last in range(100)]
    names = Names(many=many, trap=[*many, "127.0.0.1"])
    guard = Guard(resolver=names)
    assert await guard.resolve("many.example.com", 443) == many[:MAX_ADDRESSES]
    with pytest.raises(BlockedAddress):
        await guard.resolve("trap.example.com", 443)
    assert names.asked == [("many.example.com", 443), ("trap.example.com", 443)], "one lookup each"


async def test_T34_an_address_that_comes_twice_is_tried_once() -> None:
    assert await Guard(resolver=Names(api=[PUBLIC, PUBLIC])).resolve("api.example.com", 443) == [PUBLIC]


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.1"])
async def test_T32_a_number_is_never_looked_up_as_a_name(host: str) -> None:
    names = Names()
    with pytest.raises(BlockedAddress):
        await Guard(resolver=names).resolve(host, 443)
    assert names.asked == []


async def test_a_literal_address_is_checked_without_a_lookup() -> None:
    names = Names()
    assert await Guard(resolver=names).resolve(PUBLIC, 443) == [PUBLIC]
    with pytest.raises(BlockedAddress):
        await Guard(resolver=names).resolve("::1", 443)
    assert names.asked == []


async def test_a_name_without_an_address_does_not_resolve() -> None:
    with pytest.raises(OSError, match="no address"):
        await Guard(resolver=Names(api=[])).resolve("api.example.com", 443)


async def test_the_system_resolver_gives_numeric_addresses() -> None:
    assert "127.0.0.1" in await system_resolver("localhost", 80)
    with pytest.raises(socket.gaierror):
        await system_resolver("x" * 60 + ".invalid", 80)


@pytest.mark.parametrize(("network", "reason"), DENIED_NETWORKS, ids=str)
def test_T33_each_network_of_the_table_is_refused_from_its_first_address_to_its_last(
    network: ipaddress.IPv4Network | ipaddress.IPv6Network, reason: str
) -> None:
    assert find_denied_network(str(network.network_address))
    assert find_denied_network(str(network.broadcast_address)) in {each for _, each in DENIED_NETWORKS}
    assert reason in {find_denied_network(str(network[0])), find_denied_network(str(network[-1]))}


def test_T33_the_neighbours_of_denied_networks_are_public() -> None:
    for address in ("9.255.255.255", "100.63.255.255", "100.128.0.0", "168.63.129.15", "172.15.0.1", "172.32.0.1"):
        assert find_denied_network(address) == ""
    for address in ("2001:200::1", "2001:db7::1", "2003::1", "2a00:1450::1", "3ffe::1"):
        assert find_denied_network(address) == ""


@given(st.ip_addresses())
def test_T33_the_guard_is_never_laxer_than_pythons_own_registry(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    assert address.is_global or find_denied_network(str(address))


@given(st.ip_addresses(v=4), st.sampled_from(["::", "::ffff:", "::ffff:0:", "64:ff9b::", "64:ff9b:1::"]))
def test_T33_an_ipv4_address_inside_an_ipv6_address_is_always_refused(
    inner: ipaddress.IPv4Address, before: str
) -> None:
    assert find_denied_network(f"{before}{inner}")


@given(st.text(max_size=40))
def test_T40_whatever_passes_has_one_reading(text: str) -> None:
    """What is accepted survives being written out and read again: no second parser can see another host in it."""
    try:
        destination = parse_url(f"https://{text}")
    except BlockedAddress:
        return
    written = f"{destination.origin}{destination.target}"
    assert parse_url(written) == destination
    assert written.isascii()
    assert not {"\\", " "} & set(written)


@pytest.mark.parametrize("name", DENIED_NAMES)
def test_T38_a_name_that_only_ends_in_the_letters_of_a_denied_one_is_public(name: str) -> None:
    Guard().check(f"https://example.x{name}/")


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("https://evil.example/v1/files", id="T29-other-host"),
        pytest.param("https://api.mistral.ai.evil.example/", id="T30-suffix"),
        pytest.param("https://api.mistral.ai@evil.example/", id="T30-userinfo"),
        pytest.param("https://api.mistral.ai:443@evil.example/", id="T30-port-userinfo"),
        pytest.param("https://api.mistral.ai\\@evil.example/", id="T30-backslash"),
        pytest.param("http://api.mistral.ai/v1/files", id="T37-http"),
        pytest.param("https://api.mistral.ai:8443/v1/files", id="T37-port"),
        pytest.param("https://аpi.mistral.ai/", id="T40-look-alike"),
    ],
)
def test_T29_T36_a_request_to_another_origin_than_its_credentials_is_refused(url: str) -> None:
    with pytest.raises(BlockedAddress):
        refuse_other_origin(url, "https://api.mistral.ai/v1")


def test_T29_a_request_to_the_origin_of_its_credentials_passes_however_it_is_written() -> None:
    refuse_other_origin("HTTPS://API.MISTRAL.AI.:443/v1/files", "https://api.mistral.ai/v1")
