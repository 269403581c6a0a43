"""Threads for what blocks: as many as allowed, none that holds up others or the end of the process."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading

import pytest

from runtime.http.threads import Threads

pytestmark = pytest.mark.anyio


async def test_results_and_errors_come_back() -> None:
    threads = Threads("test", 2)
    assert await threads.run(sum, [1, 2]) == 3
    with pytest.raises(ZeroDivisionError):
        await threads.run(divmod, 1, 0)
    assert await threads.run(threading.get_ident) != threading.get_ident()


async def test_as_many_run_at_once_as_allowed_and_the_others_wait() -> None:
    threads, gate, inside, most = Threads("test", 2), threading.Event(), 0, 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        gate.wait(10)
        with lock:
            inside -= 1

    tasks = [threads.run(work) for _ in range(5)]
    async with asyncio.timeout(10):
        while inside < 2:
            await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*tasks)
    assert most == 2


async def test_one_that_hangs_and_was_given_up_stops_no_other() -> None:
    threads, gate = Threads("test", 2), threading.Event()
    hanging = threads.run(gate.wait, 10)
    hanging.cancel()
    async with asyncio.timeout(5):
        assert await threads.run(sum, [1]) == 1
    gate.set()


def test_a_thread_that_hangs_does_not_hold_up_the_end_of_the_process() -> None:
    program = """
import asyncio, time
from runtime.http.threads import Threads
async def main():
    try:
        async with asyncio.timeout(0.1):
            await Threads("test", 1).run(time.sleep, 60)
    except TimeoutError:
        print("given up")
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == "given up\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_E3_a_forked_process_has_threads_of_its_own() -> None:
    program = """
import asyncio, os
from runtime.http.threads import Threads
threads = Threads("test", 1)
async def use():
    async with asyncio.timeout(5):
        return await threads.run(os.getpid)
assert asyncio.run(use()) == os.getpid()
if child := os.fork():
    raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
assert asyncio.run(use()) == os.getpid()
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], timeout=20, check=True)
