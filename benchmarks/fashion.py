"""Fashion-MNIST for two processors: 3,500 images, a small network, 24 configurations x 3 seeds."""

import gzip
from pathlib import Path

import numpy as np
import xarray as xr
from torch import nn

import dasktune as dt

FOLDER = Path("/usr/share/datasets/fashion-mnist")  # Debian's dataset-fashion-mnist


def read(name):
    """Read a file in IDX format."""
    data = gzip.decompress((FOLDER / f"{name}.gz").read_bytes())
    dims = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(data[3])]
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(dims)


def preprocess(train: int = 2500, val: int = 1000):
    """Give the first images of the published split."""
    splits = {}
    for name, part, count in (("train", "train", train), ("val", "t10k", val)):
        x = read(f"{part}-images-idx3-ubyte")[:count].reshape(count, -1) / 255
        y = read(f"{part}-labels-idx1-ubyte")[:count].astype(np.int64)
        splits[name] = xr.Dataset(
            {"x": (("sample", "pixel"), x.astype("float32")), "y": ("sample", y)}
        )
    return splits


def model(config, data):
    """Give one hidden layer."""
    return nn.Sequential(nn.Linear(784, config.hidden), nn.ReLU(), nn.Linear(config.hidden, 10))


space = dt.Space(
    lr=dt.log_uniform(1e-4, 1e-1, points=6),
    hidden=dt.choice(32, 128),
    weight_decay=dt.choice(0.0, 0.1),
    seed=dt.replicates(3),
)
train = dt.TorchRecipe(model, epochs=27)
pipeline = dt.Pipeline(space, preprocess, train, objective="max val_accuracy")
