"""Measuring how many trials a device holds with a gain: short trials, twice as many each time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dask.config

from dasktune.cluster.packing import Level, Room, Verdict, judge, rate, tell
from dasktune.graph import Tasks
from dasktune.outcome import Outcome
from dasktune.preprocess import preprocess
from dasktune.rehearsal import rehearse
from dasktune.runfolder import RunFolder
from dasktune.traintask import TrainTask

if TYPE_CHECKING:
    from distributed import Future

    from dasktune.cluster.bench import Bench

SHORTEST, LONGEST = 2.0, 60.0
"""Seconds that one measurement takes at least and at most; the first is the setting
``dasktune.pack-seconds``."""
EPOCHS = 4
"""Epochs that one measurement takes, where they fit in."""
PATIENCE = 180.0
"""Seconds after which a trial must have reported twice."""


class Stopped(Exception):
    """The run is to stop."""


def measure(
    bench: Bench,
    tasks: Tasks,
    task: TrainTask,
    trials: int,
    run: RunFolder,
) -> tuple[Verdict, str]:
    """Measure how many trials share the bench's device with a gain.

    Parameters
    ----------
    bench : Bench
        Where.
    tasks : Tasks
        For the data, which are preprocessed if they are not there yet.
    task : TrainTask
        The trial that is trained for it, by all workers at once.
    trials : int
        How many there are to train, on all devices.
    run : RunFolder
        Says whether the run is to stop.

    Returns
    -------
    (Verdict, str)
        How many, and a line that says why.
    """
    bench.grow(1)
    used, total = bench.memory() or (None, None)
    room = Room(used, total, max(1, -(-trials // bench.devices)))
    levels: list[Level] = []
    epoch = 0.0
    try:
        kept = replace(tasks.preprocess, force=False)
        (data,), _ = _wait([bench.client.submit(preprocess, kept, pure=False)], bench, run, None)
        verdict = judge(levels, room)
        while verdict.next is not None:
            level, epoch = _level(bench, task, data, verdict.next, epoch, run)
            levels.append(level)
            verdict = judge(levels, room)
    except Stopped:
        verdict = Verdict(None, 1, "the run is to stop")
    except Exception as error:  # the run itself will tell of it
        verdict = Verdict(None, 1, f"it could not be measured ({_line(error)})")
    return verdict, tell(levels, verdict, bench.where)


def _level(
    bench: Bench, task: TrainTask, data: Outcome, count: int, epoch: float, run: RunFolder
) -> tuple[Level, float]:
    """Measure with so many trials at a time; give the longest epoch that was seen as well."""
    names = bench.grow(count)
    new = names[count // 2 :] if count > 1 else names

    def start(names: Sequence[Any], **how: Any) -> list[Future]:
        return [
            bench.client.submit(rehearse, task, data, workers=[name], pure=False, **how)
            for name in names
        ]

    try:
        # Once to import, to open the data, to compile; then all at the same time.
        warm, _ = _wait(start(new), bench, run, PATIENCE)
        epoch = max([epoch, *(times[-1] - times[-2] for times in warm if len(times) > 1)])
        shortest = float(dask.config.get("dasktune.pack-seconds", SHORTEST))
        seconds = min(LONGEST, max(shortest, EPOCHS * epoch))
        futures = start(names, until=time.time() + seconds)
        rows, used = _wait(futures, bench, run, seconds + PATIENCE)
    except (Stopped, KeyboardInterrupt):
        raise
    except Exception as error:
        return Level(count, error=_line(error)), epoch
    epoch = max(
        [epoch, *((times[-1] - times[0]) / (len(times) - 1) for times in rows if times[1:])]
    )
    return Level(count, rate(rows), used), epoch


def _wait(
    futures: Sequence[Future], bench: Bench, run: RunFolder, seconds: float | None
) -> tuple[list[Any], float | None]:
    """Wait for results, and look at the device's memory meanwhile."""
    from distributed import wait

    deadline = None if seconds is None else time.monotonic() + seconds
    used: float | None = None
    while True:
        told = bench.memory()
        if told is not None:
            used = max(used or 0, told[0])
        if run.stopping():
            raise Stopped
        try:
            wait(futures, timeout=0.25)
            return [future.result() for future in futures], used
        except TimeoutError:
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"a trial did not report twice within {seconds:.0f} s") from None


def _line(error: BaseException) -> str:
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words}"[:200] if words else type(error).__name__
