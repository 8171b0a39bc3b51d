"""The rivals' work as a pipeline: the same train function, and all that dasktune adds."""

import os
import sys

import numpy as np
import xarray as xr

import dasktune as dt

sys.path.insert(0, os.path.dirname(__file__))
import work

space = dt.Space(
    lr=dt.choice(0.0003, 0.001, 0.003, 0.01),
    weight_decay=dt.choice(0.0, 0.001, 0.01, 0.1),
    seed=dt.replicates(4),
)


def preprocess(folder: str = ""):
    with np.load(f"{folder}/data.npz") as arrays:
        return {
            split: xr.Dataset(
                {
                    "x": (("sample", "pixel"), arrays[prefix + "x"]),
                    "y": ("sample", arrays[prefix + "y"]),
                }
            )
            for split, prefix in (("train", ""), ("val", "val_"))
        }


def train(trial, data, epochs=30):
    tensors = tuple(data.tensor(split, name) for split in ("train", "val") for name in "xy")
    config = {**trial.config, "seed": trial.seed}
    work.train(config, tensors, trial.epochs(epochs), trial.report)


pipeline = dt.Pipeline(space, preprocess, train, objective="max val_accuracy")
