"""Checkpoints: a training's state, so that it goes on where it was left.

A checkpoint holds the user's objects through their ``state_dict``, the states of all random
number generators, and the curve so far. It is loaded with ``weights_only``: it can run no code.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from dasktune.errors import PipelineError
from dasktune.store import saved_epochs

log = logging.getLogger("dasktune.checkpoint")


class Stateful(Protocol):
    """Whatever has a state: modules, optimizers, schedulers."""

    def state_dict(self) -> Any:
        """Give the state."""

    def load_state_dict(self, state: Any) -> Any:
        """Take the state."""


class Left(NamedTuple):
    """Where a training was left.

    Attributes
    ----------
    epoch : int
        The epoch that comes next.
    curve : dict
        The metrics so far.
    seconds : float
        How long the training took so far.
    """

    epoch: int
    curve: dict[str, Any]
    seconds: float


def check_stateful(objects: Mapping[str, Any]) -> None:
    """Refuse an object that has no state to save.

    Raises
    ------
    PipelineError
        If one lacks ``state_dict`` or ``load_state_dict``.
    """
    for name, value in objects.items():
        if not (hasattr(value, "state_dict") and hasattr(value, "load_state_dict")):
            raise PipelineError(
                "trial.checkpoint() takes objects with state_dict() and load_state_dict(), "
                f"but {name}={value!r} has none."
            )


def save_checkpoint(
    folder: str,
    objects: Mapping[str, Stateful],
    left: Left,
    *,
    final: bool = False,
) -> None:
    """Write a checkpoint, so that a reader sees all of it or none; then drop earlier ones.

    A file is named by its epoch, so that a worker that was given up for dead and writes late
    can undo nothing: the latest epoch counts.

    Parameters
    ----------
    folder : str
        Where it belongs; created if missing.
    objects : mapping of str to object
        What has a ``state_dict``.
    left : Left
        Where the training is left.
    final : bool, default False
        Whether a budget ends here. Such a checkpoint stays, for a longer budget to go on from.
    """
    import torch

    name, keys, position, has_gauss, gauss = np.random.get_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    state = {
        **left._asdict(),
        "objects": {key: value.state_dict() for key, value in objects.items()},
        "python": random.getstate(),
        "numpy": [
            str(name),
            torch.tensor(np.asarray(keys, dtype=np.int64)),
            int(position),
            int(has_gauss),
            float(gauss),
        ],
        "torch": torch.get_rng_state(),
        "cuda": cuda,
    }
    os.makedirs(folder, exist_ok=True)
    scratch = f"{folder}/{os.getpid()}.tmp"
    try:
        with open(scratch, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, f"{folder}/{'final' if final else 'epoch'}-{left.epoch}.pt")
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(scratch)
    drop_passing(folder, left.epoch if final else left.epoch - 1)


def drop_passing(folder: str, most: int | None = None) -> None:
    """Remove the checkpoints of a training on its way, and leave those where a budget ended."""
    for saved in saved_epochs(folder, most):
        if not saved.final:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(saved.path)


def load_checkpoint(
    folder: str,
    objects: Mapping[str, Stateful],
    most: int | None = None,
    *,
    generators: bool = True,
) -> Left | None:
    """Put the objects and the generators into the state of the latest checkpoint.

    Parameters
    ----------
    folder : str
        Where the checkpoints are.
    objects : mapping of str to object
        What has a ``load_state_dict``.
    most : int or None
        The budget: a checkpoint of a later epoch is of no use.
    generators : bool, default True
        Whether the random number generators are put into its state, too.

    Returns
    -------
    Left or None
        None where there is no checkpoint. One that is damaged or of other objects is passed
        over, in favour of an earlier one or of a fresh start, and the log says so.
    """
    found = (_load(saved.path, objects, generators) for saved in saved_epochs(folder, most))
    return next((loaded for loaded in found if loaded is not None), None)


def _load(path: str, objects: Mapping[str, Stateful], generators: bool) -> Left | None:
    import torch

    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        if set(state["objects"]) != set(objects):
            raise ValueError(f"it holds {sorted(state['objects'])}, not {sorted(objects)}")
        before = {name: value.state_dict() for name, value in objects.items()}
    except Exception as error:
        log.warning("the checkpoint %s is of no use (%s)", path, error)
        return None
    try:
        for name, value in objects.items():
            value.load_state_dict(state["objects"][name])
    except Exception as error:
        for name, value in objects.items():
            value.load_state_dict(before[name])
        log.warning("the checkpoint %s does not fit (%s)", path, error)
        return None
    left = Left(state["epoch"], state["curve"], float(state.get("seconds", 0.0)))
    if not generators:
        return left
    random.setstate(state["python"])
    name, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(state["torch"])
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    return left
