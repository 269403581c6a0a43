"""The routes of subscriptions and deliveries."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.doubles.served import KEY, is_problem, served, settings_in

pytestmark = pytest.mark.anyio


async def test_subscriptions_and_deliveries_are_reached_and_a_secret_is_shown_once(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, CONNECTOR_KEY=KEY, CONNECTOR_SUBSCRIBER_ORIGINS="http://127.0.0.1:9")
    async with served(settings) as server:
        post, get = server.client.post, server.client.get
        url = server.url + "/api/subscriptions"
        added = await post(url, json={"url": "http://127.0.0.1:9/hook?token=x", "connection": "demo"})
        assert added.status_code == 201
        id, secret = added.json()["id"], added.json()["secret"]
        refused = await post(url, json={"url": "http://169.254.169.254/"})
        assert (refused.status_code, is_problem(refused)) == (403, True)
        assert (await post(url, json={"uri": 1})).status_code == 422
        await server.send()
        for _ in range(500):
            (delivery,) = (await get(server.url + f"/api/deliveries?subscription={id}")).json()["deliveries"]
            if delivery["attempts"]:
                break
            await asyncio.sleep(0.02)
        assert (delivery["state"], delivery["attempts"]) == ("pending", 1)
        assert len((await get(server.url + f"/api/deliveries/{delivery['id']}")).json()["history"]) == 1
        retried = await post(server.url + f"/api/deliveries/{delivery['id']}/retry")
        assert (retried.status_code, retried.json()["state"]) == (200, "pending")
        newer = (await post(url + f"/{id}/rotate")).json()["secret"]
        assert newer != secret
        assert (await post(url + f"/{id}/enable")).status_code == 200
        shown = (await get(url)).text + (await get(url + f"/{id}")).text
        assert (secret in shown, newer in shown, "token=x" in shown) == (False, False, False)
        assert (await server.client.delete(url + f"/{id}")).json() == {"id": id, "removed": True}
        assert (await get(url + f"/{id}")).status_code == 404
