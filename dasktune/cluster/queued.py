"""A cluster whose workers are jobs of a queue, written and submitted by dask-jobqueue."""

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
from dataclasses import replace
from typing import Any

from dasktune.cluster.certificates import make_certificates
from dasktune.cluster.claim import COUNT
from dasktune.cluster.cuda import seats
from dasktune.cluster.demand import Connection, Demand, offered, thread_variables
from dasktune.cluster.fleet import Fleet
from dasktune.cluster.jobscript import scripted
from dasktune.cluster.local import CONFIG, dashboard_address
from dasktune.cluster.queue import Queue, Request
from dasktune.cluster.settings import Setting, read
from dasktune.cluster.walltime import lead_of, read_walltime
from dasktune.errors import ClusterError, UsageError

NOBODY = "SCHEDULER:8786"


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
        self.job_class: Any = scripted(self._class.job_cls, queue.kind)

    def workers(self, demand: Demand) -> int:
        """Say how many trials a job trains at a time: as many as its GPUs hold, or as was set.

        Raises
        ------
        UsageError
            If its GPUs do not hold so many.
        """
        asked = self._value("workers")
        gpus, each = self._gpus(demand), demand.resources.get("GPU", 0)
        if asked is not None and int(asked) < 1:
            raise UsageError(f"workers is a whole number of at least 1, but got {asked}.")
        if not gpus or not each:
            return int(asked or 1)
        hold = len(seats([*map(str, range(gpus))], each, None))
        if asked is not None and int(asked) > hold:
            raise UsageError(
                f"a job with {gpus} GPUs holds {hold} workers whose trials need {each:g} GPUs "
                f"each, but got workers={asked}; set gpus={math.ceil(int(asked) * each)}."
            )
        return int(asked or hold)

    def _gpus(self, demand: Demand) -> int:
        gpus = self._value("gpus")
        return math.ceil(demand.resources.get("GPU", 0)) if gpus is None else int(gpus)

    def request(self, demand: Demand, workers: int = 1) -> Request:
        """Say what one job asks for that has so many workers."""
        values = {key: setting.value for key, setting in self.settings.items()}
        seconds = read_walltime(values["walltime"])
        lead = lead_of(values["lead"], seconds)
        gpus, cpus = self._gpus(demand), values["cpus"] or demand.threads * workers
        return Request(int(cpus), gpus, str(values["memory"]), seconds, lead, values)

    def variables(self, demand: Demand, request: Request) -> dict[str, str]:
        """Give what a job's script exports, such as how many GPUs are the job's.

        A queue may count GPUs and name none: Grid Engine, PBS without its hook for control
        groups, Slurm where a partition is asked for and no GPU. Where it names them, nothing is
        claimed; nor by trials that need none.
        """
        counted = {COUNT: str(request.gpus)} if request.gpus and demand.resources.get("GPU") else {}
        return {**thread_variables(demand.threads), **counted}

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

        limit = demand.jobs or int(self._value("max-jobs")) * self.workers(demand)
        with contextlib.ExitStack() as stack:
            if not demand.folder:
                scratch = tempfile.TemporaryDirectory(prefix=".dasktune-", dir=".")
                demand = replace(demand, folder=os.path.abspath(stack.enter_context(scratch)))
            cluster = stack.enter_context(self.scheduler(demand))
            with Client(cluster) as client:
                fleet = Fleet(cluster, client, self.queue, limit, demand, self.workers(demand))
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
                job_cls=self.job_class,
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
        workers = self.workers(demand)
        request = self.request(demand, workers)
        own = self.queue.options(request)
        offers = ",".join(f"{n}={amount:g}" for n, amount in offered(demand.resources).items())
        arguments = ["--drain-after", str(request.seconds - request.lead)]
        arguments += ["--grace", str(request.lead)]
        arguments += ["--resources", offers] if offers else []
        if workers > 1:
            arguments += ["--workers", str(workers)]
            if request.gpus and demand.resources.get("GPU"):
                each = demand.resources["GPU"]
                arguments += ["--gpus", str(request.gpus), "--gpus-each", f"{each:g}"]
        host = self._value("host")
        if host and host.startswith("127."):
            arguments += ["--host", host]
        variables = self.variables(demand, request)
        prologue = [f"export {name}={value}" for name, value in variables.items()]
        return {
            # A worker trains one trial at a time, whatever its threads; our program starts several.
            "cores": 1,
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
