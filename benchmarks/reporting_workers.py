"""Thin workers that report as those of a sweep do: ``ADDRESS WORKERS FIRST EACH FILE``.

They train nothing. While the file holds the name of a run, each puts a row a second of each of its
trials into the mailbox that a real train node would have: the same batches, at the same pace, over
the same stream, which nobody answers.
"""

from __future__ import annotations

import asyncio
import logging
import math
import sys
from pathlib import Path

import dask
from distributed import Worker

from dasktune.events import TOPIC, Mailbox

EPOCHS = 600
"""Of a trial, which then begins anew."""


def trial_name(trial: int) -> str:
    """Name a trial as a sweep does."""
    return f"lr={10.0 ** -(trial % 7):g},hidden={2 ** (trial % 9)},seed={trial}-{trial:08x}"


def metrics(trial: int, epoch: int) -> dict[str, float]:
    """Give what a trial reports after an epoch."""
    value = 1 - math.exp(-epoch / 40) * (1 + trial % 10 / 10)
    return {"accuracy": value, "loss": -value}


class Flag:
    """A file that says which run reports; empty while none does."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self.run = ""

    async def watch(self) -> None:
        """Read it again and again."""
        while True:
            self.run = self._path.read_text().strip()
            await asyncio.sleep(0.25)


def mailbox_of(worker: Worker, run: str) -> Mailbox:
    """Make a worker's mailbox, as `dasktune.events.mailbox` does for the worker of a task."""
    return Mailbox(
        run,
        lambda message: worker.log_event(TOPIC, message),
        lambda seconds, flush: worker.loop.call_later(seconds, flush),
        lambda: float(worker.periodic_callbacks["heartbeat"].callback_time) / 1000,
        lambda: "cpu",
    )


async def report(worker: Worker, trials: range, offset: float, flag: Flag) -> None:
    """Report a row a second of each trial, while it is asked for."""
    box, run, epoch = None, "", 0
    await asyncio.sleep(offset)
    while True:
        if flag.run and flag.run != run:
            run = flag.run
            box = mailbox_of(worker, run)
        if flag.run and box is not None:
            for trial in trials:
                row = {"trial": trial_name(trial), "epoch": epoch % EPOCHS, "epochs": EPOCHS}
                box({"event": "report", **row, "metrics": metrics(trial, epoch % EPOCHS)})
        epoch += 1
        await asyncio.sleep(1.0)


async def main(address: str, count: int, first: int, each: int, file: str) -> None:
    """Run workers until the scheduler leaves."""
    workers = [
        Worker(address, nthreads=1, host="127.0.0.1", memory_limit=0, dashboard=False, name=i)
        for i in range(first, first + count)
    ]
    for some in range(0, count, 50):
        await asyncio.gather(*workers[some : some + 50])
    flag = Flag(file)
    reports = [
        report(worker, range(i * each, (i + 1) * each), (i - first) / count, flag)
        for i, worker in enumerate(workers, first)
    ]
    going = asyncio.gather(flag.watch(), *reports)
    await asyncio.gather(*(worker.finished() for worker in workers))
    going.cancel()


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # each of many says that the interpreter was busy
    # Hundreds share an interpreter: what each would measure of it leaves no time to report.
    quiet = {
        "distributed.admin.system-monitor.interval": "1h",
        "distributed.admin.tick.cycle": "1h",
    }
    dask.config.set({**quiet, "distributed.worker.profile.enabled": False})
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:5]), sys.argv[5]))
