"""The recipe for PyTorch: learns, resumes bit for bit, and counts as code."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors.torch import load_file

import dasktune as dt
from dasktune.errors import PipelineError
from dasktune.pytorch.problem import sample_order

FILE = """
import numpy as np
import xarray as xr
from torch import nn

import dasktune as dt


def preprocess():
    rng = np.random.default_rng(0)
    splits = {}
    for name, count in (("train", 203), ("val", 100)):
        x = rng.normal(size=(count, 4)).astype("float32")
        y = (x[:, 0] * x[:, 1] > 0).astype("int64")
        z = x[:, :1] * 3 + 1
        splits[name] = xr.Dataset(
            {"x": (("row", "axis"), x), "y": ("row", y), "z": (("row", "one"), z)}
        )
    return splits


def twice(loss):
    return loss * 2


def error(outputs, targets):
    return twice((outputs - targets).abs().mean())


def model(config, data):
    width = config.get("width", 16)
    return nn.Sequential(
        nn.Linear(4, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, 2)
    )


def line(config, data):
    return nn.Linear(4, 1)


space = dt.Space(lr=dt.choice(0.003, 0.03))
train = dt.TorchRecipe(model, epochs=4, batch_size=32)
pipeline = dt.Pipeline(space, preprocess, train, objective="min val_loss", checkpoint_every=0)
"""


@pytest.fixture
def recipe(project):
    """Give a project that trains a small network by the recipe."""
    project.file.write_text(FILE)
    return project


def weights(project, name="dist") -> dict[str, dict[str, torch.Tensor]]:
    """Load what the trials kept."""
    files = (project.folder / name / "toy" / "trained").glob("*/model.safetensors")
    return {file.parent.name: load_file(file) for file in files}


def test_a_classification_learns(recipe):
    """With its metrics reported, one row an epoch."""
    result = recipe.make("epochs=30")
    assert result.code == 0, result.err
    dataset = recipe.dataset()
    assert set(dataset.data_vars) == {"train_loss", "val_loss", "val_accuracy"}
    assert dataset.sizes["epoch"] == 30
    assert dataset.val_accuracy.isel(epoch=-1).max() > 0.85


@pytest.mark.parametrize(
    "options",
    [
        'optimizer="sgd", lr=0.05',
        'optimizer="sgd", lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4, clip=1.0',
        'optimizer="adam", lr=0.05, beta1=0.8, schedule="cosine"',
        'optimizer="adamw", lr=0.05, schedule="one_cycle", warmup=1',
        'lr=0.05, schedule="step", step_size=60, gamma=0.5, amp=True',
    ],
)
def test_a_regression_learns_with_each_optimizer_and_schedule(recipe, options):
    """A straight line, with a metric of the user's."""
    recipe.edit(
        "space = dt.Space(lr=dt.choice(0.003, 0.03))", "space = dt.Space(width=dt.choice(16))"
    )
    recipe.edit(
        "dt.TorchRecipe(model, epochs=4, batch_size=32)",
        f'dt.TorchRecipe(line, targets="z", loss="mse_loss", metrics={{"error": error}}, '
        f"epochs=120, {options})",
    )
    result = recipe.make()
    assert result.code == 0, result.err
    dataset = recipe.dataset()
    assert dataset.val_loss.isel(epoch=-1).item() < 0.1
    assert "val_accuracy" not in dataset
    assert dataset.val_error.dims == ("trial", "epoch")


def test_the_config_goes_before_the_recipe_and_the_command_line_before_what_is_fixed(recipe):
    """The rate is a hyperparameter; the number of epochs is not."""
    assert recipe.make().code == 0
    assert recipe.dataset().sizes["epoch"] == 4
    assert recipe.make("epochs=2", "lr=0.1").code == 0
    assert recipe.dataset().sizes["epoch"] == 2
    assert recipe.dataset().lr.values.tolist() == [0.1]
    wrong = recipe.make("epoch=2")
    assert wrong.code == 2
    assert "did you mean 'epochs'" in wrong.err.lower()


@pytest.mark.parametrize(
    ("old", "new", "retrains"),
    [
        ("nn.Dropout(0.1)", "nn.Dropout(0.2)", True),
        ("batch_size=32", "batch_size=16", True),
        ("return loss * 2", "return loss * 3", False),
        ("return nn.Linear(4, 1)", "return nn.Linear(4, 1, bias=False)", False),
    ],
)
def test_the_model_and_the_options_count_as_code(recipe, old, new, retrains):
    """What the recipe does not reach does not count."""
    recipe.make()
    recipe.edit(old, new)
    assert recipe.make("-q").code == int(retrains)


def test_the_metrics_and_what_they_call_count_as_code(recipe):
    """Through the recipe's mapping."""
    recipe.edit(
        "batch_size=32", 'batch_size=32, targets="z", loss="mse_loss", metrics={"e": error}'
    )
    recipe.edit("TorchRecipe(model", "TorchRecipe(line")
    assert recipe.make().code == 0
    recipe.edit("return loss * 2", "return loss * 3")
    assert recipe.make("-q").code == 1


def test_patience_stops_and_the_best_weights_are_kept(recipe):
    """No neighbour is touched; the row of the best epoch is in the curve."""
    recipe.edit("epochs=4", 'epochs=200, patience=3, keep="best"')
    assert recipe.make().code == 0
    dataset = recipe.dataset()
    lengths = np.isfinite(dataset.val_loss.values).sum(axis=1)
    assert (lengths < 200).all()
    data = recipe_data(recipe)
    for trial, length in zip(dataset.trial.values, lengths, strict=True):
        curve = dataset.val_loss.sel(trial=trial).values[:length]
        assert int(np.argmin(curve)) == length - 4
        model = build(next(w for n, w in weights(recipe).items() if n.startswith(trial)))
        with torch.no_grad():
            loss = torch.nn.functional.cross_entropy(model(data[0]), data[1])
        assert loss.item() == pytest.approx(curve.min(), rel=1e-5)


def recipe_data(project):
    """Give the validation split."""
    folder = next((project.root / "preprocessed").iterdir())
    data = dt.Data(str(folder / "data.zarr"), ("train", "val"))
    return data.tensor("val", "x"), data.tensor("val", "y")


def build(state):
    """Build the fixture's network with given weights."""
    from torch import nn

    layers = [nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 2)]
    model = nn.Sequential(*layers)
    model.load_state_dict(state)
    return model.eval()


def test_nothing_is_kept_where_nothing_is_wanted(recipe):
    """keep="none"."""
    recipe.edit("epochs=4", 'epochs=1, keep="none"')
    assert recipe.make().code == 0
    assert weights(recipe) == {}


def test_killed_at_random_times_it_goes_on_to_the_same_curve_and_weights(recipe):
    """Kill -9 again and again; bit for bit as if it had never been."""
    words = ["--cluster", "none", "epochs=60", "lr=0.03"]
    command = [sys.executable, "-m", "dasktune", "make", "-f", str(recipe.file), *words]
    command += ["--store", str(recipe.folder / "killed")]
    checkpoints = recipe.folder / "killed" / "toy" / "checkpoints"
    kills = 0
    for attempt in range(12):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 60
        older = {path: path.stat().st_mtime_ns for path in checkpoints.glob("*/*.pt")}
        while process.poll() is None and attempt < 5:
            newer = {path: path.stat().st_mtime_ns for path in checkpoints.glob("*/*.pt")}
            if newer != older:
                time.sleep(random.random() * 0.1)
                process.send_signal(signal.SIGKILL)
                kills += 1
                break
            assert time.monotonic() < deadline
            time.sleep(0.001)
        _, error = process.communicate(timeout=100)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, error
    assert process.returncode == 0
    assert kills >= 2
    assert recipe.make("epochs=60", "lr=0.03").code == 0
    killed = dt.open_results(recipe.folder / "killed" / "toy")
    xr.testing.assert_identical(
        recipe.dataset().drop_vars(["seconds", "training_seconds", "finished", "worker"]),
        killed.drop_vars(["seconds", "training_seconds", "finished", "worker"]),
    )
    one, other = weights(recipe), weights(recipe, "killed")
    assert one.keys() == other.keys() != set()
    for trial, tensors in one.items():
        for name, tensor in tensors.items():
            assert torch.equal(tensor, other[trial][name])
    assert os.listdir(recipe.folder / "killed" / "toy" / "tmp") == []


def test_the_order_of_samples_depends_on_seed_and_epoch_alone():
    """Neither on what was drawn before, nor on the model."""
    first = sample_order(7, 3, 100)
    torch.rand(10)
    assert torch.equal(first, sample_order(7, 3, 100))
    assert sorted(first.tolist()) == list(range(100))
    assert not torch.equal(first, sample_order(7, 4, 100))
    assert not torch.equal(first, sample_order(8, 3, 100))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"optimizer": "adamm"}, "did you mean 'adam"),
        ({"loss": "mse"}, "loss must be one of"),
        ({"schedule": 3}, "schedule must be one of"),
        ({"batch_size": 0}, "batch_size must be an int of at least 1, but got 0"),
        ({"epochs": 1.5}, "epochs must be an int of at least 0, but got 1.5"),
        ({"lr": -1.0}, "lr must be a number of at least 0, but got -1.0"),
        ({"amp": "yes"}, "amp must be True or False, but got 'yes'"),
        ({"beta2": 1.0}, "beta2 must be below 1, but got 1.0"),
        ({"label_smoothing": 0.1, "loss": "mse_loss"}, "label_smoothing is for loss="),
        ({"keep": "every"}, "keep must be one of last, best, all, none, but got 'every'"),
    ],
)
def test_options_that_do_not_fit_are_told_with_the_rule(options, words):
    """When the pipeline file is read, before anything runs."""
    with pytest.raises(PipelineError) as caught:
        dt.TorchRecipe(lambda config, data: None, **options)
    assert words.lower() in str(caught.value).lower()


def test_a_split_larger_than_the_buffer_is_read_in_windows(recipe):
    """It learns the same data in another order, goes on bit for bit, and is not fused."""
    recipe.edit("epochs=4", "epochs=4, buffer='3 kB'")
    assert recipe.make("-s").code == 0
    first, kept = dt.open_results(recipe.root), weights(recipe)
    assert np.isfinite(first.train_loss).all()
    assert "alone: the data are read in windows" in recipe.cli("plan", "-W", "preprocessed").out
    assert recipe.make("-s", "epochs=2", "--store", "again").code == 0
    assert recipe.make("-s", "--store", "again").code == 0
    again = dt.open_results(recipe.folder / "again" / "toy")
    assert np.array_equal(first.train_loss, again.train_loss)
    for name, tensors in weights(recipe, "again").items():
        if name in kept:
            assert all(torch.equal(tensor, kept[name][word]) for word, tensor in tensors.items())
    assert recipe.make("-s", "buffer=1GiB", "--store", "whole").code == 0
    assert recipe.make("-s", "buffer=0", "--store", "plain").code == 0
    whole = dt.open_results(recipe.folder / "whole" / "toy")
    plain = dt.open_results(recipe.folder / "plain" / "toy")
    assert np.array_equal(whole.train_loss, plain.train_loss)
    assert not np.array_equal(whole.train_loss, first.train_loss)


@pytest.mark.gpu
def test_a_gpu_is_used_where_there_is_one(recipe):
    """And the kept weights lie on the CPU."""
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device here")
    assert recipe.make("amp=true").code == 0
    assert "cuda" in str(recipe.dataset().device.values[0]).lower()
