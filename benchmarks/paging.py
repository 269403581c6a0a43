"""A list of 5,000 records over 51 pages, ten fields of each mapped: `Runtime.records` against two peers.

The provider answers at once: fifty full pages, and the empty one that ends the list. It is a process of its own, and so
is each who reads. The peers are dlt's `rest_api` source and a RESTStream of singer-sdk, each iterated in memory, with a
function that picks the same ten fields and without loading or writing anything. They come with the extra `bench`; one
that is not installed is left out, and said to be.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import logging
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.measuring import Row
from runtime import Runtime

RECORDS, SIZE = 5000, 100
PAGES = RECORDS // SIZE + 1
ROUNDS = 15

#: The ten fields: name, type, and where each is in a record.
FIELDS: list[tuple[str, str, list[str]]] = [
    ("id", "Integer", ["id"]),
    ("name", "String", ["name"]),
    ("email", "String", ["email"]),
    ("active", "Boolean", ["active"]),
    ("score", "Number", ["score"]),
    ("created", "String", ["created_at"]),
    ("city", "String", ["address", "city"]),
    ("country", "String", ["address", "country"]),
    ("plan", "String", ["account", "plan", "name"]),
    ("tags", "Array", ["tags"]),
]


def make_record(number: int) -> dict[str, Any]:
    """A record as an API would give it, with more members than are mapped."""
    return {
        "id": number,
        "name": f"Customer {number}",
        "email": f"customer-{number}@example.com",
        "active": number % 3 > 0,
        "score": number / 7,
        "created_at": "2026-01-01T09:00:00Z",
        "address": {"street": f"{number} Main Street", "city": "Bern", "country": "CH", "zip": "3000"},
        "account": {"plan": {"name": "team", "seats": 5}, "owner": None},
        "tags": ["a", "b"],
        "notes": "text that nobody maps " * 3,
    }


def pick_fields(record: dict[str, Any]) -> dict[str, Any]:
    """The ten fields as one would pick them by hand, missing members allowed for."""
    address, plan = record.get("address") or {}, (record.get("account") or {}).get("plan") or {}
    return {
        "id": record.get("id"),
        "name": record.get("name"),
        "email": record.get("email"),
        "active": record.get("active"),
        "score": record.get("score"),
        "created": record.get("created_at"),
        "city": address.get("city"),
        "country": address.get("country"),
        "plan": plan.get("name"),
        "tags": record.get("tags"),
    }


def measure_paging() -> list[Row]:
    """Wall time of the whole list, in rounds that take turns."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        _write_definition(Path(folder))
        base = f"http://127.0.0.1:{int(_ask(stack.enter_context(_process('serve'))))}/v1"
        readers, missing = {}, []
        for name, (module, _) in READERS.items():
            if importlib.util.find_spec(module) is None:
                missing.append(f"peer left out, not installed: {name} (pip install '.[bench]')")
            else:
                readers[name] = stack.enter_context(_process("read", name, base, folder))
        taken: dict[str, list[float]] = {name: [] for name in readers}
        for turn in range(ROUNDS + 1):
            for name, reader in readers.items():
                milliseconds = float(_ask(reader, "again"))
                if turn:
                    taken[name].append(milliseconds)
    medians = {name: statistics.median(times) for name, times in taken.items()}
    ours = medians.pop(OURS)
    peers = {name: statistics.median(map(_ratio, taken[OURS], taken[name])) for name in medians}
    rows = [Row(OURS, ours, "ms", max(peers.values(), default=None), 0.5 if peers else None)]
    rows += [Row(f"peer: {name}", time, "ms", time / ours) for name, time in medians.items()]
    return rows + [Row(said, 0.0, "") for said in missing]


def _ratio(ours: float, theirs: float) -> float:
    return ours / theirs


def _write_definition(folder: Path) -> None:
    fields = [{"name": name, "type": kind, "selector": selector} for name, kind, selector in FIELDS]
    operation = {"method": "GET", "records": ["data"], "pagination": {"style": "page", "param": "page"}}
    definition = {
        "handle": "customers",
        "service": {"baseURL": "https://api.example.com/v1", "auth": {"method": "none"}},
        "resources": [
            {"handle": "items", "endpoint": "/items", "fields": fields, "operations": {"list": operation}},
        ],
    }
    (folder / "customers.json").write_text(json.dumps(definition), "utf-8")


def _ours(base: str, folder: str) -> Callable[[], int]:
    return lambda: asyncio.run(_read_ours(folder, base))


async def _read_ours(folder: str, base: str) -> int:
    async with Runtime(folder, base_urls={"customers": base}, environ={}) as rt:
        records = [record async for record in rt.records("customers", "items.list", {})]
    assert records[-1] == pick_fields(make_record(RECORDS))  # noqa: S101 - what is measured has to be right
    return len(records)


def _dlt(base: str, _: str) -> Callable[[], int]:
    from dlt.sources.rest_api import rest_api_source

    logging.getLogger("dlt").setLevel(logging.ERROR)

    def read() -> int:
        source = rest_api_source(
            {
                "client": {
                    "base_url": base,
                    "paginator": {"type": "page_number", "base_page": 1, "page_param": "page", "total_path": None},
                },
                "resources": [{"name": "items", "endpoint": {"path": "items", "data_selector": "data"}}],
            }
        )
        return len(list(source.resources["items"].add_map(pick_fields)))

    return read


def _singer(base: str, _: str) -> Callable[[], int]:
    from singer_sdk import RESTStream, Tap
    from singer_sdk import typing as singer
    from singer_sdk.pagination import BasePageNumberPaginator

    class Numbers(BasePageNumberPaginator):
        def has_more(self, response: Any) -> bool:
            return bool(response.json()["data"])

    class Items(RESTStream):  # type: ignore[type-arg]
        name = "items"
        path = "/items"
        url_base = base
        records_jsonpath = "$.data[*]"
        schema = singer.PropertiesList(*(singer.Property(name, singer.StringType) for name, _, _ in FIELDS)).to_dict()

        def get_new_paginator(self) -> Any:
            return Numbers(1)

        def get_url_params(self, context: Any, next_page_token: Any) -> dict[str, Any]:  # noqa: ARG002 - theirs
            return {"page": next_page_token}

        def post_process(self, row: Any, context: Any = None) -> Any:  # noqa: ARG002 - theirs
            return pick_fields(row)

    class Customers(Tap):
        name = "tap-customers"
        config_jsonschema = singer.PropertiesList().to_dict()

        def discover_streams(self) -> list[Any]:
            return [Items(self)]

    logging.getLogger("tap-customers").setLevel(logging.ERROR)
    tap = Customers(config={})
    return lambda: len(list(Items(tap).get_records(None)))


OURS = "Runtime.records"
#: Who reads the list: the module that it needs, and what makes the function that does it.
READERS: dict[str, tuple[str, Callable[[str, str], Callable[[], int]]]] = {
    OURS: ("runtime", _ours),
    "dlt rest_api": ("dlt", _dlt),
    "singer-sdk": ("singer_sdk", _singer),
}


def read_again(name: str, base: str, folder: str) -> None:
    """Reads the list for each line of stdin, and says how many milliseconds it took."""
    read = READERS[name][1](base, folder)
    for _ in sys.stdin:
        start = time.perf_counter()
        count = read()
        taken = (time.perf_counter() - start) * 1e3
        if count != RECORDS:
            raise AssertionError(f"{name} read {count} records")
        print(taken, flush=True)


@contextlib.contextmanager
def _process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process that runs this module, so that nobody pays for the libraries and the garbage of another."""
    command = [sys.executable, "-m", "benchmarks.paging", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:  # noqa: S603 - our own
        try:
            yield process
        finally:
            process.terminate()


def _ask(process: subprocess.Popen[str], line: str = "") -> str:
    """The next line that a process says, after it was told one."""
    assert process.stdin is not None and process.stdout is not None  # noqa: PT018, S101 - they were asked for
    if line:
        print(line, file=process.stdin, flush=True)
    return process.stdout.readline()


class Provider(asyncio.Protocol):
    """Answers `GET /v1/items?page=N` with a page made beforehand."""

    pages: dict[str, bytes] = {}  # noqa: RUF012 - filled once, before it is served

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the connection."""
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        """Answers each request when its head is there."""
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
            query = urllib.parse.urlsplit(head.split(b" ", 2)[1].decode()).query
            page = dict(urllib.parse.parse_qsl(query)).get("page", "1")
            self.transport.write(self.pages[page])  # type: ignore[attr-defined] - a stream transport


async def serve() -> None:
    """Serves on a free port, which is printed, until the process is stopped."""
    for page in range(1, PAGES + 1):
        numbers = range((page - 1) * SIZE + 1, min(page * SIZE, RECORDS) + 1)
        body = json.dumps({"data": [make_record(number) for number in numbers]}).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        Provider.pages[str(page)] = head.encode() + body
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(serve())
    else:
        read_again(*sys.argv[2:])
