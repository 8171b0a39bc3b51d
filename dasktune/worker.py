"""What every worker of dasktune loads first (Dask's ``--preload``): how it leaves.

A worker that is told to leave, by a signal or by the end of its time, takes no new task, lets
the trial in training reach its next checkpoint, gives it back to the scheduler, and goes. Dask's
own ways fall short of that: SIGTERM ends a worker at once, and a lifetime does not wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import math
import os
import signal
import sys
import threading
import time
from typing import Any

import dask

from dasktune import drain, libraries
from dasktune.events import TOPIC
from dasktune.failure import pace

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""What queues send ahead of the end."""
_FAREWELL = 5.0  # seconds that a scheduler may take to let a worker go
_LOOK_EVERY = 0.05  # seconds between two looks at whether the worker is idle

log = logging.getLogger("dasktune.worker")
_leaving: set[asyncio.Task[None]] = set()  # or they would be collected in mid-flight


def dask_setup(worker: Any) -> None:
    """Let a worker leave well; Ctrl-C is the driver's, which tells workers through files.

    The configuration ``dasktune.worker.drain-after`` is the seconds after which it leaves by
    itself, ``leave-at`` the time of day, in seconds since the epoch; ``grace`` the seconds after
    which it is ended if it has not left.
    """
    if threading.current_thread() is not threading.main_thread():
        return  # a worker inside of the driver, which has its own signals
    libraries.load_ahead()
    logging.getLogger("distributed.nanny").addFilter(worth_telling)
    drain.reset()
    pace.forget()
    loop = asyncio.get_running_loop()
    drain.when_requested(functools.partial(_soon, loop, worker))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in SIGNALS:
        loop.add_signal_handler(number, drain.request, signal.Signals(number).name)
    seconds = dask.config.get("dasktune.worker.drain-after", None)
    moment = dask.config.get("dasktune.worker.leave-at", None)
    if moment is not None:
        seconds = float(moment) - time.time()
    if seconds is not None:
        grace = float(dask.config.get("dasktune.worker.grace", math.inf))
        drain.leave_at(time.monotonic() + float(seconds), grace)
        loop.call_later(float(seconds), drain.request, drain.TIME_IS_OVER)


def worth_telling(record: logging.LogRecord) -> bool:
    """Leave out what a thread of Dask's says at each good end, whose queue is closed under it."""
    error = record.exc_info[1] if record.exc_info else None
    return not (
        record.msg == "Worker process died unexpectedly"
        and isinstance(error, TypeError)
        and "'NoneType' object cannot be interpreted as an integer" in str(error)
    )


def dask_teardown(worker: Any) -> None:
    """End the process at once if nothing is in training: Python's way out takes torch seconds."""
    if worker.nanny is None or worker.state.executing or worker.state.long_running:
        return
    if not drain.requested():
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(0)


def _soon(loop: asyncio.AbstractEventLoop, worker: Any) -> None:
    loop.call_soon_threadsafe(_begin_to_leave, worker)


def _begin_to_leave(worker: Any) -> None:
    """Begin to leave, in the worker's event loop."""
    from distributed.core import Status

    if worker.status in (Status.running, Status.paused):
        worker.status = Status.closing_gracefully  # the scheduler sends nothing more
    task = asyncio.get_running_loop().create_task(_leave(worker, drain.why()))
    _leaving.add(task)
    task.add_done_callback(_leaving.discard)


async def _leave(worker: Any, why: str) -> None:
    with contextlib.suppress(Exception):
        text = f"worker {worker.name} leaves ({why}); what it trains goes on elsewhere"
        worker.log_event(TOPIC, {"event": "note", "text": text})  # to all runs
    while worker.state.executing or worker.state.long_running:
        await asyncio.sleep(_LOOK_EVERY)
    if worker.status.name in ("closing", "closed", "failed"):
        return  # the scheduler sent it home in the meantime
    # Not close_gracefully(), which waits for ever once the status is set.
    try:
        retired = worker.scheduler.retire_workers(
            workers=[worker.address],
            close_workers=False,
            remove=True,
            stimulus_id=f"dasktune-drain-{time.time()}",
        )
        await asyncio.wait_for(retired, _FAREWELL)
    except Exception as error:  # a scheduler that is gone, or does not know it any more
        log.info("left without a word to the scheduler: %s", error)
    await worker.close(nanny=not worker.lifetime_restart, reason=f"dasktune-drain: {why}")
