"""Models: weights that a train function gave back, as safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dasktune.errors import PipelineError
from dasktune.fingerprint import file_digest

FILE = "model.safetensors"


def save_model(folder: str, model: Any) -> str | None:
    """Write what a train function gave back into a folder.

    Parameters
    ----------
    folder : str
        An existing folder.
    model : None, torch.nn.Module, or mapping of str to array or tensor
        What to keep.

    Returns
    -------
    str or None
        The file's digest, or None if there was nothing to keep.

    Raises
    ------
    PipelineError
        If it is anything else.
    """
    if model is None:
        return None
    import numpy as np
    import torch

    path = f"{folder}/{FILE}"
    if isinstance(model, torch.nn.Module):
        from safetensors.torch import save_model as save_module

        save_module(model, path)
    elif isinstance(model, Mapping) and all(isinstance(name, str) for name in model):
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
    else:
        raise _refusal(model)
    return file_digest(path)


def _refusal(model: Any) -> PipelineError:
    return PipelineError(
        "train() may give back None, a torch.nn.Module or a mapping of names to numeric arrays, "
        f"but got {type(model).__name__}. Give back its arrays, or nothing."
    )
