"""The record of a failure: what is kept of a trial that came to no result."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import traceback
from typing import Any

from dasktune.commit import write_atomically
from dasktune.errors import DasktuneError
from dasktune.outcome import Outcome
from dasktune.store import Store

STOPPED = "Stopped"
"""The type of a record that is of no failure: the trial was stopped by request."""


class FailedRecord:
    """The folder ``failed/<trial>-<key>/``; what cannot be written there is gone without.

    Parameters
    ----------
    store : Store
        The store.
    trial, key : str
        The trial.
    """

    def __init__(self, store: Store, trial: str, key: str) -> None:
        self._folder = store.failed(trial, key)

    def write(self, outcome: Outcome, **about: Any) -> None:
        """Write ``error.json``: what became of the trial, and what else is known."""
        tree = {
            **about,
            "target": outcome.target,
            "error": outcome.error,
            "failure": outcome.failure,
            "cause": outcome.cause,
            "seconds": outcome.seconds,
            "when": time.time(),
        }
        with contextlib.suppress(OSError):
            os.makedirs(self._folder, exist_ok=True)
            write_atomically(f"{self._folder}/error.json", json.dumps(tree).encode())

    def keep_log(self, log: str) -> None:
        """Keep a log."""
        with contextlib.suppress(OSError):
            os.makedirs(self._folder, exist_ok=True)
            shutil.copyfile(log, f"{self._folder}/log.txt")

    def add_to_log(self, text: str) -> None:
        """Write what nobody could print, such as where a process hung, behind the log."""
        with contextlib.suppress(OSError):
            os.makedirs(self._folder, exist_ok=True)
            with open(f"{self._folder}/log.txt", "a", encoding="utf-8") as file:
                file.write(text)

    def remove(self) -> None:
        """Remove it: there is a result now."""
        shutil.rmtree(self._folder, ignore_errors=True)


def one_line(error: BaseException) -> str:
    """Write an exception in one line, with the place that it comes from."""
    text = " ".join(str(error).split())
    if len(text) > 500:
        text = text[:500] + "…"
    if isinstance(error, DasktuneError):
        return text
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {text}{where}" if text else f"{type(error).__name__}{where}"


def without_own_frames(error: BaseException) -> Any:
    """Drop the frame of dasktune from a traceback: the user's code comes first."""
    frame = error.__traceback__
    return frame.tb_next if frame is not None and frame.tb_next is not None else frame
