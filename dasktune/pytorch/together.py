"""Training many PyTorch trials together: which may share a step, who comes, and who leaves."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from dasktune.model import Trajectory
from dasktune.pytorch.calibration import Width, measure, obstacle
from dasktune.pytorch.fused import Lanes
from dasktune.pytorch.loop import tune
from dasktune.pytorch.member import Member
from dasktune.pytorch.problem import Problem
from dasktune.pytorch.structure import structure
from dasktune.trial import Interrupted, Trial


@dataclass(frozen=True)
class Ended:
    """What became of a trial that was given to be trained together with others.

    Attributes
    ----------
    trial : Trial
        The trial, with its curve.
    model : torch.nn.Module, Trajectory or None
        What it keeps.
    interrupted : bool
        Whether it was left at its checkpoint, since the run is to stop.
    seconds : float
        Its share of the time.
    width : Width or None
        How many were trained as one, and why.
    alone : str
        Why it was not trained here and must be trained by the loop; empty if it was.
    """

    trial: Trial
    model: torch.nn.Module | Trajectory | None = None
    interrupted: bool = False
    seconds: float = 0.0
    width: Width | None = None
    alone: str = ""


@dataclass(eq=False)
class Seat:
    """A trial, its part in the lanes, and where it stands.

    Attributes
    ----------
    trial : Trial
        Takes the metrics.
    member : Member
        Its model, optimizer and record.
    epochs : iterator of int
        Counts the epochs, and writes the checkpoints.
    epoch : int or None
        The epoch that comes next; None before the start.
    seconds : float
        Its share of the time so far.
    """

    trial: Trial
    member: Member
    epochs: Iterator[int] | None = None
    epoch: int | None = None
    seconds: float = 0.0


def train_together(
    seats: Sequence[Seat],
    problem: Problem,
    *,
    width: int | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> Iterator[Ended]:
    """Train trials, as many as one as is fastest.

    Parameters
    ----------
    seats : sequence of Seat
        The trials, with equal `TorchOptions.shared`.
    problem : Problem
        The data, the loss and the metrics.
    width : int or None
        Trials that share a step; None to measure what is fastest.
    stopping : callable
        Says whether nothing new is to be started.

    Yields
    ------
    Ended
        Each trial as it ends. Those that were not started when `stopping` said so are not told.
    """
    kinds: dict[Any, list[Seat]] = {}
    for seat in seats:
        kinds.setdefault(structure(seat.member.model), []).append(seat)
    for group in kinds.values():
        members = [seat.member for seat in group]
        why = "no other trial has a model of the same structure" if len(group) == 1 else ""
        why = why or obstacle(members, problem)
        if why:
            chosen = Width(1, why)
        elif width is None:
            chosen = measure(members, problem)
        else:
            chosen = Width(min(width, len(group)), "as it was asked for")
        if chosen.lanes > 1:
            yield from Run(group, problem, chosen, stopping).ends()
        else:
            yield from (Ended(seat.trial, alone=chosen.why) for seat in group)


class Run:
    """Trains seats of one structure in lockstep.

    Parameters
    ----------
    seats : sequence of Seat
        The trials; as many as fit are in training, the others wait.
    problem : Problem
        The data, the loss and the metrics.
    width : Width
        How many are trained as one.
    stopping : callable
        Says whether nothing new is to be started.
    """

    def __init__(
        self,
        seats: Sequence[Seat],
        problem: Problem,
        width: Width,
        stopping: Callable[[], bool],
    ) -> None:
        self._waiting = deque(seats)
        self._live: list[Seat] = []
        self._lanes: Lanes | None = None
        self._problem = problem
        self._width = width
        self._room = width.lanes
        self._stopping = stopping

    def ends(self) -> Iterator[Ended]:
        """Train until no trial is left, and tell of each as it ends."""
        torch.manual_seed(self._waiting[0].trial.seed)
        while self._waiting or self._live:
            yield from self._fill()
            if self._lanes is None:
                return
            try:
                self._train_an_epoch(self._lanes)
            except torch.OutOfMemoryError:
                yield from self._halve()
                continue
            yield from self._leave(self._lanes)

    def _fill(self) -> Iterator[Ended]:
        """Let those who wait take the free lanes."""
        come: list[Seat] = []
        while self._waiting and len(self._live) + len(come) < self._room:
            seat = self._waiting[0]
            if seat.epochs is None and self._stopping():
                break
            self._waiting.popleft()
            if seat.epochs is None:
                self._start(seat)
            if seat.epoch is None:
                yield self._ended(seat)
            else:
                come.append(seat)
        if come:
            members = [seat.member for seat in come]
            if self._lanes is None:
                self._lanes = Lanes(members, self._problem)
            else:
                self._lanes = self._lanes.replace(range(len(self._live)), members)
            self._live += come

    def _start(self, seat: Seat) -> None:
        member = seat.member
        model = _UpToDate(member.model, lambda: self._spill(seat))
        seat.trial.clock = lambda: seat.seconds
        seat.trial.checkpoint(model=model, optimizer=member.optimizer, best=member.best)
        tune(member.optimizer, member.options)
        seat.epochs = seat.trial.epochs(member.options.epochs)
        seat.epoch = None if member.best.ended(member.options) else next(seat.epochs, None)

    def _spill(self, seat: Seat) -> None:
        if self._lanes is not None and seat in self._live:
            self._lanes.spill(self._live.index(seat))

    def _train_an_epoch(self, lanes: Lanes) -> None:
        started = time.perf_counter()
        restore = lanes.snapshot()
        try:
            losses = lanes.epoch([seat.epoch or 0 for seat in self._live])
            rows = self._problem.scores_of_each(lanes.evaluate())
        except torch.OutOfMemoryError:
            restore()
            raise
        improved = []
        for lane, (seat, train_loss) in enumerate(zip(self._live, losses, strict=True)):
            row = {name: values[lane] for name, values in rows.items()}
            seat.trial.report(train_loss=train_loss, **row)
            best = seat.member.best
            improved.append(best.improved(float(row["val_loss"]), train_loss, seat.epoch or 0))
        lanes.mark_best(improved)
        for lane, seat in enumerate(self._live):
            if seat.member.options.keep == "all":
                seat.member.best.remember(lanes.spill(lane).model)
        share = (time.perf_counter() - started) / len(self._live)
        for seat in self._live:
            seat.seconds += share

    def _leave(self, lanes: Lanes) -> Iterator[Ended]:
        """Let go who ended, write the checkpoints of the others, and close the ranks."""
        stay = []
        for lane, seat in enumerate(self._live):
            assert seat.epochs is not None
            try:
                seat.epoch = next(seat.epochs, None)
            except Interrupted:
                yield Ended(seat.trial, interrupted=True, seconds=seat.seconds)
                continue
            if seat.epoch is None or seat.member.best.ended(seat.member.options):
                lanes.spill(lane)
                if seat.epoch is not None:
                    seat.trial.end()
                yield self._ended(seat)
            else:
                stay.append(lane)
        if len(stay) < len(self._live):
            self._live = [self._live[lane] for lane in stay]
            self._lanes = lanes.replace(stay, []) if stay else None

    def _halve(self) -> Iterator[Ended]:
        """Take half as many lanes, since memory ran out; the others wait where they stand."""
        assert self._lanes is not None
        for lane in range(len(self._live)):
            self._lanes.spill(lane)
        seats, self._live, self._lanes = self._live, [], None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if len(seats) == 1:
            yield Ended(seats[0].trial, alone="memory ran out for a single one")
            return
        self._room = len(seats) // 2
        self._width = Width(self._room, f"halved when memory ran out at {len(seats)}")
        self._waiting.extendleft(reversed(seats))

    def _ended(self, seat: Seat) -> Ended:
        member = seat.member
        model = member.best.choose(member.model, member.options)
        return Ended(seat.trial, model, seconds=seat.seconds, width=self._width)


class _UpToDate:
    """A model whose state is fetched from its lane before it is saved."""

    def __init__(self, model: torch.nn.Module, refresh: Callable[[], None]) -> None:
        self._model = model
        self._refresh = refresh

    def state_dict(self) -> dict[str, Any]:
        self._refresh()
        return self._model.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> Any:
        return self._model.load_state_dict(state)
