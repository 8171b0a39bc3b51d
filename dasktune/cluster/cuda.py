"""``cuda``: workers on this machine, each with GPUs of its own."""

from __future__ import annotations

import contextlib
import math
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dasktune.cluster.demand import Connection, Demand, check_resources, thread_variables
from dasktune.cluster.local import CONFIG, dashboard_address
from dasktune.errors import ClusterError, UsageError


@dataclass(frozen=True)
class Seat:
    """A worker's place.

    Attributes
    ----------
    name : str
        The worker's name.
    devices : str
        Its ``CUDA_VISIBLE_DEVICES``.
    gpus : float
        What it offers as the resource ``GPU``.
    """

    name: str
    devices: str
    gpus: float


class Cuda:
    """One worker a GPU, or several where a trial needs a fraction of one.

    Trials that share a GPU are processes of their own: threads would fight over the interpreter.

    Parameters
    ----------
    settings : mapping of str to str
        ``gpus``: which devices, such as ``"0,2"``; all that are visible if not given.
    """

    def __init__(self, settings: Mapping[str, str]) -> None:
        unknown = set(settings) - {"gpus"}
        if unknown:
            raise UsageError(f"the cluster 'cuda' has the setting 'gpus', but got {unknown}.")
        chosen = settings.get("gpus")
        self.devices = chosen.split(",") if chosen else visible_devices()

    @contextlib.contextmanager
    def connect(self, demand: Demand) -> Iterator[Connection]:
        """Start the workers; everything listens on the loopback device only."""
        import dask
        from distributed import Client, Nanny, Scheduler, SpecCluster

        address = dashboard_address()
        scheduler = {
            "cls": Scheduler,
            "options": {
                "host": "127.0.0.1",
                "port": 0,
                "dashboard": address is not None,
                "dashboard_address": address,
            },
        }
        others = {name: max(1.0, n) for name, n in demand.resources.items() if name != "GPU"}
        workers = {
            seat.name: {
                "cls": Nanny,
                "options": {
                    "host": "127.0.0.1",
                    "nthreads": 1,
                    "memory_limit": 0,
                    "resources": {**others, "GPU": seat.gpus},
                    "env": {
                        **thread_variables(demand.threads),
                        "CUDA_VISIBLE_DEVICES": seat.devices,
                    },
                    "preload": ["dasktune.worker"],
                    "lifetime_restart": True,
                    "dashboard": False,
                },
            }
            for seat in seats(self.devices, demand.resources.get("GPU", 1.0), demand.jobs)
        }
        with dask.config.set(CONFIG):
            with (
                SpecCluster(scheduler=scheduler, workers=workers, silence_logs=50) as cluster,
                Client(cluster) as client,
            ):
                check_resources(client, demand.resources)
                yield Connection(client)

    def script(self, demand: Demand) -> str:
        """Give nothing: there are no jobs."""
        return ""


def seats(devices: Sequence[str], each: float, jobs: int | None) -> list[Seat]:
    """Share devices out among workers that train one trial at a time.

    Parameters
    ----------
    devices : sequence of str
        The devices.
    each : float
        How many of them a trial needs; a fraction puts several on one.
    jobs : int or None
        The most workers; they are spread over the devices.

    Raises
    ------
    ClusterError
        If a trial needs more devices than there are.
    """
    if each > len(devices):
        raise ClusterError(
            f"a trial needs {each:g} GPUs, but this machine gives {len(devices)} "
            f"({','.join(devices) or 'none'})."
        )
    if each > 1:
        size = math.ceil(each)
        groups = [devices[i : i + size] for i in range(0, len(devices) - size + 1, size)]
        rows = [Seat(f"gpu{'+'.join(group)}", ",".join(group), float(size)) for group in groups]
        return rows[:jobs]
    share = int(1 / each + 1e-9) if each > 0 else 1
    gpus = each if share > 1 else 1.0
    rows = [
        Seat(f"gpu{device}" + (f"-{slot}" if share > 1 else ""), device, gpus)
        for slot in range(share)
        for device in devices
    ]
    return rows[:jobs]


def visible_devices() -> list[str]:
    """List the devices that this process may use.

    Raises
    ------
    ClusterError
        If there is none.
    """
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    found = []
    if told is not None:
        found = [device.strip() for device in told.split(",") if device.strip()]
    else:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            listed = subprocess.run(
                ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=True
            )
            found = re.findall(r"^GPU (\d+):", listed.stdout, re.M)
    if not found:
        raise ClusterError(
            "no GPU is visible here (CUDA_VISIBLE_DEVICES is "
            f"{told!r}, and nvidia-smi lists none); use --cluster local."
        )
    return found
