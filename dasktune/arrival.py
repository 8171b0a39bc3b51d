"""Arrival: files that another machine has made, which a shared folder may show late."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from typing import TypeVar

from dasktune.data.filesystem import mount_of, networked
from dasktune.errors import StoreError

T = TypeVar("T")

VARIABLE = "DASKTUNE_LATE_FILES"
"""The variable that says for how many seconds a file may be late."""
PATIENCE = 60.0
"""The same without it, on a file system that is reached over a network; elsewhere none is late."""
LOOK_EVERY = 0.2


def patience(path: str) -> float:
    """Say for how many seconds what is missing at a path may only be late."""
    told = os.environ.get(VARIABLE, "")
    with contextlib.suppress(ValueError):
        return float(told)
    return PATIENCE if networked(mount_of(path)[1]) else 0.0


def awaited(
    read: Callable[[], T | None], path: str, *, sleep: Callable[[float], None] = time.sleep
) -> T:
    """Read what another machine says that it has made.

    Parameters
    ----------
    read : callable
        Reads it; None while it is not there, or not what was said.
    path : str
        Where it belongs.
    sleep : callable
        Waits.

    Raises
    ------
    StoreError
        If it is not there in time; with the mount that should show it.
    """
    found = read()
    if found is not None:
        return found
    seconds = patience(path)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            os.listdir(os.path.dirname(path))  # NFS looks anew at a folder that is listed
        found = read()
        if found is not None:
            return found
        sleep(LOOK_EVERY)
    raise StoreError(late(path, seconds))


def late(path: str, seconds: float) -> str:
    """Say that a file does not come, and which mount is to blame."""
    point, kind = mount_of(path)
    if not seconds:
        return f"{path} is gone; run again to make it."
    return (
        f"{path} was made by another machine, but is not to be seen here after {seconds:g} s. "
        f"It is on the mount {point or '?'} ({kind or 'unknown'}): is that the same folder on all "
        f"machines? If it only shows files late, set {VARIABLE} to more seconds."
    )
