"""Events of batch jobs that a poll found."""

from __future__ import annotations

from connector.messages import Event
from runtime.journal.entries import NewEvent
from tests.doubles.journals import SUCCEEDED

FAILED = "batch-jobs/batch_job.failed"


def new(name: str, trigger: str = SUCCEEDED, connection: str = "mistral-ai") -> NewEvent:
    event = Event(
        id="",
        source="/mistral-ai/default",
        type=trigger,
        subject=name,
        time="2026-11-22T12:00:00Z",
        data={"name": name},
    )
    return NewEvent(connection, event, name, origin="poll")
