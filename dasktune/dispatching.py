"""Dispatching: a sweep's jobs are sent to a queue, and it is told how they stand there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dasktune.dispatch import Dispatch, Job

if TYPE_CHECKING:
    from dasktune.cluster.jobs import Jobs
    from dasktune.cluster.queue import Seen


@dataclass(frozen=True)
class Standing:
    """How a dispatch stands.

    Attributes
    ----------
    state : {"waiting", "running", "ended", "lost", "unknown"}
        Lost: it did not end, but the queue has none of its jobs. Unknown: the queue is silent.
    text : str
        The same for people.
    """

    state: Literal["waiting", "running", "ended", "lost", "unknown"]
    text: str


def jobs_of(dispatch: Dispatch) -> Jobs:
    """Give what sends the jobs of a dispatch."""
    from dasktune.cluster.demand import Demand
    from dasktune.cluster.jobs import Jobs

    order = dispatch.order()
    demand = Demand(
        order.resources, threads=order.threads, name=order.pipeline, folder=dispatch.path
    )
    return Jobs(order.cluster, order.settings, demand)


def send_driver(dispatch: Dispatch, after: str = "") -> str:
    """Send the driver's job, the first or the next, and give its number.

    Parameters
    ----------
    dispatch : Dispatch
        What it is to make.
    after : str, optional
        The job whose end it waits for.

    Raises
    ------
    ClusterError
        If the queue refuses it.
    """
    order, jobs = dispatch.order(), jobs_of(dispatch)
    whole = order.kind == "whole"
    request = jobs.of_worker(order.count, requeue=True) if whole else jobs.of_driver()
    words = ["-m", "dasktune", "drive", os.path.abspath(dispatch.path)]
    words += ["--seconds", str(request.seconds), "--lead", str(request.lead)]
    number = jobs.submit(words, request, log=dispatch.log, after=after)
    dispatch.add(Job(number))
    return number


def standing(dispatch: Dispatch, seen: Mapping[str, Seen] | None) -> Standing:
    """Tell how a dispatch stands.

    Parameters
    ----------
    dispatch : Dispatch
        The dispatch.
    seen : mapping of str to Seen or None
        The user's jobs, as the queue tells of them; None if it does not answer.
    """
    queue = dispatch.order().cluster
    ended = dispatch.ended()
    if ended is not None:
        why = f": {ended.why}" if ended.why else ""
        return Standing("ended", f"ended with exit code {ended.code}{why}")
    jobs = dispatch.jobs()
    if seen is None:
        numbers = ", ".join(job.number for job in jobs[-3:])
        return Standing("unknown", f"{queue} job {numbers}; the queue does not answer")
    there = [job for job in jobs if job.number in seen]
    for job in there:
        if not seen[job.number].waiting:
            return Standing("running", f"{queue} job {job.number} ({job.role}) runs")
    for job in there:
        reason = seen[job.number].reason
        why = f" ({reason})" if reason else ""
        text = f"{queue} job {job.number} ({job.role}) waits in the queue{why}"
        return Standing("waiting", text)
    text = "its jobs are gone from the queue before it was made; submit again to go on"
    return Standing("lost", text)
