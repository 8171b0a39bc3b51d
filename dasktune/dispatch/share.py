"""Shares: what each job of an array trains, straight from the folder and without a scheduler.

What is to be trained is cut into units once, so that all jobs mean the same. A job takes those
of its own share, then what others have not begun. Claims only save time: a unit that two jobs
train comes out once, since each trial is committed whole or not at all.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import json
import os
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from dasktune import drain
from dasktune.arrival import awaited
from dasktune.commit import write_atomically
from dasktune.outcome import Outcome, TargetFailed
from dasktune.plan import Plan
from dasktune.runfolder import RunFolder
from dasktune.train import train
from dasktune.traingroup import GroupTask, part, train_group
from dasktune.traintask import TrainTask

Unit = TrainTask | GroupTask
"""What is trained in one go: a trial, or trials that share a step."""


@dataclass(frozen=True)
class Shares:
    """What an array of jobs trains.

    Attributes
    ----------
    data : Outcome
        The preprocessed data.
    units : tuple of Unit
        What is to be trained, in the plan's order.
    round : int
        The how manyth array this is, from 1.
    """

    data: Outcome
    units: tuple[Unit, ...]
    round: int

    def save(self, folder: str) -> None:
        """Write it for the jobs."""
        write_atomically(f"{folder}/shares.pickle", pickle.dumps(self))

    @classmethod
    def load(cls, folder: str) -> Shares:
        """Read it; the file is ours, of this very dispatch."""
        path = f"{folder}/shares.pickle"

        def read() -> Shares | None:
            try:
                with open(path, "rb") as file:
                    found: Shares = pickle.load(file)
            except FileNotFoundError:
                return None
            return found

        return awaited(read, path)

    def order(self, place: int, count: int) -> Iterator[Unit]:
        """Give the units as a job takes them: its own, then those of others, the last first.

        Parameters
        ----------
        place : int
            The job's place, from 1.
        count : int
            Jobs of the array.
        """
        own = (place - 1) % count
        yield from self.units[own::count]
        for step in range(1, count):
            yield from reversed(self.units[(own + step) % count :: count])


def units_of(plan: Plan, train: Mapping[str, TrainTask], groups: Sequence[GroupTask]) -> list[Unit]:
    """Cut what is to be trained into units."""
    group_of = {task.target: group for group in groups for task in group.tasks}
    units: list[Unit] = []
    told: set[int] = set()
    for target in plan.to_run():
        if target.spec is None:
            continue
        group = group_of.get(target.name)
        if group is None:
            units.append(train[target.name])
        elif id(group) not in told:
            told.add(id(group))
            units.append(group)
    return units


class Worker:
    """One job of an array.

    Parameters
    ----------
    shares : Shares
        What the array trains.
    folder : str
        The dispatch's folder.
    place, count : int
        Which job this is, from 1, and of how many.
    worker : str
        Its name, for the record.
    tell : callable
        Takes what became of each trial.
    """

    def __init__(
        self,
        shares: Shares,
        folder: str,
        place: int,
        count: int,
        worker: str,
        tell: Callable[[Outcome], None],
    ) -> None:
        self._shares = shares
        self._place = place
        self._count = count
        self._worker = worker
        self._tell = tell
        self._claims = f"{folder}/claims-{shares.round}"
        self._mine: set[str] = set()

    def train(self) -> None:
        """Train until nothing is left to begin, or this process is to leave."""
        os.makedirs(self._claims, exist_ok=True)
        for unit in self._shares.order(self._place, self._count):
            tasks = unit.tasks if isinstance(unit, GroupTask) else (unit,)
            run = RunFolder(os.path.join(tasks[0].root, "runs", tasks[0].run))
            if drain.requested() or run.stopping():
                return
            name = tasks[0].spec.id
            if not self._claim(name):
                continue
            ended = self._train(unit)
            for outcome in ended:
                if outcome.status in ("ok", "failed", "stopped"):
                    self._tell(outcome)
            if any(outcome.status in ("interrupted", "skipped") for outcome in ended):
                self._give_back(name)

    def _train(self, unit: Unit) -> list[Outcome]:
        data, worker = self._shares.data, self._worker
        if isinstance(unit, TrainTask):
            return [_outcome(lambda: train(unit, data, worker=worker))]
        parts = train_group(unit, data, worker=worker)
        return [
            _outcome(functools.partial(part, task, parts, data, worker=worker))
            for task in unit.tasks
        ]

    def _claim(self, name: str) -> bool:
        """Say that this job trains a unit, unless another one does."""
        path = f"{self._claims}/{name}"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            # A job that the queue started again finds its own claims.
            with contextlib.suppress(OSError), open(path) as file:
                return file.read() == str(self._place) and name not in self._mine
            return False
        with os.fdopen(descriptor, "w") as file:
            file.write(str(self._place))
        self._mine.add(name)
        return True

    def _give_back(self, name: str) -> None:
        """Let others train what this job leaves at a checkpoint."""
        with contextlib.suppress(OSError):
            os.unlink(f"{self._claims}/{name}")


def _outcome(make: Callable[[], Outcome]) -> Outcome:
    try:
        return make()
    except TargetFailed as failure:
        return failure.outcome


def note(folder: str, place: int, outcome: Outcome) -> None:
    """Note what became of a trial, in a file of this job's own."""
    os.makedirs(f"{folder}/shares", exist_ok=True)
    with open(f"{folder}/shares/{place}.jsonl", "a") as file:
        file.write(json.dumps(asdict(outcome)) + "\n")


def noted(folder: str) -> dict[str, Outcome]:
    """Read what became of the trials that an array has tried, by target."""
    found: dict[str, Outcome] = {}
    for path in sorted(glob.glob(f"{glob.escape(folder)}/shares/*.jsonl")):
        with open(path) as file:
            for line in file:
                with contextlib.suppress(ValueError, TypeError):
                    outcome = Outcome(**json.loads(line))
                    earlier = found.get(outcome.target)
                    if earlier is None or earlier.status != "ok":
                        found[outcome.target] = outcome
    return found
