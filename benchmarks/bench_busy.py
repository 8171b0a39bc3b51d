"""How busy workers are: a synchronous and an asynchronous search, with real processes.

Trials sleep for the time of their epochs, which differs sevenfold between configurations, so that
more workers than processors can be watched. A worker is busy while a train function runs, by the
stamps; all else is idle: waiting for a decision, for the slowest of a rung, for files, for the
driver. Run it with

    python benchmarks/bench_busy.py [--repetitions N] [--trials N] [--keep]
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from report import Table, machine, spread, write

import dasktune as dt
from dasktune.search import Strategy

COUNTING = Path(__file__).parent.parent / "tests" / "counting.py"
PIPELINE = (
    COUNTING.read_text()
    + """
import time

import dasktune as dt


def train(trial, data, epochs=9):
    total = Total()
    trial.checkpoint(total=total)
    for epoch in trial.epochs(epochs):
        time.sleep(trial.config.pace)
        trial.report(score=trial.config.good - 1 / (epoch + 1))


space = dt.Space(good=dt.uniform(0.0, 1.0), pace=dt.log_uniform(0.1 * SLOWER, 0.7 * SLOWER))
pipeline = dt.Pipeline(
    space, preprocess, train, objective="max score", budget="epochs", search=dt.ASHA(3)
)
"""
)


CASES = ((4, 1), (8, 1), (4, 4))
"""Workers, and by how much epochs are longer than 0.1 to 0.7 s."""


def run(strategy: Strategy, workers: int, slower: int) -> dict[str, float]:
    """Run a search, and give the share of the time in which its workers trained."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "paced.py"
        file.write_text(PIPELINE.replace("SLOWER", str(slower)))
        sweep = dt.Sweep.load(str(file), store=f"{folder}/dist").searching(strategy)
        summary = dt.make(sweep, options=dt.Options(cluster="local", jobs=workers))
        assert summary.exit_code == 0, summary.failures()
        spans = []
        for trial, keys in sweep.store.listing("trained").items():
            for key in keys:
                stamp = sweep.store.stamp(sweep.store.trained(trial, key))
                assert stamp is not None
                spans.append((stamp.body["finished"] - stamp.seconds, stamp.body["finished"]))
    begun, ended = min(b for b, _ in spans), max(e for _, e in spans)
    trained = sum(e - b for b, e in spans)
    # Until the last new training begins there is work for all; what follows is the end of any run.
    last = max(b for b, _ in spans)
    before = sum(min(e, last) - b for b, e in spans)
    return {
        "seconds": ended - begun,
        "trainings": len(spans),
        "busy": trained / (workers * (ended - begun)),
        "busy_before_end": before / (workers * (last - begun)),
    }


def measure(
    repetitions: int, trials: int, cases: Sequence[tuple[int, int]] = CASES
) -> dict[str, Any]:
    """Take all figures."""
    rows: dict[str, list[dict[str, float]]] = {}
    for (workers, slower), seed in itertools.product(cases, range(repetitions)):
        for name, strategy in {
            "ASHA": dt.ASHA(trials, max_epochs=9, seed=seed),
            "SuccessiveHalving": dt.SuccessiveHalving(trials, max_epochs=9, seed=seed),
        }.items():
            case = f"{name}, {workers} workers, {0.1 * slower:g} to {0.7 * slower:g} s"
            rows.setdefault(case, []).append(run(strategy, workers, slower))
    return {"machine": machine(), "trials": trials, "searches": rows}


def tabulate(raw: dict[str, Any]) -> Table:
    """Write the figures as a table."""
    rows = [
        [
            name,
            spread([100 * run["busy"] for run in runs], 1),
            spread([100 * run["busy_before_end"] for run in runs], 1),
            spread([run["seconds"] for run in runs], 1),
            spread([run["trainings"] for run in runs], 0),
        ]
        for name, runs in raw["searches"].items()
    ]
    head = ["search", "% busy", "% busy until the last begins", "seconds", "trainings"]
    return Table(head, rows)


def notes(raw: dict[str, Any]) -> str:
    """Say how to read the table."""
    return f"""
{raw["trials"]} configurations, up to 9 epochs of so many seconds (log-uniform, slept), eta 3, on
so many worker processes of a machine of {raw["machine"]["processors"]} processors that others used
as well. Medians of the repetitions (least to most). "Busy": the share of the workers' time, from
the begin of the first training to the end of the last, in which a train function ran, by the
stamps. "Until the last begins" leaves out the end of the run, at which nothing is left to start.
What is idle before that is what a training costs besides: its start, its commit and, in the search
that waits for whole rungs, the slowest of each rung. Where trainings are short, ASHA is asked for
as many again as there are workers, so that the next one waits on its worker already.
"""


def main(arguments: list[str] | None = None) -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--trials", type=int, default=180)
    parser.add_argument("--keep", action="store_true", help="write the figures into results/")
    options = parser.parse_args(arguments)
    raw = measure(options.repetitions, options.trials)
    table = tabulate(raw)
    print(table.markdown())
    if options.keep:
        path = write("busy", raw, table).with_suffix(".md")
        path.write_text(f"{path.read_text()}\n{notes(raw)}")
        print(path)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
