"""A submission: a plan's graph on its way through a cluster, whole or, if it is large, in parts.

A scheduler that gets 100,000 nodes at once stalls before the first one starts, and keeps them
all in its memory. So a large sweep is handed over in the plan's order, some nodes a worker
ahead, and topped up as they end. Very short trials then share a node.
"""

from __future__ import annotations

import contextlib
import os
import statistics
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from dasktune.failure.kind import kind_of
from dasktune.graph import Tasks, build
from dasktune.outcome import Outcome, TargetFailed
from dasktune.plan import Plan
from dasktune.runfolder import RunFolder

if TYPE_CHECKING:
    from distributed import Client, Future

    from dasktune.traingroup import GroupTask

WHOLE = 1000
"""Most trials that are submitted in one piece, with the barrier and the collation behind them."""

AHEAD = 3
"""Nodes in flight for each trial that the cluster trains at a time, in a large sweep."""

LEAST = 300
"""Least trials in flight, in a large sweep."""

NODE_SECONDS = 0.2
"""How long a node takes in which short trials are put together: Dask needs 1 ms for each node."""

OVERHEAD = 0.002
"""Seconds that a trial takes beside its training."""


Part: TypeAlias = tuple[list[str], int]
"""Targets, and how many of the trials among them share a node."""


class Submission:
    """A plan's graph on its way through a cluster.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    plan : Plan
        What is to be made.
    tasks : Tasks
        What its nodes need to know.
    run : RunFolder
        Says whether the run is to stop.
    jobs : int or None
        As many workers are used as train so many trials at a time; None for all.
    took : callable
        Takes the outcomes.
    slots : int or None
        Trials at a time once all workers are there; None if they are there already.

    Attributes
    ----------
    slots : int
        Trials that the chosen workers train at a time.
    """

    def __init__(
        self,
        client: Client,
        plan: Plan,
        tasks: Tasks,
        run: RunFolder,
        jobs: int | None,
        took: Callable[[Outcome], None],
        slots: int | None = None,
    ) -> None:
        self._client = client
        self._plan = plan
        self._tasks = tasks
        self._run = run
        self._took = took
        rooms = rooms_of(client, tasks)
        self._workers = None if slots else some_workers(rooms, jobs)
        chosen = rooms if self._workers is None else self._workers
        self.slots = slots or max(1, sum(rooms[address] for address in chosen))
        self._suffix = f"-{os.urandom(3).hex()}"
        self._known: dict[str, Outcome] = {}
        self._names: dict[str, list[str]] = {}  # of the targets of each node in flight
        self._futures: set[Future] = set()

    def follow(self, groups: Sequence[GroupTask] = ()) -> None:
        """Submit the graph, and take what becomes of its nodes until all have ended.

        Parameters
        ----------
        groups : sequence of GroupTask
            Trials that are trained together.
        """
        try:
            waiting = self._plan.waiting()
            if "preprocessed" in waiting:
                # First, and by itself: Dask would give all that needs it to the worker that has
                # it, and leave it to the others to steal their share one by one.
                self._wait([(["preprocessed"], 1)])
                if not self._good("preprocessed"):
                    return
            rest = [name for name in waiting if name != "preprocessed"]
            if len(self._plan.trials()) <= WHOLE:
                self._wait([(rest, 1)], groups)
            else:
                self._in_parts(rest, groups)
        finally:
            with contextlib.suppress(Exception):
                self._client.cancel(list(self._futures))

    def _in_parts(self, waiting: Sequence[str], groups: Sequence[GroupTask]) -> None:
        """Make the trials some at a time, and then what needs them."""
        trials = [name for name in waiting if self._plan.targets[name].spec is not None]
        self._wait(self._parts(trials, groups), groups)
        last = [name for name in waiting if name in ("trained", "collated")]
        ended = all(name in self._known for name in trials)
        good = all(self._good(name) for name in trials) or self._tasks.collate.ignore_errors
        if last and ended and good and not self._run.stopping():
            self._hand_over()
            self._wait([(last, 1)])

    def _hand_over(self) -> None:
        """Put what the collation needs to know into a file: it is too much for a message."""
        targets = self._plan.targets
        outcomes = [self._known.get(n) or targets[n].outcome for n in targets["trained"].needs]
        collate = self._tasks.collate
        path = self._run.hand_over((collate.specs, tuple(outcomes)))
        self._tasks = replace(self._tasks, collate=replace(collate, specs=(), handed=path))

    def _good(self, name: str) -> bool:
        return name in self._known and self._known[name].status == "ok"

    def _parts(self, trials: Sequence[str], groups: Sequence[GroupTask]) -> Iterator[Part]:
        """Cut the trials into parts, of as many as are to be in flight; groups stay whole."""
        member = {task.target: n for n, group in enumerate(groups) for task in group.tasks}
        together = [[task.target for task in group.tasks] for group in groups]
        part: list[str] = []
        told: set[int] = set()
        queue = deque(trials)
        while queue:
            share = self._together(len(queue))
            most = max(1, self._room() // 3) * share
            while queue and len(part) < most:
                name = queue.popleft()
                if name not in member:
                    part.append(name)
                elif member[name] not in told:
                    told.add(member[name])
                    part += together[member[name]]
            yield part, share
            part = []

    def _room(self) -> int:
        """Tell how many nodes are to be in flight at most."""
        return max(AHEAD * self.slots, LEAST // self._together(LEAST))

    def _together(self, left: int) -> int:
        """Tell how many trials are to share a node, from how long some have taken."""
        seconds = [o.seconds for o in list(self._known.values())[-100:] if o.made]
        trial = statistics.median(seconds) if seconds else self._plan.earlier_seconds
        if trial is None:
            return 1
        count = min(NODE_SECONDS / (trial + OVERHEAD), left / (AHEAD * self.slots))
        return max(1, int(count))

    def _wait(self, parts: Iterable[Part], groups: Sequence[GroupTask] = ()) -> None:
        """Submit parts, the next whenever there is room, until all their nodes have ended."""
        from distributed import as_completed

        coming = iter(parts)
        ended = as_completed(with_results=True, raise_errors=False, loop=self._client.loop)
        more = True
        while more or self._names:
            while more and len(self._names) <= self._room() * 2 // 3:
                part = None if self._run.stopping() else next(coming, None)
                if part is None:
                    more = False
                    break
                ended.update(self._submit(*part, groups))
            if not self._names:
                break
            for future, result in ended.next_batch():
                self._end(future, result)

    def _submit(
        self, names: Sequence[str], together: int, groups: Sequence[GroupTask]
    ) -> list[Future]:
        nodes = build(
            self._plan,
            self._tasks,
            groups=groups,
            suffix=self._suffix,
            only=names,
            known=self._known,
            together=together,
        )
        unique = {node.key: node for node in nodes.values()}
        for name, node in nodes.items():
            self._names.setdefault(node.key, []).append(name)
        futures: list[Future] = self._client.compute(
            list(unique.values()),
            optimize_graph=False,
            workers=self._workers,
            allow_other_workers=False,
        )
        self._futures.update(futures)
        return futures

    def _end(self, future: Future, result: Any) -> None:
        """Take what became of a node."""
        for outcome in outcomes_of(future, result, self._names.pop(future.key)):
            self._known[outcome.target] = outcome
            if outcome.status != "skipped":
                self._took(outcome)
        self._futures.discard(future)
        future.release()


def outcomes_of(future: Future, result: Any, names: Sequence[str]) -> list[Outcome]:
    """Tell what became of a node's targets, but for those of which another node tells it."""
    # By the result, not by the status: it may be lost again when the worker that held it leaves.
    if isinstance(result, Outcome):
        return [result]
    if isinstance(result, tuple) and all(isinstance(each, Outcome) for each in result):
        return list(result) if names != ["trained"] else []
    if future.status == "cancelled":
        return []
    error = result[1]
    if isinstance(error, TargetFailed):
        return [error.outcome] if error.outcome.target in names else []
    if names == ["trained"]:
        return []
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    kind = kind_of(error)
    return [Outcome(name, "", status="failed", error=text, failure=kind) for name in names]


def some_workers(rooms: dict[str, int], jobs: int | None) -> list[str] | None:
    """Choose as many workers of a running cluster as ``-j`` allows trials at a time."""
    if jobs is None:
        return None
    chosen: list[str] = []
    slots = 0
    for address, room in rooms.items():
        if room and slots + room <= max(jobs, room if not chosen else 0):
            chosen.append(address)
            slots += room
    return chosen or None


def rooms_of(client: Client, tasks: Tasks) -> dict[str, int]:
    """Count the trials that each worker trains at a time."""
    rooms = {}
    for address, worker in client.scheduler_info(n_workers=-1)["workers"].items():
        offered = worker.get("resources", {})
        fits = [offered.get(name, 0) // amount for name, amount in tasks.resources.items()]
        rooms[address] = int(min([worker["nthreads"], *fits]))
    return rooms
