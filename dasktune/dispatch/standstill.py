"""Standstill: drivers, one after another, that end without any trial having got on.

A driver with its workers in its own job begins a new run each time, so no run sees that a trial
never comes to its end, nor to a checkpoint, in the walltime of one job.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass

from dasktune.commit import write_atomically
from dasktune.dispatch.dispatch import Dispatch
from dasktune.store import Store, saved_epochs

MOST = 3
"""Drivers in a row that may end where they began."""


@dataclass(frozen=True)
class Standstill:
    """The drivers of a dispatch that began where it still stands.

    Parameters
    ----------
    dispatch : Dispatch
        The dispatch.
    """

    dispatch: Dispatch

    def begin(self, job: str) -> str:
        """Note that a driver begins, and give why it should not; nothing if it should.

        Parameters
        ----------
        job : str
            Its job, by number and restart: one that is started again since its node failed counts.
        """
        made, jobs = self._stands()
        jobs = [*jobs, job]
        self._write(made, jobs)
        if len(jobs) <= MOST:
            return ""
        return (
            f"{MOST} jobs one after another ended before any trial had come to a checkpoint or to "
            "its end; give them a longer walltime, or trials checkpoints"
        )

    def excuse(self, job: str) -> None:
        """Forget a driver that the queue drives out: that says nothing about its trials."""
        made, jobs = self._stands()
        self._write(made, [other for other in jobs if other != job])

    @property
    def _root(self) -> str:
        return os.path.dirname(os.path.dirname(self.dispatch.path))

    def _made(self) -> int:
        """Count the targets of the store that were made, or failed; none of them is looked into."""
        kinds = [Store(self._root).listing(k) for k in ("preprocessed", "trained", "failed")]
        return sum(len(keys) for kind in kinds for keys in kind.values())

    def _stands(self) -> tuple[int, list[str]]:
        """Tell how much is made, and which drivers have begun without any progress since."""
        made, (before, jobs) = self._made(), self._read()
        return made, [] if made != before or self._saved_since() else jobs

    def _saved_since(self) -> bool:
        """Say whether a checkpoint is younger than what was noted last.

        Only folders in which something has moved since are looked into: a store may have ten
        thousands, and to list one is dear on a shared file system, where to see its time is not.
        """
        noted = _moment(self._path)
        try:
            with os.scandir(f"{self._root}/checkpoints") as found:
                folders = [folder.path for folder in found if _moment(folder.path) >= noted]
        except OSError:
            return False
        saved = (epoch for folder in folders for epoch in saved_epochs(folder))
        return any(_moment(epoch.path) >= noted for epoch in saved)

    def _read(self) -> tuple[int, list[str]]:
        with contextlib.suppress(OSError, ValueError, TypeError), open(self._path) as file:
            far, jobs = json.load(file)
            return int(far), [*map(str, jobs)]
        return -1, []

    def _write(self, far: int, jobs: list[str]) -> None:
        write_atomically(self._path, json.dumps([far, jobs]).encode())

    @property
    def _path(self) -> str:
        return f"{self.dispatch.path}/standstill.json"


def _moment(path: str) -> int:
    """Tell when a file, or what a folder holds, was changed last; -1 where it is gone."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return -1
