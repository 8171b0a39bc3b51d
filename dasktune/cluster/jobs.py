"""Plain jobs: a command of ours that a queue runs, beside its workers."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import math
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dask.utils import parse_bytes

from dasktune.cluster.choose import backend
from dasktune.cluster.command import refusal
from dasktune.cluster.demand import Demand
from dasktune.cluster.queue import Fate, Queue, Request, Seen, numbers_named
from dasktune.cluster.queued import Queued, joined
from dasktune.cluster.walltime import lead_of, read_walltime
from dasktune.errors import ClusterError, UsageError

WORKERS = "DASKTUNE_WORKERS"
"""The variable in which a job of an array learns how many trials it trains at a time."""
_PLACE = "COMMAND-OF-OURS"
_SECONDS = 60  # that a queue may take to answer
CANCEL_SECONDS = 20.0  # the same, where jobs are cancelled
AT_ONCE = 100  # jobs that one command cancels


class Jobs:
    """Sends commands to a queue.

    Parameters
    ----------
    word : str
        The queue, as for ``--cluster``.
    settings : mapping of str to str
        Settings from the command line.
    demand : Demand
        What a trial needs; `name` and `folder` are those of the jobs.

    Attributes
    ----------
    queue : Queue
        The kind of queue.
    """

    def __init__(self, word: str, settings: Mapping[str, str], demand: Demand) -> None:
        found = backend(word, settings)
        if not isinstance(found, Queued):
            raise UsageError(f"jobs are sent to a queue, such as slurm, but got {word!r}.")
        self._queued = found
        self._demand = demand
        self.queue: Queue = found.queue

    def of_driver(self) -> Request:
        """Say what the job of a driver asks for: little, and long."""
        asked = self._queued.request(self._demand)
        values = asked.settings
        seconds = read_walltime(values["driver-walltime"])
        own = {"queue": values["driver-queue"] or values["queue"]}
        own["directives"] = values["driver-directives"]
        return replace(
            asked,
            cpus=1,
            gpus=0,
            memory=str(values["driver-memory"]),
            seconds=seconds,
            lead=lead_of(values["lead"], seconds),
            settings={**values, **own},
            requeue=True,
        )

    def of_worker(self, count: int = 1, *, requeue: bool = False) -> Request:
        """Say what a job asks for in which so many trials are trained at a time."""
        asked = self._queued.request(self._demand)
        memory = asked.memory
        if count > 1:
            memory = f"{count * parse_bytes(memory) // 10**6}MB"
        return replace(
            asked,
            cpus=count * asked.cpus,
            gpus=count * asked.gpus,
            memory=memory,
            requeue=requeue,
        )

    def script(
        self,
        words: Sequence[str],
        request: Request,
        *,
        log: str = "",
        after: str = "",
        array: int = 0,
    ) -> str:
        """Write the script of a job.

        Parameters
        ----------
        words : sequence of str
            The command: what follows ``python``.
        request : Request
            What it asks for.
        log : str, optional
            A file that takes what it prints, as it prints it.
        after : str, optional
            Another job, whose end it waits for.
        array : int
            How many trials an array of such jobs trains at a time; 0 for one job.
        """
        return str(self._job(words, request, log, after, array).job_script())

    def submit(
        self,
        words: Sequence[str],
        request: Request,
        *,
        log: str = "",
        after: str = "",
        array: int = 0,
    ) -> str:
        """Send a job, and give its number.

        A queue may take a job and fail to say so: then it is looked for by its name.

        Raises
        ------
        ClusterError
            If the queue refuses it.
        """
        mark = os.urandom(3).hex()
        job = self._job(words, request, log, after, array, mark if self.queue.names else "")
        path = f"{self._demand.folder}/job-{mark}.sh"
        # For its user alone: a prologue may hold secrets.
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o700), "w") as file:
            file.write(job.job_script())
        try:
            told = asyncio.run(job._submit_job(path))
        except (RuntimeError, OSError) as error:
            there = look(self.queue) if self.queue.names else None
            for number in numbers_named(there or {}, job.job_name):
                return number
            raise ClusterError(f"the queue refused a job: {refusal(str(error))}") from error
        number = str(job._job_id_from_submit_output(told))
        return self.queue.array_name(number, told) if array else number

    @contextlib.contextmanager
    def listening(self) -> Iterator[tuple[str, bool]]:
        """Start a scheduler as a run would, and give its address, and whether it speaks TLS."""
        with self._queued.scheduler(self._demand) as cluster:
            yield cluster.scheduler_address, cluster.scheduler_address.startswith("tls://")

    def _job(
        self,
        words: Sequence[str],
        request: Request,
        log: str,
        after: str,
        array: int,
        mark: str = "",
    ) -> Any:
        workers = self._queued.workers(self._demand) if array else 1
        if workers > 1:
            whole = self._queued.request(self._demand, workers)
            request = replace(request, cpus=whole.cpus)
        own = self.queue.options(request)
        directives = own.pop("job_extra_directives", [])
        more = [*request.settings["directives"]]
        more += [self.queue.after(after)] if after else []
        variables = self._queued.variables(self._demand, request)
        if array:
            more += [self.queue.array(math.ceil(array / workers))]
            variables[WORKERS] = str(workers)
        prologue = [*own.pop("job_script_prologue", [])]
        prologue += [f"export {name}={value}" for name, value in variables.items()]
        prologue += request.settings["prologue"]
        job = self._queued.job_class(
            "",
            name="job",
            cores=1,
            processes=1,
            memory=request.memory,
            python=_PLACE,
            worker_command="",
            worker_extra_args=[],
            log_directory=f"{self._demand.folder}/jobs",
            job_name="-".join(filter(None, ("dasktune", self._demand.name, mark))),
            job_script_prologue=prologue,
            job_extra_directives=joined(directives, [line for line in more if line]),
            **own,
        )
        command = f"exec {shlex.join([sys.executable, *words])}"
        command += f" >>{shlex.quote(log)} 2>&1" if log else ""
        # All but the worker's command line, which is the job's last, is as for workers.
        job._command_template = job._command_template.partition(_PLACE)[0] + command
        return job


def queue_of(word: str) -> Queue:
    """Give the kind of queue that a word selects, without all that sending to it needs."""
    from dasktune.cluster.choose import kind_of

    queue: Queue = importlib.import_module(f"dasktune.cluster.{kind_of(word)}").QUEUE
    return queue


def look(queue: Queue) -> dict[str, Seen] | None:
    """List this user's jobs; None where the queue does not answer."""
    with contextlib.suppress(Exception):  # whatever it says
        told = subprocess.run(
            queue.look_command, capture_output=True, text=True, timeout=_SECONDS, check=True
        )
        return queue.seen(told.stdout)
    return None


def fate(queue: Queue, number: str) -> Fate:
    """Ask why this job, which runs, is told to end."""
    command = queue.fate_command(number)
    if not command:
        return ""
    with contextlib.suppress(Exception):  # whatever it says; then nobody knows
        told = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
        return queue.fate(told.stdout, number, os.environ)
    return ""


def cancel(queue: Queue, numbers: Sequence[str]) -> list[str]:
    """Cancel jobs; those that are over do not matter.

    Returns
    -------
    list of str
        Those of which the queue has not answered in time, or could not be asked.
    """
    begun, left, deadline = [], [], time.monotonic() + CANCEL_SECONDS
    quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    for first in range(0, len(numbers), AT_ONCE):
        some = list(numbers[first : first + AT_ONCE])
        command = [*shlex.split(queue.cancel_command), *some]
        try:
            process = subprocess.Popen(command, start_new_session=True, **quiet)  # type: ignore[call-overload]
        except OSError:  # its command is not here
            left += some
        else:
            begun.append((process, some))
    for process, some in begun:
        try:
            process.wait(max(0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            left += some
    return left
