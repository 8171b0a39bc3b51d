"""What watching costs the scheduler: 1,000 trials, a row a second each, with the page open.

Measured is the processor time that the scheduler's process uses in a second of the wall clock. The
reports come from workers that send as those of a sweep do (`reporting_workers.py`): a thousand of
one trial each, and 16 that share the thousand. The browser is a real one, in a process of its own.

One thing more is added at a time, so that it is seen what each costs, and what is Dask's:

- ``idle``: the workers are there, and send their heart-beats;
- ``reports``: they report; the scheduler takes the messages and nobody listens, all of it Dask's;
- ``driver``: the sweep's driver listens, so that each message is passed on;
- ``closed``: the page's plugin follows the sweep; nobody looks;
- ``open``: somebody does.

    python benchmarks/bench_dashboard.py [--trials 1000] [--workers 1000 16] [--seconds 15]
                                         [--rounds 3] [--write]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from distributed import Client
from report import Table, machine, spread, write
from reporting_workers import EPOCHS, trial_name

from dasktune.board import Board
from dasktune.dashboard.plugin import NAME
from dasktune.events import TOPIC
from dasktune.objective import Objective
from dasktune.row import Row
from dasktune.watch import add_page

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))
from browser import browser

PHASES = ("idle", "reports", "driver", "closed", "open")
IN_A_PROCESS = 250
PATIENT = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "1h"}
"""Workers that share an interpreter may be silent for long, and are not dead."""
SETTLES = 8.0
"""Seconds until what was added to a phase, such as a browser, has begun."""


class Cluster:
    """A scheduler and workers that report when they are asked to.

    Attributes
    ----------
    client : distributed.Client
        The driver's.
    scheduler : psutil.Process
        What is measured.
    """

    def __init__(self, client: Client, scheduler: psutil.Process, flag: Path) -> None:
        self.client = client
        self.scheduler = scheduler
        self._flag = flag

    def report(self, run: str) -> None:
        """Let the workers report for a run; for none let them be silent."""
        self._flag.write_text(run)

    def messages(self) -> int:
        """Count the messages that have come."""
        return int(
            self.client.run_on_scheduler(
                lambda dask_scheduler: dask_scheduler._broker._topics["dasktune"].count
            )
        )

    def follow(self, followed: bool) -> None:
        """Let the page's plugin hear the messages, or not."""

        def put(dask_scheduler: Any, name: str = NAME, followed: bool = followed) -> None:
            kept = dask_scheduler.__dict__.setdefault("_bench_plugin", {})
            source, sink = (kept, dask_scheduler.plugins)[:: 1 if followed else -1]
            if name in source:
                sink[name] = source.pop(name)

        self.client.run_on_scheduler(put)

    def wait_for_no_page(self) -> None:
        """Wait until Bokeh has forgotten the browsers that are gone."""
        while self.client.run_on_scheduler(_pages):
            time.sleep(1)

    def processor(self) -> float:
        """Give the seconds of the processor that the scheduler has used."""
        times = self.scheduler.cpu_times()
        return float(times.user + times.system)


def _pages(dask_scheduler: Any) -> int:
    return len(dask_scheduler.plugins[NAME].pages)


@contextlib.contextmanager
def cluster(workers: int, trials: int) -> Iterator[Cluster]:
    """Start a scheduler with a dashboard, and workers, and end them."""
    here = Path(__file__).parent
    with tempfile.TemporaryDirectory() as folder:
        info, flag = f"{folder}/scheduler.json", Path(folder, "run")
        flag.touch()
        command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1"]
        command += ["--port", "0", "--dashboard-address", "127.0.0.1:0", "--scheduler-file", info]
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        processes = [subprocess.Popen(command, env=os.environ | PATIENT, **quiet)]
        try:
            with Client(scheduler_file=info, timeout=60) as client:
                for first in range(0, workers, IN_A_PROCESS):
                    count = min(IN_A_PROCESS, workers - first)
                    words = [client.scheduler.address, count, first, trials // workers, flag]
                    script = [sys.executable, str(here / "reporting_workers.py")]
                    processes.append(subprocess.Popen([*script, *map(str, words)], cwd=folder))
                client.wait_for_workers(workers, timeout=600)
                yield Cluster(client, psutil.Process(processes[0].pid), flag)
        finally:
            for process in reversed(processes):
                process.terminate()
            for process in processes:
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def board(trials: int, workers: int, run: str) -> Board:
    """Make the board of a sweep whose trials all run."""
    made = Board("bench", run, "/nowhere", Objective.parse("max accuracy"), time.time())
    for i in range(trials):
        axes = {"lr": 10.0 ** -(i % 7), "hidden": 2 ** (i % 9), "act": ["relu", "gelu"][i % 2]}
        where = str(i * workers // trials)
        made.add(
            Row(trial_name(i), axes, "running", worker=where, since=time.time(), epochs=EPOCHS)
        )
    return made


def measure(workers: int, options: argparse.Namespace) -> dict[str, Any]:
    """Measure all phases, round by round."""
    trials = options.trials // workers * workers
    shares: dict[str, list[float]] = {phase: [] for phase in PHASES}
    rates: dict[str, list[float]] = {phase: [] for phase in PHASES}
    pauses: list[float] = []
    run = f"bench-{workers}"
    with cluster(workers, trials) as made:
        client = made.client
        assert add_page(client)
        announced = {"event": "announced", "board": board(trials, workers, run).to_json()}
        client.log_event(TOPIC, {**announced, "client": client.id, "run": run})
        address = client.dashboard_link.replace("/status", "/dasktune")
        for _ in range(options.rounds):
            for phase in PHASES:
                place = PHASES.index(phase)
                made.follow(place >= PHASES.index("closed"))
                made.report(run if place >= PHASES.index("reports") else "")
                if place >= PHASES.index("driver"):
                    client.subscribe_topic(TOPIC, lambda event: None)
                with browser() if phase == "open" else contextlib.nullcontext() as tab:
                    drawn = 0
                    if tab is not None:
                        tab.open(address)
                        tab.wait("Bokeh.documents.length && Bokeh.documents[0].roots().length > 5")
                    time.sleep(SETTLES)
                    ticks = "Bokeh.documents[0].get_model_by_name('head').tags[0].data.n[0]"
                    drawn = tab.run(ticks) if tab is not None else 0
                    count, before, start = made.messages(), made.processor(), time.monotonic()
                    time.sleep(options.seconds)
                    wall = time.monotonic() - start
                    shares[phase].append(100 * (made.processor() - before) / wall)
                    rates[phase].append((made.messages() - count) / wall)
                    if tab is not None:
                        pauses.append(wall / max(1, tab.run(ticks) - drawn))
                if place >= PHASES.index("driver"):
                    client.unsubscribe_topic(TOPIC)
                if phase == "open":
                    made.wait_for_no_page()
                told = f"{shares[phase][-1]:.2f} %, {rates[phase][-1]:.0f} messages a second"
                print(f"{workers} workers, {phase}: {told}", file=sys.stderr, flush=True)
    return {
        "workers": workers,
        "trials": trials,
        "per cent of the scheduler's thread": shares,
        "messages a second": rates,
        "seconds between two updates of the page": pauses,
    }


def table(runs: list[dict[str, Any]]) -> Table:
    """Give what each phase took, and what it took more than the one before."""
    rows = []
    for run in runs:
        shares = run["per cent of the scheduler's thread"]
        middles = {phase: statistics.median(shares[phase]) for phase in PHASES}
        for before, phase in zip(("", *PHASES), PHASES, strict=False):
            more = f"{middles[phase] - middles[before]:+.2f}" if before else ""
            rate = statistics.median(run["messages a second"][phase])
            cells = [f"{run['workers']:,} workers, {phase}", f"{rate:.0f}"]
            rows.append([*cells, spread(shares[phase], 2), more])
    head = ["", "messages/s", "% of the scheduler's thread", "more than the line above"]
    return Table(head, rows)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1000, 16])
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    runs = [measure(workers, options) for workers in options.workers]
    print(table(runs).markdown())
    if options.write:
        write("dashboard", {"machine": machine(), "runs": runs}, table(runs))


if __name__ == "__main__":
    main()
