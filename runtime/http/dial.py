"""Dialling: a wire to an origin, made through the guard, over a proxy if the route has one, and with TLS.

Each failure here is before the first byte of a request, so it is `sent=False`, and its message names what would help.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any, Final

import aiohappyeyeballs
import h11

from connector.errors import TransportError
from runtime.config.settings import Limits
from runtime.http.guard import Guard, Origin
from runtime.http.lookups import system_resolver
from runtime.http.transport import MAYBE_SENT, NOT_SENT, Proxy, Route
from runtime.http.trust import Trusts
from runtime.http.wire import Wire

#: Seconds after which the next address is tried as well while one does not answer (RFC 8305, section 5).
ADDRESS_DELAY: Final = 0.25
_BLOCK: Final = 4096


async def dial(guard: Guard, origin: Origin, route: Route, limits: Limits, trusts: Trusts) -> Wire:
    """A new connection to an address that the guard allowed; the name stays where it belongs, in SNI and Host (T34).

    Raises BlockedAddress, and TransportError where no connection was made in the time for it.
    """
    seconds = limits.connect
    try:
        async with asyncio.timeout(seconds) as clock:
            opened = await _open_socket(guard, origin, route, limits.head_bytes)
    except TimeoutError:
        if not clock.expired():
            raise
        through = f" through the proxy {_name(route.proxy)}" if route.proxy else ""
        message = (
            f"no connection to {origin.host} port {origin.port}{through} in the time allowed for it, {seconds:g} s"
        )
        raise _refusal(message, _proxy_hint(route)) from None
    try:
        async with asyncio.timeout_at(clock.when()):
            secure: dict[str, Any] = {}
            if origin.scheme == "https":
                secure = {"ssl": await trusts.of(route), "server_hostname": origin.host}
            make = asyncio.get_running_loop().create_connection
            return (await make(lambda: Wire(limits.head_bytes), sock=opened, **secure))[1]
    except BaseException as error:
        opened.close()
        if isinstance(error, (OSError, TimeoutError)):
            raise _read_handshake(error, route, origin) from None
        raise


def _read_handshake(error: OSError | TimeoutError, route: Route, origin: Origin) -> TransportError:
    """What a failure of the TLS handshake means."""
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = f"a private certificate authority is named by {route.variable('CONNECTOR_CA')}: a PEM file"
        return _refusal(f"the certificate of the host is not trusted: {error.verify_message}", hint)
    if isinstance(error, TimeoutError):
        return _refusal("the TLS handshake was not finished in the time allowed for a connection")
    reason = getattr(error, "reason", None) or ""
    if "NO_APPLICATION_PROTOCOL" in reason:
        return _refusal("the host does not speak HTTP/1.1", http2_hint(route))
    if "CERTIFICATE" in reason and "ALERT" in reason:
        return certificate_refused(route, sent=False)
    message = f"the TLS handshake failed: the host may not speak TLS 1.2 or newer on port {origin.port}"
    wants = f"if the host wants a client certificate, {route.variable('CONNECTOR_CERT')} names its file"
    return _refusal(message, wants if "ALERT" in reason else "")


def http2_hint(route: Route) -> str:
    """Names the variable that offers HTTP/2."""
    return f"a host that speaks HTTP/2 only needs {route.variable('CONNECTOR_HTTP2')}=1"


def certificate_refused(route: Route, *, sent: bool) -> TransportError:
    """The error of a host that wants another client certificate, or one at all."""
    hint = f"{route.variable('CONNECTOR_CERT')} names a PEM file with a client's certificate chain and its key"
    message = "the host refused the connection: it wants another client certificate"
    hint = f"{hint}; {MAYBE_SENT if sent else NOT_SENT}"
    return TransportError(message, hint=hint, sent=sent, temporary=False)


async def _open_socket(guard: Guard, origin: Origin, route: Route, head_bytes: int) -> socket.socket:
    if (proxy := route.proxy) is None:
        addresses = await _resolve(lambda: guard.resolve(origin.host, origin.port), origin.host)
        try:
            return await _race(addresses, origin.port)
        except OSError:
            message = f"no connection to {origin.host} port {origin.port}: "
            message += f"none of its {len(addresses)} addresses accepted one"
            raise _refusal(message, _proxy_hint(route)) from None
    # The guard is asked before the proxy, and the proxy is given what the guard has checked (hazards T31 to T34).
    targets = [origin.host]
    if not proxy.looks_up:
        targets = await _resolve(lambda: guard.resolve(origin.host, origin.port), origin.host)
    failure: TransportError | None = None
    for target in targets:
        addresses = await _resolve(lambda: system_resolver(proxy.host, proxy.port), f"{proxy.host} of the proxy")
        try:
            opened = await _race(addresses, proxy.port)
        except OSError:
            message = f"no connection to the proxy {_name(proxy)}: it does not answer"
            raise _refusal(message, f"it is named by {route.variable('CONNECTOR_PROXY')}") from None
        try:
            failure = await _tunnel(opened, Origin(origin.scheme, target, origin.port), route, proxy, head_bytes)
        except BaseException:
            opened.close()
            raise
        if failure is None:
            return opened
        opened.close()
    assert failure is not None  # noqa: S101 - a name has at least one address
    raise failure


async def _resolve(look_up: Callable[[], Any], name: str) -> list[str]:
    try:
        return list(await look_up())
    except OSError:
        raise _refusal(f"the name {name} could not be resolved", "check its spelling") from None


async def _race(addresses: Sequence[str], port: int) -> socket.socket:
    """A socket connected to the first of several addresses that accepts; raises OSError where none does."""
    infos: list[Any] = []
    for address in addresses:
        if ":" in address:
            infos.append((socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0)))
        else:
            infos.append((socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)))
    try:
        return await aiohappyeyeballs.start_connection(infos, happy_eyeballs_delay=ADDRESS_DELAY)
    except RuntimeError:  # uvloop's name for some of them
        raise OSError from None


async def _tunnel(
    opened: socket.socket, target: Origin, route: Route, proxy: Proxy, head_bytes: int
) -> TransportError | None:
    """Requests a tunnel; returns the failure if the proxy could not reach this target.

    Raises TransportError where another target would not help. Nothing of the proxy's answer but its status is used.
    """
    host = f"[{target.host}]" if ":" in target.host else target.host
    authority = f"{host}:{target.port}"
    fields = [("Host", authority)]
    if proxy.authorization:
        fields.append(("Proxy-Authorization", proxy.authorization))
    protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=head_bytes)
    request = protocol.send(h11.Request(method="CONNECT", target=authority, headers=fields))
    loop = asyncio.get_running_loop()
    setting = f"it is named by {route.variable('CONNECTOR_PROXY')}"
    broken = f"the proxy {_name(proxy)} did not answer in HTTP/1.1"
    left = head_bytes
    try:
        await loop.sock_sendall(opened, request or b"")
        while True:
            event = protocol.next_event()
            if isinstance(event, h11.Response):
                break
            if event is h11.NEED_DATA:
                data = await loop.sock_recv(opened, min(_BLOCK, left))
                left -= len(data)
                if not left:
                    message = f"the head of the answer of the proxy {_name(proxy)} is larger than {head_bytes} bytes"
                    raise _refusal(message, setting)
                protocol.receive_data(data)
            elif not isinstance(event, h11.InformationalResponse):
                raise _refusal(broken, setting)
    except (OSError, h11.ProtocolError):
        raise _refusal(broken, setting) from None
    status = event.status_code
    if 200 <= status < 300:
        if protocol.trailing_data[0]:
            raise _refusal(f"the proxy {_name(proxy)} sent more than its answer", setting)
        return None
    if status == 407:
        hint = f"write user and password into {route.variable('CONNECTOR_PROXY')}: http://user:password@host:port"
        raise _refusal(f"the proxy {_name(proxy)} wants to know who uses it: it answered 407", hint, temporary=False)
    failure = _refusal(f"the proxy {_name(proxy)} made no connection to {target.host}: it answered {status}", setting)
    if status < 500:
        raise failure
    return failure


def _name(proxy: Proxy | None) -> str:
    return "" if proxy is None else f"{proxy.host} port {proxy.port}"


def _proxy_hint(route: Route) -> str:
    if route.proxy is not None:
        return f"the proxy is named by {route.variable('CONNECTOR_PROXY')}"
    return f"check that the host answers; behind a proxy, name it in {route.variable('CONNECTOR_PROXY')}"


def _refusal(message: str, hint: str = "", *, temporary: bool = True) -> TransportError:
    hint = f"{hint}; {NOT_SENT}" if hint else NOT_SENT
    return TransportError(message, hint=hint, sent=False, temporary=temporary)
