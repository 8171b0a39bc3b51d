"""Handwritten digits, 1,797 images of 8 x 8: a small network, 24 configurations x 3 seeds."""
import xarray as xr
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import dasktune as dt

space = dt.Space(
    lr=dt.log_uniform(1e-3, 1e-1, points=4), hidden=dt.choice(16, 64, 256),
    weight_decay=dt.choice(0.0, 0.01), seed=dt.replicates(3),
)

def preprocess(val_share: float = 0.25):
    x, y = load_digits(return_X_y=True)
    x, val_x, y, val_y = train_test_split(x / 16, y, test_size=val_share, random_state=0)
    return {
        name: xr.Dataset({"x": (("sample", "pixel"), x.astype("float32")), "y": ("sample", y)})
        for name, x, y in (("train", x, y), ("val", val_x, val_y))
    }

def model(config, data):
    return nn.Sequential(nn.Linear(64, config.hidden), nn.ReLU(), nn.Linear(config.hidden, 10))

train = dt.TorchRecipe(model, epochs=40)  # takes lr and weight_decay from the config by itself
pipeline = dt.Pipeline(space, preprocess, train, objective="max val_accuracy")
