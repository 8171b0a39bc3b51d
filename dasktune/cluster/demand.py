"""What a run demands of a cluster, and what it gets."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from dasktune.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client


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
    """

    client: Client
    slots: int | None = None


class Backend(Protocol):
    """A kind of cluster."""

    def connect(self, demand: Demand) -> AbstractContextManager[Connection]:
        """Start or find the cluster, and leave nothing of it behind."""

    def script(self, demand: Demand) -> str:
        """Give the text of a job, or nothing where there are no jobs."""


def default_jobs() -> int:
    """Give how many trials this machine trains at a time: one a processor that we may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def offered(resources: Mapping[str, float]) -> dict[str, float]:
    """Give what a worker for one trial at a time offers: whole things, all of them."""
    return {name: max(1.0, amount) for name, amount in resources.items()}


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


def demand_text(resources: Mapping[str, float]) -> str:
    """Write resources as Dask's command line takes them: ``"GPU=1 memory=2e9"``."""
    return " ".join(f"{name}={amount:g}" for name, amount in resources.items())


def thread_variables(threads: int) -> dict[str, str]:
    """Give the environment that keeps numerical libraries to so many threads."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return dict.fromkeys(names, str(threads))
