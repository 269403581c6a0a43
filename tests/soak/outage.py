"""A subscriber that is really down for ten minutes while events come, and then is back (hazard S1).

    PYTHONPATH=. python tests/soak/outage.py                 ten minutes
    PYTHONPATH=. python tests/soak/outage.py --seconds 90    a shorter outage

`connector serve` is a process of its own and gets signed messages over HTTP. Of its two subscribers one refuses
connections until the time is over; the other is well, and must not notice. In the end all that was acknowledged must
have arrived, within thirty minutes of the return, each subject in its order.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx2

from runtime.config.keys import Key
from tests.doubles.processes import Subscriber, post, process

SUBJECTS = 20
#: Seconds after its return in which a subscriber must have got all that it missed.
BACK_IN = 1800.0


class Traffic:
    """Messages at a steady rate, and when each was acknowledged."""

    def __init__(self, client: httpx2.AsyncClient, url: str, rate: float) -> None:
        self._client = client
        self._url = url
        self._pause = 1 / rate
        #: By the number of a message, the seconds of the monotonic clock.
        self.acknowledged: dict[int, float] = {}
        self.refused = 0

    async def run(self) -> None:
        number = 0
        while True:
            status = await post(self._client, self._url, f"m-{number}", {"id": f"s{number % SUBJECTS}", "size": number})
            if status == 202:
                self.acknowledged[number] = time.monotonic()
            else:
                self.refused += 1
            number += 1
            await asyncio.sleep(self._pause)


def late(values: list[float]) -> float:
    """The value that 99 of 100 do not exceed, in milliseconds."""
    return round(sorted(values)[int(len(values) * 0.99)] * 1e3, 1) if values else 0.0


async def run(home: Path, seconds: float, rate: float) -> dict[str, Any]:
    down, well = Subscriber(), Subscriber()
    async with down:
        pass
    async with well:
        environment = {
            "CONNECTOR_KEY": Key.generate().to_text(),
            "CONNECTOR_SUBSCRIBER_ORIGINS": f"{down.origin} {well.origin}",
        }
        async with process(home, environment=environment) as (_, url), httpx2.AsyncClient(trust_env=False) as client:
            for each in (down, well):
                source = {"url": f"{each.origin}/hook", "ordered": each is down, "trigger": "things/made"}
                (await client.post(url + "/api/subscriptions", json=source)).raise_for_status()
            traffic = Traffic(client, url, rate)
            sending = asyncio.create_task(traffic.run())
            await asyncio.sleep(seconds)
            missed, back = set(traffic.acknowledged), time.monotonic()
            down = Subscriber(port=down.port)
            async with down:
                await down.until(lambda: missed <= numbers(down), BACK_IN)
                drained = time.monotonic()
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
                await down.until(lambda: set(traffic.acknowledged) <= numbers(down))
                await well.until(lambda: set(traffic.acknowledged) <= numbers(well))

            async def count(state: str) -> int:
                answer = await client.get(url + f"/api/deliveries?state={state}")
                return len(answer.json()["deliveries"])

            async with asyncio.timeout(30):
                while await count("pending"):
                    # What arrived may have to be recorded yet.
                    await asyncio.sleep(0.1)
            dead = await count("dead")
    order: dict[str, list[int]] = {}
    for each in down.arrivals:
        order.setdefault(each.event["subject"], []).append(each.event["data"]["size"])
    fresh = [each for each in first(down) if each.event["data"]["size"] not in missed]
    return {
        "seconds_down": seconds,
        "acknowledged": len(traffic.acknowledged),
        "refused": traffic.refused,
        "missed_while_down": len(missed),
        "first_after_seconds": round(down.arrivals[0].at - back, 1),
        "all_after_seconds": round(drained - back, 1),
        "subjects_out_of_order": sum(got != sorted(got) for got in order.values()),
        "arrived_again": len(down.arrivals) - len(numbers(down)),
        "new_ones_waited_at_most": round(max(each.at - traffic.acknowledged[size(each)] for each in fresh), 1),
        "the_other_waited_p99_ms": late([each.at - traffic.acknowledged[size(each)] for each in first(well)]),
        "dead": dead,
    }


def size(arrival: Any) -> int:
    return int(arrival.event["data"]["size"])


def numbers(subscriber: Subscriber) -> set[int]:
    return {size(each) for each in subscriber.arrivals}


def first(subscriber: Subscriber) -> list[Any]:
    """The first arrival of each message."""
    return list({size(each): each for each in reversed(subscriber.arrivals)}.values())


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    options.add_argument("--seconds", type=float, default=600.0)
    options.add_argument("--rate", type=float, default=4.0, help="messages a second")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        verdict = asyncio.run(run(Path(folder), chosen.seconds, chosen.rate))
    print(json.dumps(verdict))  # noqa: T201 - its output
    bad = ("refused", "subjects_out_of_order", "dead")
    sys.exit(any(verdict[name] for name in bad) or verdict["all_after_seconds"] > BACK_IN)


if __name__ == "__main__":
    main()
