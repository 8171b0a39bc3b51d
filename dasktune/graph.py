"""The graph: out-of-date targets as `dask.delayed` nodes, in the shape of the Makefile's DAG.

Building never computes. The nodes are thin: each calls the plain function of its stage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import dask
from dask.delayed import Delayed, delayed

from dasktune import drain
from dasktune.collate import CollateTask, collate
from dasktune.job import TrainTask
from dasktune.outcome import Alone, Outcome
from dasktune.plan import Plan, State
from dasktune.preprocess import PreprocessTask, preprocess
from dasktune.runfolder import RunFolder
from dasktune.store import Store
from dasktune.train import train
from dasktune.traingroup import GroupTask, part, train_group

T = TypeVar("T")

TOPIC = "dasktune"
"""The topic under which workers log their small events."""


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
    plan: Plan, tasks: Tasks, *, groups: Sequence[GroupTask] = (), suffix: str = ""
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

    Returns
    -------
    dict of str to Delayed
        A node for each target of the plan that is not done, by the target's name. Train nodes
        are annotated with their resources; a node's priority follows the plan's order. Compute
        them with ``optimize_graph=False``, which keeps the annotations.
    """
    nodes: dict[str, Delayed] = {}
    members = {task.target: number for number, group in enumerate(groups) for task in group.tasks}
    made: dict[int, Delayed] = {}  # the nodes of the groups

    def need(name: str) -> Any:
        return nodes[name] if name in nodes else plan.targets[name].outcome

    for index, target in enumerate(plan.targets.values()):
        if target.state is State.DONE or target.name == "all":
            continue
        key = _key(target.name) + suffix
        if target.name in members:
            number = members[target.name]
            if number not in made:
                group = groups[number]
                with dask.annotate(resources=tasks.resources, priority=-index):
                    made[number] = delayed(group_node, pure=False)(
                        group, need("preprocessed"), dask_key_name=f"fused-{number}{suffix}"
                    )
            with dask.annotate(resources=tasks.resources, priority=-index):
                task = tasks.train[target.name]
                nodes[target.name] = delayed(part_node, pure=False)(
                    task, made[number], need("preprocessed"), dask_key_name=key
                )
            continue
        if target.spec is not None:
            with dask.annotate(resources=tasks.resources, priority=-index):
                task = tasks.train[target.name]
                nodes[target.name] = delayed(train_node, pure=False)(
                    task, need("preprocessed"), dask_key_name=key
                )
            continue
        with dask.annotate(priority=-index):
            if target.name == "preprocessed":
                node = delayed(preprocess_node, pure=False)(tasks.preprocess, dask_key_name=key)
            elif target.name == "trained":
                done = {
                    name: plan.targets[name].outcome for name in target.needs if name not in nodes
                }
                running = [nodes[name] for name in target.needs if name in nodes]
                node = delayed(trained_node, pure=False, traverse=False)(
                    _Known(tuple(target.needs), done), *running, dask_key_name=key
                )
            else:
                trained = need("trained")
                if trained is None:
                    trained = tuple(
                        plan.targets[name].outcome for name in plan.targets["trained"].needs
                    )
                node = delayed(collate_node, pure=False, traverse=False)(
                    tasks.collate, trained, dask_key_name=key
                )
            nodes[target.name] = node
    return nodes


@dataclass(frozen=True)
class _Known:
    """The order of the trials, and what became of those that are done."""

    order: tuple[str, ...]
    done: Mapping[str, Outcome | None]


def _key(name: str) -> str:
    """Name a node so that the dashboard groups it by its stage."""
    return {"preprocessed": "preprocess", "collated": "collate"}.get(
        name, name.replace("trained/", "train-", 1)
    )


def preprocess_node(task: PreprocessTask) -> Outcome:
    """Preprocess, on a worker."""
    return preprocess(task, worker=_worker_name(), emit=_emit)


def train_node(task: TrainTask, data: Outcome) -> Outcome:
    """Train one trial, on a worker that offers the resources."""
    _stay(task)
    outcome = train(task, data, worker=_worker_name(), emit=_emit)
    return _unless_left(task, outcome, outcome)


def group_node(group: GroupTask, data: Outcome) -> tuple[Outcome | Alone, ...]:
    """Train the trials of a group, on a worker that offers the resources."""
    _stay(group.tasks[0])
    outcomes = train_group(group, data, worker=_worker_name(), emit=_emit)
    return _unless_left(group.tasks[0], outcomes, *outcomes)


def part_node(task: TrainTask, parts: tuple[Outcome | Alone, ...], data: Outcome) -> Outcome:
    """Take what became of one trial of a group, or train it if it was left to do so."""
    _stay(task)
    outcome = part(task, parts, data, worker=_worker_name(), emit=_emit)
    return _unless_left(task, outcome, outcome)


def _stay(task: TrainTask) -> None:
    """Give a task back before it begins, if this worker is to leave."""
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


def trained_node(known: _Known, *made: Outcome) -> tuple[Outcome, ...]:
    """Wait for all trials and give what became of them, in the order of the design."""
    outcomes = {**known.done, **{outcome.target: outcome for outcome in made}}
    return tuple(outcome for name in known.order if (outcome := outcomes[name]) is not None)


def collate_node(task: CollateTask, outcomes: tuple[Outcome, ...]) -> Outcome:
    """Collate, on a worker."""
    return collate(task, outcomes, worker=_worker_name(), emit=_emit)


def _worker_name() -> str:
    from distributed import get_worker

    try:
        return str(get_worker().name)
    except ValueError:
        return "threads"


def _emit(event: dict[str, Any]) -> None:
    from distributed import get_worker

    try:
        get_worker().log_event(TOPIC, event)
    except Exception:
        return  # events are for watching; training never waits or fails for them
