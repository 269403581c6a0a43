"""A program that calls a connector; it runs as it is, without an account, against the built-in mock provider.

    python examples/embedding.py

For the real provider leave `transport` out and give the real token.
"""

import asyncio
from pathlib import Path

import httpx2

from connector import InputError
from runtime import Catalog, Runtime
from runtime.mock import MockProvider

DEFINITIONS = Path(__file__).parent / "definitions"


async def main() -> None:
    """Reads, lists, writes, and makes one mistake."""
    catalog = Catalog([DEFINITIONS])
    provider = MockProvider([catalog.get("petshop")], {"petshop": catalog.examples("petshop")})
    secrets = {"petshop": {"apiKey": "not-a-real-key"}}
    async with Runtime(DEFINITIONS, secrets=secrets, transport=httpx2.ASGITransport(provider)) as rt:
        print(rt.render("petshop", "pets.read", {"petId": 7}).url)

        result = await rt.call("petshop", "pets.read", {"petId": 7})
        print(result.fields)

        async for record in rt.records("petshop", "pets.list", {"kind": "cat"}):
            print(record["name"], "belongs to", record["owner"])

        try:
            await rt.call("petshop", "pets.create", {"name": "Rex", "kind": "hamster"})
        except InputError as error:
            print(error)


if __name__ == "__main__":
    asyncio.run(main())
