"""Provenance: with what, and where, a result was made; recorded, and not part of any key."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import socket
import sys
from typing import Any


@functools.cache
def versions() -> dict[str, str]:
    """List the versions of Python and of the libraries that can change a result."""
    found = {"python": platform.python_version()}
    for name in ("dasktune", "torch", "numpy", "xarray", "zarr", "scikit-learn", "dask"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def place(worker: str) -> dict[str, Any]:
    """Say where this process runs.

    Parameters
    ----------
    worker : str
        The Dask worker's name, or ``"none"``.
    """
    return {"host": socket.gethostname(), "pid": os.getpid(), "worker": worker, "device": device()}


def device() -> str:
    """Name the device that torch would train on: ``"cuda:0 (NVIDIA H100)"`` or ``"cpu"``."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)  # torch may be half imported
    if cuda is None or not hasattr(cuda, "is_available") or not cuda.is_available():
        return "cpu"
    return f"cuda:0 ({cuda.get_device_name(0)})"


def device_in_use() -> str:
    """Name the device that this process trains on, for who watches: ``"cuda:3 (NVIDIA H100)"``.

    The number is the machine's, not the one among those that this process sees. CUDA is only
    asked once it is in use: to ask for it before would keep a train function from forking.
    """
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)  # torch may be half imported, by another thread
    if cuda is None or not hasattr(cuda, "is_initialized") or not cuda.is_initialized():
        return "cpu"
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    return f"cuda:{first if first.isdigit() else 0} ({cuda.get_device_name(0)})"
