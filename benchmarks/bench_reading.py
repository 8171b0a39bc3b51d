"""What reading a large sweep costs: tables, exports, figures and the report, as commands.

    python benchmarks/bench_reading.py [--trials 10000] [--rounds 3] [--write]

The stamps are written as training would have left them, with curves of thirty epochs; the
collation is a real one. Each figure is that of a whole command, from start to end.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from report import Table, machine, spread, write

import dasktune as dt
from dasktune.fingerprint import key
from dasktune.keys import train_parts
from dasktune.run import Options, make
from dasktune.stamp import Stamp

PIPELINE = """
import numpy as np
import xarray as xr

import dasktune as dt


def preprocess():
    return {"train": xr.Dataset({"x": ("row", np.zeros(4))})}


def train(trial, data, epochs=30):
    for epoch in trial.epochs(epochs):
        trial.report(train_loss=1.0, val_loss=1.0, val_accuracy=0.5)


space = dt.Space(
    lr=dt.log_uniform(1e-4, 1e-1, points=POINTS),
    width=dt.choice(32, 64, 128, 256),
    dropout=dt.choice(0.0, 0.1, 0.2, 0.3, 0.4),
    activation=dt.choice("relu", "gelu"),
    seed=dt.replicates(5),
)
pipeline = dt.Pipeline(space, preprocess, train, objective="max val_accuracy")
"""
EPOCHS = 30
COMMANDS = {
    "results": ["results"],
    "results --where 'lr>0.00005' --best 10": ["results", "--where", "lr>0.00005", "--best", "10"],
    "results --group-by width,activation": ["results", "--group-by", "width,activation"],
    "results --to csv": ["results", "--to", "csv", "--output", "out.csv"],
    "results --to parquet": ["results", "--to", "parquet", "--output", "out.parquet"],
    "results --to tensorboard": ["results", "--to", "tensorboard", "--output", "FRESH"],
    "plot curves": ["plot", "curves", "--output", "curves.png"],
    "plot parallel": ["plot", "parallel", "--output", "parallel.png"],
    "report": ["report", "--output", "report.html"],
    "results --partial (from the stamps)": ["results", "--partial"],
}


def fill(sweep: dt.Sweep) -> float:
    """Write the stamps that training would have left; collate them, and give the seconds."""
    make(sweep, dt.Request(goals=("preprocessed",)), Options(cluster="none"))
    data = sweep.plan(dt.Request(goals=("preprocessed",))).targets["preprocessed"].outcome
    assert data is not None
    code, drawn = sweep.codes.codes["train"].digest, random.Random(0)
    variables = sweep.pipeline.variables["train"]
    for number, spec in enumerate(sweep.pipeline.trials()):
        parts = train_parts(spec, code, variables, data.digest)
        height = drawn.random()
        rise = [1 - 1 / (epoch + 2) for epoch in range(EPOCHS)]
        columns = {
            "train_loss": [1 - step * height for step in rise],
            "val_loss": [1 - step * height + drawn.random() / 50 for step in rise],
            "val_accuracy": [step * height + drawn.random() / 50 for step in rise],
        }
        value = columns["val_accuracy"][-1]
        body = {
            "parts": parts,
            "sources": sweep.codes.digest,
            "axes": dict(spec.axes()),
            "variables": dict(variables),
            "objective": str(sweep.pipeline.objective),
            "result": {"value": value, "curve": {"epochs": EPOCHS, "columns": columns, "dims": {}}},
            "place": {"worker": f"w{number % 8}", "device": "cpu", "host": "here"},
            "versions": {},
            "finished": time.time() - 10_000 + number,
        }
        stamp = Stamp.of("train", f"trained/{spec.id}", key("train", parts), "d" * 64, 9.0, body)
        folder = Path(sweep.store.trained(spec.id, stamp.key))
        folder.mkdir(parents=True)
        (folder / ".stamp").write_bytes(stamp.to_bytes())
    started = time.perf_counter()
    summary = make(sweep, options=Options(cluster="none"))
    assert summary.exit_code == 0, summary.failures()
    return time.perf_counter() - started


# A process counts the memory of the one that forked it as its own, so a small one does.
CHILD = """
import resource, subprocess, sys, time
started = time.perf_counter()
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(time.perf_counter() - started, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
sys.exit(code)
"""


def timed(command: list[str], folder: str) -> dict[str, float]:
    """Run a command, and give its seconds, its processor's seconds, and its memory's peak."""
    words = [word.replace("FRESH", f"fresh-{time.time_ns()}") for word in command]
    words = [sys.executable, "-m", "dasktune", *words, "-f", "reading.py"]
    told = subprocess.run(
        [sys.executable, "-S", "-c", CHILD, *words],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    seconds, cpu, megabytes = map(float, told.split())
    return {"seconds": seconds, "cpu": cpu, "mb": megabytes}


def main() -> None:
    """Measure, and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    raw: dict[str, Any] = {"machine": machine(), "trials": 0, "commands": {}}
    with tempfile.TemporaryDirectory() as folder:
        points = max(1, options.trials // 200)
        file = Path(folder, "reading.py")
        file.write_text(PIPELINE.replace("POINTS", str(points)))
        sweep = dt.Sweep.load(str(file), store=f"{folder}/dist")
        raw["collate"] = fill(sweep)
        raw["trials"] = points * 200
        for name, command in COMMANDS.items():
            raw["commands"][name] = [timed(command, folder) for _ in range(options.rounds)]
        for name in ("report.html", "out.csv"):
            raw[name] = Path(folder, name).stat().st_size
    rows = [
        [
            f"`dasktune {name}`",
            spread([run["seconds"] for run in runs], 1),
            spread([run["cpu"] for run in runs], 1),
            f"{max(run['mb'] for run in runs):.0f}",
        ]
        for name, runs in raw["commands"].items()
    ]
    rows.append(["collating, in a process that runs", f"{raw['collate']:.1f}", "", ""])
    head = [f"{raw['trials']:,} trials, {EPOCHS} epochs, 3 metrics", "seconds", "CPU", "MB at most"]
    table = Table(head, rows)
    print(table.markdown())
    print(f"report.html {raw['report.html'] / 1e6:.1f} MB, out.csv {raw['out.csv'] / 1e6:.1f} MB")
    if options.write:
        print(write("reading", raw, table))


if __name__ == "__main__":
    main()
