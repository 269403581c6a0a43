"""A program: renews the token of one connection again and again, over one store that other such processes share.

`python renewing.py FOLDER URL TIMES`: FOLDER holds the definition and the home, URL is the authorization server's. It
waits for a line on stdin, refuses each token that it was given, and prints the name of the error, or `done`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from runtime import Runtime
from tests.doubles.authorization_server import CLIENT_ID, CLIENT_SECRET


def open_runtime(folder: Path, url: str) -> Runtime:
    return Runtime(
        folder,
        secrets={
            "demo": {
                "tokenURL": f"{url}/token", "authURL": f"{url}/auth",
                "clientID": CLIENT_ID, "clientSecret": CLIENT_SECRET,
            }
        },
        base_urls={"demo": f"{url}/api"},
        environ={"CONNECTOR_HOME": str(folder / "home"), "CONNECTOR_KEY": os.environ["CONNECTOR_KEY"]},
    )  # fmt: skip


async def renew(folder: Path, url: str, times: int) -> None:
    async with open_runtime(folder, url) as rt:
        print("ready", flush=True)  # noqa: T201 - what the test waits for
        await asyncio.to_thread(sys.stdin.readline)
        for _ in range(times):
            await rt.call("demo", "things.read", {})


if __name__ == "__main__":
    try:
        asyncio.run(renew(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
    except Exception as error:  # noqa: BLE001 - the test judges it
        print(type(error).__name__, error, flush=True)  # noqa: T201
    else:
        print("done", flush=True)  # noqa: T201
