"""Tables of a journal: created, migrated to this version, or refused where a newer version wrote them."""

from __future__ import annotations

from sqlalchemy import Connection, inspect, text

from connector.errors import ConfigurationError
from runtime.journal.storage.migrations import HEAD, VERSIONS


def check_version(connection: Connection, where: str) -> str | None:
    """The version of the tables, None if there are none; raises ConfigurationError for a newer one's (hazard F5)."""
    tables = set(inspect(connection).get_table_names())
    if "alembic_version" not in tables:
        if tables & {"events", "counters"}:
            raise ConfigurationError(f"journal {where}: these tables are not a journal's", hint="use another database")
        return None
    version = connection.scalar(text("SELECT version_num FROM alembic_version"))
    if version not in VERSIONS:
        raise ConfigurationError(
            f"journal {where}: written by a newer version of this program (tables {version}, known up to {HEAD})",
            hint="install that version again, or restore a backup of before the upgrade",
        )
    return str(version)


def migrate(connection: Connection, where: str, *, to: str = HEAD) -> str | None:
    """Creates or migrates the tables, in the transaction of the connection; returns their previous version."""
    if connection.dialect.name == "postgresql":
        # Several processes may start at once. The number is this program's own.
        connection.execute(text("SELECT pg_advisory_xact_lock(7264113)"))
    version = check_version(connection, where)
    if version != to:
        # Only a fresh or an older journal pays for importing it.
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", "runtime.journal.storage:migrations")
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, to)
    return version
