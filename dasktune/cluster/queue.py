"""A job queue: workers are its jobs, written and submitted by dask-jobqueue."""

from __future__ import annotations

import contextlib
import math
import os
import re
import shlex
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dasktune.cluster.certificates import make_certificates
from dasktune.cluster.demand import Connection, Demand, offered, thread_variables
from dasktune.cluster.fleet import Fleet
from dasktune.cluster.local import CONFIG, dashboard_address
from dasktune.cluster.settings import Setting, read
from dasktune.errors import ClusterError, UsageError

NOBODY = "SCHEDULER:8786"


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
    """A job as the queue tells of it."""

    waiting: bool
    reason: str = ""


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
    own : str
        The variable that tells a job its number.
    index : str
        The variable that tells a job of an array its place; empty where there are no arrays.
    """

    kind = ""
    cluster = ""
    more: dict[str, Any] = {}  # noqa: RUF012
    look_command: tuple[str, ...] = ()
    cancel_command = ""
    own = ""
    index = ""

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

    def after(self, job: str) -> str:
        """Give the line of a job's header that lets it wait for another's end; or nothing."""
        return ""

    def array(self, count: int) -> str:
        """Give the line of a job's header that makes it an array of jobs, numbered from 1."""
        raise UsageError(f"the queue {self.kind!r} has no job arrays; submit without --array.")

    def array_name(self, job: str) -> str:
        """Give the name of an array whose submission told this number."""
        return job


class Queued:
    """A cluster whose workers are jobs of a queue.

    Parameters
    ----------
    queue : Queue
        The kind of queue.
    name : str
        The section of the configuration.
    flags : mapping of str to str
        Settings from the command line.
    """

    def __init__(self, queue: Queue, name: str, flags: Mapping[str, str]) -> None:
        try:
            with _own_interrupt():
                import dask_jobqueue
        except ImportError as error:
            raise ClusterError(
                f"the cluster {name!r} needs dask-jobqueue: pip install 'dasktune[hpc]'."
            ) from error
        self.queue = queue
        self.settings: dict[str, Setting] = read(queue.kind, name, flags, queue.more)
        self._class = getattr(dask_jobqueue, queue.cluster)
        self.job_class: Any = self._class.job_cls

    def request(self, demand: Demand) -> Request:
        """Say what one job asks for."""
        values = {key: setting.value for key, setting in self.settings.items()}
        seconds = read_walltime(values["walltime"])
        lead = lead_of(values["lead"], seconds)
        gpus = values["gpus"]
        if gpus is None:
            gpus = math.ceil(demand.resources.get("GPU", 0))
        cpus = values["cpus"] or demand.threads
        return Request(int(cpus), int(gpus), str(values["memory"]), seconds, lead, values)

    def script(self, demand: Demand) -> str:
        """Give the text of a job's script."""
        with tempfile.TemporaryDirectory() as scratch:  # dask-jobqueue makes the logs' folder
            security = _paths(f"{scratch}/tls") if self._value("tls") else None
            options = self._options(replace(demand, folder=scratch), security)
            job = self.job_class(
                f"{'tls' if security else 'tcp'}://{NOBODY}",
                name="NAME",
                security=security,
                **options,
            )
            return str(job.job_script()).replace(scratch, "RUN")

    @contextlib.contextmanager
    def connect(self, demand: Demand) -> Iterator[Connection]:
        """Start a scheduler here, and see to it that jobs come and go."""
        from distributed import Client

        limit = demand.jobs or int(self._value("max-jobs"))
        with contextlib.ExitStack() as stack:
            if not demand.folder:
                scratch = tempfile.TemporaryDirectory(prefix=".dasktune-", dir=".")
                demand = replace(demand, folder=os.path.abspath(stack.enter_context(scratch)))
            cluster = stack.enter_context(self.scheduler(demand))
            with Client(cluster) as client:
                fleet = Fleet(cluster, client, self.queue, limit, demand)
                cluster.sync(fleet.start)
                try:
                    self._tell_dashboard(client, demand)
                    yield Connection(client, slots=limit)
                finally:
                    cluster.sync(fleet.stop)
        if fleet.failure:
            raise ClusterError(fleet.failure)

    @contextlib.contextmanager
    def scheduler(self, demand: Demand) -> Iterator[Any]:
        """Start a scheduler here, with certificates in the demand's folder, and no jobs."""
        import dask

        with contextlib.ExitStack() as stack:
            security = None
            if self._value("tls"):
                security = make_certificates(f"{demand.folder}/tls")
                stack.callback(shutil.rmtree, f"{demand.folder}/tls", ignore_errors=True)
            stack.enter_context(dask.config.set(CONFIG))
            with self._class(
                n_workers=0,
                security=security,
                scheduler_options=self._scheduler(),
                silence_logs=50,
                **self._options(demand, security),
            ) as cluster:
                yield cluster

    def _value(self, key: str) -> Any:
        return self.settings[key].value

    def _scheduler(self) -> dict[str, Any]:
        """Say where the scheduler listens."""
        options: dict[str, Any] = {"dashboard_address": dashboard_address()}
        options["dashboard"] = options["dashboard_address"] is not None
        if self._value("host"):
            options["host"] = self._value("host")
        elif self._value("interface"):
            options["interface"] = self._value("interface")
        return options

    def _options(self, demand: Demand, security: Any) -> dict[str, Any]:
        """Give all arguments of dask-jobqueue's class for a job."""
        request = self.request(demand)
        own = self.queue.options(request)
        offers = ",".join(f"{n}={amount:g}" for n, amount in offered(demand.resources).items())
        arguments = ["--resources", offers, "--drain-after", str(request.seconds - request.lead)]
        arguments += ["--grace", str(request.lead)]
        host = self._value("host")
        if host and host.startswith("127."):
            arguments += ["--host", host]
        variables = thread_variables(demand.threads)
        prologue = [f"export {name}={value}" for name, value in variables.items()]
        return {
            "cores": 1,  # a worker trains one trial at a time, whatever number of threads it has
            "processes": 1,
            "memory": request.memory,
            "python": f"exec {shlex.quote(sys.executable)}",
            "worker_command": "dasktune.cluster.node",
            "worker_extra_args": arguments,
            "protocol": "tls://" if security else None,
            "interface": self._value("interface"),
            "death_timeout": self._value("death-timeout"),
            "local_directory": self._value("local-directory"),
            "log_directory": f"{demand.folder}/jobs",
            "job_name": f"dasktune-{demand.name}" if demand.name else "dasktune",
            **own,
            "job_script_prologue": [
                *own.get("job_script_prologue", []),
                *prologue,
                *self._value("prologue"),
            ],
            "job_extra_directives": joined(
                own.get("job_extra_directives", []), self._value("directives")
            ),
        }

    def _tell_dashboard(self, client: Any, demand: Demand) -> None:
        link = re.search(r":(\d+)/", client.dashboard_link or "")
        if link:
            port, host = link[1], socket.gethostname()
            text = f"to see the dashboard: ssh -N -L {port}:127.0.0.1:{port} {host}"
            demand.tell({"event": "note", "text": text})


@contextlib.contextmanager
def _own_interrupt() -> Iterator[None]:
    """Keep our handler of Ctrl-C: importing dask-jobqueue sets one that ends the process."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)


def read_walltime(value: Any) -> int:
    """Read a walltime: ``HH:MM:SS``, ``D-HH:MM:SS``, ``HH:MM``, seconds, or ``2h``.

    Raises
    ------
    UsageError
        If it is none of these.
    """
    text = str(value).strip()
    match = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d\d)(?::(\d\d))?", text)
    if match:
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    from dask.utils import parse_timedelta

    try:
        return int(parse_timedelta(text))
    except (KeyError, ValueError):
        raise UsageError(
            f"a walltime is HH:MM:SS, D-HH:MM:SS, or a duration such as 2h, but got {text!r}."
        ) from None


def lead_of(lead: int | None, seconds: int) -> int:
    """Say how many seconds before its end a job leaves: a tenth of them, from 30 to 300.

    Raises
    ------
    UsageError
        If that is all the time that it has.
    """
    lead = min(300, max(30, seconds // 10)) if lead is None else int(lead)
    if lead >= seconds:
        raise UsageError(
            f"a worker leaves {lead} s before its walltime of {seconds} s ends, so it would "
            "never train; set a longer walltime or a shorter lead."
        )
    return lead


def joined(own: Any, more: list[str]) -> Any:
    """Add a user's lines to our own, which are pairs where the queue's are."""
    if isinstance(own, dict):
        return {**own, **{key.strip(): value for key, _, value in (d.partition("=") for d in more)}}
    return [*own, *more]


def _paths(folder: str) -> Any:
    """Name certificates that are not made, for a script that is only shown."""
    from distributed import Security

    return Security(
        tls_ca_file=f"{folder}/cert.pem",
        tls_worker_key=f"{folder}/key.pem",
        tls_worker_cert=f"{folder}/cert.pem",
    )
