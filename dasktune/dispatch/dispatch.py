"""A dispatch: a sweep that was sent to a queue, so that who sent it may log out.

Its folder is all that the driver's job and those who sent it share.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from dasktune.commit import write_atomically

Role = Literal["driver", "prepare", "train", "finish"]
"""What a job of a dispatch does; the last three are those of an array."""

NOTED_SECONDS = 20.0
"""In which a job that runs is noted, and the shared folder shows it."""

KEPT = 10
"""Dispatches that are over and whose folders stay."""


@dataclass(frozen=True)
class Order:
    """What was sent: enough for a driver to begin, or to go on where another left off.

    Attributes
    ----------
    cluster : str
        The queue, as it was named.
    settings : dict of str to str
        Its settings from the command line.
    words : tuple of str
        The words of ``make``, without those settings.
    inside : str
        The ``--cluster`` of the driver's own ``make``.
    folder : str
        Where the words were typed.
    sources : str
        Digest of the sources as they were then.
    pipeline : str
        The pipeline's name.
    resources : dict of str to float
        What a trial needs.
    threads : int
        Threads of a trial.
    count : int
        Trials at a time in one job of all, or jobs of an array.
    kind : {"driver", "whole", "array"}
        Whether a driver starts workers as jobs of their own, or has all of them in its own job,
        or each job of an array trains its share.
    """

    cluster: str
    settings: Mapping[str, str]
    words: tuple[str, ...]
    inside: str
    folder: str
    sources: str
    pipeline: str = ""
    resources: Mapping[str, float] = field(default_factory=dict)
    threads: int = 1
    count: int = 1
    kind: Literal["driver", "whole", "array"] = "driver"


@dataclass(frozen=True)
class Job:
    """A job of a dispatch.

    Attributes
    ----------
    number : str
        What the queue calls it.
    role : Role
        What it does.
    """

    number: str
    role: Role = "driver"


@dataclass(frozen=True)
class End:
    """How a dispatch ended.

    Attributes
    ----------
    code : int
        The exit code of its ``make``.
    why : str
        A few words, where it was not by itself.
    when : float
        In seconds since 1970.
    """

    code: int
    why: str = ""
    when: float = field(default_factory=time.time)


@dataclass(frozen=True)
class Dispatch:
    """The folder of one dispatch.

    Attributes
    ----------
    path : str
        ``dispatched/<name>`` of the store.
    """

    path: str

    @classmethod
    def create(cls, root: str, order: Order) -> Dispatch:
        """Begin a dispatch in a store, and forget those that are long over."""
        over = [found for found in dispatches(root) if found.ended() is not None]
        for old in over[: -KEPT + 1]:
            shutil.rmtree(old.path, ignore_errors=True)
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:4]}"
        made = cls(f"{root}/dispatched/{name}")
        os.makedirs(made.path)
        os.chmod(made.path, 0o700)  # a user's settings may hold secrets
        made._write("order.json", asdict(order))
        return made

    @property
    def name(self) -> str:
        """Its name."""
        return os.path.basename(self.path)

    @property
    def log(self) -> str:
        """The file that takes what its driver prints."""
        return f"{self.path}/log.txt"

    def order(self) -> Order:
        """Read what was sent."""
        tree = self._read("order.json")
        assert tree is not None
        return Order(**{**tree, "words": tuple(tree["words"])})

    def add(self, job: Job) -> None:
        """Note a job."""
        with open(f"{self.path}/jobs.jsonl", "a") as file:
            file.write(json.dumps(asdict(job)) + "\n")

    def jobs(self) -> list[Job]:
        """List its jobs, the oldest first; most are over."""
        try:
            with open(f"{self.path}/jobs.jsonl") as file:
                return [Job(**json.loads(line)) for line in file if line.endswith("\n")]
        except OSError:
            return []

    def knows(self, number: str) -> bool:
        """Say whether a job is one of its own; that may be noted a little after it began.

        One that the queue took late, when who sent it had given it up, is not.
        """
        deadline = time.monotonic() + NOTED_SECONDS
        while True:
            numbers = [job.number for job in self.jobs()]
            if not number or not numbers or number in numbers:
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(0.5)

    def begin(self, about: Mapping[str, Any]) -> None:
        """Tell where its driver runs now."""
        self._write("driver.json", {**about, "since": time.time()})

    def driver(self) -> dict[str, Any] | None:
        """Tell where its driver runs, or ran last."""
        return self._read("driver.json")

    def leave(self) -> None:
        """Tell that the driver left, and another job is to go on."""
        with contextlib.suppress(OSError):
            os.unlink(f"{self.path}/driver.json")

    def end(self, code: int, why: str = "") -> None:
        """Tell that it is over; the first word stands."""
        if self.ended() is None:
            self._write("ended.json", asdict(End(code, why)))

    def ended(self) -> End | None:
        """Tell how it ended; None if it did not."""
        tree = self._read("ended.json")
        return None if tree is None else End(**tree)

    def cancel(self) -> None:
        """Ask its driver to leave what trains at a checkpoint, and to end."""
        with open(f"{self.path}/cancel", "w"):
            pass

    def cancelled(self) -> bool:
        """Say whether it is to end."""
        return os.path.exists(f"{self.path}/cancel")

    def _write(self, name: str, tree: Mapping[str, Any]) -> None:
        write_atomically(f"{self.path}/{name}", json.dumps(tree, indent=1).encode())

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            with open(f"{self.path}/{name}") as file:
                tree = json.load(file)
        except (OSError, ValueError):
            return None
        return tree if isinstance(tree, dict) else None


def dispatches(root: str) -> list[Dispatch]:
    """List the dispatches of a store, the oldest first."""
    try:
        names = sorted(os.listdir(f"{root}/dispatched"))
    except OSError:
        return []
    found = [Dispatch(f"{root}/dispatched/{name}") for name in names]
    return [one for one in found if os.path.exists(f"{one.path}/order.json")]  # made as a whole


def newest(found: Sequence[Dispatch]) -> Dispatch | None:
    """Give the one that goes on, else the one that ended last."""
    going = [dispatch for dispatch in found if dispatch.ended() is None]
    return (going or list(found) or [None])[-1]  # type: ignore[list-item]
