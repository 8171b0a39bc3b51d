"""Budgets: a longer training goes on from where a shorter one ended, and is the same."""

from __future__ import annotations

import pytest
import torch
import xarray as xr
from safetensors.torch import load_file

import dasktune as dt
from dasktune.errors import PipelineError

FILE = """
import os

import numpy as np
import torch
import xarray as xr

import dasktune as dt

HERE = os.path.dirname(__file__)


def note(word):
    with open(f"{HERE}/log", "a") as file:
        file.write(word + "\\n")


def preprocess():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3)).astype("float32")
    split = xr.Dataset({"x": (("row", "axis"), x), "y": ("row", (x[:, 0] > 0).astype("int64"))})
    return {"train": split, "val": split}


def train(trial, data, epochs=3):
    x, y = data.tensor("train", "x"), data.tensor("train", "y")
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Dropout(0.2), torch.nn.Linear(4, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=trial.config.lr)
    trial.checkpoint(model=model, optimizer=optimizer)
    for epoch in trial.epochs(epochs):
        note(f"{trial.config.lr} {epoch}")
        loss = torch.nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        trial.report(val_loss=loss)
        if os.path.exists(f"{HERE}/stop") and epoch == 4:
            trial.end()
            break
    return model


def model(config, data):
    note("built")
    return torch.nn.Linear(3, 2)


space = dt.Space(lr=dt.choice(0.01, 0.1))
pipeline = dt.Pipeline(space, preprocess, train, objective="min val_loss", budget="epochs")
"""

RECIPE = "dt.Pipeline(space, preprocess, dt.TorchRecipe(model, batch_size=16, OPTIONS), objective="


@pytest.fixture
def loop(project):
    """Give a project with a loop of the user's own."""
    project.file.write_text(FILE)
    return project


@pytest.fixture
def recipe(loop):
    """Make a project that trains by the recipe, with options."""

    def write(options):
        text = FILE.replace(', budget="epochs"', "")
        old = "dt.Pipeline(space, preprocess, train, objective="
        loop.file.write_text(text.replace(old, RECIPE.replace("OPTIONS", options)))
        return loop

    return write


def kept(project, name):
    """Load dataset and weights of a store."""
    dataset = dt.open_results(project.folder / name / "toy")
    weights = {
        f"{trial}/{tensor}": values
        for trial, key in zip(dataset.trial.values, dataset.key.values, strict=True)
        for tensor, values in load_file(
            project.folder / name / "toy" / "trained" / f"{trial}-{key}" / "model.safetensors"
        ).items()
    }
    return dataset.drop_vars(["seconds", "training_seconds", "finished"]), weights


def same(project, one="dist", other="fresh"):
    """Compare the newest results of two stores, bit for bit."""
    (dataset, weights), (expected, expected_weights) = kept(project, one), kept(project, other)
    xr.testing.assert_identical(dataset, expected)
    assert weights.keys() == expected_weights.keys()
    assert all(torch.equal(weights[name], expected_weights[name]) for name in weights)


def make(project, *words, store="dist"):
    """Make, and say what was noted."""
    result = project.make(*words, "--store", str(project.folder / store))
    assert result.code == 0, result.err
    return project.ran()


def resumed(project, store="dist"):
    """Say at which epoch the newest trials went on."""
    sweep = dt.Sweep.load(str(project.file), store=str(project.folder / store))
    dataset = dt.open_results(project.folder / store / "toy")
    stamps = (
        sweep.store.stamp(sweep.store.trained(trial, key))
        for trial, key in zip(dataset.trial.values, dataset.key.values, strict=True)
    )
    return [stamp.body["resumed_at"] for stamp in stamps]


def test_more_epochs_train_only_those_that_are_missing(loop):
    """And come to the same curve and weights as all of them at once."""
    assert len(make(loop)) == 6
    plan = loop.cli("plan", "epochs=5").out
    assert "epochs: 3 -> 5; goes on from epoch 3" in plan
    assert make(loop, "epochs=5") == ["0.01 3", "0.01 4", "0.1 3", "0.1 4"]
    assert len(make(loop, "epochs=5", store="fresh")) == 10
    same(loop)
    assert make(loop, "epochs=5") == make(loop) == []


def test_fewer_epochs_start_anew_and_disturb_nothing(loop):
    """A state of later epochs is of no use to them."""
    make(loop, "epochs=5")
    assert len(make(loop, "epochs=2")) == 4
    assert make(loop, "epochs=6") == ["0.01 5", "0.1 5"]


def test_an_edited_default_is_the_same_as_a_variable_on_the_command_line(loop):
    """Up to date in both directions; and more epochs in the file go on as well."""
    make(loop, "epochs=4")
    loop.edit("epochs=3", "epochs=4")
    assert make(loop) == []
    loop.edit("epochs=4", "epochs=5")
    assert make(loop) == ["0.01 4", "0.1 4"]
    loop.edit("epochs=5", "epochs=3")
    loop.edit("epoch == 4", "epoch == 5")
    assert len(make(loop)) == 6


def test_always_make_trains_from_the_start(loop):
    """-B asks for it."""
    make(loop)
    assert len(make(loop, "-B", "trained")) == 6
    assert len(make(loop, "-B", "epochs=5", "trained")) == 10


def test_an_early_stop_goes_on_under_a_longer_budget(loop):
    """Nothing is trained twice, whatever ended the training."""
    (loop.folder / "stop").touch()
    assert len(make(loop, "epochs=9")) == 10
    (loop.folder / "stop").unlink()
    assert make(loop, "epochs=10") == [f"{lr} {e}" for lr in (0.01, 0.1) for e in range(5, 10)]
    make(loop, "epochs=10", store="fresh")
    same(loop)


def test_a_damaged_checkpoint_is_passed_over(loop):
    """For an earlier one, or for the start; the result is the same."""
    make(loop)
    make(loop, "epochs=4")
    for path in (loop.root / "checkpoints").glob("*/final-4.pt"):
        path.write_bytes(path.read_bytes()[:100])
    assert make(loop, "epochs=5") == ["0.01 3", "0.01 4", "0.1 3", "0.1 4"]
    make(loop, "epochs=5", store="fresh")
    same(loop)


def test_without_a_budget_a_longer_training_is_another_one(loop):
    """And no checkpoint stays."""
    loop.edit(', budget="epochs"', "")
    make(loop)
    assert list((loop.root / "checkpoints").glob("*")) == []
    assert len(make(loop, "epochs=4")) == 8


@pytest.mark.parametrize("name", ["epoch", "data", "seed"])
def test_a_budget_that_is_no_variable_is_refused(loop, name):
    """With what it could have been."""
    loop.edit('budget="epochs"', f'budget="{name}"')
    result = loop.make()
    assert result.code == 2
    assert "budget must name a variable of train() that is an int" in result.err


@pytest.mark.parametrize("fuse", [("off", "off"), ("2", "2"), ("off", "2"), ("2", "off")])
@pytest.mark.parametrize(
    "options",
    [
        'optimizer="adam", keep="best"',
        'optimizer="sgd", momentum=0.9, schedule="step", step_size=2',
        'schedule="cosine", horizon=8, warmup=2, patience=2',
    ],
)
def test_the_recipe_goes_on_in_either_way(recipe, options, fuse):
    """From the loop's checkpoint or from the fused training's."""
    project = recipe(f"epochs=4, {options}")
    make(project, "--fuse", fuse[0])
    make(project, "--fuse", fuse[1], "epochs=7")
    assert resumed(project) == [4, 4]
    make(project, "--fuse", fuse[1], "epochs=7", store="fresh")
    assert resumed(project, "fresh") == [0, 0]
    if fuse[0] == fuse[1] == "off":
        same(project)
        return
    (dataset, weights), (expected, expected_weights) = kept(project, "dist"), kept(project, "fresh")
    xr.testing.assert_allclose(dataset.drop_vars("trial"), expected.drop_vars("trial"), rtol=1e-4)
    for name, tensor in weights.items():
        torch.testing.assert_close(tensor, expected_weights[name], rtol=1e-3, atol=1e-5)


def test_a_schedule_that_stretches_over_the_epochs_starts_anew(recipe):
    """A cosine over 7 epochs is not at first one over 4."""
    project = recipe('epochs=4, schedule="cosine"')
    make(project)
    assert "goes on" not in project.cli("plan", "epochs=7").out
    make(project, "epochs=7")
    assert resumed(project) == [0, 0]


def test_a_budget_in_the_space_is_a_hyperparameter(recipe):
    """Then it is part of the trial's name and seed, and nothing goes on."""
    project = recipe("batch_size=16")
    project.edit("batch_size=16, batch_size=16", "batch_size=16")
    project.edit("lr=dt.choice(0.01, 0.1)", "epochs=dt.choice(1, 2)")
    make(project)
    assert resumed(project) == [0, 0]


def test_the_budget_of_a_pipeline_in_python_is_checked():
    """As on the command line."""
    with pytest.raises(PipelineError, match="Did you mean 'epochs'"):
        dt.Pipeline(
            dt.Space(a=1),
            lambda: {},
            lambda trial, data, epochs=3: None,
            objective="min loss",
            budget="epoch",
        )
