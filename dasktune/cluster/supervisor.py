"""How many jobs there should be: a pure decision, taken every second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Sight:
    """A job as it was seen last.

    Attributes
    ----------
    name : str
        Its worker's name.
    waiting : bool
        Whether it waits in the queue.
    connected : bool
        Whether its worker is there.
    busy : bool
        Whether its worker has something to do.
    leaving : bool
        Whether its worker takes nothing new, since its time is over or it was told so.
    """

    name: str
    waiting: bool = True
    connected: bool = False
    busy: bool = False
    leaving: bool = False


@dataclass(frozen=True)
class Decision:
    """What is to be done.

    Attributes
    ----------
    submit : int
        How many jobs to submit.
    cancel : tuple of str
        Jobs to cancel, by their worker's name.
    retire : tuple of str
        Workers to send home; what only they hold is handed on first.
    """

    submit: int = 0
    cancel: tuple[str, ...] = ()
    retire: tuple[str, ...] = ()


def decide(wanted: int, jobs: Sequence[Sight], limit: int, *, stopping: bool = False) -> Decision:
    """Decide how many jobs to submit, and which to let go.

    A worker that has something to do is never let go, nor one that is about to begin. Those
    that leave by themselves are replaced before they are gone.

    Parameters
    ----------
    wanted : int
        How many trials could be trained now.
    jobs : sequence of Sight
        The jobs that are there, the oldest first.
    limit : int
        The most jobs at a time.
    stopping : bool
        Whether the run is to stop, so that no new worker is of use.
    """
    staff = [job for job in jobs if not job.leaving]
    if stopping:
        return Decision(cancel=tuple(job.name for job in staff if job.waiting))
    missing = min(wanted, limit) - len(staff)
    if missing >= 0:
        return Decision(submit=missing)
    newest = staff[::-1]
    cancel = [job.name for job in newest if job.waiting][:-missing]
    idle = [job.name for job in newest if job.connected and not job.busy]
    return Decision(cancel=tuple(cancel), retire=tuple(idle[: -missing - len(cancel)]))


def pause(refusals: int) -> float:
    """Give the seconds to wait after so many refused submissions in a row."""
    return float(min(60, 2 ** max(0, refusals - 1)))
