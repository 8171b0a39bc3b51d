"""``cuda``: workers on this machine, each with GPUs of its own."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dasktune.cluster import mps
from dasktune.cluster.demand import (
    Connection,
    Demand,
    check_resources,
    check_threads,
    thread_variables,
)
from dasktune.cluster.devices import Machine, look
from dasktune.cluster.local import CONFIG, dashboard_address
from dasktune.cluster.settings import read
from dasktune.errors import ClusterError, UsageError

if TYPE_CHECKING:
    from distributed import SpecCluster

SETTINGS = {"gpus": "", "dask-cuda": "auto"}
_SWITCH = {"auto": None, "true": True, "yes": True, "false": False, "no": False}


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
    """One worker a GPU, or several where trials share one.

    Trials that share a GPU are processes of their own: threads would fight over the interpreter.
    The workers are those of ``dask_cuda.LocalCUDACluster`` where it is installed and can do
    what is wanted, which is one worker a GPU; else nannies of our own. Both pin a worker, and
    so the trials in it, to its own devices.

    Parameters
    ----------
    name : str
        The section of the configuration.
    flags : mapping of str to str
        Settings from the command line. ``gpus``: which devices, such as ``"0,2"``; all that are
        visible if not given. ``dask-cuda``: whether LocalCUDACluster is used, ``true``,
        ``false``, or ``auto`` for where it can be.

    Attributes
    ----------
    settings : dict of str to Setting
        All settings, each with its origin.
    machine : Machine
        The GPUs that are here.
    devices : list of str
        Those that are used.
    wished : bool or None
        Whether dask-cuda is to be used; None for where it can be.
    """

    def __init__(self, name: str, flags: Mapping[str, str]) -> None:
        self.settings = read("cuda", name, flags, SETTINGS, common={})
        told = str(self.settings["dask-cuda"].value).lower()
        if told not in _SWITCH:
            raise UsageError(f"dask-cuda is true, false or auto, but got {told!r}.")
        self.wished = _SWITCH[told]
        self.machine = look()
        chosen = self.settings["gpus"].value
        if isinstance(chosen, (list, tuple)):  # as YAML has it
            chosen = ",".join(map(str, chosen))
        given = "gpus" in flags or chosen != ""
        self.devices = self.machine.chosen(str(chosen)) if given else self.machine.names()
        if not self.devices:
            raise ClusterError(_no_gpu(self.machine))

    @contextlib.contextmanager
    def connect(self, demand: Demand) -> Iterator[Connection]:
        """Start the workers; everything listens on the loopback device only."""
        import dask
        from distributed import Client

        places = self.seats(demand)
        hindrance = self._hindrance(places)
        if self.wished and hindrance:
            raise ClusterError(f"dask-cuda cannot do this: {hindrance}.")
        by_us = self.wished is False or bool(hindrance)
        demand.tell({"event": "note", "text": describe(places, hindrance, by_us)})
        if sharing(places):
            demand.tell({"event": "note", "text": mps.describe()})
        check_threads(demand, len(places))
        start = self._by_nannies if by_us else self._by_dask_cuda
        with dask.config.set(CONFIG):
            with start(places, demand) as cluster, Client(cluster) as client:
                client.wait_for_workers(len(places))
                check_resources(client, demand.resources)
                yield Connection(client, own=True)

    def seats(self, demand: Demand) -> list[Seat]:
        """Share the devices out."""
        return seats(self.devices, demand.resources.get("GPU", 1.0), demand.jobs, demand.pack)

    def environment(self, demand: Demand) -> dict[str, str]:
        """Give what the environment of each worker says, apart from its devices."""
        found = {**thread_variables(demand.threads), **mps.variables()}
        visible = self.machine.visible
        if visible is None or any(not word.strip().isdigit() for word in visible.split(",")):
            # Numbers are then NVML's; CUDA by itself would count the fastest GPU first.
            found["CUDA_DEVICE_ORDER"] = os.environ.get("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
        return found

    def script(self, demand: Demand) -> str:
        """Give nothing: there are no jobs."""
        return ""

    def _hindrance(self, places: Sequence[Seat]) -> str:
        """Say why dask-cuda cannot start such workers; empty if it can."""
        if sharing(places):
            return "it starts one worker a GPU, not several"
        if any("," in seat.devices for seat in places):
            return "it gives a worker one GPU of its own, not several"
        if len({seat.devices.isdigit() for seat in places}) > 1:
            return "it takes numbers or UUIDs, not both"
        return self.unusable()

    def unusable(self) -> str:
        """Say why dask-cuda cannot be used here at all; empty if it can."""
        if self.machine.source != "NVML":
            return "it needs NVML, which does not answer here"
        try:
            import dask_cuda  # noqa: F401
        except Exception as error:  # its CUDA libraries may fail in their own ways
            what = str(error).splitlines()[0] if str(error) else type(error).__name__
            missing = isinstance(error, ModuleNotFoundError) and error.name == "dask_cuda"
            return "it is not installed" if missing else f"it cannot be imported ({what})"
        return ""

    def _by_nannies(self, places: Sequence[Seat], demand: Demand) -> SpecCluster:
        from distributed import Nanny, Scheduler, SpecCluster

        address = dashboard_address()
        options = {"dashboard": address is not None, "dashboard_address": address}
        scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "port": 0, **options}}
        environment = self.environment(demand)
        workers = {
            seat.name: {"cls": Nanny, "options": nanny_options(seat, demand, environment)}
            for seat in places
        }
        return SpecCluster(scheduler=scheduler, workers=workers, silence_logs=50)

    def _by_dask_cuda(self, places: Sequence[Seat], demand: Demand) -> SpecCluster:
        from dask_cuda import LocalCUDACluster

        by_device = {seat.devices: seat for seat in places}
        environment = self.environment(demand)

        class Pinned(LocalCUDACluster):
            """Its workers see no GPU but their own; by itself they see all, their own first."""

            def new_worker_spec(self) -> dict[Any, Any]:
                specs: dict[Any, Any] = super().new_worker_spec()
                for device, spec in specs.items():
                    seat = by_device[str(device)]
                    spec["options"]["name"] = seat.name
                    spec["options"]["env"] = {**environment, "CUDA_VISIBLE_DEVICES": seat.devices}
                return specs

        # Not all of the options: LocalCUDACluster has others under the same names.
        own = nanny_options(places[0], demand, {})
        passed = ("host", "resources", "preload", "lifetime_restart")
        return Pinned(
            CUDA_VISIBLE_DEVICES=list(by_device),
            threads_per_worker=1,
            memory_limit=0,
            device_memory_limit=0,  # it would move Dask's data off the GPU; we have none there
            dashboard_address=dashboard_address(),
            silence_logs=50,
            **{name: own[name] for name in passed},
        )


def seats(
    devices: Sequence[str], each: float, jobs: int | None, pack: int | None = None
) -> list[Seat]:
    """Share devices out among workers that train one trial at a time.

    Parameters
    ----------
    devices : sequence of str
        The devices.
    each : float
        How many of them a trial needs; a fraction puts several on one.
    jobs : int or None
        The most workers; they are spread over the devices.
    pack : int or None
        Trials that share a device, whatever they say that they need of it.

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
    size = max(1, math.ceil(each))
    share = pack or (int(1 / each + 1e-9) if 0 < each < 1 else 1)
    gpus = each if share > 1 and 0 < each < 1 else float(size)
    groups = [devices[i : i + size] for i in range(0, len(devices) - size + 1, size)]
    rows = [
        Seat(_name(group) + (f"-{slot}" if share > 1 else ""), ",".join(group), gpus)
        for slot in range(share)
        for group in groups
    ]
    return rows[:jobs]


def _name(group: Sequence[str]) -> str:
    """Name a worker after its devices; of a UUID the first digits tell it from others."""
    return "gpu" + "+".join(d if d.isdigit() else d.removeprefix("GPU-")[:12] for d in group)


def sharing(places: Sequence[Seat]) -> bool:
    """Tell whether a GPU has more than one of the workers."""
    return len({seat.devices for seat in places}) < len(places)


def nanny_options(seat: Seat, demand: Demand, environment: Mapping[str, str]) -> dict[str, Any]:
    """Give what the nanny of a worker is told."""
    others = {name: max(1.0, n) for name, n in demand.resources.items() if name != "GPU"}
    return {
        "host": "127.0.0.1",
        "nthreads": 1,
        "memory_limit": 0,
        "resources": {**others, "GPU": seat.gpus},
        "env": {**environment, "CUDA_VISIBLE_DEVICES": seat.devices},
        "preload": ["dasktune.worker"],
        "lifetime_restart": True,
        "dashboard": False,
        "silence_logs": 50,
    }


def describe(places: Sequence[Seat], hindrance: str, by_us: bool) -> str:
    """Say in a line which workers are started, and by what."""
    gpus = list(dict.fromkeys(seat.devices for seat in places))
    each = len(places) / len(gpus)
    how = f"{each:g} trials at a time on each" if each > 1 else "one trial at a time on each"
    what = ", ".join(gpus)
    if not by_us:
        return f"cluster cuda: GPU {what}, {how}, by dask-cuda"
    why = f"not by dask-cuda: {hindrance}" if hindrance else "not by dask-cuda, as was asked"
    return f"cluster cuda: GPU {what}, {how} ({why})"


def _no_gpu(machine: Machine) -> str:
    if machine.devices:
        return (
            f"CUDA_VISIBLE_DEVICES is {machine.visible!r}, which hides the {len(machine.devices)} "
            "GPUs of this machine; change it, or use --cluster local."
        )
    return (
        "no GPU is visible here (neither NVML nor nvidia-smi lists one, and CUDA_VISIBLE_DEVICES "
        f"is {machine.visible!r}); use --cluster local."
    )
