"""Edited definitions taken while the server runs; one that is not valid leaves the one before in use.

Files are looked at and read on another thread, and only what is whole and valid is taken, between two requests: calls,
polls and webhooks that have begun end with the definition that they began with.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

from connector.errors import ConfigurationError, InvalidDefinition
from connector.model.definition import Connector
from runtime.config.catalog import Catalog, Edition, read_place
from runtime.events.ingress import Ingress, find_routes

_LOG = logging.getLogger(__name__)
#: Of one definition at most so many problems are logged.
_MAX_PROBLEMS = 10


class Reloader:
    """The definitions of a catalogue, compared with what is on the disk."""

    def __init__(self, catalog: Catalog, ingress: Ingress) -> None:
        """Remembers what is on the disk now, so it is made before any definition is read."""
        self._catalog = catalog
        self._ingress = ingress
        self._seen = catalog.editions()

    async def look(self) -> list[str]:
        """Takes the definitions that were edited since the last look and are valid; returns their handles, sorted.

        What is wrong with the others is logged once for each edit.
        """
        now, read = await asyncio.to_thread(self._read)
        taken = [handle for handle, outcome in read.items() if self._take(handle, now[handle], outcome)]
        for handle in sorted(self._seen.keys() - now.keys()):
            _LOG.warning("%s: its definition is gone; the previous one stays in use until a restart", handle)
        self._seen = now
        return sorted(taken)

    def _read(self) -> tuple[dict[str, Edition], dict[str, Connector | InvalidDefinition | ConfigurationError]]:
        # The edition comes before the text: what is written in between is an edit to be seen next time.
        now = self._catalog.editions()
        return now, dict(self._read_edited(now))

    def _read_edited(
        self, now: dict[str, Edition]
    ) -> Iterator[tuple[str, Connector | InvalidDefinition | ConfigurationError]]:
        for handle, edition in now.items():
            if self._seen.get(handle) != edition:
                try:
                    yield handle, read_place(edition.place, handle)
                except (InvalidDefinition, ConfigurationError) as error:
                    yield handle, error

    def _take(self, handle: str, edition: Edition, outcome: Connector | InvalidDefinition | ConfigurationError) -> bool:
        catalog = self._catalog
        before = catalog.loaded()
        stays = "the previous one stays in use" if handle in before else "there is none to use"
        try:
            if not isinstance(outcome, Connector):
                raise outcome
            routes = find_routes({**before, handle: outcome}.values())
        except InvalidDefinition as error:
            for problem in error.problems[:_MAX_PROBLEMS]:
                _LOG.warning("%s", problem)
            _LOG.warning("%s: its definition has %d problems; %s", handle, len(error.problems), stays)
        except ConfigurationError as error:
            _LOG.warning("%s: %s; %s", handle, error.message, stays)
        else:
            catalog.take(handle, edition.place, outcome)
            self._ingress.routes = routes
            _LOG.info("%s: the edited definition is in use", handle)
            return True
        if handle not in catalog.handles():
            catalog.take(handle, edition.place, None)
        return False
