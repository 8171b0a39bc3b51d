"""The run's folder: how the driver, its workers and those who watch tell each other things.

Files are all they share for certain, on one machine and on a cluster.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import pickle
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run.

    Attributes
    ----------
    path : str
        ``runs/<run>`` of the store.
    """

    path: str

    def create(self) -> None:
        """Create the folder."""
        os.makedirs(f"{self.path}/attempts", exist_ok=True)

    @property
    def stop_flag(self) -> str:
        """The file that says: start nothing new."""
        return f"{self.path}/stop"

    @property
    def interrupt_flag(self) -> str:
        """The file that says: start nothing new, and leave what runs at its next checkpoint."""
        return f"{self.path}/interrupt"

    def stop(self, why: str) -> None:
        """Ask that nothing new is started."""
        _write(self.stop_flag, why)

    def interrupt(self, why: str) -> None:
        """Ask that nothing new is started and that what runs is left at its checkpoint."""
        _write(self.interrupt_flag, why)

    def end_flag(self, trial: str) -> str:
        """Name the file that asks one trial to end at its next epoch."""
        return f"{self.path}/ends/{trial}"

    def end(self, trial: str) -> None:
        """Ask one trial to end at its next epoch."""
        os.makedirs(f"{self.path}/ends", exist_ok=True)
        _write(self.end_flag(trial), "")

    def stopping(self) -> bool:
        """Say whether nothing new is to be started."""
        return os.path.exists(self.stop_flag) or os.path.exists(self.interrupt_flag)

    def first_time(self, name: str) -> bool:
        """Say whether this run asks so for the first time, of all its processes and attempts."""
        os.makedirs(f"{self.path}/afresh", exist_ok=True)
        try:
            os.close(os.open(f"{self.path}/afresh/{name}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True

    def hand_over(self, thing: Any) -> str:
        """Put what is too large for a message into a file, and give its name."""
        name = f"handed-{os.urandom(4).hex()}"
        with open(f"{self.path}/{name}", "wb") as file:
            pickle.dump(thing, file)
        return name

    def take_over(self, name: str) -> Any:
        """Give what was handed over under a name, in the same run; None where it is not seen."""
        try:
            with open(f"{self.path}/{name}", "rb") as file:
                return pickle.load(file)
        except FileNotFoundError:
            return None

    def records(self) -> list[str]:
        """List the records of the attempts that go on, by target and number."""
        return _names(f"{self.path}/attempts")

    def past_records(self) -> list[str]:
        """List the records of the attempts that others came after, by target and number."""
        return [name for name in _names(f"{self.path}/past") if not name.endswith(".log")]

    def note_job(self, number: str) -> None:
        """Note a job that a queue has of this run."""
        with contextlib.suppress(OSError), open(f"{self.path}/queued", "a") as file:
            file.write(f"{number}\n")

    def queued(self) -> list[str]:
        """List the jobs that a queue had, or has, of this run."""
        with contextlib.suppress(OSError), open(f"{self.path}/queued") as file:
            return file.read().split()
        return []

    def running(self) -> list[str]:
        """List the targets that are being attempted."""
        return sorted({name.rpartition(".")[0] for name in self.records()})

    def running_trials(self) -> list[str]:
        """List the trials that are being attempted, without their keys."""
        return [name.rpartition("-")[0] for name in self.running()]

    def note_death(self, name: str, about: dict[str, Any]) -> None:
        """Note how a process, or a job of a queue, ended."""
        os.makedirs(f"{self.path}/deaths", exist_ok=True)
        scratch = f"{self.path}/deaths.{uuid.uuid4().hex[:8]}.tmp"
        with open(scratch, "w") as file:
            file.write(json.dumps(about))
        os.replace(scratch, f"{self.path}/deaths/{name}")

    def deaths(self) -> list[str]:
        """List what was noted of ends."""
        return _names(f"{self.path}/deaths")

    def last_log(self, name: str) -> str:
        """Name the file that keeps what an attempt printed that could not end by itself."""
        return f"{self.path}/past/{name}.log"

    def new_hang(self) -> str:
        """Name a file that takes the stacks if a training hangs."""
        return f"{self.path}/hangs/{uuid.uuid4().hex}"

    def hangs(self) -> Iterator[dict[str, Any]]:
        """Give what is known of the attempts that hung: lines of JSON, and then the stacks."""
        for name in _names(f"{self.path}/hangs"):
            try:
                with open(f"{self.path}/hangs/{name}", errors="replace") as file:
                    lines = file.readlines()
                head: dict[str, Any] = {}
                while lines and lines[0].startswith("{"):
                    head |= json.loads(lines.pop(0))
            except (OSError, ValueError):
                continue
            if head and lines:
                yield {**head, "stacks": "".join(lines)}

    def tell(self, live: dict[str, Any]) -> None:
        """Put how the run stands into one small file, for those who watch from elsewhere."""
        self._put("live", live)

    def told(self) -> dict[str, Any] | None:
        """Read how the run stands; None where nothing is told, or what is told is damaged."""
        return self._get("live")

    def silent_for(self) -> float:
        """Give the seconds since its driver told how the run stands; infinite if it never did."""
        try:
            return time.time() - os.stat(f"{self.path}/live.json").st_mtime
        except OSError:
            return math.inf

    def tell_curves(self, curves: dict[str, Any]) -> None:
        """Put the curves of the trials in training, as far as they are known, into a file."""
        self._put("curves", curves)

    def told_curves(self) -> dict[str, Any]:
        """Read the curves of the trials in training; nothing where nothing is told."""
        return self._get("curves") or {}

    def _put(self, name: str, tree: dict[str, Any]) -> None:
        scratch = f"{self.path}/{name}.{uuid.uuid4().hex[:8]}.tmp"
        with contextlib.suppress(OSError):
            with open(scratch, "w") as file:
                file.write(json.dumps(tree))  # in C, unlike json.dump
            os.replace(scratch, f"{self.path}/{name}.json")

    def _get(self, name: str) -> dict[str, Any] | None:
        try:
            with open(f"{self.path}/{name}.json") as file:
                tree = json.load(file)
        except (OSError, ValueError):
            return None
        return tree if isinstance(tree, dict) else None

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)


def run_folders(root: str) -> list[RunFolder]:
    """List the runs that a store holds, oldest first; a run that is over holds none."""
    try:
        names = sorted(os.listdir(f"{root}/runs"))
    except OSError:
        return []
    return [RunFolder(f"{root}/runs/{name}") for name in names]


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _write(path: str, text: str) -> None:
    with contextlib.suppress(OSError), open(path, "w") as file:
        file.write(text)
