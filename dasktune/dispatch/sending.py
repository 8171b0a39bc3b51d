"""Dispatching: a sweep's jobs are sent to a queue, and it is told how they stand there."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from dasktune.dispatch.dispatch import Dispatch, Job, Order, Role
from dasktune.errors import ClusterError, DasktuneError, UsageError

if TYPE_CHECKING:
    from dasktune.cluster.jobs import Jobs
    from dasktune.cluster.queue import Seen

TRIES = 5
"""Times that jobs are sent that cannot be sent, though there is no time left."""


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


def make_ready(dispatch: Dispatch) -> None:
    """Import what sends jobs: it sets a handler, which only the main thread may do."""
    with contextlib.suppress(DasktuneError):  # it is told when a job is sent
        jobs_of(dispatch)


def roles_of(order: Order) -> tuple[Role, ...]:
    """Name the jobs that a dispatch begins with, each of which waits for the one before."""
    return ("prepare", "train", "finish") if order.kind == "array" else ("driver",)


def send(dispatch: Dispatch, roles: Sequence[Role], *, after: str = "", count: int = 0) -> str:
    """Send jobs of a dispatch, each of which waits for the end of the one before.

    Parameters
    ----------
    dispatch : Dispatch
        What they are to make.
    roles : sequence of str
        What each does.
    after : str, optional
        The job whose end the first one waits for.
    count : int
        Jobs of an array; as many as were ordered, if not given.

    Returns
    -------
    str
        The number of the first.

    Raises
    ------
    ClusterError
        If the queue refuses one; those before it are cancelled.
    """
    from dasktune.cluster.jobs import cancel

    jobs = jobs_of(dispatch)
    if len(roles) > 1 and not jobs.queue.after("1"):
        raise UsageError(f"{jobs.queue.kind!r} lets no job wait for another; use no --array.")
    sent: list[str] = []
    try:
        for step in _steps(dispatch, jobs, roles, count):
            number = jobs.submit(**step, after=sent[-1] if sent else after)
            dispatch.add(Job(number, roles[len(sent)]))  # at once, or it would look lost
            sent.append(number)
    except ClusterError:
        cancel(jobs.queue, sent)
        raise
    return sent[0]


def send_patiently(
    dispatch: Dispatch,
    roles: Sequence[Role],
    tell: Callable[[str], None],
    *,
    after: str = "",
    count: int = 0,
    until: float = 0.0,
) -> str:
    """Send jobs as `send` does, and again where that fails: a queue may be busy, or full.

    The pauses grow to a minute.

    Parameters
    ----------
    dispatch, roles, after, count
        As for `send`.
    tell : callable
        Takes what went wrong.
    until : float
        When there is no more time for it, as `time.monotonic` tells it.
    """
    from dasktune.cluster.supervisor import pause

    tries = 0
    while True:
        try:
            return send(dispatch, roles, after=after, count=count)
        except Exception as error:
            tries += 1
            seconds = pause(tries)
            if tries >= TRIES and time.monotonic() + seconds > until:
                raise
            tell(f"{error}; trying again in {seconds:g} s")
            time.sleep(seconds)


def scripts(dispatch: Dispatch) -> list[str]:
    """Write the scripts of the jobs that a dispatch begins with; nothing is sent."""
    roles = roles_of(dispatch.order())
    jobs = jobs_of(dispatch)
    steps = _steps(dispatch, jobs, roles, 0)
    return [jobs.script(**step, after="JOB" if n else "") for n, step in enumerate(steps)]


def _steps(
    dispatch: Dispatch, jobs: Jobs, roles: Sequence[Role], count: int
) -> Iterator[dict[str, Any]]:
    """Give what each job runs, asks for, and is."""
    order, folder = dispatch.order(), os.path.abspath(dispatch.path)
    for role in roles:
        array = (count or order.count) if role == "train" else 0
        if order.kind == "whole":
            request = jobs.of_worker(order.count, requeue=True)
        elif role in ("train", "prepare"):
            request = jobs.of_worker(requeue=True)
            request = request if array else replace(request, gpus=0)
        else:
            request = jobs.of_driver()
        command = ["drive"] if role == "driver" else ["share", role]
        words = ["-m", "dasktune", *command, folder]
        words += ["--seconds", str(request.seconds), "--lead", str(request.lead)]
        log = "" if array else f"{folder}/log.txt"
        yield {"words": words, "request": request, "log": log, "array": array}


def ask(dispatch: Dispatch) -> Standing:
    """Ask the queue how a dispatch stands; what it does not list at once may only be late."""
    from dasktune.cluster.jobs import look, queue_of

    queue = queue_of(dispatch.order().cluster)
    for pause in (1, 1, 0):
        found = standing(dispatch, look(queue))
        if found.state != "lost":
            break
        time.sleep(pause)
    return found


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
    if dispatch.order().kind == "array":
        text += ", or 'dasktune make' if only the collation is left"
    return Standing("lost", text)
