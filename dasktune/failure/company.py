"""Company: what else is trained beside a trial, on its machine and on its GPU.

Trials that are packed onto a GPU, or onto a machine, may run out of memory together where each
would fit alone. One that did is tried again alone: it waits until its neighbours have ended, and
the others of the run wait for it. These are locks on files of the machine's own; where there can
be none, nobody waits.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

from dasktune.failure.kind import Kind

_LOOK_EVERY = 0.1  # seconds
_KEPT = 7 * 24 * 3600.0  # seconds that the locks of a run are kept


@contextlib.contextmanager
def among(
    run: str, alone: Kind | None = None, may_wait: Callable[[], bool] = lambda: True
) -> Iterator[None]:
    """Train beside others of a run, or with nothing beside.

    Parameters
    ----------
    run : str
        The run's name.
    alone : Kind, optional
        Why: `Kind.GPU_MEMORY` to be alone on the GPU that is trained on, another kind to be alone
        on this machine; None to be among others.
    may_wait : callable
        Says whether there is still a reason to wait.
    """
    device = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    rooms = {
        "machine": alone not in (None, Kind.GPU_MEMORY),
        f"device-{device.replace('/', '-')}": alone is Kind.GPU_MEMORY,
    }
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # no place for locks, or a system without
            folder = _folder(run)
            for name, mine in rooms.items():  # all in one order, so that no two wait in a ring
                stack.enter_context(_in_room(f"{folder}/{name}", mine, may_wait))
        if alone is not None:
            make_room()
        yield


def make_room() -> None:
    """Let go of memory that nothing uses any more."""
    gc.collect()
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    if cuda is not None and cuda.is_initialized():
        with contextlib.suppress(RuntimeError):
            cuda.empty_cache()


def forget(run: str) -> None:
    """Remove the locks of a run that is over."""
    shutil.rmtree(f"{_home()}/{run}", ignore_errors=True)


@contextlib.contextmanager
def _in_room(path: str, mine: bool, may_wait: Callable[[], bool]) -> Iterator[None]:
    """Be in a room. Who wants it alone holds its door, so as not to be passed by for ever."""
    with contextlib.ExitStack() as stack:
        with contextlib.ExitStack() as entering:
            if mine or os.path.exists(f"{path}.door"):
                entering.enter_context(_held(f"{path}.door", mine, may_wait))
            stack.enter_context(_held(path, mine, may_wait))
        yield


@contextlib.contextmanager
def _held(path: str, alone: bool, may_wait: Callable[[], bool]) -> Iterator[None]:
    """Hold a lock on a file, shared or not; go without it when there is no reason to wait."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
        while True:
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not may_wait():
                    break
                time.sleep(_LOOK_EVERY)
        yield
    finally:
        os.close(descriptor)


def _home() -> str:
    return f"{tempfile.gettempdir()}/dasktune-locks-{os.getuid()}"


def _folder(run: str) -> str:
    """Give a folder of this machine that only this user can write into."""
    home = _home()
    folder = f"{home}/{run}"
    if os.path.islink(home) or not os.path.isdir(folder):
        os.makedirs(home, mode=0o700, exist_ok=True)
        found = os.lstat(home)  # not what somebody's link points at
        ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
        if not ours or found.st_mode & 0o022:
            raise PermissionError(home)
        for entry in os.scandir(home):
            if time.time() - entry.stat().st_mtime > _KEPT:
                shutil.rmtree(entry.path, ignore_errors=True)
        os.makedirs(folder, exist_ok=True)
    return folder
