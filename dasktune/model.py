"""Models: weights that a train function gave back, and a card that says whose they are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dasktune.errors import PipelineError
from dasktune.fingerprint import file_digest, tree_digest

if TYPE_CHECKING:
    import torch

FILE = "model.safetensors"
EPOCHS_FILE = "epochs.safetensors"
CARD_FILE = "model.json"


@dataclass(frozen=True)
class Trajectory:
    """A trained module, and its weights after each epoch.

    Attributes
    ----------
    model : torch.nn.Module
        With its last weights.
    states : sequence of dict of str to torch.Tensor
        Its state after each epoch.
    """

    model: torch.nn.Module
    states: Sequence[Mapping[str, torch.Tensor]]


def save_model(folder: str, model: Any) -> str | None:
    """Write what a train function gave back into a folder.

    Parameters
    ----------
    folder : str
        An existing folder.
    model : None, torch.nn.Module, Trajectory, or mapping of str to array or tensor
        What to keep.

    Returns
    -------
    str or None
        A digest of what was written, or None if there was nothing to keep.

    Raises
    ------
    PipelineError
        If it is anything else.
    """
    if model is None:
        return None
    import torch

    path = f"{folder}/{FILE}"
    if isinstance(model, Trajectory):
        _save_states(f"{folder}/{EPOCHS_FILE}", model.states)
        last = save_model(folder, model.model) or ""
        return tree_digest([(FILE, last), (EPOCHS_FILE, file_digest(f"{folder}/{EPOCHS_FILE}"))])
    if isinstance(model, torch.nn.Module):
        from safetensors.torch import save_model as save_module

        save_module(model, path)
    elif isinstance(model, Mapping) and all(isinstance(name, str) for name in model):
        _save_arrays(path, model)
    else:
        raise _refusal(model)
    return file_digest(path)


def _save_states(path: str, states: Sequence[Mapping[str, torch.Tensor]]) -> None:
    """Write a state an epoch, each tensor of shape ``(epochs, …)``."""
    import torch
    from safetensors.torch import save_file

    names = states[0] if states else {}
    save_file({name: torch.stack([state[name] for state in states]) for name in names}, path)


def _save_arrays(path: str, model: Mapping[str, Any]) -> None:
    import numpy as np
    import torch
    from safetensors.numpy import save_file

    arrays = {
        name: np.ascontiguousarray(
            value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
        )
        for name, value in model.items()
    }
    if any(array.dtype.kind not in "fiub" for array in arrays.values()):
        raise _refusal(model)
    save_file(arrays, path)


def save_card(folder: str, card: Mapping[str, Any]) -> None:
    """Write beside the weights how the model is built again; see `dasktune.kept.load_model`.

    Parameters
    ----------
    folder : str
        Where the weights are.
    card : mapping
        JSON-able: trial, key, config, replicate, seed, the code that builds it, its data.
    """
    with open(f"{folder}/{CARD_FILE}", "w", encoding="utf-8") as file:
        json.dump({"dasktune-model": 1, **card}, file, indent=1, ensure_ascii=False)


def _refusal(model: Any) -> PipelineError:
    return PipelineError(
        "train() may give back None, a torch.nn.Module or a mapping of names to numeric arrays, "
        f"but got {type(model).__name__}. Give back its arrays, or nothing."
    )
