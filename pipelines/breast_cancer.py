"""Breast cancer and support vectors: cross-validation, each fold a trial of its own."""

import xarray as xr
from sklearn.datasets import load_breast_cancer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import dasktune as dt


def preprocess():
    x, y = load_breast_cancer(return_X_y=True)
    return {"train": xr.Dataset({"x": (("sample", "feature"), x), "y": ("sample", y)})}


space = dt.Space(
    svc__C=dt.log_uniform(0.1, 100, points=4),
    svc__gamma=dt.log_uniform(0.001, 0.1, points=3),
    fold=dt.folds(5),
)
model = make_pipeline(StandardScaler(), SVC())
train = dt.SklearnRecipe(model, scoring=["accuracy", "roc_auc"], cv=5)
pipeline = dt.Pipeline(space, preprocess, train, objective="max val_accuracy")
