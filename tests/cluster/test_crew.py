"""The workers of a job: one that does not start is tried again, and takes no other with it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from types import SimpleNamespace

import pytest

from dasktune.cluster import crew
from dasktune.cluster.crew import Crew
from dasktune.events import TOPIC

NODE = """
import os
import distributed

class Nanny(distributed.Nanny):
    "Its second worker does not live to see the scheduler."

    def __init__(self, *address, preload, **options):
        super().__init__(*address, preload=[*preload, "dying"], **options)

distributed.Nanny = Nanny
from dasktune.cluster.node import main

if __name__ == "__main__":
    main()
"""
DYING = """
import os

def dask_setup(worker):
    if worker.name.endswith("-1"):
        with open("tries", "a") as file:
            file.write("x")
        if os.path.getsize("tries") <= int(os.environ["DEATHS"]):
            os._exit(9)
"""


async def serve(folder, deaths, told):
    """Let a job with two workers serve a scheduler until both, or its last, have come."""
    from distributed import Scheduler

    (folder / "node.py").write_text(NODE)
    (folder / "dying.py").write_text(DYING)
    environment = {**os.environ, "DEATHS": str(deaths), "PYTHONPATH": str(folder)}
    async with Scheduler(host="127.0.0.1", port=0, dashboard=False) as scheduler:
        words = [scheduler.address, "--name", "job", "--workers", "2", "--host", "127.0.0.1"]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "node.py", *words),
            cwd=folder,
            env=environment,
            stderr=asyncio.subprocess.PIPE,
        )
        reading = asyncio.create_task(process.stderr.read())
        deadline = time.monotonic() + 90
        while not told(scheduler):
            assert process.returncode is None, (await reading).decode()
            assert time.monotonic() < deadline, "the job does not get on"
            await asyncio.sleep(0.05)
        names = {worker.name for worker in scheduler.workers.values()}
        notes = [message["text"] for _, message in scheduler.get_events(TOPIC)]
        process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(process.wait(), 60)
        return names, notes, code, (await reading).decode()


def test_a_worker_that_dies_as_it_starts_is_started_again(tmp_path):
    """What failed stands in the job's log, and the runs on its scheduler are told."""

    def both(scheduler):
        return len(scheduler.workers) == 2

    names, notes, code, log = asyncio.run(serve(tmp_path, 1, both))
    assert names == {"job-0", "job-1"}
    assert notes == [
        "worker job-1 does not start (its process ended with exit code 9); trying again in 2 s"
    ]
    assert f"dasktune: {notes[0]}\n" in log
    assert code == 0
    assert "TypeError" not in log  # of a queue that Dask closes under a thread of its own


class Nanny:
    """Fails to start as often as it is told to."""

    def __init__(self, failures, life):
        self._failures = failures
        self._life = life
        self.pid = None
        self.process = None
        self.status = SimpleNamespace(name="failed")

    def __await__(self):
        return self._start().__await__()

    async def _start(self):
        if self._failures:
            self._failures.pop()
            raise RuntimeError("it failed to start") from OSError("No space left on device")

    async def finished(self):
        await self._life()


@pytest.fixture
def quick(monkeypatch):
    """Wait no seconds between two tries."""
    monkeypatch.setattr(crew, "PAUSES", (0.0, 0.0))


def test_one_that_never_starts_is_given_up_and_the_others_go_on(quick):
    """After three tries; the job ends with the last of them."""
    told: list[str] = []
    ended = asyncio.Event()
    never = [1] * 9

    async def tell(text, given_up=""):
        told.append(text)
        assert given_up == ("a" if "given up" in text else "")
        if given_up:
            ended.set()

    async def run():
        makers = [("a", lambda: Nanny(never, ended.wait)), ("b", lambda: Nanny([], ended.wait))]
        both = Crew(makers, 60, tell)
        await asyncio.wait_for(both.serve(), 60)
        return both.served

    assert asyncio.run(run())
    assert len(never) == 6
    assert told[0] == (
        "worker a does not start (OSError: No space left on device); trying again in 0 s"
    )
    assert told[-1].endswith("given up after 3 tries; its job goes on without it")


def test_who_is_told_to_leave_tries_nothing_again():
    """A signal ends the pause; and none is begun after the time in which workers must come."""
    told: list[str] = []

    async def tell(text, given_up=""):
        told.append(text)

    async def leave():
        alone = Crew([("a", lambda: Nanny([1], asyncio.Event().wait))], 60, tell)
        serving = asyncio.create_task(alone.serve())
        while not told:
            await asyncio.sleep(0.01)
        alone.forward(signal.SIGTERM)
        await asyncio.wait_for(serving, 60)
        assert alone.leaving
        assert not alone.served

    async def late():
        await Crew([("a", lambda: Nanny([1], asyncio.Event().wait))], -1, tell).serve()

    asyncio.run(leave())
    asyncio.run(late())
    assert told[1].endswith("given up after a try")


def test_one_whose_worker_dies_again_and_again_is_ended(monkeypatch):
    """Dask starts it anew without end, and the job would stay as long."""
    monkeypatch.setattr(crew, "LOOK_EVERY", 0.01)
    told: list[str] = []

    async def tell(text, given_up=""):
        told.append(text)

    async def run():
        closed = asyncio.Event()
        nanny = Nanny([], closed.wait)
        nanny.process = SimpleNamespace(status=SimpleNamespace(name="starting"))
        nanny.status = SimpleNamespace(name="running")

        async def close(reason):
            closed.set()

        nanny.close = close
        await asyncio.wait_for(Crew([("a", lambda: nanny)], 0.1, tell).serve(), 60)

    asyncio.run(run())
    assert told == ["worker a has died, and does not come back within 0.1 s; given up"]
