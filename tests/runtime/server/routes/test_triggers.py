"""The routes of triggers and automations."""

from __future__ import annotations

import pytest

from tests.doubles.served import Served, is_problem

pytestmark = pytest.mark.anyio


async def test_triggers_are_listed_and_polled_at_once(server: Served) -> None:
    rows = (await server.client.get(server.url + "/api/triggers?connection=mistral-ai")).json()
    assert len(rows) == 14
    body = {"connection": "mistral-ai", "trigger": "batch-jobs/batch_job.succeeded"}
    polled = await server.client.post(server.url + "/api/triggers/poll-now", json=body)
    assert (polled.status_code, polled.json()["trigger"]) == (200, body["trigger"])
    unknown = await server.client.post(server.url + "/api/triggers/poll-now", json=body | {"trigger": "x/y"})
    assert (unknown.status_code, is_problem(unknown)) == (404, True)
    assert (await server.client.get(server.url + "/api/automations")).json() == []
    assert (await server.client.get(server.url + "/api/automations/runs")).json() == []
