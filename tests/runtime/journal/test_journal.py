"""The journal on SQLite and on PostgreSQL: what is kept, what collapses, what is in line, and what is refused."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, text

from connector.errors import ConfigurationError, NotInJournal
from connector.messages import Event
from runtime.journal.entries import (
    Attempt,
    Checkpoint,
    Filter,
    NewEvent,
    Run,
    Sightings,
    StoredEvent,
    Subscription,
    Work,
    event_id,
)
from runtime.journal.journal import Journal
from runtime.journal.storage import migrations
from runtime.journal.storage.migrate import migrate
from runtime.journal.storage.postgres import PostgreSQL
from runtime.journal.storage.sqlite import SQLite
from runtime.journal.storage.tables import METADATA
from tests.doubles.postgres import Server

pytestmark = pytest.mark.anyio
SUCCEEDED = "batch-jobs/batch_job.succeeded"


def new(key: str | None = "m1", *, connection: str = "mistral-ai", trigger: str = SUCCEEDED, **more: Any) -> NewEvent:
    subject = more.pop("subject", "job-1")
    data = more.pop("data", {"id": "job-1", "status": "SUCCESS"})
    event = Event("theirs", "/mistral-ai/default", trigger, subject, "2026-11-22T12:00:00Z", data)
    return NewEvent(connection, event, key, **more)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgresql"])
async def journal(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[Journal]:
    url = "sqlite://"
    if request.param == "postgresql":
        server: Server = request.getfixturevalue("postgres")
        url = await server.empty()
    async with await Journal.open(url, clock=clock) as opened:
        yield opened


async def in_line(journal: Journal) -> list[tuple[str, str]]:
    """What the embedded dispatcher would hand out, whenever."""
    query = text("SELECT kind, id FROM work ORDER BY due, kind, id")
    return [tuple(row) for row in await journal.database.read(lambda connection: connection.execute(query).all())]


async def test_an_event_comes_back_as_it_was_kept(journal: Journal, clock: Clock) -> None:
    given = new(raw=b'{"id": "job-1"}', content_type="application/json", origin="poll", hops=2)
    (appended,) = await journal.append([given])
    id = event_id("mistral-ai", SUCCEEDED, "m1")
    assert (appended.event_id, appended.seq, appended.created, appended.conflict) == (id, 1, True, False)
    event = Event(id, "/mistral-ai/default", SUCCEEDED, "job-1", "2026-11-22T12:00:00Z", given.event.data)
    kept = StoredEvent(1, "mistral-ai", event, "poll", "m1", clock.now, given.raw, "application/json", 2)
    assert await journal.event(id) == kept
    assert await journal.events() == [kept]


async def test_what_no_database_takes_is_kept_all_the_same(journal: Journal) -> None:
    hostile = "\ud800\0\u202e'\"--"
    (appended,) = await journal.append([new(hostile, subject=hostile, data={hostile: [hostile, 1e300]}, raw=b"\xff\0")])
    kept = await journal.event(appended.event_id)
    assert (kept.event.subject, kept.event.data, kept.raw) == (hostile, {hostile: [hostile, 1e300]}, b"\xff\0")
    assert (await journal.append([new(hostile)]))[0].created is False


async def test_T63_W1_the_same_event_is_kept_once_in_whatever_way_it_comes_again(journal: Journal) -> None:
    first = await journal.append([new(), new()])
    again = await asyncio.gather(*(journal.append([new()]) for _ in range(100)))
    assert [each.created for each in first] == [True, False]
    assert {answer.event_id for answers in again for answer in answers} == {first[0].event_id}
    assert not any(answer.created for answers in again for answer in answers)
    assert len(await journal.events()) == 1


async def test_T64_the_same_id_with_another_body_is_a_conflict(journal: Journal) -> None:
    await journal.append([new(raw=b"one")])
    (same,) = await journal.append([new(raw=b"one")])
    (other,) = await journal.append([new(raw=b"two")])
    assert (same.conflict, other.created, other.conflict) == (False, False, True)
    assert (await journal.events())[0].raw == b"one"


async def test_T64_the_same_body_under_another_id_trigger_or_connection_is_another_event(journal: Journal) -> None:
    others = [new(), new("m2"), new(trigger="batch-jobs/batch_job.created"), new(connection="mistral-ai:team-b")]
    assert [each.created for each in await journal.append(others)] == [True] * 4


async def test_T74_what_has_nothing_to_tell_it_apart_is_never_collapsed(journal: Journal) -> None:
    assert [each.created for each in await journal.append([new(None), new(None)])] == [True, True]
    assert [each.dedupe for each in await journal.events()] == [None, None]


async def test_T78_ids_are_of_our_own_making(journal: Journal) -> None:
    for appended in await journal.append([new("a.b\r\né"), new(None)]):
        assert appended.event_id.startswith("evt_")
        assert appended.event_id.removeprefix("evt_").isalnum()
        assert len(appended.event_id) == 36


async def test_events_are_found_by_place_connection_trigger_and_time(journal: Journal, clock: Clock) -> None:
    await journal.append([new("1"), new("2", connection="other")])
    clock.now += 10
    await journal.append([new("3", trigger="files/file.deleted"), new("4")])

    async def found(**wanted: Any) -> list[int]:
        return [each.seq for each in await journal.events(**wanted)]

    assert await found() == [1, 2, 3, 4]
    assert await found(after=1, limit=2) == [2, 3]
    assert await found(newest_first=True, limit=3) == [4, 3, 2]
    assert await found(newest_first=True, after=3) == [2, 1]
    assert await found(connection="mistral-ai", trigger=SUCCEEDED) == [1, 4]
    assert await found(since=clock.now) == [3, 4]
    assert await found(until=clock.now) == [1, 2]


async def test_events_of_a_trigger_are_read_in_their_order_from_an_index() -> None:
    async with await Journal.open("sqlite://") as journal:
        plan = await journal.read(
            lambda connection: connection.execute(
                text(
                    "EXPLAIN QUERY PLAN SELECT seq FROM events"
                    " WHERE connection = 'a' AND trigger = 'b' AND seq > 5 ORDER BY seq LIMIT 100"
                )
            ).fetchall()
        )
    assert [row[3] for row in plan] == [
        "SEARCH events USING COVERING INDEX events_by_trigger (connection=? AND trigger=? AND seq>?)"
    ]


async def test_C1_order_is_that_of_arrival_whatever_the_clock_says(journal: Journal, clock: Clock) -> None:
    for step in (3600.0, -7200.0, -3 * 86400.0):
        await journal.append([new(str(step))])
        clock.now += step
    assert [each.dedupe for each in await journal.events()] == ["3600.0", "-7200.0", "-259200.0"]


async def test_checkpoint_sightings_work_and_events_are_one_commit(journal: Journal, clock: Clock) -> None:
    checkpoint = Checkpoint("poll-1", {"cursor": "c"}, clock.now)
    poll = Work("poll", "poll-1", clock.now + 60)
    seen = Sightings("poll-1", {"job-1": "SUCCESS", "job-2": "\ud800"})
    await journal.append([new()], checkpoint=checkpoint, sightings=seen, then=[poll])
    assert await journal.checkpoint("poll-1") == checkpoint
    assert await journal.checkpoint("poll-2") is None
    known = await journal.sightings("poll-1", ["job-1", "job-2", "job-3"])
    assert {key: each.state for key, each in known.items()} == seen.states
    assert await in_line(journal) == [("poll", "poll-1")]


async def test_K10_if_one_part_of_an_append_fails_nothing_of_it_is_kept(journal: Journal, clock: Clock) -> None:
    good = asyncio.create_task(journal.append([new("good")]))
    unwritable = Checkpoint("poll-1", float, clock.now)
    with pytest.raises(Exception, match="not JSON serializable"):
        await journal.append([new("bad")], checkpoint=unwritable, then=[Work("poll", "p", 0)])
    # What shared the transaction with it is tried again without it.
    assert (await good)[0].created
    assert [each.dedupe for each in await journal.events()] == ["good"]
    assert await in_line(journal) == []


async def test_an_event_has_a_delivery_for_each_subscription_that_wants_it(journal: Journal) -> None:
    wants = {
        "sub_all": Filter(),
        "sub_connector": Filter("mistral-ai", (SUCCEEDED,)),
        "sub_connection": Filter("mistral-ai:team-b"),
        "sub_trigger": Filter(triggers=("files/file.deleted",)),
        "sub_field": Filter(where={"status": ("FAILED", "SUCCESS")}),
        "sub_other_field": Filter(where={"status": ("FAILED",)}),
        "sub_no_field": Filter(where={"absent": (None,)}),
    }
    for id, wanted in wants.items():
        await journal.add_subscription(Subscription(id, "https://example.com/", wanted))
    await journal.append([new()])
    made = {each.subscription for each in await journal.deliveries()}
    assert made == {"sub_all", "sub_connector", "sub_field"}
    assert len(await in_line(journal)) == 3
    await journal.append([new()])
    assert len(await journal.deliveries()) == 3


async def test_a_subscription_gets_what_comes_while_it_is_enabled(journal: Journal) -> None:
    await journal.append([new("before")])
    await journal.add_subscription(Subscription("sub_1", "https://example.com/"))
    await journal.append([new("enabled")])
    changed = await journal.change_subscription("sub_1", state="disabled", reason="gone", memory={"since": 1})
    await journal.append([new("disabled")])
    assert await journal.subscription("sub_1") == changed
    assert (changed.state, changed.reason, changed.memory) == ("disabled", "gone", {"since": 1})
    assert [each.id for each in await journal.subscriptions()] == ["sub_1"]
    (delivery,) = await journal.deliveries()
    assert (await journal.event(delivery.event_id)).dedupe == "enabled"


async def test_a_removed_subscription_leaves_its_deliveries_dead_with_a_reason(journal: Journal) -> None:
    await journal.add_subscription(Subscription("sub_1", "https://example.com/"))
    await journal.append([new()])
    await journal.remove_subscription("sub_1")
    (delivery,) = await journal.deliveries()
    assert (delivery.state, delivery.due, delivery.reason) == ("dead", None, "the subscription was removed")
    assert await in_line(journal) == []
    assert await journal.subscriptions() == []


@pytest.mark.parametrize("kind", ["event", "subscription", "delivery", "run"])
async def test_what_is_not_there_is_said_to_be_not_there(journal: Journal, kind: str) -> None:
    with pytest.raises(NotInJournal, match=f"no {kind} 'x'") as raised:
        await getattr(journal, kind)("x")
    assert (raised.value.kind, raised.value.id) == (kind, "x")


async def test_nothing_is_removed_or_recorded_that_is_not_there(journal: Journal) -> None:
    with pytest.raises(NotInJournal):
        await journal.remove_subscription("x")
    with pytest.raises(NotInJournal):
        await journal.record_attempt("x", None, state="dead")


async def test_K8_an_attempt_its_outcome_and_what_is_next_are_one_commit(journal: Journal, clock: Clock) -> None:
    await journal.add_subscription(Subscription("sub_1", "https://example.com/"))
    await journal.append([new()])
    (made,) = await journal.deliveries()
    failed = Attempt(clock.now, 0.5, 503, "overloaded")
    await journal.record_attempt(made.id, failed, state="pending", due=clock.now + 5, reason="503")
    after = await journal.delivery(made.id)
    assert (after.state, after.attempts, after.due, after.reason) == ("pending", 1, clock.now + 5, "503")
    assert await in_line(journal) == [("delivery", made.id)]
    await journal.record_attempt(made.id, None, state="pending", due=clock.now + 9, reason="paused")
    taken = Attempt(clock.now, 0.1, 200)
    await journal.record_attempt(made.id, taken, state="delivered")
    after = await journal.delivery(made.id)
    assert (after.state, after.attempts, after.due, after.reason) == ("delivered", 2, None, "")
    assert await journal.attempts(made.id) == [failed, taken]
    assert await in_line(journal) == []


async def test_of_an_ordered_subscription_only_the_oldest_of_each_key_is_in_line(journal: Journal) -> None:
    await journal.add_subscription(Subscription("sub_1", "https://example.com/", ordered=True))
    await journal.append([new("a1", subject="a"), new("a2", subject="a"), new("b1", subject="b")])
    await journal.append([new("a3", subject="a")])
    a1, a2, b1, a3 = [each.id for each in await journal.deliveries()]
    assert {id for _, id in await in_line(journal)} == {a1, b1}
    await journal.record_attempt(a1, None, state="delivered")
    assert {id for _, id in await in_line(journal)} == {a2, b1}
    await journal.record_attempt(a2, None, state="dead", reason="410")
    await journal.record_attempt(b1, None, state="delivered")
    assert {id for _, id in await in_line(journal)} == {a3}
    await journal.record_attempt(a3, None, state="delivered")
    assert await journal.redeliver(subscription="sub_1", connection="mistral-ai") == 4
    assert {id for _, id in await in_line(journal)} == {a1, b1}


async def test_a_replay_takes_one_a_range_or_what_fits(journal: Journal, clock: Clock) -> None:
    await journal.add_subscription(Subscription("sub_1", "https://example.com/"))
    await journal.add_subscription(Subscription("sub_2", "https://example.com/"))
    appended = await journal.append([new("1"), new("2")])
    for each in await journal.deliveries():
        dead = each.event_id == appended[0].event_id
        await journal.record_attempt(each.id, Attempt(clock.now, 1.0, 500), state="dead" if dead else "delivered")
    assert await journal.redeliver(state="dead", subscription="sub_1") == 1
    (again,) = await journal.deliveries(state="pending")
    assert (again.subscription, again.attempts, again.due) == ("sub_1", 0, clock.now)
    assert await in_line(journal) == [("delivery", again.id)]
    assert await journal.redeliver(events=[appended[1].event_id]) == 2
    assert await journal.redeliver(until=clock.now) == 0
    assert await journal.redeliver(since=clock.now) == 4
    assert await journal.redeliver(events=[]) == 0


async def test_a_replay_to_one_subscription_brings_it_what_came_before_it(journal: Journal) -> None:
    await journal.append([new("1"), new("2", trigger="files/file.deleted")])
    await journal.add_subscription(Subscription("sub_1", "https://example.com/", Filter(triggers=(SUCCEEDED,))))
    assert await journal.redeliver(subscription="sub_1") == 1
    assert [each.event_id for each in await journal.deliveries()] == [event_id("mistral-ai", SUCCEEDED, "1")]
    with pytest.raises(NotInJournal):
        await journal.redeliver(subscription="sub_2")


async def test_a_replay_goes_through_any_number_of_events(journal: Journal) -> None:
    await journal.add_subscription(Subscription("sub_1", "https://example.com/"))
    appended = await journal.append([new(str(number)) for number in range(1201)])
    assert await journal.redeliver() == 1201
    assert await journal.redeliver(events=[each.event_id for each in appended]) == 1201


async def test_an_automation_runs_from_the_commit_of_its_event(journal: Journal, clock: Clock) -> None:
    journal.planners.append(lambda stored: [Run("run_1", "download", stored.event.id, "pending")])
    (appended,) = await journal.append([new()])
    run = await journal.run("run_1")
    assert (run.event_id, run.due, run.created) == (appended.event_id, clock.now, clock.now)
    assert await in_line(journal) == [("run", "run_1")]
    later = Run("run_1", "download", run.event_id, "pending", 1, {"answer": 1}, due=clock.now + 5, created=run.created)
    await journal.save_run(later, then=[Work("poll", "p", 0)])
    assert [(each.step, each.context) for each in await journal.runs(automation="download")] == [(1, {"answer": 1})]
    await journal.save_run(Run("run_1", "download", run.event_id, "done", 2))
    assert await in_line(journal) == [("poll", "p")]
    assert await journal.runs(state="pending") == []
    await journal.save_run(Run("run_2", "download", run.event_id, "failed", reason="refused"))
    assert [each.id for each in await journal.runs(event=run.event_id)] == ["run_2", "run_1"]


async def test_work_is_scheduled_once_and_taken_out_again(journal: Journal) -> None:
    await journal.schedule([Work("poll", "a", 10), Work("poll", "b", 20)])
    await journal.schedule([Work("poll", "b", 5)])
    assert await in_line(journal) == [("poll", "a"), ("poll", "b")]
    await journal.schedule([Work("poll", "b", 5)], replace=True)
    assert await in_line(journal) == [("poll", "b"), ("poll", "a")]
    await journal.unschedule("poll", ["b"])
    assert await in_line(journal) == [("poll", "a")]


async def test_a_tail_gives_what_is_there_and_then_what_comes(journal: Journal) -> None:
    await journal.append([new("1"), new("2")])
    tail = journal.tail(1)
    assert (await anext(tail)).seq == 2
    waiting = asyncio.create_task(anext(tail))
    await asyncio.sleep(0)
    await journal.append([new("3")])
    assert (await waiting).seq == 3
    await tail.aclose()


async def test_what_was_done_is_noted(journal: Journal, clock: Clock) -> None:
    await journal.audit("subscription.add", "sub_1", {"url": "https://example.com/"})
    await journal.audit("subscription.remove", "sub_1")
    newest, oldest = await journal.audits()
    assert (newest.action, newest.detail) == ("subscription.remove", {})
    assert (oldest.at, oldest.target, oldest.detail) == (clock.now, "sub_1", {"url": "https://example.com/"})


async def test_health_says_what_waits_and_for_how_long(journal: Journal, clock: Clock) -> None:
    await journal.add_subscription(Subscription("sub_1", "https://example.com/"))
    await journal.append([new("1"), new("2"), new("3")])
    first, second, _ = await journal.deliveries()
    await journal.record_attempt(first.id, None, state="delivered")
    await journal.record_attempt(second.id, None, state="dead")
    clock.now += 30
    health = await journal.health()
    assert (health.ready, health.events, health.pending, health.oldest_pending, health.dead) == (True, 3, 1, 30.0, 1)


# Files


async def test_what_was_acknowledged_is_there_after_a_restart(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state/journal.db"
    async with await Journal.open(url) as journal:
        await asyncio.gather(*(journal.append([new(str(number))]) for number in range(200)))
    async with await Journal.open(url) as journal:
        assert len(await journal.events(limit=1000)) == 200
        assert (await journal.append([new("7")]))[0].created is False
    assert (tmp_path / "state" / "journal.db").stat().st_mode & 0o777 == 0o600


async def test_F6_a_second_process_on_one_file_is_refused_and_may_look(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/journal.db"
    async with await Journal.open(url) as journal:
        with pytest.raises(ConfigurationError, match=r"another process \(process \d+\) has it open"):
            await Journal.open(url)
        async with await Journal.open(url, read_only=True) as reader:
            await journal.append([new()])
            assert len(await reader.events()) == 1
    await (await Journal.open(url)).close()


async def test_F5_a_file_that_was_there_is_never_made_anew_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    await (await Journal.open(f"sqlite:///{path}")).close()
    path.unlink()
    with pytest.raises(ConfigurationError, match="the file is gone, and it was there before") as raised:
        await Journal.open(f"sqlite:///{path}")
    assert "restore a backup" in raised.value.hint
    path.touch()
    with pytest.raises(ConfigurationError, match="the file is empty"):
        await Journal.open(f"sqlite:///{path}")
    (tmp_path / "journal.db.lock").unlink()
    await (await Journal.open(f"sqlite:///{path}")).close()


async def test_F5_a_damaged_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(b"this is no database, whatever its name says" * 100)
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="file is not a database"):
        await Journal.open(f"sqlite:///{path}")
    assert path.read_bytes() == before


async def test_F5_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/journal.db"
    async with await Journal.open(url) as journal:
        await journal.database.transact(
            lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        )
    with pytest.raises(ConfigurationError, match=r"written by a newer version .*tables 9999"):
        await Journal.open(url)
    with pytest.raises(ConfigurationError, match="written by a newer version"):
        await Journal.open(url, read_only=True)


async def test_F5_the_tables_of_another_program_are_left_alone(tmp_path: Path) -> None:
    database = SQLite(None)
    await database.transact(lambda connection: connection.execute(text("DROP TABLE alembic_version")))
    with pytest.raises(ConfigurationError, match="these tables are not a journal's"):
        await database.transact(lambda connection: migrate(connection, "x"))
    await database.close()


async def test_F5_a_file_that_is_not_there_cannot_be_looked_at(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file"):
        await Journal.open(f"sqlite:///{tmp_path}/journal.db", read_only=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["mysql://x/y", "journal.db", ""])
async def test_a_url_of_something_else_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="no database that a journal can live in"):
        await Journal.open(url)


async def test_the_migrations_make_the_tables_of_the_code() -> None:
    database = SQLite(None)
    with database.engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, METADATA) == []
        assert context.get_current_revision() == migrations.HEAD == migrations.VERSIONS[-1]
    await database.close()


#: An event as every version of the tables has it.
_KEPT = text(
    "INSERT INTO events (seq, id, connection, trigger, source, time, data, origin, received, hops, content_type, raw,"
    " digest) VALUES (1, 'evt_1', 'mistral-ai', 'a/b', '/x', '', '{}', 'webhook', 0, 0, '', :none, :none)"
)


@pytest.mark.parametrize("version", migrations.VERSIONS[:-1])
@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
async def test_F5_tables_of_every_older_version_are_brought_to_this_one_with_what_is_in_them(
    request: pytest.FixtureRequest, tmp_path: Path, dialect: str, version: str
) -> None:
    def make(connection: Connection) -> None:
        migrate(connection, "x", to=version)
        connection.execute(_KEPT, {"none": b""})

    def differ(connection: Connection) -> list[Any]:
        return list(compare_metadata(MigrationContext.configure(connection), METADATA))

    if dialect == "sqlite":
        url = f"sqlite:///{tmp_path}/journal.db"
        engine = create_engine(url)
        with engine.begin() as connection:
            make(connection)
            assert differ(connection) != []
        engine.dispose()
    else:
        server: Server = request.getfixturevalue("postgres")
        url = await server.create(f"version_{version}")
        database = PostgreSQL(url.replace("postgresql://", "postgresql+asyncpg://"))
        await database.transact(make)
        await database.close()
    async with await Journal.open(url) as journal:
        assert journal.database.migrated_from == version
        # PgQueuer's tables are its own.
        assert [each for each in await journal.read(differ) if "pgqueuer" not in str(each)] == []
        assert [each.event.id for each in await journal.events(trigger="a/b")] == ["evt_1"]


async def test_ids_of_one_thing_are_the_same_everywhere() -> None:
    assert event_id("a", "b", "c") == "evt_" + hashlib.sha256(b'["a", "b", "c"]').hexdigest()[:32]
    assert event_id("a", "b", "c") != event_id("a", "bc", "")
    assert event_id("a", "b", None) != event_id("a", "b", None)
    assert json.dumps(event_id("a", "b", "\ud800"))
