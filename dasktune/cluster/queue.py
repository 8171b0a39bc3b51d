"""A job queue: what one kind of queue has of its own, and how jobs are asked for and seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dasktune.errors import UsageError


@dataclass(frozen=True)
class Request:
    """What one job asks the queue for.

    Attributes
    ----------
    cpus, gpus : int
        Processors and GPUs.
    memory : str
        Such as ``"4GB"``.
    seconds : int
        The walltime.
    lead : int
        Seconds before its end at which the worker leaves.
    settings : dict
        All settings of the queue.
    requeue : bool
        Whether the queue may start the job again, if it lost it.
    """

    cpus: int
    gpus: int
    memory: str
    seconds: int
    lead: int
    settings: dict[str, Any]
    requeue: bool = False

    @property
    def walltime(self) -> str:
        """The walltime as ``HH:MM:SS``."""
        return f"{self.seconds // 3600:02d}:{self.seconds // 60 % 60:02d}:{self.seconds % 60:02d}"


@dataclass(frozen=True)
class Seen:
    """A job as the queue tells of it.

    Attributes
    ----------
    waiting : bool
        Whether it does not run.
    reason : str
        Why.
    suspended : bool
        Whether it has run, and is to go on from there: it has not ended.
    restarts : int or None
        How often the queue has started it again; None where it does not say.
    name : str
        What it is called; empty where the queue does not say.
    """

    waiting: bool
    reason: str = ""
    suspended: bool = False
    restarts: int | None = None
    name: str = ""


Fate = Literal["again", "driven out", "cancelled", ""]
"""Why a queue ends a job that runs: it starts the job again by itself; it needs the room for
another, or the time is over; somebody wants it to end; or nobody knows."""


def numbers_named(jobs: Mapping[str, Seen], name: str) -> list[str]:
    """List the jobs of a name, the oldest first."""
    return [number for number, seen in jobs.items() if name and seen.name == name]


def note(jobs: dict[str, Seen], number: str, seen: Seen) -> None:
    """Note a job that was seen; of an array it counts that one of its jobs runs."""
    if number not in jobs or not seen.waiting:
        jobs[number] = seen


class Queue:
    """What one kind of queue has of its own; each has a module.

    Attributes
    ----------
    kind : str
        The word that selects it.
    cluster : str
        The class of dask-jobqueue.
    more : dict
        Settings of its own, with their defaults.
    look_command : tuple of str
        Lists this user's jobs.
    cancel_command : str
        Cancels the jobs whose numbers follow.
    own : tuple of str
        Variables that tell a job its number; the first that is set does.
    index : tuple of str
        The same for the place of a job of an array; empty where there are no arrays.
    names : bool
        Whether it lists jobs with their names, and in full. There, each job has one of its own.
    """

    kind = ""
    cluster = ""
    more: dict[str, Any] = {}  # noqa: RUF012
    look_command: tuple[str, ...] = ()
    cancel_command = ""
    own: tuple[str, ...] = ()
    index: tuple[str, ...] = ()
    names = False

    def options(self, request: Request) -> dict[str, Any]:
        """Give the arguments of dask-jobqueue's class."""
        raise NotImplementedError

    def seen(self, text: str) -> dict[str, Seen]:
        """Read what `look_command` printed: the jobs that wait or run, by their number."""
        raise NotImplementedError

    def end_command(self, job: str) -> tuple[str, ...]:
        """Give the command that tells how a job ended, or nothing."""
        return ()

    def end_state(self, words: str) -> str:
        """Give Slurm's word for how a job ended, from what `end_command` told; or nothing."""
        return ""

    def fate_command(self, job: str) -> tuple[str, ...]:
        """Give the command that tells why a job that runs is told to end, or nothing."""
        return ()

    def fate(self, words: str, job: str, environment: Mapping[str, str]) -> Fate:
        """Tell why a job that runs is told to end, from what `fate_command` told.

        Parameters
        ----------
        words : str
            What was told.
        job : str
            Its number.
        environment : mapping of str to str
            Its own environment.
        """
        return ""

    def after(self, job: str) -> str:
        """Give the line of a job's header that lets it wait for another's end; or nothing."""
        return ""

    def array(self, count: int) -> str:
        """Give the line of a job's header that makes it an array of jobs, numbered from 1."""
        raise UsageError(f"the queue {self.kind!r} has no job arrays; submit without --array.")

    def array_name(self, job: str, told: str) -> str:
        """Give the name of an array whose submission told this number, in these words."""
        return job

    def number(self, environment: Mapping[str, str]) -> str:
        """Tell which job a process is, from its environment; nothing if it does not say."""
        told = next((environment[name] for name in self.own if name in environment), "")
        return told.partition(".")[0]

    def place(self, environment: Mapping[str, str]) -> int:
        """Tell which job of an array a process is, from 1.

        Raises
        ------
        UsageError
            If its environment does not say.
        """
        for name in self.index:
            if environment.get(name, "").isdigit():
                return int(environment[name])
        raise UsageError(
            f"a job of an array learns its place from {' or '.join(self.index) or 'its queue'}, "
            f"but this queue ({self.kind}) sets none of these; submit without --array."
        )
