"""Trainings in flight: what a search has asked for, on a cluster or in this process."""

from __future__ import annotations

import contextlib
import os
import statistics
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from dasktune.graph import Tasks, build
from dasktune.outcome import Outcome
from dasktune.plan import Plan
from dasktune.run import Options, groups_of, run_here
from dasktune.runfolder import RunFolder
from dasktune.sweep import Sweep
from dasktune.watch import Observer

if TYPE_CHECKING:
    from distributed import Future

    from dasktune.cluster import Connection

SHORT = 1.0
"""Seconds of a training below which the next one is to wait on its worker already: the way from
its end over the driver to the next one takes some hundredths of a second."""
_LAST = 20  # trainings by which that is judged
_MOST = 1_000_000  # more than a bracket has trials

Took = Callable[[Outcome], None]


@dataclass(frozen=True)
class Batch:
    """Trials that are trained up to one budget.

    Attributes
    ----------
    sweep : Sweep
        At the budget.
    plan : Plan
        The trials as targets, and the preprocessed data.
    tasks : Tasks
        What their nodes need to know.
    budget : int
        The budget.
    bracket : int
        The bracket that they are of; earlier ones go first, as in a search by one worker.
    """

    sweep: Sweep
    plan: Plan
    tasks: Tasks
    budget: int
    bracket: int

    @property
    def names(self) -> list[str]:
        """The targets that are to be made."""
        return [target.name for target in self.plan.to_run()]


class Hand(Protocol):
    """What trains for a search.

    Attributes
    ----------
    slots : int
        Trials that it trains at a time.
    """

    slots: int

    @property
    def ahead(self) -> int:
        """Trials to be handed to it beside those that it trains."""

    def make(self, plan: Plan, tasks: Tasks, took: Took) -> None:
        """Make a plan as a whole."""

    def start(self, batch: Batch) -> None:
        """Start to train a batch."""

    def ended(self) -> Iterator[tuple[int, Outcome]]:
        """Wait until something has ended: give budgets and what became of a trial at them."""


class Here:
    """Trains in this process, one batch after the other."""

    ahead = 0

    def __init__(self, sweep: Sweep, options: Options, observe: Observer) -> None:
        self.slots = 1
        self._sweep = sweep
        self._options = options
        self._observe = observe
        self._batches: list[Batch] = []

    def make(self, plan: Plan, tasks: Tasks, took: Took) -> None:
        """Make a plan as a whole."""
        run_here(self._sweep, plan, tasks, self._options, took, self._observe)

    def start(self, batch: Batch) -> None:
        """Put a batch into the queue."""
        self._batches.append(batch)

    def ended(self) -> Iterator[tuple[int, Outcome]]:
        """Train the first batch of the first bracket."""
        batch = min(self._batches, key=lambda batch: batch.bracket)
        self._batches.remove(batch)
        ended: dict[str, Outcome] = {}

        def took(outcome: Outcome) -> None:
            ended[outcome.target] = outcome

        run_here(batch.sweep, batch.plan, batch.tasks, self._options, took, self._observe)
        for name in batch.names:
            yield batch.budget, ended.get(name, Outcome(name, "", status="skipped", made=False))


class Flight:
    """Trains on a cluster: nodes are added while others run.

    Parameters
    ----------
    connection : Connection
        The cluster.
    tasks : Tasks
        For the resources that a trial needs.
    options : Options
        How to run.
    run : RunFolder
        Says whether the run is to stop.
    """

    def __init__(
        self,
        connection: Connection,
        tasks: Tasks,
        options: Options,
        run: RunFolder,
    ) -> None:
        from distributed import as_completed

        from dasktune.submission import rooms_of, some_workers

        self._client = client = connection.client
        self._promised = connection.slots
        self._options = options
        self._run = run
        self._jobs = None if connection.own else options.jobs
        rooms = rooms_of(client, tasks)
        self._workers = None if connection.slots else some_workers(rooms, self._jobs)
        chosen = rooms if self._workers is None else self._workers
        self.slots = connection.slots or max(1, sum(rooms[address] for address in chosen))
        self._names: dict[str, tuple[int, list[str]]] = {}  # budget and targets, by node
        self._futures: set[Future] = set()
        self._seconds: deque[float] = deque(maxlen=_LAST)  # of the last trainings
        self._ended = as_completed(with_results=True, raise_errors=False, loop=client.loop)

    def make(self, plan: Plan, tasks: Tasks, took: Took) -> None:
        """Make a plan as a whole."""
        from dasktune.submission import Submission

        submission = Submission(
            self._client, plan, tasks, self._run, self._jobs, took, self._promised
        )
        submission.follow()

    @property
    def ahead(self) -> int:
        """As many as it trains at a time, if they are short; else the newest results count more."""
        return self.slots if self._seconds and statistics.median(self._seconds) < SHORT else 0

    def cancel(self) -> None:
        """Take back what is in flight."""
        with contextlib.suppress(Exception):
            self._client.cancel(list(self._futures))

    def start(self, batch: Batch) -> None:
        """Submit a batch."""
        groups = groups_of(batch.sweep, batch.plan, batch.tasks, self._options, self.slots)
        suffix = f"-{batch.budget}-{os.urandom(3).hex()}"
        nodes = build(
            batch.plan,
            batch.tasks,
            groups=groups,
            suffix=suffix,
            only=batch.names,
            priority=-batch.bracket * _MOST,
        )
        for name, node in nodes.items():
            self._names.setdefault(node.key, (batch.budget, []))[1].append(name)
        futures: Sequence[Future] = self._client.compute(
            list({node.key: node for node in nodes.values()}.values()),
            optimize_graph=False,
            workers=self._workers,
            allow_other_workers=False,
        )
        self._futures.update(futures)
        self._ended.update(futures)

    def ended(self) -> Iterator[tuple[int, Outcome]]:
        """Wait until nodes have ended."""
        from dasktune.submission import outcomes_of

        for future, result in self._ended.next_batch():
            budget, names = self._names.pop(future.key)
            told = {o.target: o for o in outcomes_of(future, result, names)}
            self._seconds.extend(o.seconds for o in told.values() if o.made)
            for name in names:
                yield budget, told.get(name, Outcome(name, "", status="skipped", made=False))
            self._futures.discard(future)
            future.release()
