"""What a search costs to find what the full grid finds: epochs trained, idle workers, decisions.

The full grid of `pipelines/digits.py` is trained once, for real. A rung of a search is the
beginning of such a training, bit for bit (`tests/test_budget.py`), so that searches over the
same grid are then played on its curves, with workers that take as long as an epoch of that
config took. Optuna's own pruners are given the same curves. Run it with

    python benchmarks/bench_search.py [--repetitions N] [--epochs N]
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from report import Table, machine, spread, write

import dasktune as dt
from dasktune.course import Course
from dasktune.outcome import Outcome
from dasktune.search import Ask, Strategy
from dasktune.search.draws import Draws

FILE = Path(__file__).parent.parent / "pipelines" / "digits.py"
WORKERS = 4
Curves = dict[str, tuple[list[float], float]]
"""Of each trial the values by epoch, and the seconds of an epoch."""


def grid_curves(
    epochs: int, folder: str, overrides: dict[str, list[str]]
) -> tuple[dt.Sweep, Curves]:
    """Train the full grid, and give its curves."""
    overrides = {"epochs": [str(epochs)], **overrides}
    sweep = dt.Sweep.load(str(FILE), store=folder, overrides=overrides)
    sweep.pipeline.endless = False  # searches keep to the points of the grid
    summary = dt.make(sweep, options=dt.Options(cluster="none", fuse="off"))
    assert summary.exit_code == 0
    dataset = dt.open_results(f"{folder}/digits")
    values = dataset["val_accuracy"].values
    seconds = dataset["seconds"].values / epochs
    names = dataset["trial"].values
    return sweep, {n: (v.tolist(), s) for n, v, s in zip(names, values, seconds, strict=True)}


def target(sweep: dt.Sweep, curves: Curves) -> tuple[float, float]:
    """Give the mean of the grid's best config, and that less the standard error of the mean."""
    best: tuple[float, float] = (-1.0, 0.0)
    for config in {spec.config for spec in sweep.pipeline.trials()}:
        last = [curves[s.id][0][-1] for s in sweep.pipeline.design.replicated(config)]
        error = statistics.stdev(last) / len(last) ** 0.5 if len(last) > 1 else 0.0
        best = max(best, (statistics.mean(last), error))
    return best[0], best[0] - best[1]


class Play:
    """A search over curves that are known."""

    def __init__(self, sweep: dt.Sweep, curves: Curves, strategy: Strategy, goal: float) -> None:
        self.curves = curves
        self.goal = goal
        self.pipeline = sweep.pipeline.searching(strategy)
        self.synchronous = strategy.synchronous
        self.course = Course(self.pipeline, lambda spec, budget, exactly: None)
        self.reached: dict[str, int] = {}  # epochs of each trial
        self.spent = 0
        self.spent_at_goal: int | None = None
        self.best = -1.0
        self.busy = 0.0
        self.clock = 0.0

    def run(self, workers: int) -> Play:
        """Let workers train, and the search decide as they end."""
        flying: list[tuple[float, int, Any]] = []
        queue: list[Any] = []
        number = 0
        while True:
            room = workers - len(flying) - len(queue)
            if room > 0 or self.synchronous:
                queue += self.course.ask(max(1, room))
            running = {job.spec.id for _, _, job in flying}
            while len(flying) < workers:
                free = [job for job in queue if job.spec.id not in running]
                job = min(free, key=lambda job: job.ask.bracket, default=None)
                if job is None:
                    break
                queue.remove(job)
                running.add(job.spec.id)
                more = max(0, job.budget - self.reached.get(job.spec.id, 0))
                seconds = more * self.curves[job.spec.id][1]
                self.spent += more
                self.busy += seconds
                self.reached[job.spec.id] = max(job.budget, self.reached.get(job.spec.id, 0))
                number += 1
                heapq.heappush(flying, (self.clock + seconds, number, job))
            if not flying:
                return self
            self.clock, _, job = heapq.heappop(flying)
            value = self.curves[job.spec.id][0][job.budget - 1]
            self.course.ended(job, Outcome(f"trained/{job.spec.id}", "", value=value))
            self._look(job)

    def _look(self, job: Any) -> None:
        specs = self.pipeline.design.replicated(job.spec.config)
        results = [self.course.results.get((spec.id, job.budget)) for spec in specs]
        if all(results):
            mean = statistics.mean(r.outcome.value for r in results if r and r.outcome.value)
            self.best = max(self.best, mean)
            if mean >= self.goal and self.spent_at_goal is None:
                self.spent_at_goal = self.spent


def optuna_pruned(
    sweep: dt.Sweep,
    curves: Curves,
    pruner: Callable[[int], Any],
    goal: float,
    seed: int,
    epochs: int,
) -> tuple[int, int | None, float]:
    """Let Optuna sample the grid at random, and its pruner stop; the mean of the seeds is told."""
    configs = Draws.of(sweep.pipeline.design, seed).upto(10_000)
    study = optuna.create_study(direction="maximize", pruner=pruner(epochs))
    spent, at_goal, best = 0, None, -1.0
    for config in configs:
        trial = study.ask()
        specs = sweep.pipeline.design.replicated(config)
        for epoch in range(epochs):
            spent += len(specs)
            mean = statistics.mean(curves[spec.id][0][epoch] for spec in specs)
            best = max(best, mean)
            if mean >= goal and at_goal is None:
                at_goal = spent
            trial.report(mean, epoch + 1)
            if trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, mean)
    return spent, at_goal, best


def decisions(trials: int) -> dict[str, list[float]]:
    """Time an ask and a tell, in milliseconds, in searches of so many trials."""
    space = dt.Space(**{name: dt.uniform(0.0, 1.0) for name in "abcd"})
    found = {}
    timed: dict[str, Strategy] = {
        "SuccessiveHalving": dt.SuccessiveHalving(n=trials),
        "Hyperband": dt.Hyperband(max_epochs=3 ** (1 if trials < 500 else 6)),
        "ASHA": dt.ASHA(n_trials=trials),
        "Optuna, tpe": dt.Optuna(n_trials=trials),
    }
    for name, strategy in timed.items():
        draws = Draws.of(space.random(1), 0, endless=True)
        search = strategy.start(draws, strategy.max_epochs or 81)
        flying: list[Ask] = []
        times = []
        rng = random.Random(0)
        while True:
            started = time.perf_counter()
            flying += search.ask(1)
            times.append(time.perf_counter() - started)
            if not flying:
                break
            ask = flying.pop(0)
            started = time.perf_counter()
            search.tell(ask, rng.random())
            times[-1] += time.perf_counter() - started
        found[name] = [1000 * t for t in times]
    return found


def measure(
    epochs: int, repetitions: int, trials: int, overrides: dict[str, list[str]]
) -> dict[str, Any]:
    """Take all figures."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        sweep, curves = grid_curves(epochs, folder, overrides)
    best, goal = target(sweep, curves)
    configs = len({spec.config for spec in sweep.pipeline.trials()})
    rows: dict[str, list[dict[str, Any]]] = {}
    for name, make in strategies(configs).items():
        for seed in range(repetitions):
            played = Play(sweep, curves, make(seed), goal).run(WORKERS)
            rows.setdefault(name, []).append(
                {
                    "spent": played.spent,
                    "at_goal": played.spent_at_goal,
                    "best": played.best,
                    "busy": played.busy / (played.clock * WORKERS),
                }
            )
    for name, pruner in PRUNERS.items():
        for seed in range(repetitions):
            spent, at_goal, found = optuna_pruned(sweep, curves, pruner, goal, seed, epochs)
            rows.setdefault(name, []).append({"spent": spent, "at_goal": at_goal, "best": found})
    grid = {"configs": configs, "trials": len(curves), "epochs": len(curves) * epochs}
    return {
        "machine": machine(),
        "epochs": epochs,
        "grid": {**grid, "best": best, "goal": goal},
        "workers": WORKERS,
        "searches": rows,
        "decisions": {
            name: {
                "count": len(ms),
                "median": statistics.median(ms),
                "p99": float(np.quantile(ms, 0.99)),
                "most": max(ms),
            }
            for name, ms in decisions(trials).items()
        },
    }


def strategies(configs: int) -> dict[str, Callable[[int], Strategy]]:
    """Name the strategies, each made by a seed."""
    return {
        "SuccessiveHalving": lambda seed: dt.SuccessiveHalving(n=configs, seed=seed),
        "Hyperband": lambda seed: dt.Hyperband(seed=seed),
        "ASHA": lambda seed: dt.ASHA(n_trials=configs, seed=seed),
    }


PRUNERS: dict[str, Callable[[int], Any]] = {
    "Optuna's median pruner": lambda _: optuna.pruners.MedianPruner(),
    "Optuna's halving pruner": lambda _: optuna.pruners.SuccessiveHalvingPruner(
        min_resource=1, reduction_factor=3
    ),
    "Optuna's Hyperband pruner": lambda most: optuna.pruners.HyperbandPruner(1, most, 3),
}


def tabulate(raw: dict[str, Any]) -> Table:
    """Write the searches as a table."""
    whole = raw["grid"]["epochs"]
    rows = [["full grid", "100", "100", "", f"{raw['grid']['best']:.4f}", ""]]
    for name, runs in raw["searches"].items():
        reached = [100 * run["at_goal"] / whole for run in runs if run["at_goal"] is not None]
        busy = [100 * run["busy"] for run in runs if "busy" in run]
        rows.append(
            [
                name,
                spread([100 * run["spent"] / whole for run in runs], 1),
                spread(reached, 1) if reached else "never",
                f"{len(reached)} of {len(runs)}",
                spread([run["best"] for run in runs], 4),
                spread(busy, 0) if busy else "",
            ]
        )
    head = ["search", "% of the grid's epochs", "% until as good", "as good", "best mean", "% busy"]
    return Table(head, rows)


def timed(raw: dict[str, Any]) -> Table:
    """Write the times of decisions as a table."""
    rows = [
        [name, str(ms["count"]), *(f"{ms[word]:.3f}" for word in ("median", "p99", "most"))]
        for name, ms in raw["decisions"].items()
    ]
    return Table(["decisions", "count", "median ms", "99 % ms", "most ms"], rows)


def notes(raw: dict[str, Any]) -> str:
    """Say how to read the table."""
    grid = raw["grid"]
    return f"""
The full grid of pipelines/digits.py ({grid["configs"]} configs x 3 seeds, {raw["epochs"]} epochs,
{grid["epochs"]} in all) was trained once. Medians of the repetitions (least to most), each with
another seed of the draws. "As good": a mean over the seeds of at least {grid["goal"]:.4f}, the
best of the grid ({grid["best"]:.4f}) less its standard error. dasktune looks at the ends of rungs
only, and shares its {raw["workers"]} workers among brackets and replicates; Optuna's pruners were
told the mean of the seeds after each epoch, one config after the other, and are "as good" as soon
as any epoch is. The searches are played on the grid's curves, whose beginnings are what rungs
are; tests/test_benchmarks.py holds that real ones spend the same. "Busy": the share of the time in
which the workers train, each epoch as long as it took for its config.
"""


def main(arguments: list[str] | None = None) -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument(
        "--trials", type=int, default=1000, help="of a search whose decisions are timed"
    )
    parser.add_argument("--keep", action="store_true", help="write the figures into results/")
    options = parser.parse_args(arguments)
    raw = measure(options.epochs, options.repetitions, options.trials, {})
    table = tabulate(raw)
    print(table.markdown())
    print(json.dumps(raw["decisions"], indent=1))
    print(json.dumps(raw["grid"]))
    if options.keep:
        path = write("search", raw, table).with_suffix(".md")
        path.write_text(f"{path.read_text()}\n{notes(raw)}\n{timed(raw).markdown()}\n")
        print(path)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
