"""``local``: workers on this machine, one a trial."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import socket
import warnings
from collections.abc import Iterator

from dasktune.cluster import forkserver
from dasktune.cluster.demand import (
    Connection,
    Demand,
    check_resources,
    default_jobs,
    offered,
    thread_variables,
)

DASHBOARD_PORT = 8787

CONFIG = {
    # A worker's death counts against every task that waited on it; we count by ourselves.
    "distributed.scheduler.allowed-failures": 1_000_000,
    # A worker's nanny replaces it. Dask would give up on one that happens to be starting
    # anew some seconds after it was lost the time before.
    "distributed.deploy.lost-worker-timeout": "10000 days",
    # A train function may have child processes, such as a DataLoader's.
    "distributed.worker.daemon": False,
    "distributed.comm.timeouts.connect": "30s",
    "distributed.nanny.preload": ["dasktune.nanny"],
    # Dask's profile stops the training thread a hundred times a second to look at it, which
    # took 6 % of short steps. Ten looks a second show the same picture.
    "distributed.worker.profile.interval": "100ms",
    # Its event loops ask themselves fifty times a second whether they are late, which wakes a
    # thread beside each training and took another 2 % of short steps.
    "distributed.admin.tick.interval": "500ms",
    "distributed.admin.system-monitor.interval": "1s",
}
"""What Dask is told wherever dasktune starts a scheduler or a worker."""


class Local:
    """Workers on this machine; everything listens on the loopback device only."""

    @contextlib.contextmanager
    def connect(self, demand: Demand) -> Iterator[Connection]:
        """Start as many workers as trials are to be trained at a time."""
        import dask

        how = forkserver.method()  # first, so that it imports beside us
        from distributed import Client, LocalCluster

        # A connection that is cut when all is over is worth no word.
        logging.getLogger("distributed.batched").setLevel(logging.WARNING)
        with dask.config.set({**CONFIG, **how}):
            with (
                LocalCluster(
                    n_workers=demand.jobs or default_jobs(demand.threads),
                    threads_per_worker=1,
                    processes=True,
                    host="127.0.0.1",
                    dashboard_address=dashboard_address(),
                    resources=offered(demand.resources),
                    memory_limit=0,
                    # All of ours: a fork server has the environment of its own start.
                    env={**os.environ, **thread_variables(demand.threads)},
                    preload=["dasktune.worker"],
                    lifetime_restart=True,  # a worker that leaves is replaced by its nanny
                    silence_logs=50,
                ) as cluster,
                Client(cluster) as client,
            ):
                check_resources(client, demand.resources)
                yield Connection(client, own=True)

    def script(self, demand: Demand) -> str:
        """Give nothing: there are no jobs."""
        return ""


def dashboard_address() -> str | None:
    """Give where the dashboard listens: on the loopback device, if it can be shown at all."""
    if importlib.util.find_spec("bokeh") is None:
        return None
    # Where another sweep takes the port at the same moment, Dask takes another one, with a long
    # warning. The address is told anyway.
    warnings.filterwarnings("ignore", r"Port \d+ is already in use", UserWarning)
    return f"127.0.0.1:{DASHBOARD_PORT if _free(DASHBOARD_PORT) else 0}"


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
