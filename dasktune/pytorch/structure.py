"""What must be equal for two PyTorch modules to share one vmapped step."""

from __future__ import annotations

from typing import Any

import torch

_PLAIN = (int, float, complex, str, bytes, bool, type(None), torch.dtype, torch.device)


def structure(model: torch.nn.Module) -> tuple[Any, ...]:
    """Describe a module, but for the values of its tensors.

    Two modules of equal structure compute the same function of their inputs and their tensors:
    the same classes in the same places, the same shapes and dtypes, and equal attributes.
    Attributes that are not plain values count as equal only if they are the same object, so
    that a function made anew for each trial keeps their modules apart.

    Parameters
    ----------
    model : torch.nn.Module
        The module.

    Returns
    -------
    tuple
        Hashable.
    """
    found: list[Any] = []
    for path, module in model.named_modules(remove_duplicate=False):
        attributes = sorted(
            (name, _identity(value))
            for name, value in vars(module).items()
            if name not in _INTERNAL
        )
        found.append((path, type(module), tuple(attributes)))
    for kind, named in (
        ("parameter", model.named_parameters(remove_duplicate=False)),
        ("buffer", model.named_buffers(remove_duplicate=False)),
    ):
        for name, tensor in named:
            found.append((kind, name, tuple(tensor.shape), tensor.dtype, tensor.requires_grad))
    seen: dict[int, int] = {}  # tied weights are tied alike
    for _, tensor in model.named_parameters(remove_duplicate=False):
        found.append(seen.setdefault(id(tensor), len(seen)))
    return tuple(found)


def fusible(model: torch.nn.Module) -> str:
    """Say why a module cannot share a step with others, or give an empty text."""
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        return "it has no parameters to train"
    if any(not p.is_floating_point() for p in trained):
        return "its parameters are not real numbers"
    if len({p.dtype for p in trained}) > 1:
        return "its parameters are of several dtypes"
    hooks = any(
        getattr(module, name, None)
        for module in model.modules()
        for name in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
    )
    return "it has hooks" if hooks else ""


_INTERNAL = frozenset(vars(torch.nn.Module()))


def _identity(value: Any) -> Any:
    """Give a hashable stand-in that is equal for attributes of equal meaning."""
    if isinstance(value, _PLAIN):
        return (type(value).__qualname__, repr(value))
    if isinstance(value, (list, tuple)):
        return (type(value).__qualname__, *map(_identity, value))
    if isinstance(value, dict):
        items = [(_identity(key), _identity(item)) for key, item in value.items()]
        return ("dict", *items)
    return ("object", type(value).__qualname__, id(value))
