"""A bench: workers on one device, more and more of them, to measure how many it holds."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dasktune.cluster import forkserver
from dasktune.cluster.choose import kind_of
from dasktune.cluster.cuda import Cuda, Seat, nanny_options
from dasktune.cluster.demand import Demand, thread_variables
from dasktune.cluster.devices import memory
from dasktune.cluster.local import CONFIG

if TYPE_CHECKING:
    from distributed import Client


@dataclass(frozen=True)
class Bench:
    """Workers on one device.

    Attributes
    ----------
    where : str
        The device, for people.
    devices : int
        How many like it the run will use.
    grow : callable
        Starts workers until there are so many; gives their names.
    client : distributed.Client
        Its client.
    memory : callable
        Gives the bytes of the device's memory that are in use, and all that it has, or None.
    """

    where: str
    devices: int
    grow: Callable[[int], list[Any]]
    client: Client
    memory: Callable[[], tuple[int, int] | None]


@contextlib.contextmanager
def bench(word: str, settings: Mapping[str, str], demand: Demand) -> Iterator[Bench]:
    """Start a bench on the first device of a cluster on this machine.

    Parameters
    ----------
    word : str
        Of the kind ``cuda``: the device is a GPU, or as many as a trial needs; or ``local``: it
        is this machine.
    settings : mapping of str to str
        Of the cluster.
    demand : Demand
        What the run needs.
    """
    import dask
    from distributed import Client, Nanny, Scheduler, SpecCluster

    if kind_of(word) == "cuda":
        cuda = Cuda(word, settings)
        size = max(1, math.ceil(demand.resources.get("GPU", 1.0)))
        group, count = cuda.devices[:size], len(cuda.devices) // size
        where = f"GPU {','.join(group)}"
        seat = Seat("", ",".join(group), float(size))
        options = nanny_options(seat, demand, cuda.environment(demand))
    else:
        group, count, where = [], 1, "this machine"
        options = nanny_options(Seat("", "", 1.0), demand, {})
        # All of ours: a fork server has the environment of its own start.
        options["env"] = {**os.environ, **thread_variables(demand.threads)}
    options["lifetime_restart"] = False
    scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "port": 0, "dashboard": False}}
    how = {} if group else forkserver.method()
    config = {**CONFIG, **how, "distributed.scheduler.allowed-failures": 0}
    with dask.config.set(config):
        with (
            SpecCluster(
                scheduler=scheduler,
                worker={"cls": Nanny, "options": options},
                silence_logs=50,
            ) as cluster,
            Client(cluster) as client,
        ):

            def grow(count: int) -> list[Any]:
                cluster.scale(count)
                client.wait_for_workers(count, timeout=120)
                return list(range(count))

            yield Bench(where, max(1, count), grow, client, lambda: _memory(group))


def _memory(group: list[str]) -> tuple[int, int] | None:
    """Ask the fullest of the GPUs, or this machine where there is none that answers."""
    told = [answer for device in group if (answer := memory(device)) is not None]
    if told:
        return max(told)
    import psutil

    host = psutil.virtual_memory()
    return host.total - host.available, host.total
