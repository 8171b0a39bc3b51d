"""The rivals, side by side: one sweep, the same work, done with each tool in its best setting.

    python benchmarks/bench_rivals.py [--rounds 3] [--only make,joblib] [--write]

Each rival is a command that ends when all its answers are on disk; its time is that of the whole
process, start-up included. The accuracies are compared before any time is told. Rounds are run
in turn, so that a busy minute of the machine meets them all; what takes minutes has one round.
``--write`` keeps the figures, the table and the plot in ``benchmarks/results/``.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import importlib.util
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from report import Table, machine, plot, spread, write

import dasktune as dt

HERE = Path(__file__).parent / "rivals"
PR_SET_CHILD_SUBREAPER = 36  # of Linux's prctl
_adopting = False
FULL = {
    "lr": [0.0003, 0.001, 0.003, 0.01],
    "weight_decay": [0.0, 0.001, 0.01, 0.1],
    "seed": [0, 1, 2, 3],
}
FUSED_TOLERANCE = 0.01
"""A vmapped sum adds in another order; after 30 epochs some samples at the border tip over."""


@dataclass(frozen=True)
class Rival:
    """One way to do the work.

    Attributes
    ----------
    name : str
        For the table.
    script : str
        In ``benchmarks/rivals``.
    needs : str
        The package without which it is left out.
    arguments : tuple of str
        Further ones.
    slow : bool
        Whether it takes minutes, and is therefore met in the first round alone.
    """

    name: str
    script: str
    needs: str = ""
    arguments: tuple[str, ...] = ()
    slow: bool = False


RIVALS = (
    Rival("dasktune", "dasktune_loop.py"),
    Rival("dasktune, fused", "dasktune_recipe.py"),
    Rival("serial", "serial.py"),
    Rival("joblib", "with_joblib.py", "joblib"),
    Rival("torch.multiprocessing", "with_torch_multiprocessing.py"),
    Rival("Dask, bare", "with_dask.py"),
    Rival("Optuna, threads", "with_optuna_threads.py", "optuna"),
    Rival("Optuna, processes", "with_optuna_journal.py", "optuna"),
    Rival("Ray Tune, reuse_actors", "with_ray.py", "ray", ("reuse",)),
    Rival("make", "with_make.py", slow=True),
    Rival("Ray Tune", "with_ray.py", "ray", slow=True),
)


def overrides(axes: dict[str, list[Any]]) -> dict[str, list[str]]:
    """Write the axes as the command line would."""
    return {name: [str(value) for value in values] for name, values in axes.items()}


def prepare(folder: Path, axes: dict[str, list[Any]], epochs: int, jobs: int) -> None:
    """Write the data and the sweep that all rivals read."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    x, val_x, y, val_y = train_test_split((x / 16).astype("float32"), y, random_state=0)
    np.savez(folder / "data.npz", x=x, y=y, val_x=val_x, val_y=val_y)
    sweep = dt.Sweep.load(str(HERE / "dasktune_loop.py"), overrides=overrides(axes))
    trials = [{**spec.config, "seed": spec.seed} for spec in sweep.pipeline.trials()]
    tree = {"epochs": epochs, "jobs": jobs, "trials": trials}
    (folder / "sweep.json").write_text(json.dumps(tree))


def command(rival: Rival, folder: Path, axes: dict[str, list[Any]], tree: dict[str, Any]) -> Any:
    """Give the command that does the work."""
    script = str(HERE / rival.script)
    if not rival.script.startswith("dasktune"):
        return [sys.executable, script, str(folder), *rival.arguments]
    words = [f"{name}={','.join(texts)}" for name, texts in overrides(axes).items()]
    words += [f"epochs={tree['epochs']}", f"folder={folder}", f"-j{tree['jobs']}"]
    store = ["--store", str(folder / "dist")]
    return [sys.executable, "-m", "dasktune", "make", "-f", script, *store, *words]


def adopt() -> None:
    """Become the parent of what a rival leaves behind, so that its processor time is counted.

    Only for a process of its own: `reap` waits for whatever child there is.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        global _adopting
        _adopting = True


def reap(seconds: float = 10.0) -> None:
    """Wait for what a rival left behind, such as a fork server and its workers."""
    until = time.monotonic() + (seconds if _adopting else 0.0)
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < until:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.01)


def run(
    rival: Rival, source: Path, axes: dict[str, list[Any]], tell: Callable[[str], None]
) -> tuple[float, float, list[float]]:
    """Do the work once, in a folder of its own; give seconds, CPU seconds and accuracies."""
    with tempfile.TemporaryDirectory(prefix="rival-") as name:
        folder = Path(name)
        for file in ("data.npz", "sweep.json"):
            shutil.copy(source / file, folder)
        tree = json.loads((folder / "sweep.json").read_text())
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        }
        for variable in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
            environment.pop(variable, None)
        words = command(rival, folder, axes, tree)
        started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(words, env=environment, capture_output=True, text=True)
        seconds = time.perf_counter() - started
        reap()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        if done.returncode:
            raise SystemExit(f"{rival.name} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        tell(f"{rival.name:24} {seconds:8.2f} s {cpu:8.2f} s of CPU")
        if rival.script.startswith("dasktune"):
            results = dt.open_results(folder / "dist" / rival.script.removesuffix(".py"))
            return seconds, cpu, [float(value) for value in results.objective.values]
        return seconds, cpu, json.loads((folder / "answers.json").read_text())


def compare(answers: dict[str, list[float]]) -> dict[str, float]:
    """Give the largest difference of each rival's accuracies from the first's."""
    reference = np.array(next(iter(answers.values())))
    found = {}
    for name, accuracies in answers.items():
        difference = np.abs(np.array(accuracies) - reference)
        found[name] = float(difference.max())
        allowed = FUSED_TOLERANCE if "fused" in name else 1e-6
        if not np.isfinite(difference).all() or found[name] > allowed:
            raise SystemExit(f"{name} has other accuracies: {difference.max():.4f} apart")
    return found


def measure(
    axes: dict[str, list[Any]],
    epochs: int,
    jobs: int,
    rounds: int,
    names: list[str],
    tell: Callable[[str], None] = print,
    keep: Callable[[dict[str, Any]], None] = lambda raw: None,
) -> dict[str, Any]:
    """Run all rivals so many times in turn, and give the raw figures."""
    installed = [
        rival
        for rival in RIVALS
        if (not names or rival.name in names)
        and (not rival.needs or importlib.util.find_spec(rival.needs))
    ]
    raw: dict[str, Any] = {
        "machine": machine(),
        "sweep": {"axes": axes, "epochs": epochs, "jobs": jobs},
        "load": [],
        "apart": {},
        "seconds": {rival.name: [] for rival in installed},
        "cpu": {rival.name: [] for rival in installed},
    }
    with tempfile.TemporaryDirectory(prefix="rivals-") as name:
        source = Path(name)
        prepare(source, axes, epochs, jobs)
        for number in range(rounds):
            answers = {}
            for rival in installed:
                if rival.slow and number:
                    continue
                raw["load"].append(round(os.getloadavg()[0], 1))
                seconds, cpu, answers[rival.name] = run(rival, source, axes, tell)
                raw["apart"] = compare(answers)
                raw["seconds"][rival.name].append(round(seconds, 3))
                raw["cpu"][rival.name].append(round(cpu, 3))
                keep(raw)
    return raw


def tabulate(raw: dict[str, Any]) -> Table:
    """Make the table: seconds, ratios of each round, and what processors did meanwhile."""
    seconds, cpu = raw["seconds"], raw["cpu"]
    bases = [name for name in ("dasktune", "dasktune, fused") if seconds.get(name)]
    rows = []
    for name, times in sorted(seconds.items(), key=lambda item: np.median(item[1] or [np.inf])):
        if times:
            ratios = [
                spread([a / b for a, b in zip(times, seconds[base], strict=False)], 2)
                for base in bases
            ]
            rows.append([name, spread(times, 1), *ratios, spread(cpu[name], 1)])
    head = ["rival", "seconds", *(f"/ {base}" for base in bases), "CPU seconds"]
    return Table(head, rows)


def main() -> None:
    """Measure, and show the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="names, split at ';'")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    names = [name.strip() for name in options.only.split(";") if name.strip()]
    keep = (
        (lambda raw: write("rivals", raw, tabulate(raw))) if options.write else (lambda raw: None)
    )
    adopt()
    raw = measure(FULL, options.epochs, options.jobs, options.rounds, names, print, keep)
    print(tabulate(raw).markdown())
    if options.write:
        trials = len(next(iter(overrides(FULL).values()))) ** len(FULL)
        path = write("rivals", raw, tabulate(raw))
        plot(path.with_suffix(".svg"), raw["seconds"], f"{trials} trials, {options.jobs} at a time")


if __name__ == "__main__":
    main()
