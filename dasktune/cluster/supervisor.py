"""How many jobs there should be: a pure decision, taken every second."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Sight:
    """A job as it was seen last.

    Attributes
    ----------
    name : str
        Its name.
    waiting : bool
        Whether it waits in the queue.
    connected : bool
        Whether a worker of it is there.
    busy : bool
        Whether one of its workers has something to do.
    leaving : bool
        Whether its workers take nothing new, since their time is over or they were told so.
    workers : int
        How many of its workers take trials, or will.
    """

    name: str
    waiting: bool = True
    connected: bool = False
    busy: bool = False
    leaving: bool = False
    workers: int = 1


@dataclass(frozen=True)
class Decision:
    """What is to be done.

    Attributes
    ----------
    submit : tuple of int
        Jobs to submit: how many workers each of them starts.
    cancel : tuple of str
        Jobs to cancel, by their name.
    retire : tuple of str
        Jobs whose workers are sent home; what only they hold is handed on first.
    """

    submit: tuple[int, ...] = ()
    cancel: tuple[str, ...] = ()
    retire: tuple[str, ...] = ()


def decide(
    wanted: int, jobs: Sequence[Sight], limit: int, *, each: int = 1, stopping: bool = False
) -> Decision:
    """Decide which jobs to submit, and which to let go.

    A worker that has something to do is never let go, nor one that is about to begin. Those
    that leave by themselves are replaced before they are gone.

    Parameters
    ----------
    wanted : int
        How many trials could be trained now.
    jobs : sequence of Sight
        The jobs that are there, the oldest first.
    limit : int
        The most trials at a time.
    each : int
        The most workers of a job.
    stopping : bool
        Whether the run is to stop, so that no new worker is of use.
    """
    staff = [job for job in jobs if not job.leaving]
    if stopping:
        return Decision(cancel=tuple(job.name for job in staff if job.waiting))
    there = sum(job.workers for job in staff)
    missing = min(wanted, limit) - there
    submit: list[int] = []
    while missing > sum(submit):
        # What a job has room for, it starts at once: it gets the whole of it, wanted or not.
        submit.append(min(each, limit - there - sum(submit)))
    cancel: list[str] = []
    retire: list[str] = []
    waiting = [job for job in staff if job.waiting]
    idle = [job for job in staff if job.connected and not job.busy]
    for group, let_go in ((waiting, cancel), (idle, retire)):
        for job in reversed(group):
            if 0 < job.workers <= -missing:
                let_go.append(job.name)
                missing += job.workers
    return Decision(tuple(submit), tuple(cancel), tuple(retire))


def wanted(tasks: Iterable[Any]) -> int:
    """Count the scheduler's trials that could be trained now; one worker for anything else."""
    states = ("processing", "queued", "no-worker")
    unfinished = trials = 0
    for task in tasks:
        unfinished += task.state in (*states, "waiting")
        trials += bool(task.resource_restrictions) and task.state in states
    return max(trials, min(1, unfinished))


def pause(refusals: int) -> float:
    """Give the seconds to wait after so many refused submissions in a row."""
    return float(min(60, 2 ** max(0, refusals - 1)))
