"""The overhead of a trial: a train function that does nothing, on two workers.

    python benchmarks/bench_overhead.py [--trials 1000 10000] [--write]

Told are milliseconds a trial from the first start to the last end, with key, stamp and curve;
beside them a bare Dask graph of as many nodes that do nothing, on such workers; the seconds from
the plan to the first trial; the collation; the plan of the same sweep, now up to date; files a
trial; and the most memory that driver and scheduler, which are one process, took.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import dask
from report import Table, machine, write

import dasktune as dt
from dasktune.cluster import Demand, connect
from dasktune.run import Options, make

PIPELINE = """
import numpy as np
import xarray as xr

import dasktune as dt


def preprocess():
    return {"train": xr.Dataset({"x": ("row", np.zeros(4))})}


def train(trial, data):
    trial.report(score=trial.config.a)


space = dt.Space(a=dt.integers(1, COUNT), b=dt.choice(1, 2, 3, 4))
pipeline = dt.Pipeline(space, preprocess, train, objective="max score")
"""
JOBS = 2
BARE = 10_000
"""Dask takes 100,000 nodes in one piece for over a minute before the first one starts."""


def ours(trials: int) -> dict[str, float]:
    """Run a sweep, and tell what it took."""
    moments: dict[str, float] = {}

    def observe(event: dict[str, Any]) -> None:
        name = event.get("target") or getattr(event.get("outcome"), "target", "")
        if name.startswith("trained/"):
            moments.setdefault(f"first {event['event']}", time.perf_counter())
        moments[f"last {event['event']} {name.partition('/')[0]}"] = time.perf_counter()

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "trivial.py")
        file.write_text(PIPELINE.replace("COUNT", str(trials // 4)))
        sweep = dt.Sweep.load(str(file), store=f"{folder}/dist")
        started = time.perf_counter()
        summary = make(sweep, options=Options("local", jobs=JOBS), observe=observe)
        ended = time.perf_counter()
        assert summary.exit_code == 0, summary.failures()[:3]
        del summary
        assert sweep.plan().up_to_date
        planned = time.perf_counter() - ended
        files = sum(len(names) for _, _, names in os.walk(sweep.store.root))
    last = moments["last finished trained"]
    return {
        "dasktune, ms a trial": 1000 * (last - moments["first started"]) / trials,
        "dasktune, s to the first trial": moments["first started"] - started,
        "dasktune, s to collate": moments["last finished collated"] - last,
        "dasktune, s to find it up to date": planned,
        "dasktune, files a trial": files / trials,
        "dasktune, MB of memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
    }


def theirs(trials: int) -> dict[str, float]:
    """Run as many nodes that do nothing."""
    with connect("local", Demand({"GPU": 1}, JOBS)) as connection:
        client = connection.client
        with dask.annotate(resources={"GPU": 1}):
            nodes = [dask.delayed(abs, pure=False)(-number) for number in range(trials)]
        started = time.perf_counter()
        client.gather(client.compute(nodes, optimize_graph=False))
        return {"bare Dask, ms a node": 1000 * (time.perf_counter() - started) / trials}


def main() -> None:
    """Measure, and show the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    runs: dict[int, dict[str, float]] = {}
    for trials in options.trials:
        runs[trials] = ours(trials)
        print(trials, runs[trials], flush=True)
        runs[trials] |= theirs(trials) if trials <= BARE else {}
    names = next(iter(runs.values()))
    rows = [
        [name, *(f"{run[name]:.2f}" if name in run else "" for run in runs.values())]
        for name in names
    ]
    table = Table(["", *(f"{trials:,} trials" for trials in runs)], rows)
    print(table.markdown())
    if options.write:
        write("overhead", {"machine": machine(), "runs": runs}, table)


if __name__ == "__main__":
    main()
