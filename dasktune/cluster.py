"""Clusters: where the nodes of a graph run."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from dasktune.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client

DASHBOARD_PORT = 8787
CONNECT_SECONDS = 10


def default_jobs() -> int:
    """Give how many trials this machine trains at a time: one a processor that we may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def connect(
    cluster: str, *, jobs: int | None, resources: Mapping[str, float], threads: int = 1
) -> Iterator[Client]:
    """Give a client of a cluster whose workers offer the resources.

    Parameters
    ----------
    cluster : str
        ``"local"``, which starts workers on this machine, or the address of a running
        scheduler, such as ``"tcp://10.0.0.1:8786"``.
    jobs : int or None
        Trials at a time; for ``"local"`` the number of workers.
    resources : mapping of str to float
        What a worker must offer to train one trial.
    threads : int, default 1
        Threads that the numerical libraries may take for one trial.

    Raises
    ------
    ClusterError
        If there is no such cluster, or none of its workers offers the resources.
    """
    if cluster == "local":
        manager = _local(jobs or default_jobs(), resources, threads)
    elif "://" in cluster:
        manager = _running(cluster)
    else:
        raise ClusterError(
            f"a cluster is 'none', 'local' or a scheduler's address such as "
            f"'tcp://127.0.0.1:8786', but got {cluster!r}."
        )
    with manager as client:
        check_resources(client, resources)
        yield client


@contextlib.contextmanager
def _local(jobs: int, resources: Mapping[str, float], threads: int) -> Iterator[Client]:
    import dask
    from distributed import Client, LocalCluster

    count = str(threads)
    environment = {
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
    }
    config = {
        # A worker's death counts against every task that waited on it; we count by ourselves.
        "distributed.scheduler.allowed-failures": 1_000_000,
        # A worker's nanny replaces it. Dask would give up on one that happens to be starting
        # anew some seconds after it was lost the time before.
        "distributed.deploy.lost-worker-timeout": "10000 days",
        # A train function may have child processes, such as a DataLoader's.
        "distributed.worker.daemon": False,
        "distributed.comm.timeouts.connect": "30s",
    }
    with dask.config.set(config):
        with (
            LocalCluster(
                n_workers=jobs,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address=_dashboard_address(),
                resources={name: max(1.0, amount) for name, amount in resources.items()},
                memory_limit=0,
                env=environment,
                preload=["dasktune.worker"],
                lifetime_restart=True,  # a worker that leaves is replaced by its nanny
                silence_logs=50,
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client


@contextlib.contextmanager
def _running(address: str) -> Iterator[Client]:
    from distributed import Client

    try:
        client = Client(address, timeout=CONNECT_SECONDS)
    except (OSError, TimeoutError, ValueError) as error:
        raise ClusterError(
            f"cannot connect to the scheduler at {address}. Is it running, and is this the "
            f"address that it printed? ({type(error).__name__})"
        ) from error
    with client:
        yield client


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
            f"'dask worker ADDRESS --resources \"{_demand(resources)}\"'."
        )
    for worker in workers:
        offered = worker.get("resources", {})
        if all(offered.get(name, 0) >= amount for name, amount in resources.items()):
            return
    offers = {str(worker.get("resources", {})) for worker in workers}
    raise ClusterError(
        f"a trial needs the resources {dict(resources)}, but no worker offers them "
        f"({len(workers)} workers offer {' or '.join(sorted(offers))}). "
        f'Start workers with --resources "{_demand(resources)}".'
    )


def _demand(resources: Mapping[str, float]) -> str:
    return " ".join(f"{name}={amount:g}" for name, amount in resources.items())


def _dashboard_address() -> str | None:
    if importlib.util.find_spec("bokeh") is None:
        return None
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", DASHBOARD_PORT))
        except OSError:
            return "127.0.0.1:0"
    return f"127.0.0.1:{DASHBOARD_PORT}"
