"""What a run demands of a cluster, and what it gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from dasktune.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client

ENOUGH_FAILURES = 1000
"""Losses of workers that a scheduler should bear for each task: queues preempt."""


@dataclass(frozen=True)
class Demand:
    """What a run demands of a cluster.

    Attributes
    ----------
    resources : mapping of str to float
        What a worker must offer to train one trial.
    jobs : int or None
        Trials at a time; None for as many as the cluster allows.
    threads : int
        Threads that the numerical libraries may take for one trial.
    pack : int or None
        Trials that share a GPU; None for as many as their share of it allows.
    name : str
        What the jobs are called after.
    folder : str
        A folder of this run's own that all machines see, for certificates and jobs' logs.
    tell : callable
        Takes the events ``note`` and ``jobs``, for people.
    """

    resources: Mapping[str, float] = field(default_factory=lambda: {"GPU": 1.0})
    jobs: int | None = None
    threads: int = 1
    pack: int | None = None
    name: str = ""
    folder: str = ""
    tell: Callable[[dict[str, Any]], None] = lambda event: None


@dataclass(frozen=True)
class Connection:
    """A cluster that a run may use.

    Attributes
    ----------
    client : distributed.Client
        Its client.
    slots : int or None
        Trials at a time once all its workers are there; None if they are there already.
    own : bool
        Whether its workers were started for this run, no more of them than ``-j`` allows.
    """

    client: Client
    slots: int | None = None
    own: bool = False


class Backend(Protocol):
    """A kind of cluster."""

    def connect(self, demand: Demand) -> AbstractContextManager[Connection]:
        """Start or find the cluster, and leave nothing of it behind."""

    def script(self, demand: Demand) -> str:
        """Give the text of a job, or nothing where there are no jobs."""


def processors() -> int:
    """Count the processors that this process may use, also in a container."""
    from dask.system import cpu_count  # knows of affinity and control groups

    return int(cpu_count())


def default_jobs(threads: int = 1) -> int:
    """Give how many trials of so many threads keep this machine busy, and no busier."""
    return max(1, processors() // threads)


def check_threads(demand: Demand, workers: int) -> None:
    """Say so if the workers have more threads in all than there are processors."""
    most = processors()
    if workers > 1 and workers * demand.threads > most:
        each = "a thread" if demand.threads == 1 else f"{demand.threads} threads"
        text = (
            f"{workers} trials at a time, with {each} each, wait for each other on {most} "
            f"processors; -j {max(1, most // demand.threads)} keeps them busy"
        )
        demand.tell({"event": "note", "text": text})


def offered(resources: Mapping[str, float]) -> dict[str, float]:
    """Give what a worker for one trial at a time offers: whole things, all of them."""
    return {name: max(1.0, amount) for name, amount in resources.items()}


def worker_names(job: str, workers: int) -> tuple[str, ...]:
    """Name the workers of a job after it; a single one has its name."""
    return (job,) if workers == 1 else tuple(f"{job}-{place}" for place in range(workers))


def check_resources(client: Client, resources: Mapping[str, float]) -> None:
    """Refuse a cluster on which a train node would wait for ever.

    Raises
    ------
    ClusterError
        If no worker offers what one trial needs.
    """
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    if not workers:
        raise ClusterError(
            "the cluster has no workers. Start one with "
            f"'dask worker ADDRESS --resources \"{demand_text(resources)}\"'."
        )
    for worker in workers:
        offers = worker.get("resources", {})
        if all(offers.get(name, 0) >= amount for name, amount in resources.items()):
            return
    all_offers = {str(worker.get("resources", {})) for worker in workers}
    raise ClusterError(
        f"a trial needs the resources {dict(resources)}, but no worker offers them "
        f"({len(workers)} workers offer {' or '.join(sorted(all_offers))}). "
        f'Start workers with --resources "{demand_text(resources)}".'
    )


def check_nannies(client: Client) -> None:
    """Refuse workers that nobody would start again after a trial has hung on them.

    Raises
    ------
    ClusterError
        If a worker has no nanny.
    """
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    without = [worker for worker in workers if not worker.get("nanny")]
    if without:
        raise ClusterError(
            "--trial-timeout ends the process of a worker on which a trial hangs, but "
            f"{len(without)} of {len(workers)} workers have no nanny to start it again. Start "
            "them as processes, and without --no-nanny."
        )


def tell_limits(client: Client, tell: Callable[[dict[str, Any]], None]) -> None:
    """Warn, once, of a scheduler that others started and that soon gives a lost task up."""
    try:
        allowed = int(client.run_on_scheduler(_allowed_failures))
    except Exception:
        return  # it runs nothing that is sent to it
    if allowed >= ENOUGH_FAILURES or client.scheduler.address in _warned:
        return
    _warned.add(client.scheduler.address)
    text = (
        f"this scheduler gives up a trial that was on {allowed + 1} workers that were lost, "
        "whatever the reason; start it with DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES=1000000"
    )
    tell({"event": "note", "text": text})


_warned: set[str] = set()  # addresses of schedulers


def _allowed_failures(dask_scheduler: Any) -> int:
    return int(dask_scheduler.allowed_failures)


def demand_text(resources: Mapping[str, float]) -> str:
    """Write resources as Dask's command line takes them: ``"GPU=1 memory=2e9"``."""
    return " ".join(f"{name}={amount:g}" for name, amount in resources.items())


def thread_variables(threads: int) -> dict[str, str]:
    """Give the environment that keeps numerical libraries to so many threads."""
    names = ("OMP", "MKL", "OPENBLAS", "NUMEXPR")
    return {f"{name}_NUM_THREADS": str(threads) for name in names}
