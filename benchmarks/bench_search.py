"""What a search costs to find what the full grid finds: epochs trained, idle workers, decisions.

The full grids of `pipelines/digits.py` and `benchmarks/fashion.py` are trained once, for real. A
rung of a search is the beginning of such a training, bit for bit (`tests/test_budget.py`), so
that searches over the same grid are then played on its curves, with workers that take as long as
an epoch of that config took. Optuna's own pruners and Ray Tune's ASHA, if it is installed, are
given the same curves. Run it with

    python benchmarks/bench_search.py [--repetitions N] [--keep]
"""

from __future__ import annotations

import argparse
import heapq
import math
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from report import Table, machine, spread, write
from search_rivals import play, rivals

import dasktune as dt
from dasktune.course import Course
from dasktune.outcome import Outcome
from dasktune.search import Ask, Strategy
from dasktune.search.draws import Draws

HERE = Path(__file__).parent
FILE = HERE.parent / "pipelines" / "digits.py"
GRIDS = {"digits": (FILE, 40), "fashion": (HERE / "fashion.py", 27)}
"""The pipelines, and the epochs of their grids."""
WORKERS = 4
CREWS = (1, 2, 4, 8)
"""Workers by which Hyperband is looked at more closely."""
Curves = dict[str, tuple[list[float], float]]
"""Of each trial the values by epoch, and the seconds of an epoch."""


def grid_curves(
    epochs: int, folder: str, overrides: dict[str, list[str]], file: Path = FILE
) -> tuple[dt.Sweep, Curves]:
    """Train the full grid, and give its curves."""
    overrides = {"epochs": [str(epochs)], **overrides}
    sweep = dt.Sweep.load(str(file), store=folder, overrides=overrides)
    sweep.pipeline.endless = False  # searches keep to the points of the grid
    summary = dt.make(sweep, options=dt.Options(cluster="none", fuse="off"))
    assert summary.exit_code == 0
    dataset = dt.open_results(sweep.store.root)
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
            rows = [self.curves[spec.id][0][: job.budget] for spec in specs]
            mean = max(statistics.mean(epoch) for epoch in zip(*rows, strict=True))
            self.best = max(self.best, mean)
            if mean >= self.goal and self.spent_at_goal is None:
                self.spent_at_goal = self.spent


def decisions(trials: int) -> dict[str, list[float]]:
    """Time an ask and a tell in searches of so many trials, in milliseconds of the processor."""
    space = dt.Space(**{name: dt.uniform(0.0, 1.0) for name in "abcd"})
    import scipy.stats  # noqa: F401 - which takes 0.1 s once, and is no decision

    def alone(rng: random.Random) -> Any:
        return rng.random()

    def several(rng: random.Random) -> Any:
        return rng.random(), rng.random()

    def three(rng: random.Random) -> Any:
        return rng.random(), rng.random(), rng.random()

    timed: dict[str, tuple[Strategy, Callable[[random.Random], Any]]] = {
        "SuccessiveHalving": (dt.SuccessiveHalving(n=trials), alone),
        "SuccessiveHalving, two objectives": (dt.SuccessiveHalving(n=trials), several),
        "Hyperband": (dt.Hyperband(max_epochs=3 ** (1 if trials < 500 else 6)), alone),
        "ASHA": (dt.ASHA(n_trials=trials), alone),
        "ASHA, two objectives": (dt.ASHA(n_trials=trials), several),
        "SuccessiveHalving, three objectives": (dt.SuccessiveHalving(n=trials), three),
        "ASHA, three objectives": (dt.ASHA(n_trials=trials), three),
        "MedianStopping, three objectives": (
            dt.MedianStopping(n_trials=trials, every=9),
            three,
        ),
        "MedianStopping": (dt.MedianStopping(n_trials=trials, every=9), alone),
        "Patience": (dt.Patience(9, every=9, n=trials), alone),
        "PBT": (dt.PBT(trials, every=27), alone),
        "Race, friedman": (dt.Race(7, n=trials), alone),
        "Race, t": (dt.Race(7, test="t", n=trials), alone),
        "Optuna, tpe": (dt.Optuna(n_trials=trials), alone),
    }
    return {name: _timed(strategy, space, score) for name, (strategy, score) in timed.items()}


def _timed(
    strategy: Strategy, space: dt.Space, score: Callable[[random.Random], Any]
) -> list[float]:
    draws = Draws.of(space.random(1), 0, endless=True)
    search = strategy.start(draws, strategy.max_epochs or 81)
    flying: list[Ask] = []
    times = []
    rng = random.Random(0)
    while True:
        started = time.thread_time()
        flying += search.ask(1)
        times.append(time.thread_time() - started)
        if not flying:
            return [1000 * t for t in times]
        ask = flying.pop(0)
        started = time.thread_time()
        search.tell(ask, score(rng))
        times[-1] += time.thread_time() - started


def measure(
    epochs: int,
    repetitions: int,
    trials: int,
    overrides: dict[str, list[str]],
    file: Path = FILE,
) -> dict[str, Any]:
    """Take all figures of a grid; without `trials`, none of decisions."""
    with tempfile.TemporaryDirectory() as folder:
        sweep, curves = grid_curves(epochs, folder, overrides, file)
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
    for name, rival in rivals().items():
        rows[name] = [
            play(sweep, curves, rival, goal, seed, epochs, WORKERS) for seed in range(repetitions)
        ]
    grid = {"configs": configs, "trials": len(curves), "epochs": len(curves) * epochs}
    return {
        "machine": machine(),
        "epochs": epochs,
        "grid": {**grid, "best": best, "goal": goal},
        "workers": WORKERS,
        "searches": rows,
        "hyperband": by_workers(sweep, curves, goal, 5 * repetitions),
        "decisions": {
            name: {
                "count": len(ms),
                "median": statistics.median(ms),
                "p99": float(np.quantile(ms, 0.99)),
                "most": max(ms),
            }
            for name, ms in (decisions(trials) if trials else {}).items()
        },
    }


def strategies(configs: int) -> dict[str, Callable[[int], Strategy]]:
    """Name the strategies, each made by a seed."""
    return {
        "SuccessiveHalving": lambda seed: dt.SuccessiveHalving(n=configs, seed=seed),
        "Hyperband": lambda seed: dt.Hyperband(seed=seed),
        "ASHA": lambda seed: dt.ASHA(n_trials=configs, seed=seed),
        "MedianStopping": lambda seed: dt.MedianStopping(n_trials=configs, seed=seed),
        "Patience": lambda seed: dt.Patience(5, n=configs, seed=seed),
    }


def by_workers(sweep: dt.Sweep, curves: Curves, goal: float, repetitions: int) -> dict[str, Any]:
    """Play Hyperband with several numbers of workers: those that are free begin later brackets."""
    rows = {}
    for workers in CREWS:
        played = [
            Play(sweep, curves, dt.Hyperband(seed=seed), goal).run(workers)
            for seed in range(repetitions)
        ]
        rows[str(workers)] = [
            {"spent": p.spent, "at_goal": p.spent_at_goal, "clock": p.clock} for p in played
        ]
    return rows


def crews(found: dict[str, dict[str, Any]]) -> Table:
    """Write Hyperband by the number of workers as a table."""
    rows = []
    for name, raw in found.items():
        whole = raw["grid"]["epochs"]
        for workers, runs in raw["hyperband"].items():
            reached = [100 * run["at_goal"] / whole for run in runs if run["at_goal"] is not None]
            low, high = median_interval(reached) if reached else (math.nan, math.nan)
            rows.append(
                [
                    name,
                    workers,
                    spread(reached, 1) if reached else "never",
                    f"{low:.1f} to {high:.1f}",
                    f"{len(reached)} of {len(runs)}",
                    spread([100 * run["spent"] / whole for run in runs], 1),
                    spread([run["clock"] for run in runs], 1),
                ]
            )
    head = ["Hyperband on", "workers", "% until as good", "95 % of that median", "as good"]
    return Table([*head, "% to the end", "seconds to the end"], rows)


def median_interval(values: list[float]) -> tuple[float, float]:
    """Give the 95 % interval of a median, by drawing with replacement."""
    drawn = random.Random(0)
    medians = sorted(statistics.median(drawn.choices(values, k=len(values))) for _ in range(2000))
    return medians[50], medians[-51]


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
    head = ["decisions in a search of 1,000", "count", "median ms", "99 % ms", "most ms"]
    return Table(head, rows)


def notes(name: str, raw: dict[str, Any]) -> str:
    """Say how to read the table of a grid."""
    grid = raw["grid"]
    return f"""
The full grid of {name} ({grid["configs"]} configs x 3 seeds, {raw["epochs"]} epochs,
{grid["epochs"]} in all) was trained once. Medians of the repetitions (least to most), each with
another seed of the draws. "As good": a mean over the seeds of at least {grid["goal"]:.4f}, the
best of the grid ({grid["best"]:.4f}) less its standard error.
"""


CREW_NOTES = """
With one worker the brackets come one after the other, as in the paper; the first one alone is a
successive halving. Where there are more workers than the rungs of a bracket keep busy, the free
ones begin the next bracket, so that more is spent by the time at which the first one ends, and
the end comes sooner.
"""
NOTES = """
A search is as good as soon as any epoch is that it has trained with all seeds; dasktune, which
decides by the value at the end of a rung, is looked at when rungs end. It shares its workers among
brackets and replicates. Optuna's pruners and Ray Tune's ASHA (their own code; the training is
played) have the same configurations in the same order and as many workers, of which each trains a
config with its seeds one after the other; they are told the mean of the seeds after each epoch.
The searches are played on the grid's curves, whose beginnings are what rungs are;
tests/test_benchmarks.py holds that real ones spend the same. "Busy": the share of the time in
which the workers train, each epoch as long as it took for its config. What is measured with real
processes is in the figures of bench_busy.py. A decision is an ask and a tell, in milliseconds of
the processor, since the machine was in use; single ones of 10 ms and more are passes of Python's
garbage collector over all that the process has imported (200,000 objects take 0.2 s).
"""


def main(arguments: list[str] | None = None) -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument(
        "--trials", type=int, default=1000, help="of a search whose decisions are timed"
    )
    parser.add_argument("--keep", action="store_true", help="write the figures into results/")
    options = parser.parse_args(arguments)
    found: dict[str, dict[str, Any]] = {}
    for name, (file, epochs) in GRIDS.items():
        trials = 0 if found else options.trials
        found[name] = measure(epochs, options.repetitions, trials, {}, file)
        print(f"{name}\n{tabulate(found[name]).markdown()}")
    first = next(iter(found.values()))
    print(crews(found).markdown())
    print(timed(first).markdown())
    if options.keep:
        raw = {"machine": first["machine"], "grids": found}
        path = write("search", raw, tabulate(first)).with_suffix(".md")
        parts = [
            f"## {name}\n\n{tabulate(of_grid).markdown()}\n{notes(name, of_grid)}"
            for name, of_grid in found.items()
        ]
        tables = [crews(found).markdown(), CREW_NOTES, NOTES, timed(first).markdown()]
        path.write_text("\n".join([*parts, *tables, ""]))
        print(path)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
