"""Fused training: trials of one structure as one vmapped step.

The trials' parameters lie in one tensor of shape ``(lanes, parameters)``, and so do the states
of their optimizers: a step is one batched forward and backward pass and a handful of
elementwise operations, however many trials and layers there are. Each lane has its own initial
weights, order of samples, learning rate and coefficients, as in `dasktune.pytorch.loop`, which
this must equal up to rounding; only the masks of dropout differ.

After HFTA (Wang et al., MLSys 2021); trials that end make room for waiting ones.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.func import functional_call, grad, vmap

from dasktune.pytorch.cudagraph import Recorder
from dasktune.pytorch.member import Member, best_of, flatten, slot_of, steps_of
from dasktune.pytorch.problem import Problem, sample_order
from dasktune.pytorch.traced import WORTH, Traced

SLOTS = {"sgd": ("momentum_buffer",), "adam": ("exp_avg", "exp_avg_sq")}
SLOTS["adamw"] = SLOTS["adam"]
_EPS = 1e-8  # torch.optim.Adam's


class Lanes:
    """Trials that are trained in lockstep.

    Parameters
    ----------
    members : sequence of Member
        Of one structure, and with equal `TorchOptions.shared`; at least one.
    problem : Problem
        The data, the loss and the metrics.

    Attributes
    ----------
    members : list of Member
        In the order of the lanes.
    """

    def __init__(self, members: Sequence[Member], problem: Problem) -> None:
        first = members[0]
        self.problem = problem
        self.members = list(members)
        self._kind = first.options.optimizer
        self._batch = first.options.batch_size
        self._skeleton = copy.deepcopy(first.model).to(problem.device)
        named = [(n, p) for n, p in first.model.named_parameters() if p.requires_grad]
        self._names = [name for name, _ in named]
        self._shapes = [p.shape for _, p in named]
        self._sizes = [p.numel() for _, p in named]
        self._dtype = named[0][1].dtype
        self.flat = self._stack(lambda member: flatten(member.trained()))
        self.slots = {
            name: self._stack(lambda member, name=name: slot_of(member, name))
            for name in SLOTS[self._kind]
        }
        self.fixed = {
            name: torch.stack([member.fixed()[name].detach() for member in members]).to(
                problem.device
            )
            for name in first.fixed()
        }
        self.best: torch.Tensor | None = None
        self.best_fixed: dict[str, torch.Tensor] = {}
        if any(member.options.keep == "best" for member in members):
            with_best = [best_of(member) for member in members]
            self.best = torch.stack([row for row, _ in with_best]).to(problem.device)
            self.best_fixed = {
                name: torch.stack([fixed[name] for _, fixed in with_best]).to(problem.device)
                for name in self.fixed
            }
        for member in members:
            member.steps = steps_of(member)
        self._compile, self._graphs = first.options.compile, first.options.graphs
        self._bind()

    def _bind(self) -> None:
        """Collect what the members' options say, each of shape ``(lanes, 1)``, and how to step."""
        names = ("weight_decay", "momentum", "nesterov", "beta1", "beta2", "clip")
        options = [member.options for member in self.members]
        self._coefficients = {
            name: self._column([float(getattr(o, name)) for o in options]) for name in names
        }
        smoothing = [o.label_smoothing for o in options]
        self._smoothing = self._column(smoothing).squeeze(1)
        self._some = {name: any(getattr(o, name) for o in options) for name in names}
        self._some["label_smoothing"] = any(smoothing)
        on_gpu = self.problem.device.type == "cuda"
        of_each = torch.compile(self._gradients) if self._compile else self._gradients
        # A GPU's graphs keep all of Python out, and torch.compile the most of it.
        plain = self._compile or on_gpu
        self._of_each = (lambda _, *stacked: of_each(*stacked)) if plain else Traced(of_each, WORTH)
        self.recorder = Recorder(self._step, self.snapshot) if self._graphs and on_gpu else None

    def __len__(self) -> int:
        return len(self.members)

    def _stack(self, of: Any) -> torch.Tensor:
        return torch.stack([of(member) for member in self.members]).to(self.problem.device)

    # One step ---------------------------------------------------------------------------------

    def _tensors(self, row: torch.Tensor, fixed: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        parts = torch.split(row, self._sizes)
        shaped = (part.view(shape) for part, shape in zip(parts, self._shapes, strict=True))
        return {**dict(zip(self._names, shaped, strict=True)), **fixed}

    def _forward(
        self, row: torch.Tensor, fixed: Mapping[str, torch.Tensor], x: torch.Tensor
    ) -> torch.Tensor:
        outputs: torch.Tensor = functional_call(self._skeleton, self._tensors(row, fixed), (x,))
        return outputs

    def _loss(
        self,
        row: torch.Tensor,
        fixed: Mapping[str, torch.Tensor],
        x: torch.Tensor,
        y: torch.Tensor,
        smoothing: torch.Tensor,
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, Mapping[str, torch.Tensor]]]:
        """Give a lane's loss, and with it its buffers as batch norm leaves them."""
        fixed = {name: tensor.clone() for name, tensor in fixed.items()}
        with self.problem.precision():
            outputs = self._forward(row, fixed, x)
            loss = self.problem.loss_of(
                outputs, y, smoothing if self._some["label_smoothing"] else 0.0
            )
        return loss, (loss.detach(), fixed)

    def _gradients(self, *stacked: Any) -> Any:
        """Give what `_loss` says of each lane, and the gradient by its parameters."""
        return vmap(grad(self._loss, has_aux=True), randomness="different")(*stacked)

    def gradients(
        self, chosen: torch.Tensor, *, training: bool = True
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the losses and the gradients of a batch of each lane, and move the buffers on.

        Parameters
        ----------
        chosen : torch.Tensor
            The samples, int64 of shape ``(lanes, batch)``.
        training : bool, default True
            Whether the modules are in training mode.

        Returns
        -------
        losses, gradients : torch.Tensor
            Of shapes ``(lanes,)`` and ``(lanes, parameters)``.
        """
        self._skeleton.train(training)
        x, y = self.problem.x[chosen], self.problem.y[chosen]
        gradients, (losses, fixed) = self._of_each(
            training, self.flat, self.fixed, x, y, self._smoothing
        )
        for name, tensor in fixed.items():
            self.fixed[name].copy_(tensor)
        return losses, gradients

    def step(self, chosen: torch.Tensor, scalars: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Take one step of every lane's optimizer, and give the losses before it.

        Parameters
        ----------
        chosen : torch.Tensor
            The samples, int64 of shape ``(lanes, batch)``.
        scalars : mapping of str to torch.Tensor
            What changes from step to step, each of shape ``(lanes, 1)``; see `scalars`.

        Returns
        -------
        torch.Tensor
            Of shape ``(lanes,)``; the next step may overwrite it.
        """
        return (self.recorder or self._step)(chosen, scalars)

    def _step(self, chosen: torch.Tensor, scalars: Mapping[str, torch.Tensor]) -> torch.Tensor:
        losses, gradient = self.gradients(chosen)
        with torch.no_grad():
            self._update(gradient, scalars)
        return losses

    def _update(self, gradient: torch.Tensor, scalars: Mapping[str, torch.Tensor]) -> None:
        """Change the parameters as torch.optim's SGD, Adam and AdamW do."""
        c, some = self._coefficients, self._some
        if some["clip"]:
            norms = gradient.norm(dim=1, keepdim=True)
            largest = torch.where(c["clip"] > 0, c["clip"], math.inf)
            gradient = gradient * (largest / (norms + 1e-6)).clamp(max=1)
        if some["weight_decay"]:
            if self._kind == "adamw":
                self.flat.mul_(1 - scalars["rate"] * c["weight_decay"])
            else:
                gradient = gradient + c["weight_decay"] * self.flat
        if self._kind == "sgd":
            if some["momentum"]:
                buffer = self.slots["momentum_buffer"]
                buffer.mul_(c["momentum"]).add_(gradient)
                ahead = gradient + c["momentum"] * buffer
                gradient = torch.where(c["nesterov"] > 0, ahead, buffer)
            self.flat.sub_(scalars["rate"] * gradient)
            return
        first, second = self.slots["exp_avg"], self.slots["exp_avg_sq"]
        first.lerp_(gradient, 1 - c["beta1"])
        second.mul_(c["beta2"]).addcmul_((1 - c["beta2"]) * gradient, gradient)
        spread = second.sqrt().div_(scalars["root"]).add_(_EPS)
        self.flat.sub_(torch.div(first, spread, out=spread).mul_(scalars["size"]))

    def scalars(self, rates: np.ndarray[Any, Any]) -> dict[str, torch.Tensor]:
        """Give what changes from step to step, for the steps of an epoch.

        Parameters
        ----------
        rates : numpy.ndarray
            Learning rates, float64 of shape ``(steps, lanes)``.

        Returns
        -------
        dict of str to torch.Tensor
            Each of shape ``(steps, lanes, 1)``: ``rate``, and for Adam ``size``, the rate over
            the first bias correction, and ``root``, the root of the second.
        """
        tables = {"rate": rates}
        if self._kind != "sgd":
            done = np.array([member.steps for member in self.members])
            count = done + 1 + np.arange(len(rates))[:, None]
            beta1 = np.array([member.options.beta1 for member in self.members])
            beta2 = np.array([member.options.beta2 for member in self.members])
            tables["size"] = rates / (1 - beta1**count)
            tables["root"] = np.sqrt(1 - beta2**count)
        return {name: self._column(table) for name, table in tables.items()}

    def _column(self, values: Any) -> torch.Tensor:
        array = torch.from_numpy(np.asarray(values, dtype=np.float64)[..., None])
        return array.to(self.problem.device, self._dtype)

    # One epoch --------------------------------------------------------------------------------

    def epoch(self, epochs: Sequence[int]) -> list[float]:
        """Train every lane for one epoch.

        Parameters
        ----------
        epochs : sequence of int
            Each lane's epoch, from 0; they need not be equal.

        Returns
        -------
        list of float
            The lanes' mean training losses.
        """
        count = len(self.problem.x)
        orders = torch.stack(
            [sample_order(m.seed, e, count) for m, e in zip(self.members, epochs, strict=True)]
        ).to(self.problem.device)
        batches = torch.split(orders, self._batch, dim=1)
        rates = np.array(
            [
                member.options.learning_rates(epoch, len(batches))
                for member, epoch in zip(self.members, epochs, strict=True)
            ]
        ).T
        scalars = self.scalars(rates)
        total = torch.zeros(len(self), device=self.problem.device)
        for index, chosen in enumerate(batches):
            row = {name: table[index] for name, table in scalars.items()}
            total += self.step(chosen, row).to(total.dtype) * chosen.shape[1]
        for member in self.members:
            member.steps += len(batches)
        return (total / count).tolist()

    def evaluate(self) -> torch.Tensor:
        """Give the outputs for all of ``val``, of shape ``(lanes, samples, …)``."""
        self._skeleton.eval()
        piece = max(self._batch, 8192 // len(self))
        with torch.no_grad(), self.problem.precision():
            parts = torch.split(self.problem.val_x, piece)
            of_each = vmap(self._forward, in_dims=(0, 0, None), randomness="different")
            return torch.cat([of_each(self.flat, self.fixed, x) for x in parts], 1)

    def snapshot(self) -> Callable[[], None]:
        """Copy all that an epoch changes, and give what goes back to it."""
        tensors = [(tensor, tensor.clone()) for tensor in self._state()]
        steps = [(member, member.steps) for member in self.members]

        def restore() -> None:
            for tensor, before in tensors:
                tensor.copy_(before)
            for member, count in steps:
                member.steps = count

        return restore

    def _state(self) -> list[torch.Tensor]:
        return [self.flat, *self.slots.values(), *self.fixed.values()]

    def mark_best(self, improved: Sequence[bool]) -> None:
        """Remember the weights of the lanes that improved, where they are to be kept."""
        if self.best is None or not any(improved):
            return
        index = torch.tensor(improved, device=self.problem.device).nonzero().squeeze(1)
        self.best[index] = self.flat[index]
        for name, tensor in self.best_fixed.items():
            tensor[index] = self.fixed[name][index]

    # Coming and going -------------------------------------------------------------------------

    def spill(self, lane: int) -> Member:
        """Bring a member's own model, optimizer and record up to date, and give it."""
        member = self.members[lane]
        if self.best is not None and member.options.keep == "best" and member.best.epoch >= 0:
            self._write(member, self.best[lane], {n: t[lane] for n, t in self.best_fixed.items()})
            state = member.model.state_dict()
            member.best.weights = {name: tensor.clone() for name, tensor in state.items()}
        self._write(member, self.flat[lane], {n: t[lane] for n, t in self.fixed.items()})
        if not member.steps or (self._kind == "sgd" and not member.options.momentum):
            return member
        slots = {name: self._unflatten(slot[lane].cpu()) for name, slot in self.slots.items()}
        for index, parameter in enumerate(member.trained()):
            state = {name: parts[index].clone() for name, parts in slots.items()}
            if self._kind != "sgd":
                state["step"] = torch.tensor(float(member.steps))
            member.optimizer.state[parameter] = state
        return member

    def _write(self, member: Member, row: torch.Tensor, fixed: Mapping[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, tensor in member.fixed().items():
                tensor.copy_(fixed[name])
            parts = self._unflatten(row.cpu())
            for parameter, part in zip(member.trained(), parts, strict=True):
                parameter.copy_(part)

    def _unflatten(self, row: torch.Tensor) -> list[torch.Tensor]:
        parts = torch.split(row, self._sizes)
        return [part.view(shape) for part, shape in zip(parts, self._shapes, strict=True)]

    def replace(self, stay: Sequence[int], come: Sequence[Member]) -> Lanes:
        """Give the lanes that stay, followed by those of members that come.

        Parameters
        ----------
        stay : sequence of int
            The lanes to keep.
        come : sequence of Member
            The new ones; together with those that stay at least one.
        """
        others = Lanes(come, self.problem) if come else None
        if not stay:
            assert others is not None
            return others
        kept = copy.copy(self)
        kept.members = [self.members[lane] for lane in stay] + list(come)
        index = torch.tensor(list(stay), device=self.problem.device)

        def join(mine: torch.Tensor, theirs: torch.Tensor | None) -> torch.Tensor:
            return mine[index] if theirs is None else torch.cat([mine[index], theirs])

        def join_all(name: str) -> dict[str, torch.Tensor]:
            mine, theirs = getattr(self, name), getattr(others, name, {})
            return {key: join(tensor, theirs.get(key)) for key, tensor in mine.items()}

        kept.flat = join(self.flat, others.flat if others else None)
        kept.slots, kept.fixed = join_all("slots"), join_all("fixed")
        if self.best is not None:
            kept.best = join(self.best, others.best if others else None)
            kept.best_fixed = join_all("best_fixed")
        kept._bind()
        return kept
