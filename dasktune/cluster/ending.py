"""How a queue's job ended: in the queue's words, and in the last lines of the job's own log."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dasktune.cluster.command import SECONDS

if TYPE_CHECKING:
    from dasktune.cluster.queue import Queue

REQUEUED = "JobState=REQUEUED"
"""What is told of a job that its queue starts again."""

_LIVE = ("PENDING", "CONFIGURING", "RUNNING", "RESIZING", "SUSPENDED", "STOPPED", "COMPLETING")

_MEMORY = re.compile(
    r"slurm(step)?d.*(memory limit|\boom[-_ ]?kill|out[- ]of[- ]memory)"
    r"|PBS: job killed: \w*mem|TERM_MEMLIMIT"
)
"""What a queue writes into the log of a job that it ends for want of memory."""


def words_of(told: str) -> str:
    """Give what is worth telling of what a queue told of a job."""
    return " ".join(re.findall(r"\b(?:JobState|Reason|ExitCode)=\S+", told))


def restarts_of(told: str) -> int:
    """Give how often a queue has started a job again, by what it told of it; 0 if it does not."""
    found = re.search(r"\bRestarts=(\d+)", told)
    return int(found[1]) if found else 0


def is_over(queue: Queue, told: str) -> bool:
    """Say whether a job is over by what its queue told of it; where it told no state, it is."""
    return queue.end_state(words_of(told)) not in _LIVE


def end_of(queue: Queue, job: str, told: str, log: Iterable[str] = ()) -> dict[str, Any]:
    """Give what is noted of a job's end, for who judges what befell the trial that it trained.

    Parameters
    ----------
    queue : Queue
        The kind of queue.
    job : str
        The job, as attempts name it.
    told : str
        What the queue told of it.
    log : iterable of str
        The last lines of its log.
    """
    words = words_of(told)
    state = "REQUEUED" if told == REQUEUED else queue.end_state(words)
    memory = next((line for line in log if _MEMORY.search(line)), "")
    return {"job": job, "state": state, "text": words, "memory": memory[:300]}


def ask(queue: Queue, number: str) -> str:
    """Ask a queue how a job ended; nothing where it does not know, or does not answer."""
    command = queue.end_command(number)
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        if command:
            return subprocess.run(
                command, capture_output=True, text=True, timeout=SECONDS, check=True
            ).stdout
    return ""


def last_words(folder: str, name: str, number: str) -> list[str]:
    """Read the last lines of a job's own logs.

    Parameters
    ----------
    folder : str
        Where the logs of jobs are.
    name : str
        The jobs' name, with which their logs may begin; or with that of a worker.
    number : str
        The job. Queues name logs in ways of their own, but all by its number.
    """
    named = re.compile(rf"{re.escape(name)}|[a-z]+-\d+(?=-)")
    whole = re.compile(rf"(?<!\d){re.escape(number.partition('.')[0])}(?!\d)")
    found: list[str] = []
    with contextlib.suppress(OSError):
        for log in sorted(os.listdir(folder)):
            if whole.search(log, begin.end() if (begin := named.match(log)) else 0):
                with (
                    contextlib.suppress(OSError),
                    open(f"{folder}/{log}", errors="replace") as file,
                ):
                    found += [line.strip() for line in file.read()[-4000:].splitlines()]
    return found
