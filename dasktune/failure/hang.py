"""Hangs: a training that says nothing for too long, and the end of its worker process.

The watch is a thread of the interpreter's own (`faulthandler`), which needs no lock of Python's:
it also ends a process that is stuck in a library's code. It writes the stacks down before.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

_SLACK = 0.1  # of the time; a report within it after the one before does not set the clock anew
_MOST_SLACK = 1.0  # seconds

_lock = threading.Lock()
_vigils: list[Vigil] = []


class Vigil:
    """Watches over a training in this process, and ends the process if it hangs.

    Parameters
    ----------
    path : str
        The file that takes the stacks.
    names : sequence of str
        The targets that are trained, as one if they are several.
    seconds : float
        How long it may say nothing.
    """

    def __init__(self, path: str, names: Sequence[str], seconds: float) -> None:
        self._path = path
        self._slack = min(_MOST_SLACK, seconds * _SLACK)
        self._seconds = seconds + self._slack
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self._file = open(path, "w")  # noqa: SIM115, it outlives this call
        head = {
            "names": list(names),
            "seconds": seconds,
            "thread": threading.get_ident(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }
        self._note(head)
        self.deadline = 0.0
        with _lock:
            _vigils.append(self)
            if len(_vigils) > 1:
                _tell_each()
            self._push()

    def _note(self, more: dict[str, Any]) -> None:
        self._file.write(json.dumps(more) + "\n")
        self._file.flush()

    def beside(self, others: int) -> None:
        """Take how many other trainings this process has: a hang may be the fault of one."""
        self._note({"beside": others})

    def beat(self) -> None:
        """Take a sign of life."""
        with _lock:
            if self in _vigils and self.deadline - time.monotonic() < self._seconds - self._slack:
                self._push()

    def _push(self) -> None:
        self.deadline = time.monotonic() + self._seconds
        _arm()

    def end(self) -> None:
        """Watch no longer."""
        with _lock:
            if self not in _vigils:
                return
            _vigils.remove(self)
            _tell_each()
            _arm()
        self._file.close()
        with contextlib.suppress(OSError):
            os.unlink(self._path)

    @property
    def file(self) -> int:
        """The file that takes the stacks, as the system numbers it."""
        return self._file.fileno()


def _tell_each() -> None:
    for vigil in _vigils:
        vigil.beside(len(_vigils) - 1)


@contextlib.contextmanager
def watched(path: str, names: Sequence[str], seconds: float) -> Iterator[Callable[[], None]]:
    """Watch over a training while the context is entered; gives what takes a sign of life."""
    vigil = Vigil(path, names, seconds)
    try:
        yield vigil.beat
    finally:
        vigil.end()


def _arm() -> None:
    """Set the one clock of this process to the training that is due first."""
    if not _vigils:
        faulthandler.cancel_dump_traceback_later()
        return
    first = min(_vigils, key=lambda vigil: vigil.deadline)
    left = max(0.01, first.deadline - time.monotonic())
    faulthandler.dump_traceback_later(left, exit=True, file=first.file)


def words_for(hang: dict[str, Any]) -> str:
    """Tell of a hang in one line: how long nothing was said, and where it hung."""
    text = f"no report for {hang['seconds']:g} s"
    place = place_of(str(hang["stacks"]), int(hang["thread"]))
    return f"{text}; it hung at {place}" if place else text


def place_of(stacks: str, thread: int) -> str:
    """Find in dumped stacks where a thread was: ``"train.py:12 in train"``, or nothing."""
    here = False
    for line in stacks.splitlines():
        head = re.match(r"(?:Current )?[Tt]hread 0x([0-9a-f]+)", line)
        if head:
            here = int(head[1], 16) == thread
            continue
        frame = re.match(r'\s+File "(.*)", line (\d+) in (.*)', line)
        if here and frame:
            return f"{os.path.basename(frame[1])}:{frame[2]} in {frame[3]}"
    return ""
