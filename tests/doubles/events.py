"""Events without contents, which only their key tells apart."""

from __future__ import annotations

from connector.messages import Event
from runtime.journal.entries import NewEvent


def new(key: str) -> NewEvent:
    return NewEvent(
        "mistral-ai",
        Event(id="", source="/mistral-ai/default", type="a/b", subject=None, time="2026-11-22T12:00:00Z", data={}),
        key,
    )
