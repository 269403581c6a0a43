"""Keeps a journal small and sound: removes old events in small steps, backs up, checks for damage.

Each step is one transaction, so other writes do not wait long and a kill leaves no partial step (hazard K13).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, delete, func, select, text

from connector.errors import ConfigurationError
from runtime.config.files import sync_folder
from runtime.journal.deliveries import Outcome
from runtime.journal.storage.databases import Database
from runtime.journal.storage.tables import (
    ATTEMPTS,
    AUDIT,
    CHECKPOINTS,
    COUNTERS,
    DELIVERIES,
    EVENTS,
    RUNS,
    SIGHTINGS,
    WORK,
)

#: Events that one step reads, sightings that it removes.
STEP = 500
#: A sighting that may be forgotten: of which poll, noted before when, its key.
Forgotten = tuple[str, float, str]


@dataclass(frozen=True, slots=True)
class Keep:
    """What is kept: events received at `since` or later, and of those the newest `events`; None does not limit."""

    since: float | None
    events: int | None


@dataclass(frozen=True, slots=True)
class Removed:
    """What a step removed, and the sequence number to continue after; None at the end."""

    events: int
    deliveries: int
    goes_on: int | None
    sightings: int = 0


def remove_old(connection: Connection, given: Sequence[tuple[Keep, int]]) -> list[Outcome]:
    """Does one step for each (what is kept, after which sequence number); events with pending work stay."""
    return [(_remove_old(connection, keep, after), ()) for keep, after in given]


def _remove_old(connection: Connection, keep: Keep, after: int) -> Removed:
    last = connection.scalar(select(COUNTERS.c.events)) or 0
    page = connection.execute(
        select(EVENTS.c.seq, EVENTS.c.id, EVENTS.c.received)
        .where(EVENTS.c.seq > after)
        .order_by(EVENTS.c.seq)
        .limit(STEP)
    ).all()
    old = [
        row
        for row in page
        if (keep.since is not None and row.received < keep.since)
        or (keep.events is not None and row.seq <= last - keep.events)
    ]
    ids = [row.id for row in old]
    busy: set[str] = set()
    for table in (DELIVERIES, RUNS):
        pending = select(table.c.event_id).where(table.c.event_id.in_(ids), table.c.state == "pending")
        busy.update(connection.scalars(pending))
    gone = [id for id in ids if id not in busy]
    deliveries = list(connection.scalars(select(DELIVERIES.c.id).where(DELIVERIES.c.event_id.in_(gone))))
    for start in range(0, len(deliveries), 5000):
        connection.execute(delete(ATTEMPTS).where(ATTEMPTS.c.delivery.in_(deliveries[start : start + 5000])))
    connection.execute(delete(DELIVERIES).where(DELIVERIES.c.event_id.in_(gone)))
    connection.execute(delete(RUNS).where(RUNS.c.event_id.in_(gone)))
    connection.execute(delete(EVENTS).where(EVENTS.c.id.in_(gone)))
    if keep.since is not None:
        connection.execute(delete(AUDIT).where(AUDIT.c.at < keep.since))
    goes_on = page[-1].seq if len(page) == STEP and old else None
    return Removed(len(gone), len(deliveries), goes_on)


def find_forgotten(connection: Connection) -> list[Forgotten]:
    """Returns sightings that the checkpoints of their polls release, as many as one step removes."""
    found: list[Forgotten] = []
    states = connection.scalars(select(CHECKPOINTS.c.state).where(CHECKPOINTS.c.name.like("poll %")))
    for poll, before in sorted(pair for state in states for pair in state.get("forget", {}).items()):
        keys = select(SIGHTINGS.c.key).where(SIGHTINGS.c.poll == poll, SIGHTINGS.c.at < before)
        found += [(poll, before, key) for key in connection.scalars(keys.limit(STEP - len(found)))]
        if len(found) == STEP:
            break
    return found


def forget(connection: Connection, given: Sequence[Sequence[Forgotten]]) -> list[Outcome]:
    """Removes sightings, unless they were updated meanwhile; returns how many."""
    outcomes: list[Outcome] = []
    for forgotten in given:
        keys: dict[tuple[str, float], list[str]] = {}
        for poll, before, key in forgotten:
            keys.setdefault((poll, before), []).append(key)
        table = SIGHTINGS.c
        gone = [
            connection.execute(delete(SIGHTINGS).where(table.poll == poll, table.key.in_(some), table.at < before))
            for (poll, before), some in keys.items()
        ]
        outcomes.append((sum(each.rowcount for each in gone), ()))
    return outcomes


async def back_up(database: Database, target: Path) -> int:
    """Writes a consistent copy of a SQLite journal while it is in use; returns its size in bytes.

    Raises ConfigurationError for PostgreSQL, which has its own tools, and for a file that exists.
    """
    if database.dialect != "sqlite":
        raise ConfigurationError("journal backup: this journal is in PostgreSQL", hint="use pg_dump")
    return await database.read(lambda connection: _copy(connection, target))


def _copy(connection: Connection, target: Path) -> int:
    part = target.with_name(target.name + ".part")
    # Outside of a transaction, since copying makes one of its own.
    connection.exec_driver_sql("COMMIT")
    try:
        if target.exists():
            raise ConfigurationError(f"journal backup: {target} exists", hint="name another file")
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        connection.exec_driver_sql("VACUUM INTO ?", (str(part),))
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        size = part.stat().st_size
        part.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        raise ConfigurationError(f"journal backup: {target}: {(error.strerror or 'not written').lower()}") from None
    finally:
        connection.exec_driver_sql("BEGIN")
    return size


async def find_damage(database: Database) -> list[str]:
    """Returns the problems of a journal as sentences; empty if there are none."""
    return await database.read(_find_damage)


def _find_damage(connection: Connection) -> list[str]:
    problems = []
    if connection.dialect.name == "sqlite":
        rows = [row[0] for row in connection.execute(text("PRAGMA integrity_check(20)"))]
        problems += [] if rows == ["ok"] else [f"the file is damaged: {row}" for row in rows]
    last = connection.scalar(select(COUNTERS.c.events)) or 0
    highest = connection.scalar(select(func.max(EVENTS.c.seq))) or 0
    if highest > last:
        problems.append(f"event {highest} has a number beyond the last one, {last}")
    orphans = connection.scalar(
        select(func.count()).select_from(DELIVERIES).where(DELIVERIES.c.event_id.not_in(select(EVENTS.c.id)))
    )
    if orphans:
        problems.append(f"{orphans} deliveries have lost their event")
    queued = select(WORK.c.id).where(WORK.c.kind == "delivery")
    lost = connection.scalar(
        select(func.count())
        .select_from(DELIVERIES)
        .where(DELIVERIES.c.state == "pending", DELIVERIES.c.key.is_(None), DELIVERIES.c.id.not_in(queued))
    )
    if lost:
        problems.append(f"{lost} deliveries are pending but not queued")
    return problems
