"""Automations at work: a real journal, a provider that answers as it is told, and a clock that stands still."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from connector.events.automations import Automation
from connector.messages import Event
from connector.parsing.automations import parse_automation, parse_mapping
from connector.pointers import write_pointer
from runtime.events.automations import Automations, find_automation_lints, lint_automations, read_automations
from runtime.journal.entries import NewEvent, Run
from runtime.journal.journal import Journal
from runtime.runtime import Runtime

pytestmark = pytest.mark.anyio
Answer = httpx2.Response | Exception

DEFINITION: dict[str, Any] = {
    "handle": "demo",
    "service": {"baseURL": "https://demo.example", "auth": {"method": "none"}, "retry": {"attempts": 1}},
    "resources": [
        {
            "handle": "things",
            "endpoint": "/things",
            "fields": [{"name": "id", "type": "String"}, {"name": "size", "type": "Integer"}],
            "operations": {
                "read": {"method": "GET", "path": "/{{id}}"},
                "create": {"method": "POST", "bodyTemplate": {"name": "{{name}}"}},
                "keyed": {
                    "method": "POST",
                    "path": "/keyed",
                    "idempotent": {"header": "Idempotency-Key"},
                    "bodyTemplate": {"name": "{{name}}"},
                },
                "content": {"method": "GET", "path": "/{{id}}/content", "response": "binary"},
            },
            "webhooks": [{"event": "made", "path": "/webhooks/demo/made"}],
        }
    ],
}
READ = {"name": "read", "call": "demo/things.read", "inputs": {"id": "{{id}}"}}
CREATE = {"call": "demo/things.create", "inputs": {"name": {"from": "read", "selector": ["fields", "id"]}}}


def automation(*steps: dict[str, Any], **more: Any) -> Automation:
    return parse_automation({"handle": "auto", "on": "demo/things/made", "do": list(steps), **more})


class World:
    """One automation, its provider, and its journal."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        self.now = 1_000_000.0
        self.folder = folder
        self.journal = journal
        self.asked: list[httpx2.Request] = []
        self.answers: dict[str, list[Answer]] = {}
        (folder / "demo.json").write_text(json.dumps(DEFINITION))
        self.runtime = Runtime(
            folder / "demo.json",
            transport=httpx2.MockTransport(self.respond),
            clock=lambda: self.now,
            environ={},
        )

    def respond(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        answers = self.answers.get(f"{request.method} {request.url.path}", [])
        answer = (answers.pop(0) if len(answers) > 1 else answers[0]) if answers else httpx2.Response(200, json={})
        if isinstance(answer, Exception):
            raise answer
        return httpx2.Response(answer.status_code, headers=answer.headers, content=answer.content)

    def install(self, *known: Automation) -> Automations:
        self.automations = Automations(known, self.runtime, self.journal, self.folder / "files", chance=lambda: 0.0)
        self.journal.planners[:] = [self.automations.plan]
        return self.automations

    async def happen(self, **data: Any) -> list[Run]:
        event = Event(
            id="e", source="/demo/default", type="things/made", subject=None, time="2026-11-26T12:00:00Z", data=data
        )
        await self.journal.append([NewEvent("demo", event, json.dumps(data))])
        return await self.journal.runs()

    async def work(self) -> Run:
        """Does what is due of the newest run."""
        for _ in range(20):
            [run] = await self.journal.runs(limit=1)
            if run.due is None or run.due > self.now:
                return run
            await self.automations.handle(run.id)
        raise AssertionError("it never ends")

    @property
    def sent(self) -> list[str]:
        return [f"{each.method} {each.url.path}" for each in self.asked]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    now: list[Callable[[], float]] = [lambda: 1_000_000.0]
    async with await Journal.open("sqlite://", clock=lambda: now[0]()) as journal:  # noqa: PLW0108 - it changes
        made = World(tmp_path, journal)
        now[0] = lambda: made.now
        yield made


def ok(**body: Any) -> httpx2.Response:
    return httpx2.Response(200, json=body)


async def test_steps_are_done_in_order_and_know_what_was_answered(world: World) -> None:
    world.install(automation(READ, CREATE))
    world.answers["GET /things/t1"] = [ok(id="found", size=3)]
    [run] = await world.happen(id="t1")
    assert (run.state, run.step) == ("pending", 0)
    done = await world.work()
    assert (done.state, done.step, done.reason) == ("done", 2, "")
    assert world.sent == ["GET /things/t1", "POST /things"]
    assert json.loads(world.asked[1].content) == {"name": "found"}
    assert done.context["steps"]["read"]["fields"] == {"id": "found", "size": 3}


async def test_one_event_begins_one_run_and_others_none(world: World) -> None:
    when = {"from": "event", "selector": ["data", "size"], "above": 1}
    world.install(automation(READ, when=when))
    assert await world.happen(id="small", size=1) == []
    assert len(await world.happen(id="t1", size=2)) == 1
    assert len(await world.happen(id="t1", size=2)) == 1


async def test_a_step_whose_conditions_do_not_hold_is_left_out(world: World) -> None:
    never = {"from": "read", "selector": ["fields", "size"], "above": 9}
    world.install(automation(READ, {**CREATE, "when": never}, {**READ, "name": "again"}))
    world.answers["GET /things/t1"] = [ok(id="a", size=3)]
    await world.happen(id="t1")
    done = await world.work()
    assert (done.state, world.sent) == ("done", ["GET /things/t1"] * 2)
    assert done.context["steps"]["step2"] is None


async def test_a_failure_that_may_pass_is_tried_again_by_the_table_and_then_ends(world: World) -> None:
    world.install(automation(READ))
    world.answers["GET /things/t1"] = [httpx2.Response(503)]
    await world.happen(id="t1")
    waits = []
    for _ in range(9):
        run = await world.work()
        assert (run.state, run.due is not None) == ("pending", True)
        assert run.due is not None
        waits.append(run.due - world.now)
        world.now = run.due
        world.runtime = World(world.folder, world.journal).runtime  # its breaker would be open by now
        world.runtime._exchange._transport = httpx2.MockTransport(world.respond)  # noqa: SLF001 - the same provider
        world.install(automation(READ))
    run = await world.work()
    assert waits == [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    assert (run.state, run.due, len(world.asked)) == ("failed", None, 10)
    assert run.reason.startswith("read: ")


async def test_a_refusal_is_no_failure_that_passes_and_its_words_are_kept(world: World) -> None:
    world.install(automation(READ))
    world.answers["GET /things/t1"] = [httpx2.Response(422, json={"message": "no such size"})]
    await world.happen(id="t1")
    run = await world.work()
    assert (run.state, len(world.asked)) == ("failed", 1)
    assert "no such size" in run.reason


async def test_a_limit_is_waited_for(world: World) -> None:
    world.install(automation({**CREATE, "inputs": {"name": "x"}}))
    world.answers["POST /things"] = [httpx2.Response(429, headers={"Retry-After": "600"}), ok()]
    await world.happen(id="t1")
    run = await world.work()
    assert run.due == world.now + 600
    world.now += 600
    assert (await world.work()).state == "done"


async def test_K12_a_call_that_may_have_acted_ends_unknown_and_is_not_repeated(world: World) -> None:
    world.install(automation({**CREATE, "inputs": {"name": "x"}}))
    world.answers["POST /things"] = [httpx2.ReadError("gone")]
    await world.happen(id="t1")
    run = await world.work()
    assert (run.state, run.due, len(world.asked)) == ("unknown", None, 1)


async def test_K12_a_process_that_ended_while_it_sent_leaves_an_unknown_outcome(world: World) -> None:
    world.install(automation({**CREATE, "inputs": {"name": "x"}}))
    world.answers["POST /things"] = [KeyboardInterrupt()]  # type: ignore[list-item]
    [run] = await world.happen(id="t1")

    class Killed(Exception):
        pass

    async def die(*_: Any, **__: Any) -> Any:
        raise Killed

    world.runtime.call = die  # type: ignore[method-assign]
    with pytest.raises(Killed):
        await world.automations.handle(run.id)
    del world.runtime.call  # type: ignore[attr-defined]
    ended = await world.work()
    assert (ended.state, world.asked) == ("unknown", [])
    assert "check the provider before repeating it" in ended.reason


async def test_K12_a_step_with_a_key_is_repeated_with_the_same_key(world: World) -> None:
    world.install(automation({"call": "demo/things.keyed", "inputs": {"name": "x"}}))
    world.answers["POST /things/keyed"] = [httpx2.ReadError("gone"), ok(id="t2")]
    [run] = await world.happen(id="t1")
    await world.work()
    world.now += 10
    assert (await world.work()).state == "done"
    keys = {each.headers["idempotency-key"] for each in world.asked}
    assert (len(world.asked), keys) == (2, {f"{run.id}-0"})


async def test_a_binary_answer_goes_to_a_file_that_is_named_plainly(world: World) -> None:
    save = {"call": "demo/things.content", "inputs": {"id": "{{id}}"}, "save": "{{id}}.bin"}
    world.install(automation(save))
    world.answers["GET /things/t1/content"] = [httpx2.Response(200, content=b"\0" * 70_000)]
    await world.happen(id="t1")
    done = await world.work()
    assert done.state == "done"
    assert (world.folder / "files" / "t1.bin").read_bytes() == b"\0" * 70_000
    assert done.context["steps"]["step1"]["fields"]["size"] == 70_000


@pytest.mark.parametrize("name", ["../t", "a/b", "", ".hidden", "a\0", "C:\\x", "x" * 300])
async def test_T71_an_event_cannot_name_a_path(world: World, name: str) -> None:
    save = {"call": "demo/things.content", "inputs": {"id": "1"}, "save": "{{id}}"}
    world.install(automation(save))
    await world.happen(id=name)
    run = await world.work()
    assert (run.state, world.asked) == ("failed", [])
    assert "plain file name" in run.reason


async def test_a_run_of_an_automation_that_is_gone_ends_with_the_reason(world: World) -> None:
    world.install(automation(READ))
    [run] = await world.happen(id="t1")
    world.install()
    await world.automations.handle(run.id)
    assert (await world.work()).reason == "there is no longer an automation 'auto' with a step 1"


async def test_a_rehearsal_sends_nothing_and_shows_every_request(world: World) -> None:
    known = automation(
        READ, {**CREATE, "name": "make"}, {**READ, "name": "no", "when": {"from": "make", "exists": False}}
    )
    event = Event(
        id="e", source="/demo/default", type="things/made", subject=None, time="2026-11-26T12:00:00Z", data={"id": "t1"}
    )
    rehearsed = list(world.install(known).rehearse(known, event))
    assert [(each.step, each.skipped, each.error) for each in rehearsed] == [
        ("read", False, ""),
        ("make", False, ""),
        ("no", True, ""),
    ]
    assert [each.request.url for each in rehearsed if each.request] == [
        "https://demo.example/things/t1",
        "https://demo.example/things",
    ]
    assert world.asked == []
    broken = automation({"call": "demo/things.read", "inputs": {"idd": 1}})
    [shown] = world.automations.rehearse(broken, event)
    assert "did you mean 'id'?" in shown.error


def test_files_are_read_with_all_their_problems(tmp_path: Path) -> None:
    good = {"handle": "auto", "on": "demo/things/made", "do": [READ]}
    for name, text in (("a", json.dumps(good)), ("b", json.dumps(good)), ("c", "{"), ("d", '{"on": "x"}')):
        (tmp_path / f"{name}.json").write_text(text)
    (tmp_path / "e.json").write_bytes(b"\xff")
    found, problems = read_automations(tmp_path)
    assert [each.handle for each in found] == ["auto"]
    assert [Path(each.file or "").stem for each in problems if each.is_error] == ["b", "c", "d", "d", "d", "e"]
    assert read_automations(tmp_path / "none") == ([], [])


async def test_what_an_automation_names_is_looked_for_in_the_catalogue(world: World) -> None:
    steps = [
        {"call": "demo/things.raed"},
        {"call": "dmo/things.read"},
        {"call": "demo/things.read", "inputs": {"idd": 1}},
    ]
    broken = parse_automation({"handle": "auto", "on": "demo/things/mad", "do": steps})
    found = [(write_pointer(each.path), each.hint) for each in find_automation_lints(broken, world.runtime.catalog)]
    assert found == [
        ("/on", "did you mean 'things/made'?"),
        ("/do/0/call", "did you mean 'things.read'?"),
        (
            "/do/1/call",
            "did you mean 'demo'?; name the folder of other connectors with --definitions DIR or CONNECTOR_DEFINITIONS",
        ),
        ("/do/2/inputs/idd", "did you mean 'id'?"),
        ("/do/2/inputs", "map a value to id"),
    ]
    assert list(find_automation_lints(automation(READ, CREATE), world.runtime.catalog)) == []


async def test_a_lint_of_an_input_whose_name_holds_a_slash_points_at_its_own_line(world: World, tmp_path: Path) -> None:
    step = {"call": "demo/things.read", "inputs": {"id": 1, "a/b~c": 2}}
    definition = {"handle": "auto", "on": "demo/things/made", "do": [step]}
    (folder := tmp_path / "automations").mkdir()
    (folder / "auto.json").write_text(json.dumps(definition, indent=1))
    [found] = lint_automations(folder, world.runtime.catalog)
    assert (found.line, found.pointer) == (9, "/do/0/inputs/a~1b~0c")


async def test_a_host_maps_values_as_automations_do(world: World) -> None:
    context = {"event": {"data": {"id": "t1"}}, "read": {"fields": {"size": 3}}}
    mapping = {"name": "thing {{id}}", "size": {"from": "read", "selector": ["fields", "size"], "type": "String"}}
    expected = {"name": "thing t1", "size": "3"}
    assert world.runtime.map(mapping, context) == world.runtime.map(parse_mapping(mapping), context) == expected
