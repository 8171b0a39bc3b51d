"""Checking the GPUs of this machine: whether a sweep on ``cuda`` would work here."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Mapping
from dataclasses import replace

from dasktune.checkup import Check, Sighting, check_torch_for, guarded, see_devices
from dasktune.cluster.cuda import Cuda
from dasktune.cluster.demand import Demand
from dasktune.cluster.devices import Driver, Machine, driver, look, memory
from dasktune.errors import ClusterError

FULL = 0.9
"""The part of a GPU's memory in use from which trials would hardly find room."""
WORKER_SECONDS = 120.0
"""How long workers may take to start and to answer."""


def check_gpus(name: str, settings: Mapping[str, str], demand: Demand) -> Iterator[Check]:
    """Check the driver, the devices, dask-cuda, torch, and the workers that a run would start.

    Parameters
    ----------
    name : str
        The cluster, as it was named.
    settings : mapping of str to str
        Settings from the command line.
    demand : Demand
        What a trial needs.
    """
    there = driver()
    yield check_driver(there, look())
    try:
        cuda = Cuda(name, settings)
    except ClusterError as error:
        fix = "see 'nvidia-smi -L', and unset CUDA_VISIBLE_DEVICES or name what it may show"
        yield Check("devices", False, str(error), fix)
        return
    yield Check("devices", True, f"GPU {', '.join(cuda.devices)}, {cuda.machine.text()}")
    yield guarded("memory", lambda: check_memory(cuda.devices))
    yield guarded("dask-cuda", lambda: check_dask_cuda(cuda, there))
    yield guarded("torch", lambda: check_torch_for(there.cuda if there else ""))
    yield guarded("workers", lambda: check_workers(cuda, demand))


def check_driver(there: Driver | None, machine: Machine) -> Check:
    """Tell the driver's version, and of which CUDA it is."""
    if there is None and not machine.devices:
        return Check(
            "driver",
            False,
            "neither NVML nor nvidia-smi lists a GPU",
            "install NVIDIA's driver; a container must be started with its GPUs (--gpus all, --nv)",
        )
    if there is None:
        return Check("driver", True, f"{machine.source} lists GPUs; NVML does not answer")
    return Check("driver", True, f"{there.version}, for CUDA up to {there.cuda}")


def check_memory(devices: list[str]) -> Check:
    """Tell how full each GPU is."""
    told, full = [], []
    for device in devices:
        found = memory(device)
        if found is None:
            told.append(f"{device}: unknown")
            continue
        used, total = found
        told.append(f"{device}: {used / 2**30:.1f} of {total / 2**30:.1f} GiB in use")
        if used > FULL * total:
            full.append(device)
    fix = "nvidia-smi names the processes that hold it; end them, or choose other GPUs: -O gpus=…"
    return Check("memory", not full, "; ".join(told), fix if full else "")


def check_dask_cuda(cuda: Cuda, there: Driver | None) -> Check:
    """Tell whether dask-cuda can be used, and for which CUDA its libraries are."""
    bindings = _version("cuda-bindings").partition(".")[0]
    newest = there.cuda.partition(".")[0] if there else ""
    extra = f"cu{newest}" if newest in ("12", "13") else "cu12"
    hindrance = cuda.unusable()
    fix = f"pip install 'dask-cuda[{extra}]'; or leave it, with -O dask-cuda=false"
    if hindrance:
        # It is no must: nannies of our own do the same.
        text = f"{hindrance}; workers are started without it"
        good = not cuda.wished
        return Check("dask-cuda", good, text if good else hindrance, "" if good else fix)
    of = f"with the libraries of its extra cu{bindings}" if bindings else "of none of its extras"
    text = f"{_version('dask-cuda')} imports, {of}"
    good = not (bindings and newest) or int(bindings) <= int(newest)
    return Check("dask-cuda", good, text, fix)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def check_workers(cuda: Cuda, demand: Demand) -> Check:
    """Start the workers as a run does, and let each say which devices it sees."""
    notes: list[str] = []
    demand = replace(demand, tell=lambda event: notes.append(str(event["text"])))
    expected = {place.name: place.devices for place in cuda.seats(demand)}
    with cuda.connect(demand) as connection:
        client = connection.client
        names = {
            address: str(worker["name"])
            for address, worker in client.scheduler_info(n_workers=-1)["workers"].items()
        }
        futures = {
            names[address]: client.submit(see_devices, workers=[address], pure=False)
            for address in names
        }
        seen = {name: future.result(timeout=WORKER_SECONDS) for name, future in futures.items()}
    wrong = [
        f"{name} sees {text}"
        for name, sighting in sorted(seen.items())
        if (text := sighting.text()) and not _own(sighting, expected[name])
    ]
    if wrong:
        fix = "a site's start-up script may set CUDA_VISIBLE_DEVICES; try -O dask-cuda=false"
        return Check("workers", False, "; ".join(wrong), fix)
    each = "; ".join(f"{name}: {sighting.text()}" for name, sighting in sorted(seen.items()))
    return Check("workers", True, f"each sees its own GPU and no other: {each}")


def _own(sighting: Sighting, devices: str) -> bool:
    """Say whether a worker sees just its own devices, as far as its torch can tell."""
    count = len(devices.split(","))
    return sighting.visible == devices and sighting.count in (None, count)
