"""Reloads edited definitions while the server runs; an invalid one leaves the previous one in use.

Files are read on another thread, and only valid definitions are used, between two requests. Calls, polls and webhooks
in progress end with the definition that they began with.
"""

from __future__ import annotations

import asyncio
import logging

from connector.errors import ConfigurationError, InvalidDefinition
from connector.model.definition import Connector
from runtime.config.catalog import Catalog, Edition, read_place
from runtime.events.ingress import Ingress, find_routes

_LOG = logging.getLogger(__name__)
#: The most problems of one definition that are logged.
_MAX_PROBLEMS = 10
#: A definition that was read, or why it cannot be.
Outcome = Connector | InvalidDefinition | ConfigurationError


class Reloader:
    """The definitions of a catalogue, compared with what is on the disk."""

    def __init__(self, catalog: Catalog, ingress: Ingress) -> None:
        """Remembers what is on the disk now, so it is made before any definition is read."""
        self._catalog = catalog
        self._ingress = ingress
        self._seen = catalog.editions()
        #: The connectors whose last edit could not be used.
        self._refused: set[str] = set()

    async def look(self) -> list[str]:
        """Uses the valid definitions that were edited since the last time; returns their handles, sorted.

        The problems of the others are logged once for each edit.
        """
        now, read = await asyncio.to_thread(self._read)
        taken = [handle for handle, outcome in read.items() if self._take(handle, now[handle], outcome)]
        for handle in sorted(self._seen.keys() - now.keys()):
            _LOG.warning("%s: its definition is gone; the previous one stays in use until a restart", handle)
        self._seen = now
        return sorted(taken)

    def _read(self) -> tuple[dict[str, Edition], dict[str, Outcome]]:
        # The edition is read before the text, so that an edit in between is seen the next time.
        now, read = self._catalog.editions(), dict[str, Outcome]()
        for handle, edition in now.items():
            if self._seen.get(handle) != edition:
                try:
                    read[handle] = read_place(edition.place, handle)
                except (InvalidDefinition, ConfigurationError) as error:
                    read[handle] = error
        return now, read

    def _take(self, handle: str, edition: Edition, outcome: Outcome) -> bool:
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
            if handle in self._refused:
                self._refused.discard(handle)
                _LOG.warning("%s: its definition is valid again and in use", handle)
            else:
                _LOG.info("%s: the edited definition is in use", handle)
            return True
        self._refused.add(handle)
        if handle not in catalog.handles():
            catalog.take(handle, edition.place, None)
        return False
