"""Training one PyTorch trial: the loop that all faster ways must equal."""

from __future__ import annotations

import math
from typing import Any

import torch

from dasktune.model import Trajectory
from dasktune.pytorch.options import TorchOptions
from dasktune.pytorch.problem import Problem
from dasktune.trial import Trial


def train_alone(
    trial: Trial, model: torch.nn.Module, options: TorchOptions, problem: Problem
) -> torch.nn.Module | Trajectory | None:
    """Train one trial, from its checkpoint if it has one.

    Parameters
    ----------
    trial : Trial
        Takes the metrics.
    model : torch.nn.Module
        With its initial weights.
    options : TorchOptions
        How to train it.
    problem : Problem
        The data, the loss and the metrics.

    Returns
    -------
    torch.nn.Module, Trajectory or None
        The model with the weights to keep, on the CPU.
    """
    model = model.to(problem.device)
    if options.compile:
        model.compile()
    optimizer = make_optimizer(options, model)
    best = Best()
    trial.checkpoint(model=model, optimizer=optimizer, best=best)
    tune(optimizer, options)
    count = len(problem.x)
    for epoch in trial.epochs(options.epochs):
        if best.ended(options):
            trial.end()
            break
        model.train()
        total = torch.zeros((), device=problem.device)
        steps, batches = problem.epoch(trial.seed, epoch, options.batch_size)
        rates = options.learning_rates(epoch, steps)
        for rate, batch in zip(rates, batches, strict=True):
            loss = step(model, optimizer, options, problem, batch, rate)
            total += loss.detach().to(total.dtype) * len(batch[1])
        outputs = evaluate(model, problem, options.batch_size)
        row = problem.scores(outputs)
        train_loss = float(total / count)
        trial.report(train_loss=train_loss, **row)
        if best.improved(float(row["val_loss"]), train_loss, epoch) and options.keep == "best":
            state = model.state_dict()
            best.weights = {name: tensor.detach().clone() for name, tensor in state.items()}
        if options.keep == "all":
            best.remember(model)
    return best.choose(model, options)


def step(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    options: TorchOptions,
    problem: Problem,
    batch: tuple[torch.Tensor, ...],
    rate: float,
) -> torch.Tensor:
    """Take one step of the optimizer, and give the loss before it.

    Parameters
    ----------
    batch : tuple of torch.Tensor
        Inputs and targets.
    rate : float
        The learning rate.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate
    with problem.precision():
        outputs = model(batch[0])
        loss = problem.loss_of(outputs, batch[1], float(options.label_smoothing))
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    if options.clip:
        torch.nn.utils.clip_grad_norm_(model.parameters(), options.clip)
    optimizer.step()
    return loss


def evaluate(model: torch.nn.Module, problem: Problem, batch: int) -> torch.Tensor:
    """Give the model's outputs for all of ``val``."""
    model.eval()
    with torch.no_grad(), problem.precision():
        # Evaluating needs no gradients, hence less memory: larger pieces than in training.
        return torch.cat([model(part) for part in problem.val_x.split(max(batch, 1024))])


class Best:
    """How a training stands: its smallest loss, when that was, and the weights of then.

    Attributes
    ----------
    value : float
        The smallest ``val_loss``.
    epoch : int
        When it was, or -1.
    seen : int
        The last epoch that was offered, or -1.
    diverged : bool
        Whether the training loss was not finite.
    weights : dict of str to torch.Tensor
        The state of then, where it is to be kept.
    states : list of dict of str to torch.Tensor
        The state after each epoch, where all are to be kept; on the CPU.
    """

    def __init__(self) -> None:
        self.value = math.inf
        self.epoch = -1
        self.seen = -1
        self.diverged = False
        self.weights: dict[str, Any] = {}
        self.states: list[dict[str, Any]] = []

    def remember(self, model: torch.nn.Module) -> None:
        """Keep the weights of an epoch."""
        state = model.state_dict()
        self.states.append({name: tensor.detach().cpu().clone() for name, tensor in state.items()})

    def improved(self, value: float, train_loss: float, epoch: int) -> bool:
        """Take the losses of an epoch, and say whether it is the best so far."""
        self.seen = epoch
        self.diverged = not math.isfinite(train_loss)
        if self.epoch < 0 or value < self.value or math.isnan(self.value):
            self.value, self.epoch = value, epoch
            return True
        return False

    def ended(self, options: TorchOptions) -> bool:
        """Say whether the training has no more to gain: it diverged, or patience ran out."""
        waited = self.seen - self.epoch
        return self.diverged or bool(options.patience and waited >= options.patience)

    def choose(
        self, model: torch.nn.Module, options: TorchOptions
    ) -> torch.nn.Module | Trajectory | None:
        """Give the model with the weights to keep, on the CPU, or None."""
        if options.keep == "none":
            return None
        if options.keep == "best" and self.weights:
            model.load_state_dict(self.weights)
        return Trajectory(model.cpu(), self.states) if options.keep == "all" else model.cpu()

    def state_dict(self) -> dict[str, Any]:
        """Give the state."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the state."""
        vars(self).update(state)


def make_optimizer(options: TorchOptions, model: torch.nn.Module) -> torch.optim.Optimizer:
    """Make torch's own optimizer for a model."""
    kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    kind: Any = kinds[options.optimizer]
    optimizer: torch.optim.Optimizer = kind(model.parameters(), **_coefficients(options))
    return optimizer


def tune(optimizer: torch.optim.Optimizer, options: TorchOptions) -> None:
    """Give an optimizer the coefficients that the options say.

    A checkpoint brings those of then. They are others in a trial that begins from the
    checkpoint of another.
    """
    for group in optimizer.param_groups:
        group.update(_coefficients(options))


def _coefficients(options: TorchOptions) -> dict[str, Any]:
    common: dict[str, Any] = {"lr": options.lr, "weight_decay": options.weight_decay}
    if options.optimizer == "sgd":
        return common | {"momentum": options.momentum, "nesterov": options.nesterov}
    return common | {"betas": (options.beta1, options.beta2)}
