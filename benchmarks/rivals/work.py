"""The work that all rivals do: one small network on the digits, in plain PyTorch.

The same for everybody: data, initial weights, order of samples, optimizer, metrics. A folder
that the bench makes holds ``data.npz`` and ``sweep.json``; answers go into ``answers.json``.
"""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

BATCH = 64
HIDDEN = 64
_seeding = threading.Lock()  # torch's global generator belongs to all threads of a process


def model() -> torch.nn.Module:
    """Give the network, with weights from torch's global generator."""
    return torch.nn.Sequential(
        torch.nn.Linear(64, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, 10)
    )


def train(
    config: dict[str, Any],
    data: tuple[torch.Tensor, ...],
    epochs: Iterable[int],
    report: Callable[..., Any] = lambda **metrics: None,
) -> float:
    """Train one configuration and give its accuracy.

    Parameters
    ----------
    config : dict
        ``lr``, ``weight_decay`` and ``seed``, which decides weights and order of samples.
    data : tuple of torch.Tensor
        Inputs and targets for training and validation.
    epochs : iterable of int
        The epochs to train.
    report : callable
        Takes the metrics of each epoch.
    """
    x, y, val_x, val_y = data
    with _seeding:
        torch.manual_seed(config["seed"])
        net = model()
    optimizer = torch.optim.AdamW(
        net.parameters(), lr=config["lr"], weight_decay=config["weight_decay"]
    )
    accuracy = float("nan")
    for epoch in epochs:
        generator = torch.Generator().manual_seed(config["seed"] * 1_000_003 + epoch)
        total = torch.zeros(())
        net.train()
        for chosen in torch.randperm(len(x), generator=generator).split(BATCH):
            loss = F.cross_entropy(net(x[chosen]), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(chosen)
        net.eval()
        with torch.no_grad():
            outputs = net(val_x)
            val_loss = float(F.cross_entropy(outputs, val_y))
            accuracy = float((outputs.argmax(1) == val_y).float().mean())
        report(train_loss=float(total / len(x)), val_loss=val_loss, val_accuracy=accuracy)
    return accuracy


@functools.cache
def data(folder: str) -> tuple[torch.Tensor, ...]:
    """Load the data, once a process."""
    torch.set_num_threads(1)
    with np.load(f"{folder}/data.npz") as arrays:
        return tuple(torch.from_numpy(arrays[name]) for name in ("x", "y", "val_x", "val_y"))


@functools.cache
def sweep(folder: str) -> dict[str, Any]:
    """Read the sweep: ``epochs``, ``jobs`` and the list of ``trials``."""
    tree: dict[str, Any] = json.loads(Path(folder, "sweep.json").read_text())
    return tree


def run(folder: str, index: int) -> float:
    """Train the trial of an index and give its accuracy."""
    tree = sweep(folder)
    return train(tree["trials"][index], data(folder), range(tree["epochs"]))


def answer(folder: str, accuracies: Iterable[float]) -> None:
    """Write the accuracies, in the order of the trials."""
    Path(folder, "answers.json").write_text(json.dumps(list(accuracies)))
