"""What every nanny of dasktune loads (Dask's ``--preload-nanny``): it notes how its worker ended.

A process that is killed can say nothing any more. Its nanny knows the exit code, and the kernel
whether it was for want of memory; both are put into the folders of the runs that the worker
trained for, where the next attempt at its trials looks.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import tempfile
import uuid
from collections.abc import Iterator
from typing import Any

from dasktune.attempt import WATCHED
from dasktune.runfolder import RunFolder


def dask_setup(nanny: Any) -> None:
    """Give the worker a file to say in whom it works for, and note its end there."""
    path = f"{tempfile.gettempdir()}/dasktune-{os.getuid()}-{uuid.uuid4().hex}.work"
    nanny.env = {**nanny.env, WATCHED: path}
    nanny.dasktune_work = path
    kills = [oom_kills()]
    ended = nanny._on_worker_exit_sync

    def note(code: int) -> None:
        nanny.dasktune_exit = code
        with contextlib.suppress(Exception):  # Dask's own duties come first
            before, kills[0] = kills[0], oom_kills()
            limited = getattr(nanny.memory_manager, "_last_terminated_pid", -1)
            note_end(path, code, before, kills[0], limited)
        ended(code)

    nanny._on_worker_exit_sync = note


def dask_teardown(nanny: Any) -> None:
    """Remove the file."""
    with contextlib.suppress(OSError, AttributeError):
        os.unlink(nanny.dasktune_work)


def note_end(path: str, code: int, before: int, after: int, limited: int = -1) -> None:
    """Note how a worker ended, in the folder of each run that it trained for.

    Parameters
    ----------
    path : str
        The file in which it said so.
    code : int
        Its exit code; negative for a signal.
    before, after : int
        How many processes the kernel had killed for want of memory.
    limited : int
        The process that the nanny itself ended, since it held more than Dask allows it.
    """
    try:
        with open(path) as file:
            work = json.load(file)
    except (OSError, ValueError):
        return
    end: dict[str, Any] = {
        "host": socket.gethostname(),
        "pid": work["pid"],
        "exit": code,
        "memory": memory_words(code, before, after, limited == work["pid"]),
    }
    for run in work["runs"]:
        if os.path.isdir(run):
            RunFolder(run).note_death(f"{end['host']}-{end['pid']}", end)
    os.unlink(path)


def memory_words(code: int, before: int, after: int, limited: bool) -> str:
    """Say why an end was for want of memory; empty where nothing speaks for it."""
    if limited:
        return "it held more memory than Dask allows a worker"
    if code in (-signal.SIGKILL, 128 + signal.SIGKILL) and after > before:
        return "the kernel ended a process here for want of memory"
    return ""


def oom_kills(proc: str = "/proc") -> int:
    """Count the processes that the kernel has killed here for want of memory, as far as it tells.

    Parameters
    ----------
    proc : str
        Where the kernel tells which control group this process is in, which is a queue's job or a
        container, and where that is counted. The whole machine's count is read only where there
        are no such groups: what it tells may be of others.
    """
    kind, path = _group(proc)
    if not path:
        return _count(f"{proc}/vmstat")
    for root, point in _mounts(proc, kind):
        # In a container the path may be the machine's, and the mount begins below its root.
        if root == "/" or path == root or path.startswith(f"{root}/"):
            folder = f"{point}/{path.removeprefix(root if root != '/' else '')}".rstrip("/")
            source = "memory.events" if kind == "cgroup2" else "memory.oom_control"
            if os.path.exists(f"{folder}/{source}"):
                return _count(f"{folder}/{source}")
            if kind == "cgroup2" and path == "/" and not os.path.exists(f"{folder}/cgroup.events"):
                return _count(f"{proc}/vmstat")  # the group of all, which has no count
    return 0


def _group(proc: str) -> tuple[str, str]:
    """Find the control group of this process whose memory is counted: its kind, and its path."""
    found = ("", "")
    with contextlib.suppress(OSError), open(f"{proc}/self/cgroup") as file:
        for line in file:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            if "memory" in controllers.split(","):
                return "cgroup", path
            if not controllers:
                found = "cgroup2", path
    return found


def _mounts(proc: str, kind: str) -> Iterator[tuple[str, str]]:
    """Tell where control groups are mounted: from which group on, and in which folder."""
    with contextlib.suppress(OSError), open(f"{proc}/self/mountinfo") as file:
        for line in file:
            words, more = (half.split() for half in line.partition(" - ")[::2])
            if more[:1] == [kind] and (kind == "cgroup2" or "memory" in more[-1].split(",")):
                yield words[3], re.sub(r"\\(\d{3})", lambda found: chr(int(found[1], 8)), words[4])


def _count(source: str) -> int:
    """Read a count of kills."""
    with contextlib.suppress(OSError, ValueError), open(source) as file:
        rows = [line.split() for line in file]
        return sum(int(row[1]) for row in rows if row[:1] == ["oom_kill"])
    return 0
