"""Messages of providers over real sockets, from the raw path to the journal; hazards by their ids."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
import gzip
import hashlib
import hmac
import json
import time
import urllib.parse
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest

from connector.errors import ConfigurationError, JournalUnavailable, RequestRefused
from connector.events.signatures import sign
from connector.parsing.connectors import parse_connector
from runtime import Runtime
from runtime.events.ingress import find_routes, read_body
from runtime.events.verification import Verifications
from tests.doubles.served import DEMO, PATH, SECRET, Served, served, settings_in

pytestmark = pytest.mark.anyio


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(settings_in(tmp_path)) as running:
        yield running


async def raw_exchange(port: int, request: bytes) -> bytes:
    """What a server answers to exactly these bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await writer.drain()
    answer = await asyncio.wait_for(reader.read(65536), 20)
    writer.close()
    return answer


async def count(server: Served) -> int:
    return len(await server.journal.events(limit=1000))


async def test_a_signed_message_is_kept_and_answered_202_with_the_id_of_its_event(server: Served) -> None:
    answer = await server.send({"id": "t-1", "size": 3})
    assert answer.status_code == 202
    (stored,) = await server.journal.events()
    assert answer.json() == {"event": stored.event.id}
    assert (stored.connection, stored.event.type, stored.event.source) == ("demo", "things/made", "/demo/default")
    assert (stored.event.subject, stored.event.data) == ("t-1", {"id": "t-1", "size": 3})
    assert (stored.raw, stored.content_type, stored.origin, stored.dedupe) == (
        b'{"id": "t-1", "size": 3}', "application/json", "webhook", "m-1",
    )  # fmt: skip


async def test_without_a_declared_scheme_the_secret_as_a_bearer_token_will_do(server: Served) -> None:
    headers = {"authorization": f"Bearer {SECRET}", "content-type": "application/json"}
    assert (await server.client.post(server.url + PATH, content=b'{"id": "t"}', headers=headers)).status_code == 202
    (stored,) = await server.journal.events()
    assert stored.dedupe is None


async def test_T59_an_unsigned_message_is_refused_and_nothing_is_kept(server: Served) -> None:
    answer = await server.client.post(server.url + PATH, json={"id": "t"})
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
    assert (answer.json()["code"], answer.json()["status"]) == ("E_SIGNATURE", 401)
    assert await count(server) == 0


async def test_T59_a_connection_without_a_secret_takes_nothing(server: Served) -> None:
    assert (await server.send(path=PATH + "?connection=team-b")).status_code == 401
    assert (await server.send(path=PATH + "?connection=../x")).status_code == 401
    assert await count(server) == 0


async def test_T59_an_unsigned_connection_takes_what_comes_to_a_url_that_nobody_can_guess(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, CONNECTOR_SECRET__DEMO__UNSIGNED="true")
    async with served(settings) as server:
        rows = (await server.client.get(server.url + "/api/webhooks")).json()
        url = next(row["url"] for row in rows if row["trigger"] == "things/made")
        assert url.startswith(PATH + "/")
        assert len(url) >= len(PATH) + 33
        post = server.client.post
        headers = {"webhook-id": "m-7"}
        assert (await post(server.url + url, json={"id": "t"}, headers=headers)).status_code == 202
        assert (await post(server.url + url, json={"id": "t"}, headers=headers)).status_code == 202
        assert (await post(server.url + PATH, json={"id": "t"})).status_code == 401
        assert (await post(server.url + url[:-1], json={"id": "t"})).status_code == 404
        assert (await post(server.url + url + "0", json={"id": "t"})).status_code == 404
        assert [each.dedupe for each in await server.journal.events()] == ["m-7"]


async def test_the_url_of_an_unsigned_connection_is_the_same_after_a_restart(tmp_path: Path) -> None:
    seen = set()
    for _ in range(2):
        settings = settings_in(tmp_path, CONNECTOR_SECRET__DEMO__UNSIGNED="1", CONNECTOR_SECRET__DEMO__WEBHOOKSECRET="")
        async with served(settings) as server:
            rows = (await server.client.get(server.url + "/api/webhooks")).json()
            seen.add(next(row["url"] for row in rows if row["trigger"] == "things/made"))
            assert (await server.client.post(server.url + PATH, json={"id": "t"})).status_code == 401
    assert len(seen) == 1
    (path,) = tmp_path.rglob("webhook-tokens")
    assert path.stat().st_mode & 0o77 == 0


@pytest.mark.parametrize("content", [b"", b"0" * 63, b"0" * 65, b"Z" * 64, b"\0" * 64])
async def test_a_damaged_token_file_opens_no_webhook(tmp_path: Path, content: bytes) -> None:
    """The token of the URL would be computable by anyone."""
    settings = settings_in(tmp_path, CONNECTOR_SECRET__DEMO__UNSIGNED="true", CONNECTOR_SECRET__DEMO__WEBHOOKSECRET="")
    settings.home.mkdir(parents=True, exist_ok=True)
    (settings.home / "webhook-tokens").write_bytes(content)
    computed = hashlib.blake2b(b"demo", key=hashlib.sha256(content).digest(), digest_size=16).hexdigest()
    async with served(settings) as server:
        answer = await server.client.post(f"{server.url}{PATH}/{computed}", json={"id": "t"})
        assert answer.status_code == 503
        assert await count(server) == 0
    runtime = Runtime(settings=settings)
    with pytest.raises(ConfigurationError, match="webhook-tokens is damaged") as caught:
        Verifications(runtime.vault, settings.home, lambda: 0.0).find("demo")
    assert "remove it" in caught.value.hint
    assert (settings.home / "webhook-tokens").read_bytes() == content, "it may be restored"


@pytest.mark.parametrize("signature", ["v1", "garbage", "v1,é".encode(), "", "v1,AAAA", "v1a,x v2,y"])
async def test_T60_a_signature_that_is_none_is_401(server: Served, signature: Any) -> None:
    answer = await server.send(headers={"webhook-signature": signature})
    assert answer.status_code == 401


@pytest.mark.parametrize("body", [b"notjson", b"\xff", b"[" * 100_000, b"", b"3", b'{"id": NaN}'])
async def test_T60_a_signed_message_that_cannot_be_read_is_400(server: Served, body: bytes) -> None:
    answer = await server.send(body)
    assert (answer.status_code, await count(server)) == (400, 0)
    assert answer.json()["code"] == "E_REQUEST"


async def test_T61_100000_signatures_are_refused_by_the_size_of_their_header(server: Served) -> None:
    many = "v1,AAAA " * 100_000 + "v1,AAAA"
    with_many = await server.send(headers={"webhook-signature": "v1,AAAA " * 10 + "v1,AAAA"})
    assert with_many.status_code == 401
    with contextlib.suppress(httpx2.TransportError):  # the server may hang up on the header
        assert (await server.send(headers={"webhook-signature": many})).status_code in (400, 401, 431)
    assert (await server.send()).status_code == 202


@pytest.mark.parametrize("timestamp", ["-301", "+301", "nan", "inf", "1795318837.9", " 1795318837"])
async def test_T62_a_timestamp_outside_its_window_or_in_another_form_is_401(server: Served, timestamp: str) -> None:
    body = b'{"id": "t"}'
    stamp = str(int(time.time()) + int(timestamp)) if timestamp[0] in "+-" else timestamp
    signed = hmac.new(base64.b64decode(SECRET[6:]), f"m-1.{stamp}.".encode() + body, hashlib.sha256).digest()
    fields = (
        f"webhook-id: m-1\r\nwebhook-timestamp:{stamp}\r\nwebhook-signature: v1,{base64.b64encode(signed).decode()}"
    )
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\nconnection: close\r\n{fields}\r\n\r\n"
    # A space before a field's value is no part of it (RFC 9112, section 5), so that one form is the plain number.
    expected = b"401"
    assert (await raw_exchange(server.port, head.encode() + body)).split(b" ")[1] == expected


async def test_T63_W1_repetitions_in_a_row_and_at_once_are_one_event(server: Served) -> None:
    answers = [await server.send() for _ in range(10)]
    answers += await asyncio.gather(*(server.send() for _ in range(50)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["event"] for answer in answers}) == 1
    assert await count(server) == 1


async def test_T63_W1_a_repetition_after_a_restart_is_the_same_event(tmp_path: Path) -> None:
    ids = []
    for _ in range(2):
        async with served(settings_in(tmp_path)) as server:
            ids += [(await server.send()).json()["event"] for _ in range(50)]
            assert await count(server) == 1
    assert len(set(ids)) == 1


async def test_T63_after_its_window_a_message_is_401_and_with_a_rotated_key_it_is_still_one_event(
    tmp_path: Path,
) -> None:
    newer = "whsec_" + base64.b64encode(b"n" * 24).decode()
    async with served(settings_in(tmp_path)) as server:
        at = time.time() - 299
        first = await server.send(at=at)
        assert first.status_code == 202
        assert (await server.send(at=at - 2)).status_code == 401
    rotated = settings_in(tmp_path, CONNECTOR_SECRET__DEMO__WEBHOOKSECRET=f"{newer} {SECRET}")
    async with served(rotated) as server:
        for secret in (SECRET, newer):
            assert (await server.send(secret=secret)).json() == first.json()
        assert await count(server) == 1


@pytest.mark.parametrize(("conflict", "status"), [("accept", 202), ("refuse", 409)])
async def test_T64_report_07_one_id_with_two_bodies_is_one_event_and_audited(
    tmp_path: Path, conflict: str, status: int
) -> None:
    """Providers whose retries count their attempts would repeat a message that is refused for days."""
    definition = copy.deepcopy(DEMO)
    for webhook in definition["resources"][0]["webhooks"]:
        webhook["conflict"] = conflict
    async with served(settings_in(tmp_path, definition)) as server:
        first = await server.send({"id": "t-1"})
        second = await server.send({"id": "t-2"})
        assert (first.status_code, second.status_code, await count(server)) == (202, status, 1)
        assert second.json().get("event") == (first.json()["event"] if conflict == "accept" else None)
        (noted,) = await server.journal.audits()
        assert (noted.action, noted.target) == ("webhook.conflict", first.json()["event"])
        (stored,) = await server.journal.events()
        assert stored.event.data["id"] == "t-1"


def several(**members: Any) -> dict[str, Any]:
    """The definition of `demo` with two events at one path."""
    payload = [{"name": "id", "type": "Any"}, {"name": "kind", "type": "Any"}]
    definition = copy.deepcopy(DEMO)
    definition["resources"][0]["webhooks"] = [
        {"event": event, "path": PATH, "payload": payload, "match": {"selector": ["kind"], "in": [event]}, **members}
        for event in ("a", "b")
    ]
    return definition


EVENTS = [{"id": 1, "kind": "a"}, {"id": 2, "kind": "b"}, {"id": 3, "kind": "c"}, {"id": 4, "kind": "a"}]


@pytest.mark.parametrize(("records", "body"), [([], EVENTS), (["events"], {"events": EVENTS})])
async def test_report_06_a_message_of_several_events_is_one_event_for_each(
    tmp_path: Path, records: list[str], body: Any
) -> None:
    definition = several(records=records, id=["id"])
    async with served(settings_in(tmp_path, definition)) as server:
        first = await server.send(body)
        assert first.status_code == 202
        kept = await server.journal.events()
        assert {(each.event.type, each.event.subject, each.dedupe) for each in kept} == {
            ("things/a", "1", "1"), ("things/b", "2", "2"), ("things/a", "4", "4"),
        }  # fmt: skip
        assert sorted(first.json()["events"]) == sorted(each.event.id for each in kept)
        assert json.loads(kept[0].raw) in EVENTS
        # The same event within another message is the same event.
        assert (await server.send(body[:1] if isinstance(body, list) else {"events": EVENTS[:1]}, id="m-2")).is_success
        assert await count(server) == 3
        assert await server.journal.audits() == []


async def test_report_06_events_without_ids_of_their_own_are_known_by_the_message_and_their_place(
    tmp_path: Path,
) -> None:
    async with served(settings_in(tmp_path, several(records=[]))) as server:
        for _ in range(2):
            assert (await server.send(EVENTS)).status_code == 202
        assert {each.dedupe for each in await server.journal.events()} == {"m-1:0", "m-1:1"}


@pytest.mark.parametrize("body", [{"id": 3, "kind": "c"}, {"id": 3}, {}])
async def test_report_06_a_message_that_is_none_of_the_events_of_its_path_makes_none(
    tmp_path: Path, body: dict[str, Any]
) -> None:
    async with served(settings_in(tmp_path, several())) as server:
        answer = await server.send(body)
        assert (answer.status_code, answer.json(), await count(server)) == (202, {"event": None}, 0)
        (noted,) = await server.journal.audits()
        assert (noted.action, noted.target, noted.detail) == ("webhook.unmatched", PATH, {"connection": "demo"})


async def test_report_06_a_message_without_any_payload_field_is_reported(
    server: Served, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await server.send({"event": {"id": "t-1", "size": 2}})
    said = "things/made: 0 of 2 fields matched; 2 of 2 match at $.event"
    assert (answer.status_code, answer.json()["warnings"], await count(server)) == (202, [said], 1)
    assert said in caplog.text


async def test_a_message_of_too_many_events_is_413(tmp_path: Path) -> None:
    definition = several(records=[])
    async with served(settings_in(tmp_path, definition)) as server:
        answer = await server.send([{"kind": "a"}] * 10_001)
        assert (answer.status_code, await count(server)) == (413, 0)


async def test_redteam_08_forged_messages_do_not_use_up_the_rate_of_signed_ones(tmp_path: Path) -> None:
    async with served(settings_in(tmp_path, CONNECTOR_LIMIT_WEBHOOK_RATE="20")) as server:
        forged = [await server.send(id=f"f-{n}", headers={"webhook-signature": "v1,AAAA"}) for n in range(60)]
        assert {answer.status_code for answer in forged} == {401, 429}
        assert (await server.send(id="right")).status_code == 202
        assert await count(server) == 1


async def test_T64_one_body_with_two_ids_and_one_id_at_two_webhooks_are_two_events(server: Served) -> None:
    assert [(await server.send(id=each)).status_code for each in ("m-1", "m-2")] == [202, 202]
    assert (await server.send(id="m-1", path="/webhooks/demo/gone")).status_code == 202
    assert await count(server) == 3


async def test_T64_one_id_for_two_connections_is_two_events(tmp_path: Path) -> None:
    other = "whsec_" + base64.b64encode(b"o" * 24).decode()
    settings = settings_in(tmp_path, CONNECTOR_SECRET__DEMO__TEAM_B__WEBHOOKSECRET=other)
    async with served(settings) as server:
        assert (await server.send()).status_code == 202
        named = PATH + "?connection=team-b"
        assert (await server.send(path=named)).status_code == 401
        assert (await server.send(path=named, secret=other)).status_code == 202
        found = await server.journal.events()
        assert [(each.connection, each.event.source) for each in found] == [
            ("demo", "/demo/default"), ("demo:team-b", "/demo/team-b"),
        ]  # fmt: skip


async def test_T65_two_ids_are_400(server: Served) -> None:
    body = b'{"id": "t"}'
    fields = list(sign([SECRET], "m-1", int(time.time()), body).items())
    answer = await server.client.post(server.url + PATH, content=body, headers=[*fields, ("webhook-id", "m-2")])
    assert answer.status_code == 400


async def test_T66_another_spelling_of_the_body_is_401_and_the_raw_bytes_are_what_is_kept(server: Served) -> None:
    body = b'{"id":\t"t-1",  "note": "\\u00e9"}'
    headers = sign([SECRET], "m-1", int(time.time()), body) | {"content-type": "application/json"}
    for other in (body + b" ", json.dumps(json.loads(body)).encode()):
        assert (await server.client.post(server.url + PATH, content=other, headers=headers)).status_code == 401
    assert (await server.client.post(server.url + PATH, content=body, headers=headers)).status_code == 202
    (stored,) = await server.journal.events()
    assert stored.raw == body


@pytest.mark.parametrize(
    "target",
    [
        "/webhooks/demo/..%2f..%2fadmin", "/webhooks//demo/made", "//webhooks/demo/made", PATH + "/", PATH + "%00",
        PATH.upper(), "/webhooks/demo/m%61de", "http://127.0.0.1" + PATH, "/webhooks/demo/./made", PATH + ";x",
        "/x/.." + PATH, PATH + "/..", "/webhooks/demo/",
    ],
)  # fmt: skip
async def test_T67_only_the_exact_raw_path_is_a_webhook(server: Served, target: str) -> None:
    body = b'{"id": "t"}'
    fields = "".join(f"{name}: {value}\r\n" for name, value in sign([SECRET], "m", int(time.time()), body).items())
    head = f"POST {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len(body)}\r\n{fields}\r\n"
    answer = await raw_exchange(server.port, head.encode() + body)
    assert (answer.split(b" ")[1], await count(server)) == (b"404", 0)


async def test_T68_a_body_beyond_the_limit_is_413_whatever_its_length_was_said_to_be(server: Served) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 65536

    answer = await server.client.post(server.url + PATH, content=chunks(), headers={"content-type": "application/json"})
    assert answer.status_code == 413
    for length in ("1000000000000", "9" * 30):
        head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n"
        assert (await raw_exchange(server.port, head.encode())).split(b" ")[1] in (b"413", b"400")


async def test_T69_an_encoded_body_is_415_and_nobody_decodes_it(server: Served) -> None:
    bomb = gzip.compress(b"0" * 10_000_000)
    answer = await server.send(bomb, headers={"content-encoding": "gzip"})
    assert (answer.status_code, await count(server)) == (415, 0)


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json; charset=utf-8", 202), ("application/cloudevents+json", 202), ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415), ("multipart/form-data; boundary=x", 415), ("application/xml", 415),
    ],
)  # fmt: skip
async def test_T71_only_json_is_taken_unless_the_provider_sends_forms(
    server: Served, content_type: str, status: int
) -> None:
    assert (await server.send(headers={"content-type": content_type})).status_code == status


async def test_T71_a_file_path_in_a_message_is_text_like_any_other(server: Served) -> None:
    document = {"id": "t-1", "files": {"x": {"filepath": "/etc/passwd"}}}
    assert (await server.send(document)).status_code == 202
    (stored,) = await server.journal.events()
    assert (stored.event.data, b"root:" in stored.raw) == ({"id": "t-1", "size": None}, False)


TWILIO = {
    "handle": "calls",
    "service": {
        "baseURL": "https://calls.example",
        "signature": {
            "scheme": "hmac", "header": "X-Twilio-Signature", "algorithm": "sha1", "encoding": "base64",
            "signed": "{{url}}{{form}}",
        },
    },
    "resources": [{
        "handle": "messages", "endpoint": "/m",
        "webhooks": [{
            "event": "came", "path": "/webhooks/calls/came", "contentType": "application/x-www-form-urlencoded",
            "payload": [{"name": "id", "type": "String", "selector": ["MessageSid"]}],
        }],
    }],
}  # fmt: skip


async def test_a_form_signed_with_its_url_is_taken_from_a_provider_that_sends_forms(tmp_path: Path) -> None:
    settings = settings_in(
        tmp_path,
        TWILIO,
        CONNECTOR_SECRET__CALLS__WEBHOOKSECRET="12345",
        CONNECTOR_PUBLIC_URL="https://hooks.example/in",
    )
    async with served(settings) as server:
        signed = "https://hooks.example/in/webhooks/calls/came?a=1" + "BodyHi youMessageSidSM1"
        digest = base64.b64encode(hmac.new(b"12345", signed.encode(), hashlib.sha1).digest()).decode()
        url = server.url + "/webhooks/calls/came?a=1"
        data = {"MessageSid": "SM1", "Body": "Hi you"}
        answer = await server.client.post(url, data=data, headers={"X-Twilio-Signature": digest})
        assert answer.status_code == 202
        (stored,) = await server.journal.events()
        assert stored.event.data == {"id": "SM1"}
        answer = await server.client.post(url, json=data, headers={"X-Twilio-Signature": digest})
        assert answer.status_code == 415


async def test_a_form_with_too_many_fields_or_a_doubled_one_is_never_a_500(tmp_path: Path) -> None:
    """Whatever the order of doubled fields, which one counts must be clear."""
    settings = settings_in(tmp_path, TWILIO, CONNECTOR_SECRET__CALLS__WEBHOOKSECRET="12345")
    async with served(settings) as server:
        url = server.url + "/webhooks/calls/came"

        async def post(pairs: list[tuple[str, str]], *, signed: bool) -> int:
            text = url + "".join(name + value for name, value in sorted(pairs))
            digest = base64.b64encode(hmac.new(b"12345", text.encode(), hashlib.sha1).digest()).decode()
            headers = {
                "X-Twilio-Signature": digest if signed else "AAAA",
                "Content-Type": "application/x-www-form-urlencoded",
            }
            body = urllib.parse.urlencode(pairs)
            return (await server.client.post(url, content=body, headers=headers)).status_code

        many = [(f"a{number}", "1") for number in range(1001)]
        assert await post(many, signed=False) == 401
        assert await post(many, signed=True) == 400
        assert await post([("MessageSid", "1"), ("MessageSid", "2")], signed=True) == 400
        assert await post([("MessageSid", "2"), ("MessageSid", "1")], signed=True) == 400
        assert await post([("MessageSid", "1"), ("Media", "a"), ("Media", "b")], signed=True) == 202
        (stored,) = await server.journal.events()
        assert stored.event.data == {"id": "1"}


@pytest.mark.parametrize(
    "framing",
    ["content-length: 2\r\ntransfer-encoding: chunked", "content-length: 2\r\ncontent-length: 3", "content-length: -1"],
)
async def test_T72_a_body_framed_in_two_ways_is_400(server: Served, framing: str) -> None:
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\n{framing}\r\n\r\n0\r\n\r\n"
    assert (await raw_exchange(server.port, head.encode())).split(b" ")[1] == b"400"
    assert await count(server) == 0


async def test_T73_a_connector_beyond_its_rate_is_429_and_another_is_not(tmp_path: Path) -> None:
    other = json.loads(json.dumps(DEMO).replace("demo", "other"))
    settings = settings_in(tmp_path, DEMO, other, CONNECTOR_SECRET__OTHER__WEBHOOKSECRET=SECRET)
    async with served(settings, limits={"webhook_rate": 5}) as server:
        answers = [await server.send(id=f"m-{number}") for number in range(20)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert {answer.status_code for answer in answers} == {202, 429}
        assert int(refused[0].headers["retry-after"]) >= 1
        assert (await server.send(path="/webhooks/other/made")).status_code == 202


async def test_T74_messages_without_an_id_are_never_taken_for_one(server: Served) -> None:
    headers = {"authorization": f"Bearer {SECRET}", "content-type": "application/json"}
    for _ in range(2):
        assert (await server.client.post(server.url + PATH, content=b'{"id": "t"}', headers=headers)).status_code == 202
    found = (await server.client.get(server.url + "/api/events")).json()["events"]
    assert [each["dedupe"] for each in found] == ["none", "none"]


async def test_T74_messages_of_one_body_are_one_if_the_operator_says_so(tmp_path: Path) -> None:
    async with served(settings_in(tmp_path, CONNECTOR_SECRET__DEMO__DEDUPE="body")) as server:
        headers = {"authorization": f"Bearer {SECRET}", "content-type": "application/json"}

        async def send(body: bytes, **more: str) -> str:
            answer = await server.client.post(server.url + PATH, content=body, headers=headers | more)
            assert answer.status_code == 202
            return str(answer.json()["event"])

        first = await send(b'{"id": "t"}')
        assert await send(b'{"id": "t"}') == first
        # White space is part of a body, and an id says more than it.
        assert len({first, await send(b'{"id":"t"}'), await send(b'{"id": "t"}', **{"webhook-id": "m-1"})}) == 3
        found = (await server.client.get(server.url + "/api/events")).json()["events"]
        assert [("dedupe" in each, each["id"] == first) for each in found] == [(False, True), *[(False, False)] * 2]


async def test_T74_a_word_that_does_not_say_what_collapses_is_refused_and_loses_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(settings_in(tmp_path, CONNECTOR_SECRET__DEMO__DEDUPE="boddy")) as server:
        answer = await server.send()
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
        assert await count(server) == 0
    assert "demo: 'dedupe' cannot be 'boddy'" in caplog.text


SLACK = {
    "handle": "chat",
    "service": {
        "baseURL": "https://chat.example",
        "signature": {
            "scheme": "hmac", "header": "X-Slack-Signature", "prefix": "v0=", "signed": "v0:{{timestamp}}:{{body}}",
            "timestampHeader": "X-Slack-Request-Timestamp", "idSelector": ["event_id"],
        },
    },
    "resources": [{
        "handle": "messages", "endpoint": "/m",
        "webhooks": [
            {
                "event": "came", "path": "/webhooks/chat/came", "payload": [{"name": "id", "type": "String"}],
                "challenge": {"if": ["type"], "in": ["url_verification"], "body": ["challenge"]},
            },
            {
                "event": "read", "path": "/webhooks/chat/read",
                "challenge": {"query": "hub.challenge", "token": "hub.verify_token"},
            },
        ],
    }],
}  # fmt: skip


def slack(body: bytes) -> dict[str, str]:
    at = str(int(time.time()))
    digest = hmac.new(b"a-secret-of-slack", f"v0:{at}:".encode() + body, hashlib.sha256).hexdigest()
    return {"X-Slack-Request-Timestamp": at, "X-Slack-Signature": f"v0={digest}", "content-type": "application/json"}


async def test_a_signed_challenge_is_answered_and_is_no_event(tmp_path: Path) -> None:
    async with served(
        settings_in(tmp_path, SLACK, CONNECTOR_SECRET__CHAT__WEBHOOKSECRET="a-secret-of-slack")
    ) as server:
        url = server.url + "/webhooks/chat/came"
        body = b'{"type": "url_verification", "challenge": "3eZbrw1a"}'
        answer = await server.client.post(url, content=body, headers=slack(body))
        assert (answer.status_code, answer.text) == (200, "3eZbrw1a")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert (
            await server.client.post(url, content=body, headers={"content-type": "application/json"})
        ).status_code == 401
        body = b'{"type": "event", "id": "7", "event_id": "Ev7"}'
        for _ in range(2):
            assert (await server.client.post(url, content=body, headers=slack(body))).status_code == 202
        assert [each.dedupe for each in await server.journal.events()] == ["Ev7"]


async def test_a_challenge_in_the_query_is_answered_to_whoever_knows_the_secret(tmp_path: Path) -> None:
    async with served(
        settings_in(tmp_path, SLACK, CONNECTOR_SECRET__CHAT__WEBHOOKSECRET="a-secret-of-slack")
    ) as server:
        url = server.url + "/webhooks/chat/read"
        asked = {"hub.mode": "subscribe", "hub.challenge": "<b>9</b>", "hub.verify_token": "a-secret-of-slack"}
        answer = await server.client.get(url, params=asked)
        assert (answer.status_code, answer.text) == (200, "<b>9</b>")
        assert answer.headers["content-type"].startswith("text/plain")
        assert (await server.client.get(url, params=asked | {"hub.verify_token": "x"})).status_code == 401
        assert (await server.client.get(url)).status_code == 405


async def test_W2_events_are_kept_in_the_order_in_which_they_came(server: Served) -> None:
    await server.send({"id": "t-1"}, path="/webhooks/demo/gone", id="m-2")
    await server.send({"id": "t-1"}, id="m-1")
    found = await server.journal.events()
    assert [(each.seq, each.event.type) for each in found] == [(1, "things/gone"), (2, "things/made")]


async def test_T75_an_event_that_was_passed_on_too_often_is_refused(server: Served) -> None:
    assert (await server.send(headers={"connector-hops": "5"})).status_code == 202
    assert (await server.send(id="m-2", headers={"connector-hops": "6"})).status_code == 422
    (stored,) = await server.journal.events()
    assert stored.hops == 5


class FullDisk:
    """A journal that has no room left."""

    async def append(self, events: Any) -> Any:
        raise JournalUnavailable("the journal cannot be used now: database or disk is full")


async def test_while_the_journal_cannot_commit_the_answer_is_503_with_a_time_to_come_back(server: Served) -> None:
    server.lifespan.ingress.journal = cast("Any", FullDisk())
    answer = await server.send()
    assert (answer.status_code, answer.json()["code"]) == (503, "E_JOURNAL")
    assert int(answer.headers["retry-after"]) >= 1


async def test_a_webhook_takes_nothing_but_post(server: Served) -> None:
    answer = await server.client.get(server.url + PATH, headers={"authorization": f"Bearer {SECRET}"})
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_two_connectors_with_one_path_are_refused_at_the_start() -> None:
    other = json.loads(json.dumps(DEMO))
    other["handle"] = "other"
    with pytest.raises(ConfigurationError, match="other things/made and demo things/made both have the webhook path"):
        find_routes([parse_connector(DEMO), parse_connector(other)])


@pytest.mark.parametrize("first", [b"9" * 12, b"-1", b"1" * 13])
async def test_T68_each_length_that_a_request_states_is_looked_at(first: bytes) -> None:
    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"{}"}

    with pytest.raises(RequestRefused) as refused:
        await read_body({"headers": [(b"content-length", first), (b"content-length", b"2")]}, receive, 100)
    assert refused.value.status == 413
