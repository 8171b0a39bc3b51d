"""Kept models: built again from the store alone, with the weights that were trained."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

import dasktune as dt
from dasktune.errors import StampError, StoreError, UsageError

HELPER = """
from torch import nn


class Net(nn.Module):
    def __init__(self, width, shape):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, 2))
        self.shape = shape

    def forward(self, x):
        return self.layers(x)
"""

FILE = """
import numpy as np
import torch
import xarray as xr
from torch import nn

import dasktune as dt
from nets import Net


def preprocess():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3)).astype("float32")
    split = xr.Dataset({"x": (("row", "axis"), x), "y": ("row", (x[:, 0] > 0).astype("int64"))})
    return {"train": split, "val": split}


def model(config, data):
    assert data["train"].sizes["axis"] == 3
    return Net(config.width, config.shape)


def train(trial, data):
    trial.report(val_loss=1.0)
    return nn.Linear(3, 1)


space = dt.Space(width=dt.choice(4, 6), shape=dt.choice((1, 2)))
recipe = dt.TorchRecipe(model, epochs=3, batch_size=16)
pipeline = dt.Pipeline(space, preprocess, recipe, objective="min val_loss")
"""


@pytest.fixture
def trained(project):
    """Make a project whose models are of a class in a module of its own, and train it."""

    def write(options="", *words):
        (project.folder / "nets.py").write_text(HELPER)
        text = FILE.replace("batch_size=16", f"batch_size=16, {options}")
        project.file.write_text(text)
        result = project.make(*words)
        assert result.code == 0, result.err
        return project

    return write


def val_loss(project, module):
    """Compute a module's loss."""
    folder = next((project.root / "preprocessed").iterdir())
    data = dt.Data(str(folder / "data.zarr"), ("train", "val"))
    with torch.no_grad():
        outputs = module(data.tensor("val", "x"))
        return torch.nn.functional.cross_entropy(outputs, data.tensor("val", "y")).item()


def folders(project):
    """List the folders of the trials."""
    return sorted((project.root / "trained").iterdir())


@pytest.mark.parametrize("fuse", ["off", "2"])
def test_the_module_gives_the_loss_that_was_reported(trained, fuse):
    """In evaluation mode, for each trial, with either way of training."""
    project = trained('keep="best"', "--fuse", fuse)
    dataset = project.dataset()
    for index in range(2):
        row = dataset.isel(trial=index)
        module = dt.load_model(row, project.root)
        assert not module.training
        assert val_loss(project, module) == pytest.approx(float(row.val_loss.min()), rel=1e-4)
        assert module.shape == (1, 2)
    found = dt.best(dataset)
    assert val_loss(project, dt.load_model(found, project.root)) == pytest.approx(found.value, 1e-4)


def test_it_is_built_by_the_code_that_it_was_trained_with(trained):
    """In another process, where the pipeline file and its modules are gone or changed."""
    project = trained()
    expected = val_loss(project, dt.load_model(folders(project)[0]))
    (project.folder / "nets.py").write_text("class Net: pass")
    project.file.unlink()
    code = (
        "import sys, dasktune as dt, nets; ours = nets\n"
        "module = dt.load_model(sys.argv[1])\n"
        "import nets; assert nets is ours and sys.modules['nets'] is ours\n"
        "import torch; print(float(sum(p.detach().double().sum() for p in module.parameters())))"
    )
    command = [sys.executable, "-c", code, str(folders(project)[0])]
    done = subprocess.run(command, capture_output=True, text=True, cwd=project.folder, check=False)
    assert done.returncode == 0, done.stderr
    module = dt.load_model(folders(project)[0])
    total = float(sum(p.detach().double().sum() for p in module.parameters()))
    assert float(done.stdout) == total
    assert val_loss(project, module) == expected


def test_loading_changes_no_random_state(trained):
    """A module is built with its trial's seed, and what follows goes on as before."""
    project = trained()
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    dt.load_model(folders(project)[0])
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("fuse", ["off", "2"])
def test_every_epoch_can_be_kept_and_loaded(trained, fuse):
    """keep="all": one file more a trial; also after a longer budget."""
    project = trained('keep="all"', "--fuse", fuse)
    assert project.make("--fuse", fuse, "epochs=5").code == 0
    row = project.dataset().isel(trial=0)
    for epoch in range(5):
        module = dt.load_model(row, project.root, epoch=epoch)
        assert val_loss(project, module) == pytest.approx(float(row.val_loss[epoch]), rel=1e-4)
    last = dt.load_model(row, project.root)
    again = dt.load_model(row, project.root, epoch=-1)
    assert val_loss(project, last) == val_loss(project, again)
    with pytest.raises(UsageError, match="has 5 epochs, but epoch 5"):
        dt.load_model(row, project.root, epoch=5)


def test_a_card_beside_the_weights_says_how_the_model_is_built(trained):
    """A small JSON file that a person can read."""
    project = trained()
    card = json.loads((folders(project)[0] / "model.json").read_text())
    assert card["dasktune-model"] == 1
    assert card["builder"] == "model"
    assert card["config"] == {"width": 4, "shape": [1, 2]}
    assert set(card) >= {"trial", "key", "seed", "replicate", "sources", "data", "versions"}


def test_a_model_of_a_function_of_your_own_is_filled_into_a_module(trained):
    """How it is built only its author knows."""
    project = trained()
    project.edit("preprocess, recipe,", "preprocess, train,")
    assert project.make().code == 0
    row = project.dataset().isel(trial=0)
    with pytest.raises(UsageError, match="into=Net"):
        dt.load_model(row, project.root)
    module = dt.load_model(row, project.root, into=torch.nn.Linear(3, 1))
    assert not module.training
    with pytest.raises(StampError, match="do not fit"):
        dt.load_model(row, project.root, into=torch.nn.Linear(4, 1))


def test_what_is_no_model_or_damaged_is_told_in_one_line(trained):
    """A wrong folder, a model that was not kept, a truncated file, no store."""
    project = trained('keep="none"')
    with pytest.raises(StoreError, match="kept no model"):
        dt.load_model(folders(project)[0])
    with pytest.raises(StoreError, match="is no trained trial"):
        dt.load_model(project.folder)
    with pytest.raises(UsageError, match="the store of the trial"):
        dt.load_model(project.dataset().isel(trial=0))
    with pytest.raises(UsageError, match="one row of a dataset"):
        dt.load_model(project.dataset(), project.root)
    project.edit('keep="none"', 'keep="last"')
    assert project.make().code == 0
    folder = next(f for f in folders(project) if (f / "model.json").exists())
    with pytest.raises(StoreError, match="keep='all'"):
        dt.load_model(folder, epoch=0)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:50])
    with pytest.raises(StampError, match="do not fit"):
        dt.load_model(folder)
    (folder / "model.json").write_text("{")
    with pytest.raises(StoreError, match="cannot be read"):
        dt.load_model(folder)
