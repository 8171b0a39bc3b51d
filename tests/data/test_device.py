"""The device: what fits lives there, the rest is brought there, and nothing else differs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import dasktune as dt
from dasktune.data.device import Streamed, ahead, resident
from dasktune.writing import write_split


@pytest.mark.parametrize(
    ("sizes", "free", "chosen"),
    [
        ([100, 1], 202, (True, True)),
        ([100, 1], 201, (False, True)),
        ([100, 1], 1, (False, False)),
        ([5, 5, 5], 20, (True, True, False)),
        ([0, 100], 0, (True, False)),
        ([], 0, ()),
    ],
)
def test_the_smallest_variables_live_on_the_device(sizes, free, chosen):
    """In half of its free memory; what is there already takes nothing."""
    assert resident(sizes, free) == chosen


@given(st.lists(st.integers(0, 100), max_size=6), st.integers(0, 600))
def test_what_is_chosen_fits_and_nothing_more_would(sizes, free):
    """Whatever the sizes."""
    chosen = resident(sizes, free)
    taken = sum(size for size, here in zip(sizes, chosen, strict=True) if here)
    left = [size for size, here in zip(sizes, chosen, strict=True) if not here]
    assert taken <= free / 2
    assert not left or taken + min(left) > free / 2


def test_a_streamed_tensor_is_used_as_one():
    """By index tensors and by splitting."""
    host = torch.arange(20).reshape(10, 2)
    streamed = Streamed(host, "cpu")
    chosen = torch.tensor([3, 1, 3])
    assert torch.equal(streamed[chosen], host[chosen])
    assert torch.equal(torch.cat(list(streamed.split(4))), host)
    order = torch.randperm(10).split(3)
    for part, expected in zip(streamed.parts(order), order, strict=True):
        assert torch.equal(part, host[expected])
    assert (len(streamed), streamed.shape, streamed.ndim) == (10, host.shape, 2)
    assert streamed.dtype == host.dtype
    assert streamed.device == host.device


def test_one_batch_is_fetched_ahead():
    """While the one before it is in use."""
    asked = []

    def batches():
        for number in range(3):
            asked.append(number)
            yield (torch.tensor(number),)

    given = ahead(batches(), "cpu")
    assert next(given)[0] == 0
    assert asked == [0, 1]
    assert [int(part) for (part,) in given] == [1, 2]


@pytest.fixture
def data(tmp_path):
    """Give data with inputs and targets."""
    dataset = xr.Dataset(
        {"x": (("row", "column"), np.ones((64, 8), "f4")), "y": ("row", np.arange(64))}
    )
    write_split(str(tmp_path / "data.zarr"), "train", dataset)
    return dt.Data(str(tmp_path / "data.zarr"), ("train",))


def test_on_the_cpu_nothing_is_moved(data):
    """The shared tensors are used as they are."""
    x, y = data.place([("train", "x"), ("train", "y")], "cpu")
    assert x is data.tensor("train", "x")
    assert y is data.tensor("train", "y")


RECIPE = """
import numpy as np
import xarray as xr
from torch import nn

import dasktune as dt


def preprocess():
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 8)).astype("float32")
    dims = ("sample", "feature")
    split = xr.Dataset({"x": (dims, x), "y": ("sample", (x.sum(1) > 0).astype("int64"))})
    return {"train": split, "val": split}


def model(config, data):
    return nn.Linear(8, 2)


space = dt.Space(lr=dt.choice(0.1, 0.01))
recipe = dt.TorchRecipe(model, epochs=2, batch_size=32)
pipeline = dt.Pipeline(space, preprocess, recipe, objective="max val_accuracy")
"""


def test_training_from_streamed_data_gives_the_same(project, monkeypatch):
    """Bit for bit; trials are then not fused, and that is said."""
    project.file.write_text(RECIPE)
    assert project.make("--fuse", "off").code == 0
    expected = project.dataset().load()

    def place(self, variables, device):
        return [Streamed(self.tensor(split, name), device) for split, name in variables]

    monkeypatch.setattr(dt.Data, "place", place)
    assert project.make("-B", "all").code == 0
    xr.testing.assert_identical(
        project.dataset()[["train_loss", "val_loss", "val_accuracy"]].drop_vars(
            ["seconds", "finished"]
        ),
        expected[["train_loss", "val_loss", "val_accuracy"]].drop_vars(["seconds", "finished"]),
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
def test_on_a_gpu_what_fits_lives_there_and_the_rest_is_streamed(data, monkeypatch):
    """Once a worker."""
    variables = [("train", "x"), ("train", "y")]
    x, y = data.place(variables, "cuda")
    assert x.is_cuda
    assert data.place(variables, "cuda")[0] is x
    fresh = dt.Data(data.path, ("train",))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2 * y.nbytes, 0))
    streamed, y = fresh.place(variables, "cuda")
    assert isinstance(streamed, Streamed)
    assert y.is_cuda
    chosen = torch.tensor([5, 3, 63], device="cuda")
    assert streamed[chosen].is_cuda
    assert torch.equal(streamed[chosen], x[chosen])
    assert torch.equal(torch.cat(list(streamed.split(10))), x)
