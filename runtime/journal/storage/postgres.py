"""A journal in PostgreSQL, over asyncpg."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError, DisconnectionError

from connector.errors import ConfigurationError
from runtime.journal.storage.migrate import migrate

R = TypeVar("R")
#: The most connections: several for reads, and one for writes.
_CONNECTIONS = 5


class PostgreSQL:
    """PostgreSQL, over asyncpg; functions of a connection run between the driver's awaits."""

    dialect: Literal["sqlite", "postgresql"] = "postgresql"
    path: Path | None = None

    def __init__(self, url: str) -> None:
        try:
            importlib.import_module("asyncpg")
        except ImportError:
            hint = "pip install 'connector-runtime[postgres]'"
            raise ConfigurationError("journal: the driver of PostgreSQL is not installed", hint=hint) from None
        from sqlalchemy.ext.asyncio import create_async_engine

        self.engine = create_async_engine(url, pool_size=_CONNECTIONS, hide_parameters=True)
        event.listen(self.engine.sync_engine, "checkout", _refuse_closed)
        # A query needs neither a BEGIN nor a ROLLBACK, which would take as long as the query.
        self._reading = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self.migrated_from: str | None = None
        #: As asyncpg wants it, with the password.
        self.dsn = self.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)

    @classmethod
    async def open(cls, url: str) -> PostgreSQL:
        """Connects, and makes or updates the tables; raises ConfigurationError, which never shows the password."""
        made = cls(url)
        shown = made.engine.url.render_as_string(hide_password=True).replace("+asyncpg", "")
        try:
            made.migrated_from = await made.transact(lambda connection: migrate(connection, shown))
        except (OSError, DBAPIError) as error:
            await made.close()
            words = str(getattr(error, "orig", None) or error).partition("\n")[0]
            raise ConfigurationError(
                f"journal {shown}: {words}", hint="is the database running, and the URL right?"
            ) from None
        except BaseException:
            await made.close()
            raise
        return made

    async def transact(self, run: Callable[[Connection], R]) -> R:
        """See Database."""
        async with self.engine.begin() as connection:
            return await connection.run_sync(run)

    async def read(self, run: Callable[[Connection], R]) -> R:
        """See Database."""
        async with self._reading.connect() as connection:
            return await connection.run_sync(run)

    async def close(self) -> None:
        """See Database."""
        await self.engine.dispose()


def _refuse_closed(connection: Any, *_: Any) -> None:
    """Lets the pool replace a connection that the server closed; the driver knows without a query."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError
