"""A member of a fused training: one trial's own model, optimizer and record."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from dasktune.pytorch.loop import Best, make_optimizer
from dasktune.pytorch.options import TorchOptions


class Member:
    """One trial's part: its own model, optimizer and record, as the loop would have them.

    Parameters
    ----------
    model : torch.nn.Module
        On the CPU; its weights are brought up to date by `Lanes.spill`.
    options : TorchOptions
        How it is trained.
    seed : int
        The trial's.
    """

    def __init__(self, model: torch.nn.Module, options: TorchOptions, seed: int) -> None:
        self.model = model
        self.options = options
        self.seed = seed
        self.optimizer = make_optimizer(options, model)
        self.best = Best()
        self.steps = 0

    def trained(self) -> list[torch.nn.Parameter]:
        """List the parameters that are trained."""
        return [p for p in self.model.parameters() if p.requires_grad]

    def fixed(self) -> dict[str, torch.Tensor]:
        """Give the buffers and the parameters that are not trained."""
        frozen = {n: p for n, p in self.model.named_parameters() if not p.requires_grad}
        return {**frozen, **dict(self.model.named_buffers())}


def flatten(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Lay tensors out one after the other in a row of shape ``(numbers,)``."""
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])


def slot_of(member: Member, name: str) -> torch.Tensor:
    """Give one state of a member's optimizer; zeros before its first step."""
    found = []
    for parameter in member.trained():
        value = member.optimizer.state.get(parameter, {}).get(name)
        found.append(torch.zeros_like(parameter) if value is None else value.cpu())
    return flatten(found)


def steps_of(member: Member) -> int:
    """Give how many steps a member's optimizer took."""
    counts = [int(state["step"]) for state in member.optimizer.state.values() if "step" in state]
    if counts:
        return max(counts)
    return 1 if any(member.optimizer.state.values()) else 0


def best_of(member: Member) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Give the best weights that a member's record holds, or its present ones."""
    model = member.model
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    if member.best.weights:
        model.load_state_dict(member.best.weights)
    row = flatten(member.trained()).clone()
    fixed = {name: tensor.detach().clone() for name, tensor in member.fixed().items()}
    model.load_state_dict(before)
    return row, fixed
