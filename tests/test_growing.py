"""Growing a sweep: only what is missing is trained, and the dataset holds the union."""

from __future__ import annotations

import dasktune as dt

RECIPE = """
import numpy as np
import torch
import xarray as xr

import dasktune as dt


def preprocess():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3)).astype("float32")
    split = xr.Dataset({"x": (("row", "axis"), x), "y": ("row", (x[:, 0] > 0).astype("int64"))})
    return {"train": split, "val": split}


def model(config, data):
    return torch.nn.Linear(3, 2)


space = dt.Space(lr=dt.choice(0.01, 0.1))
train = dt.TorchRecipe(model, epochs=1, batch_size=16)
pipeline = dt.Pipeline(space, preprocess, train, objective="min val_loss")
"""


def test_an_axis_with_a_default_keeps_what_was_trained(project):
    """Its neutral value is what the trials had before; only the others are trained."""
    project.make()
    before = set(project.dataset().key.values)
    project.ran()
    project.edit("b=dt.choice(3, 4))", "b=dt.choice(3, 4), c=dt.choice(0, 1).default(0))")
    assert "4 never trained; 4 kept" in project.cli("plan").out
    assert project.make().code == 0
    assert sorted(project.ran()) == [f"train a={a},b={b},c=1" for a in (1, 2) for b in (3, 4)]
    dataset = project.dataset()
    assert set(dataset.sel(trial=dataset.c == 0).key.values) == before
    assert dt.to_grid(dataset).sizes == {"a": 2, "b": 2, "c": 2, "epoch": 2}
    partial = project.cli("results", "--partial", "--trials").out
    assert "c=1" in partial


def test_an_axis_without_a_default_makes_all_trials_new_ones(project):
    """Since nobody says what they had before."""
    project.make()
    project.ran()
    project.edit("b=dt.choice(3, 4))", "b=dt.choice(3, 4), c=dt.choice(0, 1))")
    project.make()
    assert len(project.ran()) == 8


def test_the_neutral_value_is_told_by_its_type_too(project):
    """0 is not 0.0."""
    project.make()
    project.ran()
    project.edit("b=dt.choice(3, 4))", "b=dt.choice(3, 4), c=dt.choice(0.0, 1.0).default(0))")
    project.make()
    assert len(project.ran()) == 8


def test_replicates_are_added_to_a_sweep_that_had_none(project):
    """The trials that are there are the first replicate."""
    project.make()
    project.ran()
    project.edit("b=dt.choice(3, 4))", "b=dt.choice(3, 4), seed=dt.replicates(3).default(0))")
    project.make()
    assert len(project.ran()) == 8
    assert project.dataset().sizes["trial"] == 12
    project.edit("replicates(3)", "replicates(4)")
    project.make()
    assert len(project.ran()) == 4


def test_an_option_of_a_recipe_becomes_an_axis(project):
    """If its default is the value that it had: it stays a variable of those trials' keys."""
    project.file.write_text(RECIPE)
    project.make()
    before = set(project.dataset().key.values)
    project.edit(
        "lr=dt.choice(0.01, 0.1)",
        "lr=dt.choice(0.01, 0.1), weight_decay=dt.choice(0.0, 0.1).default(0.0)",
    )
    assert "2 never trained; 2 kept" in project.cli("plan").out
    assert project.make().code == 0
    assert before < set(project.dataset().key.values)
    row = project.dataset().set_index(trial=["lr", "weight_decay"]).sel(trial=(0.1, 0.0))
    assert row.key.item() in before


def test_the_command_line_narrows_an_axis_with_a_default(project):
    """And its neutral value stays neutral."""
    project.make()
    project.ran()
    project.edit("b=dt.choice(3, 4))", "b=dt.choice(3, 4), c=dt.choice(0, 1).default(0))")
    project.make("c=0")
    assert project.ran() == []


def test_results_of_before_are_accepted_if_only_the_code_had_to_change(project):
    """With -t, for the neutral value; the others are trained."""
    project.make()
    project.edit("b=dt.choice(3, 4))", "b=dt.choice(3, 4), c=dt.choice(0, 1).default(0))")
    project.edit("epoch + OFFSET", "epoch + OFFSET + trial.config.c")
    project.ran()
    assert project.make("-t", "trained", "c=0").code == 0
    assert project.make().code == 0
    assert sorted(project.ran()) == [f"train a={a},b={b},c=1" for a in (1, 2) for b in (3, 4)]


def test_the_plan_says_what_growth_costs_in_each_direction(project):
    """Epochs that are left, and the time of an epoch as it was measured."""
    project.file.write_text(RECIPE)
    assert "would train 2 trials (2 epochs), keeps 0; no trial was ever timed" in (
        project.cli("plan").out
    )
    project.make()
    told = [
        (["epochs=4"], "would train 2 trials (6 epochs), keeps 0; about"),
        (["lr=0.01,0.1,0.2"], "would train 1 trials (1 epochs), keeps 2; about"),
        (["lr=0.2", "epochs=5"], "would train 1 trials (5 epochs), keeps 0; about"),
        (["-B"], "would train 2 trials (2 epochs), keeps 0; about"),
        (["lr=0.01"], "would train nothing, keeps 1 trials"),
    ]
    for words, text in told:
        out = project.cli("plan", *words).out
        assert text in out
        assert ("an epoch)" in out) is ("about" in text)
    project.edit("0.1))", "0.1), seed=dt.replicates(3).default(0))")
    assert "would train 4 trials (4 epochs), keeps 2; about" in project.cli("plan").out
    assert '"epochs_left": 4' in project.cli("plan", "--json").out
