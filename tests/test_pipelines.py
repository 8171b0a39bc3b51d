"""The shipped pipelines, on their real data, through the real command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import dasktune as dt

PIPELINES = Path(__file__).parent.parent / "pipelines"
FASHION = Path(os.environ.get("FASHION_MNIST", "/usr/share/datasets/fashion-mnist"))


def make(name: str, store: Path, *words: str, code: int = 0) -> xr.Dataset | str:
    """Make a shipped pipeline in a process of its own."""
    command = [sys.executable, "-m", "dasktune", "make", "-f", str(PIPELINES / f"{name}.py")]
    done = subprocess.run(
        [*command, "--store", str(store), *words], capture_output=True, text=True, cwd=store
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr if code else dt.open_results(store / name)


def test_digits_learns_and_keeps_a_model(tmp_path):
    """On two workers, a part of the sweep."""
    dataset = make("digits", tmp_path, "-j2", "lr=0.01", "hidden=64", "seed=0,1", "epochs=10")
    assert dict(dataset.sizes) == {"trial": 4, "epoch": 10}
    assert (dataset.objective > 0.9).all()
    assert len(list((tmp_path / "digits" / "trained").glob("*/model.safetensors"))) == 4


def test_digits_is_a_sweep_of_at_least_24_configurations_in_40_lines():
    """The pipeline of 'make run'."""
    sweep = dt.Sweep.load(str(PIPELINES / "digits.py"))
    seeds = {tuple(spec.replicate.items()) for spec in sweep.pipeline.trials()}
    assert len(sweep.pipeline.trials()) // len(seeds) >= 24
    assert len((PIPELINES / "digits.py").read_text().splitlines()) <= 40


def test_moons_needs_no_epochs(tmp_path):
    """One row of metrics a trial."""
    dataset = make("moons", tmp_path, "--cluster", "none")
    assert dict(dataset.sizes) == {"trial": 25, "epoch": 1}
    assert dataset.objective.max() > 0.9
    assert dt.to_grid(dataset).accuracy.dims == ("epoch", "C", "gamma")


def test_breast_cancer_is_cross_validated_with_a_trial_a_fold(tmp_path):
    """All configs see the same folds."""
    dataset = make("breast_cancer", tmp_path, "--cluster", "none", "svc__gamma=0.01")
    assert dict(dataset.sizes) == {"trial": 20, "epoch": 1}
    grid = dt.to_grid(dataset)
    assert grid.val_roc_auc.dims == ("epoch", "svc__C", "fold")
    assert dt.leaderboard(dataset)["mean"].max() > 0.95


@pytest.fixture
def fashion():
    """Give the folder with the real images; where it is missing the gate fails, a person skips."""
    if not (FASHION / "train-images-idx3-ubyte.gz").exists():
        missing = "the Fashion-MNIST files are not here; run scripts/install-debian-packages"
        if os.environ.get("DASKTUNE_CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return FASHION


@pytest.mark.fashion
def test_fashion_mnist_learns_from_the_real_images(tmp_path, fashion):
    """A subset of them, in the published split."""
    words = ["--cluster", "none", "lr=0.003", "channels=8", "dropout=0.0", "seed=0"]
    dataset = make("fashion_mnist", tmp_path, *words, "images=7000", "epochs=2")
    assert dataset.objective.item() > 0.7
    folder = next((tmp_path / "fashion_mnist" / "preprocessed").iterdir())
    val = xr.open_zarr(folder / "data.zarr", group="val", consolidated=False)
    assert val.x.shape == (1000, 1, 28, 28)
    assert val.x.dtype == np.uint8
    assert set(np.unique(val.y)) == set(range(10))


def test_fashion_mnist_says_what_to_do_without_its_files(tmp_path, monkeypatch):
    """One line, three ways out."""
    monkeypatch.setenv("FASHION_MNIST", str(tmp_path))
    told = make("fashion_mnist", tmp_path, "--cluster", "none", code=2)
    assert "Install Debian's dataset-fashion-mnist, set FASHION_MNIST to a folder" in told
    assert "Traceback" not in told
