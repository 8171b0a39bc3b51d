"""Claims: which GPUs of its node a job has, where its queue has said only how many.

Grid Engine counts GPUs and names none, unless a site has taught it to; other queues are set up in
this way at some sites. What a queue does tell is believed; else the job takes GPUs that no other
job of dasktune has claimed and no process computes on. A claim is a lock on a file of the node's
own disk: it ends with its process, however that ends.
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import re
import time
from collections.abc import Mapping, MutableMapping

import click

from dasktune.cluster.devices import Device, Machine, computing, look
from dasktune.errors import ClusterError

COUNT = "DASKTUNE_GPUS"
"""The variable in which a job's script says how many GPUs it asked for."""
FOLDER = "DASKTUNE_CLAIMS"
"""The variable that names another folder for claims than /tmp. (The usual variables for
temporary files name a folder of each job's own.)"""
PATIENCE = 60.0
"""Seconds within which the job before is to have let go of its GPUs."""
_CLAIMED = "DASKTUNE_CLAIMED"
"""The variable in which a job notes what it has put into CUDA_VISIBLE_DEVICES. Where a queue hands
the environment of who submits down, the next job finds both, and what is in them is not its own."""
_MOST = 64  # on a node of which nobody knows how many it has
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_NAMED = (_VISIBLE, "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
"""In which a queue, or a site, names a job's GPUs; the others are AMD's."""
_DEVICE = re.compile(r"\d+|(GPU|MIG)-\S+")
_GRANTED = re.compile(r"SGE_GPU|SGE_HGR_\w*(gpu|cuda)\w*", re.IGNORECASE)
"""What Grid Engine calls the granted ones of a resource map, and what the prolog calls them that
many sites have (sge-gpuprolog)."""


def claim(
    environment: MutableMapping[str, str] = os.environ, patience: float = PATIENCE
) -> list[str]:
    """Put the GPUs of this job into CUDA_VISIBLE_DEVICES, where the queue has not.

    Parameters
    ----------
    environment : mapping of str to str
        Of this process. `COUNT` says how many GPUs the job has; without it nothing is done.
    patience : float
        Seconds to wait for GPUs that are to be free soon.

    Raises
    ------
    ClusterError
        If so many are not free.
    """
    if _CLAIMED in environment and environment[_CLAIMED] == environment.get(_VISIBLE):
        del environment[_CLAIMED], environment[_VISIBLE]
    count = environment.get(COUNT, "")
    if not count.isdecimal() or not int(count) or any(name in environment for name in _NAMED):
        return []
    machine = look()
    devices = granted(environment, machine, int(count))
    if devices:
        how = "the queue gives GPU"
    else:
        devices, how = _take(machine, int(count), environment, patience), "this job takes GPU"
    environment[_VISIBLE] = environment[_CLAIMED] = ",".join(devices)
    # Numbers are the driver's; CUDA by itself would count the fastest GPU first.
    environment.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    click.echo(f"dasktune: {how} {', '.join(devices)}", err=True)
    return devices


def granted(environment: Mapping[str, str], machine: Machine, count: int) -> list[str]:
    """Give the devices that the queue names in its own way; none if it names none."""
    known = {name for device in machine.devices for name in (device.index, device.uuid)}
    for name, text in sorted(environment.items()):
        words = re.split(r"[\s,]+", text.strip())
        if not _GRANTED.fullmatch(name) or len(words) < count:
            continue
        if not all(_DEVICE.fullmatch(word) for word in words):
            continue  # a site's own names, such as "GPU1", which may count from 1
        if not known or known.issuperset(words):
            return words
        if len(machine.devices) == count:
            return machine.names()  # a control group shows the job's own alone, counted anew
    return []


def _take(
    machine: Machine, count: int, environment: Mapping[str, str], patience: float
) -> list[str]:
    """Claim devices that are free, for the whole life of this process."""
    # If nobody knows what there is, those with the lowest numbers: the queue counts them.
    devices = machine.devices or tuple(Device(str(number), "") for number in range(_MOST))
    folder = environment.get(FOLDER, "/tmp")
    deadline = time.monotonic() + patience

    def lock(name: str, seconds: float = 0.0) -> int | None:
        return _lock(f"{folder}/dasktune-gpu-{name}.lock", seconds)

    while True:
        found: dict[str, int] = {}
        taken: list[str] = []
        try:
            # One job at a time, or two might each hold what the other one waits for.
            first = lock("all", max(patience, 10.0))
            if first is None:
                raise TimeoutError(errno.ETIMEDOUT, "another job holds it all the time")
            for device in devices:
                if len(found) == count:
                    break
                own = lock(device.uuid or device.index)
                if own is None:
                    taken.append(f"{device.name} is another job's")
                elif pids := computing(device.name):
                    os.close(own)
                    taken.append(f"on {device.name} process {pids[0]} computes")
                else:
                    found[device.name] = own
            if len(found) < count:
                for own in found.values():
                    os.close(own)
            os.close(first)
        except OSError as error:
            raise ClusterError(
                f"no GPU can be claimed by a lock in {folder} ({error}); ${FOLDER} names another "
                "folder of the node's own disk."
            ) from error
        if len(found) == count:
            return [*found]
        if time.monotonic() > deadline:
            raise ClusterError(
                f"the queue has given this job {count} GPUs, but does not say which, and of the "
                f"{len(devices)} of this node {len(found)} are free ({', '.join(taken)}). The "
                "site must set CUDA_VISIBLE_DEVICES for its jobs; see docs/how-to/other-queues.md."
            )
        time.sleep(random.uniform(0.2, 1.0))


def _lock(path: str, seconds: float) -> int | None:
    """Lock a file that any user may lock, and give its descriptor; None if another one holds it.

    Libraries that lock files refuse those of other users in a folder such as /tmp, since their
    owner could remove them. Here nothing depends on that: a GPU on which others compute is not
    taken, either.
    """
    deadline = time.monotonic() + seconds
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    while True:
        try:
            try:
                descriptor = os.open(path, flags)
            except FileNotFoundError:
                descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o644)
                os.fchmod(descriptor, 0o644)  # whatever the umask
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(descriptor).st_nlink:  # else somebody has removed it meanwhile
                    return descriptor
            except BlockingIOError:
                pass
            os.close(descriptor)
        except (FileExistsError, PermissionError):
            pass  # another one makes it just now
        if time.monotonic() > deadline:
            return None
        time.sleep(0.05)
