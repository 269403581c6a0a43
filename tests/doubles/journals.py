"""Events and queues of a journal, as tests make and read them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from connector.messages import Event
from runtime.journal.entries import NewEvent
from runtime.journal.journal import Journal

SUCCEEDED = "batch-jobs/batch_job.succeeded"


def new(key: str | None = "m1", *, connection: str = "mistral-ai", trigger: str = SUCCEEDED, **more: Any) -> NewEvent:
    subject = more.pop("subject", "job-1")
    data = more.pop("data", {"id": "job-1", "status": "SUCCESS"})
    event = Event(
        id="theirs", source="/mistral-ai/default", type=trigger, subject=subject, time="2026-11-22T12:00:00Z", data=data
    )
    return NewEvent(connection, event, key, **more)


async def in_line(journal: Journal) -> list[tuple[str, str]]:
    """What the embedded dispatcher would hand out, whenever."""
    query = text("SELECT kind, id FROM work ORDER BY due, kind, id")
    return [tuple(row) for row in await journal.database.read(lambda connection: connection.execute(query).all())]
