"""The inquiry into the jobs of an array: how those ended that could not say so themselves.

An array has no driver that watches over its jobs. Its last job asks the queue instead, as soon as
all of them are over; and a job that the queue starts again knows that of itself.
"""

from __future__ import annotations

import os
import time

from dasktune.attempt import job_name, unheard
from dasktune.dispatch.dispatch import Dispatch
from dasktune.runfolder import RunFolder

PATIENCE = 30.0
"""Seconds for which the ends of jobs are waited for in all: none is in the way of a result."""


def inquire(dispatch: Dispatch) -> None:
    """Note how each job of an array ended that left a trial in training."""
    from dasktune.cluster.ending import ask, end_of, is_over
    from dasktune.cluster.jobs import queue_of

    queue, run = queue_of(dispatch.order().cluster), run_of(dispatch)
    deadline = time.monotonic() + PATIENCE
    for job in unheard(run):
        told = ask(queue, job.rpartition("-")[0])
        while told and not is_over(queue, told) and time.monotonic() < deadline:
            time.sleep(1)  # it completes yet, and how it ended is told after that
            told = ask(queue, job.rpartition("-")[0])
        if not told and time.monotonic() > deadline:
            return  # it answers nothing, or each time after a minute
        if told and is_over(queue, told):
            run.note_death(f"job-{job}", end_of(queue, job, told))


def note_restart(dispatch: Dispatch, job: str) -> None:
    """Note the end of this very job as it was before the queue started it again."""
    from dasktune.cluster.ending import REQUEUED, end_of
    from dasktune.cluster.jobs import queue_of

    number, _, restarts = job.rpartition("-")
    if restarts not in ("", "0"):
        before = job_name(number, int(restarts) - 1)
        end = end_of(queue_of(dispatch.order().cluster), before, REQUEUED)
        run_of(dispatch).note_death(f"job-{before}", end)


def run_of(dispatch: Dispatch) -> RunFolder:
    """Give the folder of the run that all jobs of an array share."""
    root = os.path.dirname(os.path.dirname(dispatch.path))
    return RunFolder(f"{root}/runs/{dispatch.name}")
