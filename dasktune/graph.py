"""The graph: out-of-date targets as `dask.delayed` nodes, in the shape of the Makefile's DAG.

Building never computes. The nodes are thin: each calls the plain function of its stage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import dask
from dask.delayed import Delayed, delayed

from dasktune import drain
from dasktune.collate import CollateTask, collate
from dasktune.commit import shared_sync
from dasktune.events import mailbox
from dasktune.failure import pace
from dasktune.outcome import Alone, Outcome, TargetFailed
from dasktune.plan import Plan
from dasktune.preprocess import PreprocessTask, preprocess
from dasktune.runfolder import RunFolder
from dasktune.store import Store
from dasktune.train import train
from dasktune.traingroup import GroupTask, part, train_group
from dasktune.traintask import TrainTask

T = TypeVar("T")


@dataclass(frozen=True)
class Tasks:
    """What the nodes need to know, by target.

    Attributes
    ----------
    preprocess : PreprocessTask
        For ``preprocessed``.
    train : dict of str to TrainTask
        For each ``trained/<trial>``.
    collate : CollateTask
        For ``collated``.
    resources : dict of str to float
        What a worker must offer to train one trial.
    """

    preprocess: PreprocessTask
    train: dict[str, TrainTask]
    collate: CollateTask
    resources: dict[str, float]


def build(
    plan: Plan,
    tasks: Tasks,
    *,
    groups: Sequence[GroupTask] = (),
    suffix: str = "",
    only: Sequence[str] | None = None,
    known: Mapping[str, Outcome] | None = None,
    together: int = 1,
    priority: int = 0,
) -> dict[str, Delayed]:
    """Write the targets that are not done as delayed nodes.

    Parameters
    ----------
    plan : Plan
        The targets.
    tasks : Tasks
        What their nodes need to know.
    groups : sequence of GroupTask
        Trials that are trained together. A group is one node that has the resources, and each
        of its trials a node that takes its part of what came out, or is trained alone.
    suffix : str
        Appended to the nodes' keys, so that two runs on one scheduler are two things.
    only : sequence of str, optional
        Targets that are not done, of the plan and in its order; all of them if not given.
    known : mapping of str to Outcome, optional
        What became of targets that an earlier part of this run has made.
    together : int
        Trials of `only` that share a node, one after the other; for very short ones.
    priority : int
        Of the first node; that of others is less.

    Returns
    -------
    dict of str to Delayed
        A node for each target of the plan that is not done, by the target's name. Train nodes
        are annotated with their resources; a node's priority follows the plan's order. Compute
        them with ``optimize_graph=False``, which keeps the annotations.
    """
    writer = _Writer(plan, tasks, groups, suffix, known or {}, priority)
    names = plan.waiting() if only is None else only
    single: list[str] = []
    for name in names:
        if together > 1 and plan.targets[name].spec is not None and name not in writer.members:
            single.append(name)
            if len(single) == together:
                writer.batch(single)
                single = []
        else:
            writer.node(name)
    if single:
        writer.batch(single)
    return writer.nodes


class _Writer:
    """The nodes of a plan in the making."""

    def __init__(
        self,
        plan: Plan,
        tasks: Tasks,
        groups: Sequence[GroupTask],
        suffix: str,
        known: Mapping[str, Outcome],
        priority: int,
    ) -> None:
        self.plan = plan
        self.priority = priority
        self.tasks = tasks
        self.groups = groups
        self.suffix = suffix
        self.known = known
        self.nodes: dict[str, Delayed] = {}
        self.members = {t.target: n for n, group in enumerate(groups) for t in group.tasks}
        self._fused: dict[int, Delayed] = {}  # the nodes of the groups
        self._delayed: dict[Callable[..., Any], Any] = {}

    def _lazy(self, function: Callable[..., Any]) -> Any:
        """Give a delayed function; making one takes a name from the system's random numbers."""
        if function not in self._delayed:
            self._delayed[function] = delayed(function, pure=False)
        return self._delayed[function]

    def node(self, name: str) -> None:
        """Write the node of a target."""
        key = _key(name) + self.suffix
        with dask.annotate(**self._annotations(name)):
            if name == "preprocessed":
                node = self._lazy(preprocess_node)(self.tasks.preprocess, dask_key_name=key)
            elif name in self.members:
                node = self._lazy(part_node)(
                    self.tasks.train[name],
                    self._group(self.members[name]),
                    self._need("preprocessed"),
                    dask_key_name=key,
                )
            elif self.plan.targets[name].spec is not None:
                node = self._lazy(train_node)(
                    self.tasks.train[name], self._need("preprocessed"), dask_key_name=key
                )
            elif name == "trained":
                node = self._trained(key)
            else:
                node = delayed(collate_node, pure=False, traverse=False)(
                    self.tasks.collate, self._all_trained(), dask_key_name=key
                )
        self.nodes[name] = node

    def batch(self, names: Sequence[str]) -> None:
        """Write one node for several short trials."""
        if len(names) == 1:
            self.node(names[0])
            return
        key = f"{_key(names[0])}-and-{len(names) - 1}-more{self.suffix}"
        with dask.annotate(**self._annotations(names[0])):
            node = delayed(batch_node, pure=False, traverse=False)(
                Batch([self.tasks.train[name] for name in names]),
                self._need("preprocessed"),
                dask_key_name=key,
            )
        self.nodes.update(dict.fromkeys(names, node))

    def _annotations(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = {"priority": self.priority - self.plan.position(name)}
        if self.plan.targets[name].spec is not None:
            found["resources"] = self.tasks.resources
        return found

    def _need(self, name: str) -> Any:
        if name in self.nodes:
            return self.nodes[name]
        return self.known.get(name) or self.plan.targets[name].outcome

    def _group(self, number: int) -> Delayed:
        if number not in self._fused:
            group = self.groups[number]
            self._fused[number] = self._lazy(group_node)(
                group,
                self._need("preprocessed"),
                dask_key_name=f"fused-{number}{self.suffix}",
            )
        return self._fused[number]

    def _trained(self, key: str) -> Delayed:
        needs = () if self.tasks.collate.handed else self.plan.targets["trained"].needs
        running = [self.nodes[name] for name in needs if name in self.nodes]
        done = {name: self._need(name) for name in needs if name not in self.nodes}
        return delayed(trained_node, pure=False, traverse=False)(
            _Known(tuple(needs), done), *running, dask_key_name=key
        )

    def _all_trained(self) -> Any:
        if "trained" in self.nodes:
            return self.nodes["trained"]
        if self.tasks.collate.handed:
            return ()
        return tuple(self._need(name) for name in self.plan.targets["trained"].needs)


@dataclass(frozen=True)
class _Known:
    """The order of the trials, and what became of those that are done."""

    order: tuple[str, ...]
    done: Mapping[str, Outcome | None]


class Batch:
    """Short trials that share a node; not a dataclass, which Dask would search for nodes."""

    def __init__(self, tasks: Sequence[TrainTask]) -> None:
        self.tasks = tuple(tasks)


def _key(name: str) -> str:
    """Name a node so that the dashboard groups it by its stage."""
    return {"preprocessed": "preprocess", "collated": "collate"}.get(
        name, name.replace("trained/", "train-", 1)
    )


def preprocess_node(task: PreprocessTask) -> Outcome:
    """Preprocess, on a worker."""
    return preprocess(task, worker=_worker_name(), emit=mailbox(task.run))


def train_node(task: TrainTask, data: Outcome) -> Outcome:
    """Train one trial, on a worker that offers the resources."""
    _stay(task)
    outcome = train(task, data, worker=_worker_name(), emit=mailbox(task.run))
    return _unless_left(task, outcome, outcome)


def group_node(group: GroupTask, data: Outcome) -> tuple[Outcome | Alone, ...]:
    """Train the trials of a group, on a worker that offers the resources."""
    _stay(group.tasks[0])
    outcomes = train_group(group, data, worker=_worker_name(), emit=mailbox(group.tasks[0].run))
    return _unless_left(group.tasks[0], outcomes, *outcomes)


def part_node(task: TrainTask, parts: tuple[Outcome | Alone, ...], data: Outcome) -> Outcome:
    """Take what became of one trial of a group, or train it if it was left to do so."""
    _stay(task)
    outcome = part(task, parts, data, worker=_worker_name(), emit=mailbox(task.run))
    return _unless_left(task, outcome, outcome)


def _stay(task: TrainTask) -> None:
    """Give a task back before it begins, if this worker is to leave, or may as well do so."""
    if drain.too_late_for(pace.needed()):
        drain.request(drain.TOO_SHORT)
    if drain.requested():
        _go_elsewhere(task)


def _unless_left(task: TrainTask, result: T, *outcomes: Outcome | Alone) -> T:
    """Pass a result on, unless a trial in it was left because this worker is to leave."""
    if drain.requested() and any(
        isinstance(outcome, Outcome) and outcome.status in ("interrupted", "skipped")
        for outcome in outcomes
    ):
        _go_elsewhere(task)
    return result


def _go_elsewhere(task: TrainTask) -> None:
    from distributed import Reschedule

    if not RunFolder(Store(task.root).run(task.run)).stopping():
        raise Reschedule


def batch_node(batch: Batch, data: Outcome) -> tuple[Outcome, ...]:
    """Train short trials one after the other; what fails is told, and fails no other."""
    with shared_sync(Store(batch.tasks[0].root)):
        return tuple(_told(task, data) for task in batch.tasks)


def _told(task: TrainTask, data: Outcome) -> Outcome:
    try:
        return train_node(task, data)
    except TargetFailed as failure:
        return failure.outcome


def trained_node(known: _Known, *made: Outcome) -> tuple[Outcome, ...]:
    """Wait for all trials and give what became of them, in the order of the design."""
    outcomes = {**known.done, **{outcome.target: outcome for outcome in made}}
    return tuple(outcome for name in known.order if (outcome := outcomes[name]) is not None)


def collate_node(task: CollateTask, outcomes: tuple[Outcome, ...]) -> Outcome:
    """Collate, on a worker."""
    return collate(task, outcomes, worker=_worker_name(), emit=mailbox(task.run))


def _worker_name() -> str:
    from distributed import get_worker

    try:
        return str(get_worker().name)
    except ValueError:
        return "threads"
