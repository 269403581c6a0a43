"""Subscriptions as operators manage them: refused, added, rotated, retried and removed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from connector.errors import BlockedAddress, ConfigurationError, InputError, NotInJournal
from connector.messages import Event
from runtime.config.catalog import Catalog
from runtime.config.keys import Key, Keys
from runtime.config.store import Store
from runtime.events.subscribers import Subscribers
from runtime.events.subscriptions import OVERLAP, Endpoints
from runtime.http.guard import Guard
from runtime.journal.entries import NewEvent
from runtime.journal.journal import Journal

pytestmark = pytest.mark.anyio
URL = "https://93.184.216.34/hook?token=canary"
NOW = 1_000_000.0


@pytest.fixture
async def journal() -> AsyncIterator[Journal]:
    async with await Journal.open("sqlite://") as opened:
        yield opened


@pytest.fixture
def endpoints(tmp_path: Path) -> Endpoints:
    return Endpoints(Store(tmp_path / "secrets.json", Keys({"CONNECTOR_KEY": Key.generate().to_text()})))


@pytest.fixture
def subscribers(journal: Journal, endpoints: Endpoints) -> Subscribers:
    return Subscribers(journal, endpoints, Guard(frozenset()), Catalog(), clock=lambda: NOW)


async def actions(journal: Journal) -> list[str]:
    return [each.action for each in await journal.audits()]


async def test_a_subscription_is_added_with_its_secret_kept_elsewhere(
    subscribers: Subscribers, endpoints: Endpoints, journal: Journal
) -> None:
    added, secret = await subscribers.add({"url": URL, "connection": "mistral-ai"})
    assert endpoints.find(added.id).signing(NOW) == (secret,)
    document = await subscribers.document(added.id)
    assert (document["connection"], "canary" in str(document), secret in str(document)) == ("mistral-ai", False, False)
    assert [each.id for each in await subscribers.list()] == [added.id]
    assert await actions(journal) == ["subscription.added"]


@pytest.mark.parametrize(
    ("source", "error", "hint"),
    [
        ({"url": URL, "connection": "mistral"}, InputError, "did you mean 'mistral-ai'?"),
        ({"url": URL, "connection": "mistral-ai", "trigger": "files/file.uploadd"}, InputError, "file.uploaded"),
        ({"url": "http://127.0.0.1/hook"}, BlockedAddress, "CONNECTOR_SUBSCRIBER_ORIGINS"),
    ],
)
async def test_what_would_never_receive_an_event_is_refused_and_nothing_is_kept(
    subscribers: Subscribers, journal: Journal, source: dict[str, str], error: type[Exception], hint: str
) -> None:
    with pytest.raises(error) as caught:
        await subscribers.add(source)
    assert hint in getattr(caught.value, "hint", "")
    assert (await subscribers.list(), await actions(journal)) == ([], [])


async def test_without_a_store_for_the_secret_there_is_no_subscription(journal: Journal) -> None:
    without = Subscribers(journal, Endpoints(None), Guard(frozenset()), Catalog())
    with pytest.raises(ConfigurationError, match="no encrypted store"):
        await without.add({"url": URL})
    assert await journal.subscriptions() == []


async def test_a_rotated_secret_and_the_one_before_sign_for_a_day(
    subscribers: Subscribers, endpoints: Endpoints
) -> None:
    added, old = await subscribers.add({"url": URL})
    new = await subscribers.rotate(added.id)
    assert set(endpoints.find(added.id).signing(NOW)) == {old, new}
    assert endpoints.find(added.id).signing(NOW + OVERLAP) == (new,)


async def test_deliveries_are_retried_all_or_none(subscribers: Subscribers, journal: Journal) -> None:
    added, _ = await subscribers.add({"url": URL})
    event = Event(id="", source="/demo/default", type="things/made", subject=None, time="2026-11-26T08:00:00Z", data={})
    await journal.append([NewEvent("demo", event, "1")])
    (delivery,) = await journal.deliveries(subscription=added.id)
    await journal.record_attempt(delivery.id, None, state="dead", reason="gone")
    with pytest.raises(NotInJournal):
        await subscribers.retry([delivery.id, "dlv_none"])
    assert (await subscribers.delivery(delivery.id))["state"] == "dead"
    assert await subscribers.retry([delivery.id]) == 1
    assert (await subscribers.delivery(delivery.id))["state"] == "pending"


async def test_a_removed_subscription_and_its_secret_are_gone(subscribers: Subscribers, endpoints: Endpoints) -> None:
    added, _ = await subscribers.add({"url": URL})
    await subscribers.remove(added.id)
    for call in (subscribers.document, subscribers.rotate, subscribers.remove):
        with pytest.raises(NotInJournal):
            await call(added.id)
    with pytest.raises(ConfigurationError):
        endpoints.find(added.id)
