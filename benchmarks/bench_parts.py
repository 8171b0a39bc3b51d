"""The parts that a trial's overhead consists of, each timed by itself by pytest-benchmark.

    python -m pytest benchmarks/bench_parts.py --benchmark-enable

Without that option each part runs once, as a test of what it gives.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import xarray as xr

import dasktune as dt
from dasktune.commit import publish, shared_sync, staging
from dasktune.config import Config, TrialSpec
from dasktune.curve import Curve
from dasktune.fingerprint import key
from dasktune.job import open_splits
from dasktune.keys import train_parts
from dasktune.plan import State
from dasktune.run import Options, make
from dasktune.seeding import seed_everything, threads
from dasktune.stamp import Stamp, parse_stamp
from dasktune.store import Store

TRIALS = 1000


def preprocess():
    """Give two splits of 80 kB."""
    rows = {"x": (("sample", "feature"), np.zeros((100, 100), "float64"))}
    return {"train": xr.Dataset(rows), "val": xr.Dataset(rows)}


def train(trial, data):
    """Report once."""
    trial.report(score=trial.config.a)


space = dt.Space(a=dt.integers(1, TRIALS // 4), b=dt.choice(1, 2, 3, 4))
pipeline = dt.Pipeline(space, preprocess, train, objective="max score")


@pytest.fixture
def sweep(tmp_path):
    """The sweep above, preprocessed."""
    sweep = dt.Sweep.of(pipeline, store=str(tmp_path / "dist"))
    make(sweep, dt.Request(goals=("preprocessed",)), Options(cluster="none"))
    return sweep


def stamp(number: int = 0, epochs: int = 30) -> Stamp:
    """Give a trial's stamp with three curves."""
    spec = TrialSpec(Config({"lr": 0.1, "number": number}), {"seed": 1})
    parts = train_parts(spec, "c" * 64, {}, "d" * 64)
    curve = Curve()
    for epoch in range(epochs):
        curve.put(epoch, {"loss": 1 / (epoch + 1), "val_loss": 0.5, "val_accuracy": 0.9})
    body = {"parts": parts, "result": {"value": 0.9, "curve": curve.to_json()}}
    return Stamp.of("train", f"trained/{spec.id}", key("train", parts), "e" * 64, 1.0, body)


def test_a_key_is_made(benchmark):
    """Of a configuration of two hyperparameters."""
    parts = train_parts(TrialSpec(Config({"lr": 0.1, "hidden": 64}), {"seed": 1}), "c", {}, "d")
    assert len(benchmark(key, "train", parts)) == 16


def test_a_stamp_is_written_to_bytes_and_read_again(benchmark):
    """With three curves of 30 epochs."""
    made = stamp()
    read = benchmark(lambda: parse_stamp(made.to_bytes(), "here"))
    assert (read.key, read.body) == (made.key, made.body)


@pytest.mark.parametrize("shared", [False, True], ids=["flushed", "flushed-with-others"])
def test_a_target_is_committed(benchmark, tmp_path, shared):
    """Its folder, its stamp, its rename; and the disk is waited for, or others wait as well."""
    store = Store(str(tmp_path))
    store.prepare()
    numbers = itertools.count()

    def commit():
        made = stamp(next(numbers), 1)
        final = store.trained("x", made.key)
        with staging(store, "x") as folder:
            publish(store, folder, final, made, replace=False)
        return final

    if shared:
        with shared_sync(store):
            final = benchmark(commit)
    else:
        final = benchmark(commit)
    with open(f"{final}/.stamp", "rb") as file:
        assert parse_stamp(file.read(), final).key in final


def test_a_worker_opens_its_data_again(benchmark, sweep):
    """As the second trial in a worker does; the goal is 1 ms."""
    data = sweep.plan().targets["preprocessed"].outcome
    splits = benchmark(lambda: open_splits(sweep.store, data, None))
    assert splits["train"]["x"].shape == (100, 100)


def test_a_trial_is_seeded_and_its_threads_are_limited(benchmark):
    """Random numbers of Python, NumPy and torch."""

    def seed():
        with threads(1):
            seed_everything(7)
            return np.random.random()

    assert benchmark(seed) == seed()


def test_a_thousand_trials_are_planned(benchmark, sweep):
    """Where none is made yet."""
    plan = benchmark(sweep.plan)
    assert plan.count(State.STALE) == TRIALS
