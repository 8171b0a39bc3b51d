"""What watching costs the scheduler: 1,000 trials, a row a second each, with the page open.

Measured is the processor time that the scheduler's process uses in a second of the wall clock.
Reports come as they do from 1,000 workers (a message for every few rows of one trial, at the
heart-beat that Dask gives a cluster of that size), and as from few workers with many trials each
(one message for all). The browser is a real one, in a process of its own.

    python benchmarks/bench_dashboard.py [--trials 1000] [--seconds 30] [--browsers 1]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from distributed import Client

from dasktune.board import Board
from dasktune.events import TOPIC
from dasktune.objective import Objective
from dasktune.row import Row
from dasktune.watch import add_page

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))
from browser import browser

EPOCHS = 200


def board(trials: int, run: str) -> Board:
    """Make the board of a sweep whose trials all run."""
    made = Board("bench", run, "/nowhere", Objective.parse("max accuracy"), time.time())
    for i in range(trials):
        axes = {"lr": 10.0 ** -(i % 7), "hidden": 2 ** (i % 9), "act": ["relu", "gelu"][i % 2]}
        row = Row(f"trial-{i}", axes, "running", worker=str(i), since=time.time(), epochs=EPOCHS)
        made.add(row)
    return made


def rows(trial: int, epoch: int, count: int) -> list[list[object]]:
    """Make rows as a worker's mailbox sends them."""
    found = []
    for step in range(epoch, epoch + count):
        value = 1 - float(np.exp(-step / 40)) * (1 + trial % 10 / 10)
        found.append([f"trial-{trial}", step, EPOCHS, {"accuracy": value, "loss": -value}, 0.0])
    return found


def pump(client: Client, run: str, trials: int, seconds: float, together: bool) -> int:
    """Send a row a second of each trial; give how many messages it took."""
    every = 1.0 if together else 5.0
    sent, epoch, start = 0, 0, time.monotonic()
    message = {"event": "events", "run": run, "device": "cpu"}
    while time.monotonic() - start < seconds:
        if together:  # 16 workers
            for part in np.array_split(np.arange(trials), 16):
                some = [row for t in part for row in rows(int(t), epoch, 1)]
                client.log_event(TOPIC, {**message, "events": some})
                sent += 1
        else:  # spread over the interval, as the heart-beats of many workers are
            for i in range(trials):
                client.log_event(TOPIC, {**message, "events": rows(i, epoch, int(every))})
                sent += 1
                due = start + epoch + every * (i + 1) / trials
                time.sleep(max(0.0, due - time.monotonic()))
        epoch += int(every)
        time.sleep(max(0.0, start + epoch - time.monotonic()))
    return sent


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        info = f"{folder}/scheduler.json"
        command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1"]
        command += ["--port", "0", "--dashboard-address", "127.0.0.1:0", "--scheduler-file", info]
        with open(f"{folder}/log", "w") as log:
            scheduler = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            while not os.path.exists(info):
                time.sleep(0.1)
            with Client(scheduler_file=info) as client:
                measure(client, psutil.Process(scheduler.pid), options)
        finally:
            scheduler.terminate()
            scheduler.wait()


def measure(client: Client, process: psutil.Process, options: argparse.Namespace) -> None:
    """Measure with nothing, with reports, and with a browser as well."""
    add_page(client)
    address = client.dashboard_link.replace("/status", "/dasktune")

    def used(what: str, work: object) -> None:
        before, start = process.cpu_times(), time.monotonic()
        messages = work()  # type: ignore[operator]
        wall, after = time.monotonic() - start, process.cpu_times()
        spent = after.user + after.system - before.user - before.system
        print(f"| {what} | {messages / wall:.0f} | {100 * spent / wall:.2f} % |", flush=True)

    def nothing() -> int:
        time.sleep(options.seconds)
        return 0

    print("| what | messages/s | of the scheduler's one thread |\n|---|---|---|")
    used("idle", nothing)
    for together in (False, True):
        run = f"run-{together}"
        announced = {"event": "announced", "board": board(options.trials, run).to_json()}
        client.log_event(TOPIC, {**announced, "client": client.id, "run": run})
        how = "few workers" if together else "a worker a trial"

        def work(run: str = run, together: bool = together) -> int:
            return pump(client, run, options.trials, options.seconds, together)

        used(f"reports, {how}", work)
        with browser() as tab:
            tab.open(address)
            tab.wait("Bokeh.documents.length && Bokeh.documents[0].roots().length > 5")
            work_first = 10.0
            pump(client, run, options.trials, work_first, together)  # the page settles
            used(f"reports, {how}, page open", work)
            ticks = "Bokeh.documents[0].get_model_by_name('head').tags[0].data.n[0]"
            first, at = tab.run(ticks), time.monotonic()
            pump(client, run, options.trials, 20, together)
            pause = (time.monotonic() - at) / max(1, tab.run(ticks) - first)
            print(f"the page was drawn anew every {pause:.1f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
