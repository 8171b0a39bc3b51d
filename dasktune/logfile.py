"""Logs: where the words of a trial are, and following them while it runs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

LOOK_EVERY = 0.3
"""Seconds between two looks for more."""


def find_log(root: str, trial: str, live: str = "") -> str | None:
    """Find the newest log of a trial: running, finished or failed.

    Parameters
    ----------
    root : str
        The store's folder.
    trial : str
        The trial's id.
    live : str, optional
        The file that it writes to while it runs, if that is known: trials that are trained
        together share one.
    """
    if live and os.path.exists(live):
        return live
    found = []
    for kind in ("trained", "failed", "tmp"):
        folder = f"{root}/{kind}"
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            path = f"{folder}/{name}/log.txt"
            if name.startswith(f"{trial}-") and os.path.exists(path):
                found.append((os.stat(path).st_mtime, path))
    return max(found)[1] if found else None


def follow(
    find: Callable[[], str | None],
    running: Callable[[], bool],
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[str]:
    """Give a log's text as it comes, until its trial runs no longer.

    A log moves while it is read: from the folder of what is being made to its place. It is
    followed through the open file, and at the end read out from wherever it is then.

    Parameters
    ----------
    find : callable
        Finds the log; None while there is none.
    running : callable
        Says whether the trial still runs.
    sleep : callable
        Waits.
    """
    path = None
    while path is None:
        goes_on = running()
        path = find()
        if path is None:
            if not goes_on:
                return
            sleep(LOOK_EVERY)
    with open(path, encoding="utf-8", errors="replace", newline="") as file:
        while True:
            goes_on = running()
            text = file.read()
            if text:
                yield text
            elif not goes_on:
                return
            else:
                sleep(LOOK_EVERY)
