"""A runtime for code without an event loop: the same calls, from any thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from connector.errors import ConfigurationError, UnknownConnector
from connector.messages import Event
from runtime import SyncRuntime
from tests.doubles.embedded import Provider, providing, write_shop


@pytest.fixture
def provider() -> Iterator[Provider]:
    with providing() as running:
        yield running


def test_a_synchronous_runtime_does_what_the_other_one_does(tmp_path: Path, provider: Provider) -> None:
    write_shop(tmp_path / "definitions")
    with SyncRuntime(tmp_path / "definitions", base_urls={"shop": provider.url}, environ={}) as rt:
        assert rt.call("shop", "things.create", {}).fields == {"id": "t-1"}
        assert list(rt.records("shop", "things.list", {})) == [{"id": "t-1"}]
        assert [page.status for page in rt.pages("shop", "things.list", {})] == [200]
        assert [chunk.fields for chunk in rt.stream("shop", "things.list", {})] == [{"id": "t-1"}]
        assert rt.render("shop", "things.list", {}).method == "GET"
        assert "shop" in rt.connections()
        assert rt.map({"a": "{{id}}"}, {"event": {"data": {"id": 7}}}) == {"a": 7}
    assert len(set(provider.ports)) == 1
    assert rt.call("shop", "things.create", {}).ok
    rt.close()
    assert [thread for thread in threading.enumerate() if thread.name == "connector-runtime"] == []


def test_threads_share_a_synchronous_runtime(tmp_path: Path, provider: Provider) -> None:
    write_shop(tmp_path / "definitions")
    results: list[bool] = []
    with SyncRuntime(tmp_path / "definitions", base_urls={"shop": provider.url}, environ={}) as rt:
        threads = [
            threading.Thread(target=lambda: results.append(rt.call("shop", "things.list", {}).ok)) for _ in range(12)
        ]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert results == [True] * 12


def test_errors_are_those_of_the_call(tmp_path: Path) -> None:
    with SyncRuntime(environ={}) as rt, pytest.raises(UnknownConnector):
        rt.call("shop", "things.list", {})


def test_an_iterator_that_is_left_early_is_closed(tmp_path: Path, provider: Provider) -> None:
    write_shop(tmp_path / "definitions")
    with SyncRuntime(tmp_path / "definitions", base_urls={"shop": provider.url}, environ={}) as rt:
        records = rt.records("shop", "things.list", {})
        assert next(records) == {"id": "t-1"}
        records.close()
        assert list(records) == []


def test_a_function_that_receives_events_may_not_wait_for_its_own_loop(tmp_path: Path, provider: Provider) -> None:
    write_shop(tmp_path / "definitions")
    heard, said = threading.Event(), list[str]()
    with SyncRuntime(tmp_path / "definitions", base_urls={"shop": provider.url}, environ={}) as rt:

        @rt.runtime.on("shop", "things/made")
        async def made(event: Event) -> None:
            try:
                rt.call("shop", "things.list", {})
            except ConfigurationError as error:
                said.append(error.hint)
            heard.set()

        rt.call("shop", "things.create", {})
        assert heard.wait(20)
    assert said == ["use the asynchronous Runtime in functions of @rt.on"]
