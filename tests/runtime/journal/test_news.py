"""How followers of the journal learn what another process appended, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import asyncpg
import pytest

from connector.messages import Event
from runtime.journal import news
from runtime.journal.entries import NewEvent
from runtime.journal.journal import Journal
from runtime.journal.news import Notifier
from tests.doubles.postgres import Server

pytestmark = pytest.mark.anyio


def new(key: str) -> NewEvent:
    return NewEvent(
        "mistral-ai",
        Event(id="", source="/mistral-ai/default", type="a/b", subject=key, time="2026-11-22T12:00:00Z", data={}),
        key,
    )


@pytest.fixture
async def dsn(postgres: Server) -> str:
    return await postgres.empty()


@pytest.fixture
async def pair(dsn: str) -> AsyncIterator[tuple[Journal, Journal]]:
    """The journals of two processes in one database."""
    async with await Journal.open(dsn) as here, await Journal.open(dsn) as there:
        yield here, there


async def until_it_listens(told: Notifier) -> None:
    async with asyncio.timeout(10):
        while not told.listening:
            await told.wait(told.next())


async def test_an_event_of_another_process_is_seen_at_once(pair: tuple[Journal, Journal]) -> None:
    here, there = pair
    tail = here.tail(0)
    coming = asyncio.ensure_future(anext(tail))
    await until_it_listens(here.news)
    for key in ("one", "two", "three"):
        await there.append([new(key)])
        begun = time.monotonic()
        assert (await coming).event.subject == key
        # Nobody looks by himself before 15 seconds are over.
        assert time.monotonic() - begun < news.SELDOM / 3
        coming = asyncio.ensure_future(anext(tail))
    coming.cancel()


async def test_many_events_of_one_commit_are_one_notification_and_none_is_one_of_nothing(dsn: str) -> None:
    told: list[str] = []
    listening = await asyncpg.connect(dsn)
    try:
        await listening.add_listener(news.CHANNEL, lambda *each: told.append(each[-1]))
        async with await Journal.open(dsn) as journal:
            await journal.append([new(str(number)) for number in range(50)])
            await journal.append([new("0")])
            await journal.append([])
        await listening.fetch("SELECT 1")
    finally:
        await listening.close()
    assert told == [""]


async def test_while_the_connection_is_lost_events_come_all_the_same_and_it_is_made_anew(
    pair: tuple[Journal, Journal], dsn: str
) -> None:
    here, there = pair
    tail = here.tail(0)
    coming = asyncio.ensure_future(anext(tail))
    await until_it_listens(here.news)
    lost = here.news.next()
    admin = await asyncpg.connect(dsn)
    try:
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", news.NAME
        )
    finally:
        await admin.close()
    async with asyncio.timeout(10):
        await lost.wait()
    assert not here.news.listening
    await there.append([new("meanwhile")])
    assert (await coming).event.subject == "meanwhile"
    coming = asyncio.ensure_future(anext(tail))
    await until_it_listens(here.news)
    await there.append([new("afterwards")])
    async with asyncio.timeout(news.SELDOM / 3):
        assert (await coming).event.subject == "afterwards"


async def test_what_comes_between_a_look_and_the_wait_is_not_missed() -> None:
    told = Notifier()
    taken = told.next()
    told.tell()
    async with asyncio.timeout(news.SELDOM / 3):
        await told.wait(taken)
    assert told.next() is not taken
