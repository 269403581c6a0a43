"""Names looked up as the operating system does, each in a thread of its own, so that one that hangs stops no other."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from runtime.http.threads import Threads

#: Lookups at once.
_LOOKUPS: Final = Threads("connector-names", 256)
#: Seconds for which calls wait for a lookup that another one began.
_JOINED: Final = 5.0

_Lookup = asyncio.Future[list[str]]
_under_way: dict[tuple[str, int, asyncio.AbstractEventLoop], tuple[_Lookup, float]] = {}


async def system_resolver(host: str, port: int) -> list[str]:
    """The addresses of a name, in the order of the operating system. Raises OSError where it has none.

    Calls that need a name that is being looked up wait for the same lookup, so one that hangs takes one thread.
    """
    loop = asyncio.get_running_loop()
    key = (host, port, loop)
    lookup, begun = _under_way.get(key, (None, 0.0))
    if lookup is None or loop.time() - begun > _JOINED:
        lookup = _LOOKUPS.run(_look_up, host, port)
        _under_way[key] = lookup, loop.time()
        lookup.add_done_callback(lambda done: _end(key, done))
    return await asyncio.shield(lookup)


def _end(key: tuple[str, int, asyncio.AbstractEventLoop], done: _Lookup) -> None:
    if _under_way.get(key, (None,))[0] is done:
        del _under_way[key]
    if not done.cancelled():
        done.exception()  # those who waited for it may have given up


def _look_up(host: str, port: int) -> list[str]:
    return [str(address[0]) for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
