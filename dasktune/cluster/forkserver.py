"""A fork server for the workers of this machine: torch is imported once, not once a worker.

A worker that is spawned imports torch, xarray and Dask anew: 2.5 s of a processor. The fork
server (Python's own, see `multiprocessing`) imports them once, beside the driver's own start,
and then a worker takes 0.1 s, and shares the memory of the libraries with its siblings.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from dasktune.cluster.demand import thread_variables

PRELOAD = "dasktune.cluster.preload"
GPU = "/proc/driver/nvidia"
"""Is there on a machine with an NVIDIA driver. A process that has begun with CUDA cannot be
forked, and that no library begins when it is imported was not seen on such a machine."""


def usable() -> bool:
    """Say whether workers may be forked here: on Linux, without a GPU, if it is wanted.

    The configuration ``dasktune.fork-server`` turns it off with ``false``.
    """
    if not sys.platform.startswith("linux") or os.path.exists(GPU):
        return False
    import dask.config

    return bool(dask.config.get("dasktune.fork-server", True))


def start() -> None:
    """Start the server, if it does not run; it imports while the caller goes on."""
    import multiprocessing
    from multiprocessing import forkserver

    multiprocessing.set_forkserver_preload([PRELOAD])
    # Libraries look for their number of threads when they are imported.
    with _variables(thread_variables(1)):
        forkserver.ensure_running()


def start_ahead(root: str) -> None:
    """Start the server before the pipeline is loaded, if it will be needed for sure.

    Parameters
    ----------
    root : str
        The pipeline's store. Where there is none, nothing was made yet, and something will be.
    """
    if not os.path.isdir(root) and usable():
        start()


def method() -> dict[str, str]:
    """Start the server if it is usable here; give what Dask is to be told about it."""
    if not usable():
        return {}
    start()
    import distributed.utils

    # Or Dask names its own libraries for the server, and imports pandas here to do so.
    distributed.utils._forkserver_preload_set = True
    return {"distributed.worker.multiprocessing-method": "forkserver"}


@contextlib.contextmanager
def _variables(chosen: dict[str, str]) -> Iterator[None]:
    """Set variables of the environment for a while."""
    before = {name: os.environ.get(name) for name in chosen}
    os.environ.update(chosen)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
