"""Places: how many requests are under way at once, and whose turn is next when all places are taken.

A lane is one tenant at one origin. Within a lane it is first come, first served; where the process as a whole has no
place left, tenants take turns. Streams, which may last for an hour, have lanes of their own and at most half of all
places, so that no number of them stops calls. Nothing here knows a connection.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable

from connector.errors import TransportError
from runtime.http.guard import Origin
from runtime.http.transport import NOT_SENT, Attempt


class Lane:
    """The places of one tenant at one origin, for calls or for streams."""

    __slots__ = ("key", "streamed", "taken", "tenant", "waiting")

    def __init__(self, key: Hashable, tenant: str, *, streamed: bool) -> None:
        self.key = key
        self.tenant = tenant
        self.streamed = streamed
        self.taken = 0
        self.waiting: deque[asyncio.Future[None]] = deque()


class Places:
    """Takes and frees places; `each` is the limit `connections` of a lane, `total` the limit `all_connections`."""

    def __init__(self, each: int, total: int) -> None:
        self._each = each
        self._total = total
        self._streams = max(1, total // 2)
        #: Places that are taken, and those of streams among them.
        self.taken = 0
        self._streamed = 0
        self._lanes: dict[Hashable, Lane] = {}
        #: Lanes that wait for nothing but a place of the process, by tenant; the tenant whose turn is next is first.
        #: Calls and streams apart.
        self._ready: dict[bool, dict[str, dict[Lane, None]]] = {False: {}, True: {}}
        self._last = True

    async def take(self, tenant: str, origin: Origin, attempt: Attempt, *, streamed: bool) -> Lane:
        """Takes a place, and waits for one if need be; raises TransportError for one that came too late."""
        key = (tenant, origin, streamed)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key, tenant, streamed=streamed)
        if not lane.waiting and lane.taken < self._each and self._has_room(streamed=streamed):
            self._enter(lane)
            return lane
        limit, name = (self._each, "connections") if lane.taken >= self._each else (self._total, "all_connections")
        kept = f"to {origin}, which are all in use" if name == "connections" else "of this process, all in use"
        attempt.waits(f"waiting for one of the {limit} connections {kept} (limit {name!r})", "caller")
        place = asyncio.get_running_loop().create_future()
        lane.waiting.append(place)
        self._settle(lane)
        try:
            await place
        except BaseException:
            if place.done() and not place.cancelled() and place.exception() is None:
                self.leave(lane)  # it was given a place at the moment at which it gave up
            else:
                self._settle(lane)
            raise
        if asyncio.get_running_loop().time() > attempt.latest:
            self.leave(lane)
            message = f"the request was not sent in time: it was still {attempt.step}"
            raise TransportError(message, hint=NOT_SENT, sent=False, blame="caller")
        return lane

    def leave(self, lane: Lane) -> None:
        """Frees a place, for the next one that waits."""
        lane.taken -= 1
        self.taken -= 1
        self._streamed -= lane.streamed
        self._settle(lane)
        self._admit()

    def close(self, error: TransportError) -> None:
        """Ends every wait with an error."""
        for lane in self._lanes.values():
            for place in lane.waiting:
                if not place.done():
                    place.set_exception(error)

    def _has_room(self, *, streamed: bool) -> bool:
        return self.taken < self._total and not (streamed and self._streamed >= self._streams)

    def _enter(self, lane: Lane) -> None:
        lane.taken += 1
        self.taken += 1
        self._streamed += lane.streamed

    def _settle(self, lane: Lane) -> None:
        """Enqueues a lane that waits for nothing but a place of the process, and forgets one that is not used."""
        while lane.waiting and lane.waiting[0].done():
            lane.waiting.popleft()  # it gave up
        ready = self._ready[lane.streamed]
        if lane.waiting:
            if lane.taken < self._each:
                ready.setdefault(lane.tenant, {})[lane] = None
            return
        if (lanes := ready.get(lane.tenant)) is not None:
            lanes.pop(lane, None)
            if not lanes:
                del ready[lane.tenant]
        if not lane.taken:
            self._lanes.pop(lane.key, None)

    def _admit(self) -> None:
        """Hands out places: one to each tenant, then the next one; calls and streams take turns."""
        while True:
            kinds = [kind for kind, ready in self._ready.items() if ready and self._has_room(streamed=kind)]
            if not kinds:
                return
            kind = self._last = kinds[0] if len(kinds) == 1 else not self._last
            ready = self._ready[kind]
            tenant, lanes = next(iter(ready.items()))
            lane = next(iter(lanes))
            # What else the tenant waits for comes after all other tenants.
            del lanes[lane], ready[tenant]
            if lanes:
                ready[tenant] = lanes
            while lane.waiting:
                if not (place := lane.waiting.popleft()).done():
                    place.set_result(None)
                    self._enter(lane)
                    break
            self._settle(lane)
