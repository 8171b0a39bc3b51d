"""Optuna's pruners and Ray Tune's ASHA on the curves of a grid, with workers on a virtual clock.

Their own code decides; only the training is played. A rival knows no replicates, so that a trial
of its is a configuration with its seeds one after the other, of which it is told the mean after
each epoch. The configurations come in the order in which those of dasktune do.
"""

from __future__ import annotations

import heapq
import statistics
from collections.abc import Callable
from typing import Any

import optuna

import dasktune as dt
from dasktune.search.draws import Draws

Curves = dict[str, tuple[list[float], float]]
Decide = Callable[[int, int, float], bool]
"""Takes the number of a config, the epochs so far and the mean; says whether to go on."""


def play(
    sweep: dt.Sweep,
    curves: Curves,
    make: Callable[[int], tuple[Decide, Callable[[int], None]]],
    goal: float,
    seed: int,
    epochs: int,
    workers: int,
) -> dict[str, Any]:
    """Play one search, and give what it spent and found."""
    configs = Draws.of(sweep.pipeline.design, seed).upto(10_000)
    decide, begin = make(epochs)
    rows = [[curves[s.id] for s in sweep.pipeline.design.replicated(c)] for c in configs]
    spent, at_goal, best, clock, busy = 0, None, -1.0, 0.0, 0.0
    flying: list[tuple[float, int, int]] = []  # when an epoch ends, of which config, which epoch
    coming = 0
    while True:
        while len(flying) < workers and coming < len(configs):
            begin(coming)
            seconds = sum(each for _, each in rows[coming])
            busy += seconds
            heapq.heappush(flying, (clock + seconds, coming, 0))
            coming += 1
        if not flying:
            return {
                "spent": spent,
                "at_goal": at_goal,
                "best": best,
                "busy": busy / clock / workers,
            }
        clock, number, epoch = heapq.heappop(flying)
        spent += len(rows[number])
        mean = statistics.mean(values[epoch] for values, _ in rows[number])
        best = max(best, mean)
        if mean >= goal and at_goal is None:
            at_goal = spent
        if decide(number, epoch + 1, mean) and epoch + 1 < epochs:
            seconds = sum(each for _, each in rows[number])
            busy += seconds
            heapq.heappush(flying, (clock + seconds, number, epoch + 1))


def with_optuna(pruner: Callable[[int], Any]) -> Callable[[int], tuple[Any, Any]]:
    """Let a pruner of Optuna's decide."""

    def make(epochs: int) -> tuple[Decide, Callable[[int], None]]:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(direction="maximize", pruner=pruner(epochs))
        trials: dict[int, Any] = {}

        def begin(number: int) -> None:
            trials[number] = study.ask()

        def decide(number: int, epoch: int, mean: float) -> bool:
            trials[number].report(mean, epoch)
            if trials[number].should_prune():
                study.tell(trials[number], state=optuna.trial.TrialState.PRUNED)
                return False
            if epoch == epochs:
                study.tell(trials[number], mean)
            return True

        return decide, begin

    return make


def with_ray() -> Callable[[int], tuple[Any, Any]] | None:
    """Let Ray Tune's ASHA decide; None where Ray is not installed."""
    try:
        from ray.tune.schedulers import ASHAScheduler
    except ImportError:
        return None

    class Trial:
        def __init__(self, number: int) -> None:
            self.trial_id = str(number)

    def make(epochs: int) -> tuple[Decide, Callable[[int], None]]:
        scheduler = ASHAScheduler(
            "training_iteration", "mean", "max", max_t=epochs, grace_period=1, reduction_factor=3
        )
        trials: dict[int, Trial] = {}

        def begin(number: int) -> None:
            trials[number] = Trial(number)
            scheduler.on_trial_add(None, trials[number])

        def decide(number: int, epoch: int, mean: float) -> bool:
            result = {"training_iteration": epoch, "mean": mean}
            if scheduler.on_trial_result(None, trials[number], result) == scheduler.CONTINUE:
                return True
            scheduler.on_trial_complete(None, trials[number], result)
            return False

        return decide, begin

    return make


PRUNERS: dict[str, Callable[[int], Any]] = {
    "Optuna's median pruner": lambda _: optuna.pruners.MedianPruner(),
    "Optuna's halving pruner": lambda _: optuna.pruners.SuccessiveHalvingPruner(
        min_resource=1, reduction_factor=3
    ),
    "Optuna's Hyperband pruner": lambda most: optuna.pruners.HyperbandPruner(1, most, 3),
}


def rivals() -> dict[str, Callable[[int], tuple[Any, Any]]]:
    """Name the rivals that are installed."""
    found = {name: with_optuna(pruner) for name, pruner in PRUNERS.items()}
    ray = with_ray()
    return found if ray is None else {**found, "Ray Tune's ASHA": ray}
