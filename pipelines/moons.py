"""Two moons and a support vector machine: the smallest pipeline, without epochs."""

import xarray as xr
from sklearn.datasets import make_moons
from sklearn.svm import SVC

import dasktune as dt


def preprocess():
    halves = {
        "train": make_moons(400, noise=0.3, random_state=0),
        "val": make_moons(400, noise=0.3, random_state=1),
    }
    return {
        k: xr.Dataset({"x": (("sample", "axis"), x), "y": ("sample", y)})
        for k, (x, y) in halves.items()
    }


def train(trial, data):
    model = SVC(C=trial.config.C, gamma=trial.config.gamma).fit(data["train"].x, data["train"].y)
    trial.report(accuracy=model.score(data["val"].x, data["val"].y))


space = dt.Space(C=dt.log_uniform(0.01, 100, points=5), gamma=dt.log_uniform(0.01, 100, points=5))
pipeline = dt.Pipeline(space, preprocess, train, objective="max accuracy")
