"""Trials per second of fused training, beside the loop's.

    python benchmarks/bench_fused.py [digits|fashion] [--trials N] [--epochs N] [--rounds N]
                                     [--widths 8,32,…] [--processes N] [--compile]

All ways train the same trials: same seeds, initial weights and batches. That they come to the same
curves is asserted before any time is told. Times are of training alone, in one process and one
thread (on a GPU: one process); ratios are round by round, ways taken in turn.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

import dasktune as dt
from dasktune.config import TrialSpec
from dasktune.data import Data
from dasktune.job import open_splits
from dasktune.run import Options, make
from dasktune.seeding import seed_everything, threads
from dasktune.trial import Trial

Curves = dict[str, list[float]]

DIGITS = """
import xarray as xr
from sklearn.datasets import load_digits
from torch import nn

import dasktune as dt


def preprocess():
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")
    return {
        name: xr.Dataset({"x": (("sample", "pixel"), x[part]), "y": ("sample", y[part])})
        for name, part in (("train", slice(0, 1347)), ("val", slice(1347, None)))
    }


def model(config, data):
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


space = dt.Space(lr=dt.log_uniform(1e-3, 1e-2), weight_decay=dt.uniform(0.0, 0.1))
pipeline = dt.Pipeline(
    space.sobol(1024, seed=0), preprocess, dt.TorchRecipe(model), objective="max val_accuracy"
)
"""

FASHION = """
import importlib.util
import sys

import dasktune as dt
from torch import nn

spec = importlib.util.spec_from_file_location("fashion_source", "PIPELINES/fashion_mnist.py")
source = importlib.util.module_from_spec(spec)
spec.loader.exec_module(source)


def preprocess(images: int = 1400):
    splits = source.preprocess(images)
    return {n: s.assign(x=s.x.astype("float32") / 255) for n, s in splits.items()}


def model(config, data):
    return source.Net(8, 0.0)


space = dt.Space(lr=dt.log_uniform(3e-4, 3e-3))
pipeline = dt.Pipeline(
    space.sobol(1024, seed=0),
    preprocess,
    dt.TorchRecipe(model, batch_size=128),
    objective="max val_accuracy",
)
"""


class Bench:
    """The trials, and the ways of training them."""

    def __init__(self, name: str, folder: str, epochs: int, trials: int, compiled: bool) -> None:
        pipelines = str(Path(__file__).parent.parent / "pipelines")
        text = {"digits": DIGITS, "fashion": FASHION}[name].replace("PIPELINES", pipelines)
        self.file = f"{folder}/{name}.py"
        Path(self.file).write_text(text)
        self.sweep = dt.Sweep.load(self.file, store=f"{folder}/dist")
        summary = make(self.sweep, dt.Request(goals=("preprocessed",)), Options(cluster="none"))
        assert summary.exit_code == 0, summary.failures()
        self.data: Data = open_splits(self.sweep.store, summary.outcomes["preprocessed"])
        self.specs: Sequence[TrialSpec] = self.sweep.pipeline.trials()[:trials]
        self.variables = {**self.sweep.pipeline.variables["train"], "epochs": epochs}
        self.variables["compile"] = compiled

    def loop(self) -> Curves:
        """Train one after the other."""
        curves = {}
        for spec in self.specs:
            trial = Trial(spec)
            seed_everything(spec.seed)
            self.sweep.pipeline.train(trial, self.data, **self.variables)
            curves[spec.id] = [row["val_loss"] for row in trial.curve.rows]
        return curves

    def fused(self, width: int, graphs: bool = True) -> Curves:
        """Train so many as one."""
        curves = {}
        recipe: dt.TorchRecipe = self.sweep.pipeline.train  # type: ignore[assignment]
        variables = {**self.variables, "graphs": graphs}
        trials = [Trial(spec) for spec in self.specs]
        for end in recipe.train_together(
            trials, self.data, width=width, stopping=lambda: False, **variables
        ):
            assert not end.alone, end.alone
            curves[end.trial.id] = [row["val_loss"] for row in end.trial.curve.rows]
        return curves


def check(expected: Curves, found: Curves, way: str) -> None:
    """Refuse to time what is not the same training."""
    assert expected.keys() == found.keys(), way
    for trial, curve in expected.items():
        np.testing.assert_allclose(found[trial], curve, rtol=0.02, atol=1e-3, err_msg=way)


def processes(count: int, arguments: argparse.Namespace) -> float:
    """Train by the loop in several processes at a time; give the seconds of the slowest."""
    share = -(-arguments.trials // count)
    command = [sys.executable, __file__, arguments.name, "--only-loop", "--rounds", "1"]
    command += ["--trials", str(share), "--epochs", str(arguments.epochs)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    return max(float(process.communicate()[0].split()[-1]) for process in running)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", nargs="?", default="digits", choices=["digits", "fashion"])
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--widths", default="8,32,64")
    parser.add_argument("--processes", type=int, default=0)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--only-loop", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, threads(1):
        bench = Bench(arguments.name, folder, arguments.epochs, arguments.trials, arguments.compile)
        if arguments.only_loop:
            bench.loop()
            started = time.perf_counter()
            bench.loop()
            print(time.perf_counter() - started)
            return
        measure(bench, arguments)


def measure(bench: Bench, arguments: argparse.Namespace) -> None:
    """Take all ways in turn, several times, and tell the medians."""
    ways: dict[str, Callable[[], Curves]] = {"loop": bench.loop}
    for width in map(int, arguments.widths.split(",")):
        if torch.cuda.is_available():
            ways[f"fused {width}, no graphs"] = lambda w=width: bench.fused(w, False)
        ways[f"fused {width}"] = lambda w=width: bench.fused(w)
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    expected = bench.loop()
    for way, run in ways.items():
        check(expected, run(), way)
    for _ in range(arguments.rounds):
        for way, run in ways.items():
            started = time.perf_counter()
            run()
            seconds[way].append(time.perf_counter() - started)
        if arguments.processes:
            way = f"loop in {arguments.processes} processes"
            seconds.setdefault(way, []).append(processes(arguments.processes, arguments))
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"
    print(f"Command: `python benchmarks/bench_fused.py {' '.join(sys.argv[1:])}`")
    print(f"{arguments.trials} trials, {arguments.epochs} epochs, {arguments.rounds} rounds")
    print(f"Python {platform.python_version()}, torch {torch.__version__}, {device}, ", end="")
    print(f"{os.cpu_count()} processors\n")
    print("| way | trials a second | times the loop: median (least to most) |\n|---|---|---|")
    for way, times in seconds.items():
        rate = arguments.trials / statistics.median(times)
        ratios = [loop / one for loop, one in zip(seconds["loop"], times, strict=True)]
        row = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"| {way} | {rate:.1f} | {row} |")


if __name__ == "__main__":
    main()
