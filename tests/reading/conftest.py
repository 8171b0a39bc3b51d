"""A sweep with replicates, spread and a failure, made once through the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PIPELINE = '''
"""Does a wider layer help?

More than the first paragraph is not told.
"""

import numpy as np
import xarray as xr

import dasktune as dt


def preprocess(rows: int = 4):
    return {"train": xr.Dataset({"x": ("row", np.arange(rows, dtype="float32"))})}


def train(trial, data, epochs=3, shift=0.0):
    config = trial.config
    if config.lr == 1.0 and trial.replicate["seed"] == 2:
        raise FloatingPointError(f"the loss is inf with width {config.width}")
    # The two best differ by less than their noise; the others by far more.
    noise = {0: 0.010, 1: -0.006, 2: 0.003}[trial.replicate["seed"]]
    noise *= 1 if config.width == 64 else -0.8
    value = {0.01: 0.5, 0.1: 0.9, 1.0: 0.2}[config.lr] + 0.001 * (config.width == 128)
    for epoch in trial.epochs(epochs):
        accuracy = (value + noise) * (epoch + 1) / epochs + shift
        trial.report(accuracy=accuracy, loss=1 - accuracy)


space = dt.Space(
    lr=dt.log_uniform(0.01, 1.0, points=3),
    width=dt.choice(64, 128),
    activation=dt.choice("relu"),
    seed=dt.replicates(3),
)
pipeline = dt.Pipeline(space, preprocess, train, objective="max accuracy")
'''


@pytest.fixture(scope="session")
def sweep_folder(tmp_path_factory) -> Path:
    """Give a folder with ``pipeline.py`` and its results under ``dist``; not to be changed."""
    folder = tmp_path_factory.mktemp("wide")
    (folder / "pipeline.py").write_text(PIPELINE)
    command = [sys.executable, "-m", "dasktune", "make", "--cluster", "none", "-i"]
    done = subprocess.run(
        [*command, "-f", "pipeline.py"], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def sweep(sweep_folder, monkeypatch) -> Path:
    """Give the same, as the current folder."""
    monkeypatch.chdir(sweep_folder)
    return sweep_folder
