"""The JSON forms of values: what they show, and what they never do."""

from __future__ import annotations

import base64
import json

from connector.messages import Chunk, Event, Headers, Request, Result
from connector.parsing.automations import parse_automation
from runtime import documents
from runtime.config.catalog import Catalog
from runtime.journal.entries import Filter, Run, StoredEvent, Subscription

MISTRAL = Catalog().get("mistral-ai")
EVENT = Event(
    id="evt_1", source="/demo/default", type="things/made", subject=None, time="2026-11-26T08:00:00Z", data={"id": "1"}
)


def test_a_request_has_its_body_as_text_and_parsed() -> None:
    request = Request(
        "POST", "https://demo.example", headers=Headers({"content-type": "application/json"}), body=b'{"a": 1}'
    )
    document = documents.request_document(request)
    assert (document["body"], document["json"]) == ('{"a": 1}', {"a": 1})


def test_a_binary_answer_is_base64_in_a_result_and_in_a_chunk() -> None:
    text = base64.b64encode(b"\xff\x00").decode()
    assert documents.result_document(Result(ok=True, status=200, raw=b"\xff\x00"))["raw"] == text
    assert documents.chunk_document(Chunk(fields=None, raw=b"\xff\x00"))["raw"] == text


def test_an_event_without_a_subject_has_none_and_one_of_the_journal_says_how_it_came() -> None:
    assert "subject" not in documents.event_document(EVENT)
    stored = StoredEvent(seq=7, connection="demo", event=EVENT, dedupe=None, received=1.0, origin="poll")
    document = documents.stored_event_document(stored)
    assert (document["seq"], document["sequence"], document["origin"]) == (7, f"{7:020d}", "poll")
    assert document["dedupe"] == "none"


def test_a_subscription_of_everything_shows_stars() -> None:
    document = documents.subscription_document(
        Subscription("sub_1", "https://x.example/hook", Filter(), headers=("a",))
    )
    assert (document["connection"], document["trigger"], document["headers"]) == ("*", ["*"], ["a"])


def test_a_connection_shows_which_values_it_has_and_which_are_secret() -> None:
    document = documents.connection_document(MISTRAL, "mistral-ai:b", lambda name: name == "apiToken")
    values = {each["name"]: (each["set"], each["secret"]) for each in document["values"]}
    assert (values["apiToken"], values["webhookSecret"], values["dedupe"]) == (
        (True, True),
        (False, True),
        (False, False),
    )


def test_a_polled_trigger_shows_its_error_only_while_it_fails() -> None:
    webhook = next(each for each in MISTRAL.webhooks if each.poll is not None)

    def show(state: str, poll: str = "poll of x every 60 s") -> documents.Document:
        kept = {"state": state, "error": "refused", "triggers": {webhook.id: {"said": "the list is empty"}}}
        return documents.polled_trigger_document("mistral-ai", webhook, poll=poll, inputs={}, state=kept)

    assert (show("failing")["error"], show("ok")["error"], show("new")["error"]) == ("refused", None, None)
    assert show("ok")["said"] == "the list is empty"
    assert show("ok")["made_by"].endswith("poll of x every 60 s")
    plain = documents.polled_trigger_document(
        "demo", next(each for each in MISTRAL.webhooks), poll="", inputs={}, state={}
    )
    assert (plain["state"], plain["said"]) == (None, None)


def test_a_run_and_an_automation_are_plain_json() -> None:
    run = documents.run_document(Run("run_1", "auto", "evt_1", "pending", due=3.0))
    assert (run["state"], run["step"], run["due"]) == ("pending", 0, 3.0)
    automation = parse_automation({"handle": "auto", "on": "demo/things/made", "do": [{"call": "demo/things.read"}]})
    shown = documents.automation_document(automation)
    assert (shown["on"], shown["steps"]) == ("demo/things/made", ["demo/things.read"])
    assert json.loads(json.dumps([run, shown])) == [run, shown]
