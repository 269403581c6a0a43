"""The routes of connections: values are entered and removed, and never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.doubles.served import CANARY, SECRET, TOKEN, Served, is_problem

pytestmark = pytest.mark.anyio


async def test_T56_values_of_a_connection_are_written_and_never_read(guarded: Served, tmp_path: Path) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    url = guarded.url + "/api/connections/demo:team-b"
    values = {"apiToken": CANARY, "webhookSecret": SECRET}
    stored = await guarded.client.put(url, json=values, headers=headers)
    assert (stored.status_code, stored.json()) == (
        200, {"connection": "demo:team-b", "set": ["apiToken", "webhookSecret"], "origin": "https://demo.example"},
    )  # fmt: skip
    seen = stored.text
    for path in (
        "/api/connections",
        "/api/connections/demo:team-b",
        "/api/connectors/demo",
        "/api/webhooks",
        "/metrics",
    ):
        answer = await guarded.client.get(guarded.url + path, headers=headers)
        assert answer.status_code == 200
        seen += answer.text
    shown = (await guarded.client.get(url, headers=headers)).json()
    assert {each["name"]: each["set"] for each in shown["values"]} == {
        "apiToken": True, "webhookSecret": True, "unsigned": False, "dedupe": False,
    }  # fmt: skip
    assert (await guarded.send(path="/webhooks/demo/made?connection=team-b")).status_code == 202
    wrong = await guarded.client.put(url, json={"apiTken": CANARY}, headers=headers)
    assert (wrong.status_code, is_problem(wrong)) == (422, True)
    gone = await guarded.client.delete(url, headers=headers)
    assert gone.json()["removed"] == ["apiToken", "webhookSecret"]
    assert (await guarded.client.delete(url, headers=headers)).status_code == 404
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "lock")
    assert (CANARY in seen + wrong.text, SECRET in seen, CANARY.encode() in kept) == (False, False, False)
    assert [each.action for each in await guarded.journal.audits()] == ["connection.remove", "connection.set"]


async def test_T56_a_connection_never_uses_a_secret_of_another_one(guarded: Served) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    await guarded.client.put(guarded.url + "/api/connections/demo:team-b", json={"apiToken": CANARY}, headers=headers)
    url = guarded.url + "/api/connectors/demo/operations/things.read"
    for query in ("", "?connection=team-a"):
        answer = await guarded.client.post(url + query, json={"thingId": "7"}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "E_CREDENTIALS")
    answer = await guarded.client.post(url + "?connection=../x", json={"thingId": "7"}, headers=headers)
    assert answer.status_code == 422
