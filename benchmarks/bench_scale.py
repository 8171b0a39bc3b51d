"""A thousand simulated workers: trials that sleep, on one scheduler.

    python benchmarks/bench_scale.py [--workers 10 100 1000] [--each 4] [--seconds 10] [--write]

The scheduler is a process of its own, whose CPU time and memory are told; workers are thin, a
hundred in a process. Two cores do all of it, so what is told are bounds, not what a cluster gives.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from distributed import Client
from report import Table, curves, machine, write

import dasktune as dt
from dasktune.run import Options, make

PIPELINE = """
import time

import numpy as np
import xarray as xr

import dasktune as dt


def preprocess():
    return {"train": xr.Dataset({"x": ("row", np.zeros(4))})}


def train(trial, data, seconds=1.0):
    time.sleep(seconds)
    trial.report(score=trial.config.a)


space = dt.Space(a=dt.integers(1, COUNT), b=dt.choice(1, 2, 3, 4))
pipeline = dt.Pipeline(space, preprocess, train, objective="max score")
"""
IN_A_PROCESS = 100
PATIENT = {
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1000000",
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "1h",
}
"""A hundred workers that share an interpreter may be silent for minutes, and are not dead."""


@contextlib.contextmanager
def cluster(workers: int) -> Iterator[tuple[Client, psutil.Process]]:
    """Start a scheduler and thin workers, and end them."""
    here = Path(__file__).parent
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/scheduler.json"
        command = ["dask", "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", *command, "--scheduler-file", file],
                stderr=subprocess.DEVNULL,
                env=os.environ | PATIENT,
            )
        ]
        try:
            with Client(scheduler_file=file, timeout=60) as client:
                address = client.scheduler.address
                for first in range(0, workers, IN_A_PROCESS):
                    count = str(min(IN_A_PROCESS, workers - first))
                    script = [sys.executable, str(here / "thin_workers.py"), address, count]
                    processes.append(subprocess.Popen(script, cwd=folder))
                client.wait_for_workers(workers, timeout=600)
                yield client, psutil.Process(processes[0].pid)
        finally:
            for process in reversed(processes):
                process.terminate()
            for process in processes:
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


class Watch(threading.Thread):
    """Looks at the scheduler every second."""

    def __init__(self, scheduler: psutil.Process, client: Client) -> None:
        super().__init__(daemon=True)
        self.scheduler = scheduler
        self.client = client
        self.memory = self.tasks = 0
        self.going = True

    def run(self) -> None:
        """Keep the most that was seen."""
        while self.going:
            self.memory = max(self.memory, self.scheduler.memory_info().rss)
            with contextlib.suppress(Exception):
                tasks = self.client.run_on_scheduler(
                    lambda dask_scheduler: len(dask_scheduler.tasks)
                )
                self.tasks = max(self.tasks, tasks)
            time.sleep(1)


def measure(trials: int, workers: int, seconds: float) -> dict[str, Any]:
    """Run a sweep, and give the raw figures."""
    moments: dict[str, float] = {}

    def observe(event: dict[str, Any]) -> None:
        name = event.get("target") or getattr(event.get("outcome"), "target", "")
        now = time.perf_counter() - started
        if name.startswith("trained/"):
            moments.setdefault(f"first {event['event']}", now)
            if event["event"] == "finished":
                moments["last finished"] = now
        elif event["event"] in ("plan", "finished"):
            moments[name or "plan"] = now

    with tempfile.TemporaryDirectory() as folder, cluster(workers) as (client, scheduler):
        file = Path(folder, "sleep.py")
        file.write_text(PIPELINE.replace("COUNT", str(trials // 4)))
        words = {"seconds": [str(seconds)]}
        sweep = dt.Sweep.load(str(file), store=f"{folder}/dist", overrides=words)
        watch = Watch(scheduler, client)
        idle = scheduler.memory_info().rss
        before = scheduler.cpu_times()
        started = time.perf_counter()
        watch.start()
        summary = make(sweep, options=Options(client), observe=observe)
        assert summary.exit_code == 0, summary.failures()[:3]
        watch.going = False
        after = scheduler.cpu_times()
        trained = moments["last finished"] - moments["first started"]
        return {
            "trials": trials,
            "workers": workers,
            "seconds a trial": seconds,
            "to the first trial": round(moments["first started"] - moments["plan"], 2),
            "trials a second": round(trials / trained, 1),
            "trials a second, at best": round(workers / seconds, 1),
            "collation": round(moments["collated"] - moments["last finished"], 2),
            "scheduler, CPU ms a trial": round(
                1000 * (after.user + after.system - before.user - before.system) / trials, 2
            ),
            "scheduler, MB more": round((watch.memory - idle) / 1e6, 1),
            "most nodes in it": watch.tasks,
        }


def main() -> None:
    """Measure, and show the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--each", type=int, default=4, help="trials a worker")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    runs = []
    for workers in options.workers:
        runs.append(measure(options.each * workers, workers, options.seconds))
        print(runs[-1], flush=True)
    table = Table(
        ["", *(f"{run['workers']:,} workers" for run in runs)],
        [[name, *(str(run[name]) for run in runs)] for name in runs[0]],
    )
    print(table.markdown())
    if options.write:
        path = write("scale", {"machine": machine(), "runs": runs}, table)
        names = ("trials a second", "trials a second, at best")
        lines = {name: [run[name] for run in runs] for name in names}
        curves(path.with_suffix(".svg"), [run["workers"] for run in runs], lines, "workers")


if __name__ == "__main__":
    main()
