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
        """Note that a driver begins, and give why it should not; nothing if it should."""
        far = self._far()
        before, jobs = self._read()
        jobs = jobs if before == far else []
        if job not in jobs:  # or the queue started it again
            jobs = [*jobs, job]
        self._write(far, jobs)
        if len(jobs) <= MOST:
            return ""
        return (
            f"{MOST} jobs one after another ended before any trial had come to a checkpoint or to "
            "its end; give them a longer walltime, or trials checkpoints"
        )

    def excuse(self, job: str) -> None:
        """Forget a driver that the queue drives out: that says nothing about its trials."""
        far, jobs = self._read()
        self._write(far, [other for other in jobs if other != job])

    def _far(self) -> int:
        """Tell how far the store is: targets that were made or failed, and epochs on the way."""
        store = Store(os.path.dirname(os.path.dirname(self.dispatch.path)))
        far = 10**9 * sum(
            len(keys)
            for kind in ("preprocessed", "trained", "failed")
            for keys in store.listing(kind).values()
        )
        for trial, lines in store.listing("checkpoints").items():
            for line in lines:
                saved = saved_epochs(store.checkpoints(trial, line))
                far += saved[0].epoch if saved else 0
        return far

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
