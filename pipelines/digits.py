"""Handwritten digits, 1,797 images of 8 x 8: a small network, 24 configurations x 3 seeds."""
import torch
import xarray as xr
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn.functional import cross_entropy

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

def train(trial, data, epochs=40):
    x, y, val_x, val_y = (data.tensor(s, name) for s in ("train", "val") for name in "xy")
    width, lr, decay = trial.config.hidden, trial.config.lr, trial.config.weight_decay
    model = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr, weight_decay=decay)
    trial.checkpoint(model=model, optimizer=optimizer)  # goes on from one, if there is one
    for _ in trial.epochs(epochs):
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
        scores = model(val_x).detach()
        accuracy = (scores.argmax(1) == val_y).float().mean()
        trial.report(val_loss=cross_entropy(scores, val_y), val_accuracy=accuracy)
    return model

pipeline = dt.Pipeline(space, preprocess, train, objective="max val_accuracy")
