"""What a no-op costs: planning a sweep in which everything is up to date.

    python benchmarks/bench_noop.py [TRIALS]

Stamps are written without training. Printed are seconds, the median of five plans, over what
importing the pipeline file costs; beside them the same for one value added to an axis.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import dasktune as dt
from dasktune.fingerprint import key
from dasktune.keys import train_parts
from dasktune.plan import State
from dasktune.run import Options, make
from dasktune.stamp import Stamp

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


def fill(sweep: dt.Sweep) -> None:
    """Write the stamps that training would have left, and collate them."""
    make(sweep, dt.Request(goals=("preprocessed",)), Options(cluster="none"))
    data = sweep.plan(dt.Request(goals=("preprocessed",))).targets["preprocessed"].outcome
    assert data is not None
    code = sweep.codes.codes["train"].digest
    for spec in sweep.pipeline.trials():
        parts = train_parts(spec, code, {}, data.digest)
        columns = {"score": [float(spec.config["a"])]}
        body = {
            "parts": parts,
            "sources": sweep.codes.digest,
            "result": {"value": 1.0, "curve": {"epochs": 1, "columns": columns, "dims": {}}},
            "place": {},
            "versions": {},
        }
        stamp = Stamp.of("train", f"trained/{spec.id}", key("train", parts), "d" * 64, 0.1, body)
        folder = Path(sweep.store.trained(spec.id, stamp.key))
        folder.mkdir(parents=True)
        (folder / ".stamp").write_bytes(stamp.to_bytes())
    started = time.perf_counter()
    summary = make(sweep, options=Options(cluster="none"))
    assert summary.exit_code == 0, summary.failures()
    print(f"collate           {time.perf_counter() - started:8.3f} s")


def timed(sweep: dt.Sweep) -> tuple[float, dt.Plan]:
    """Give the median time of five plans, and the last."""
    times = []
    for _ in range(5):
        started = time.perf_counter()
        plan = sweep.plan()
        times.append(time.perf_counter() - started)
    return statistics.median(times), plan


def main(trials: int) -> None:
    """Measure."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "noop.py")
        file.write_text(PIPELINE.replace("COUNT", str(trials // 4)))
        sweep = dt.Sweep.load(str(file), store=f"{folder}/dist")
        fill(sweep)
        seconds, plan = timed(sweep)
        assert plan.up_to_date
        print(f"no-op             {seconds:8.3f} s for {len(plan.trials())} trials")
        wider = dt.Sweep.load(str(file), store=f"{folder}/dist", overrides={"b": list("12345")})
        seconds, plan = timed(wider)
        assert plan.count(State.STALE) == trials // 4
        print(f"one value more    {seconds:8.3f} s for {len(plan.trials())} trials")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
