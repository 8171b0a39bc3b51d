"""Handwritten digits, 1,797 images of 8 x 8: a small network, 24 configurations x 3 seeds."""

import torch
import xarray as xr
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.nn import functional

import dasktune as dt

space = dt.Space(
    lr=dt.log_uniform(1e-3, 1e-1, points=4),
    hidden=dt.choice(16, 64, 256),
    weight_decay=dt.choice(0.0, 0.01),
    seed=dt.replicates(3),
)


def preprocess(val_share: float = 0.25):
    x, y = load_digits(return_X_y=True)
    halves = train_test_split(x / 16, y, test_size=val_share, stratify=y, random_state=0)
    named = {"train": (halves[0], halves[2]), "val": (halves[1], halves[3])}
    return {k: xr.Dataset({"x": (("sample", "pixel"), x.astype("float32")), "y": ("sample", y)})
            for k, (x, y) in named.items()}


def train(trial, data, epochs=20):
    x, y, val_x, val_y = (data.tensor(s, v) for s in ("train", "val") for v in ("x", "y"))
    hidden = trial.config.hidden
    model = torch.nn.Sequential(torch.nn.Linear(64, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, 10))
    optimizer = torch.optim.AdamW(model.parameters(), trial.config.lr, weight_decay=trial.config.weight_decay)
    trial.checkpoint(model=model, optimizer=optimizer)
    for epoch in trial.epochs(epochs):
        for batch in torch.randperm(len(x)).split(64):
            loss = functional.cross_entropy(model(x[batch]), y[batch])
            optimizer.zero_grad(); loss.backward(); optimizer.step()
        with torch.no_grad():
            scores = model(val_x)
        trial.report(val_loss=functional.cross_entropy(scores, val_y), val_accuracy=(scores.argmax(1) == val_y).float().mean())
    return model


pipeline = dt.Pipeline(space, preprocess, train, objective="max val_accuracy", resources={"GPU": 1})
