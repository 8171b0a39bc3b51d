"""The options of a PyTorch training, checked, and what follows from them without torch."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from dasktune.data.order import parse_bytes
from dasktune.errors import DataError, PipelineError, did_you_mean
from dasktune.pytorch.schedule import SCHEDULES, learning_rate_factor

OPTIMIZERS = ("sgd", "adam", "adamw")
KEEPS = ("last", "best", "all", "none")
SHARED = ("batch_size", "buffer", "optimizer", "amp", "compile", "graphs", "keep")
"""Options that trials must have in common to be trained as one; all others are each trial's own."""


@dataclass(frozen=True)
class TorchOptions:
    """How one trial is trained.

    Attributes
    ----------
    epochs, batch_size : int
        Passes over the training split, and samples a step.
    optimizer : {"adamw", "adam", "sgd"}
        The update rule.
    lr, weight_decay, momentum, beta1, beta2 : float
        Its coefficients.
    nesterov : bool
        For ``sgd``.
    schedule : {"constant", "step", "cosine", "one_cycle"}
        See `dasktune.pytorch.schedule.learning_rate_factor`.
    warmup, step_size : int
        In epochs.
    gamma : float
        For ``step``.
    horizon : int
        Epochs over which the schedule stretches; 0 for `epochs`.
    clip : float
        Largest norm of the gradient; 0 for none.
    label_smoothing : float
        For cross entropy.
    patience : int
        Epochs without a smaller ``val_loss`` after which to stop; 0 for never.
    amp : bool
        Whether to compute in bfloat16 where that is safe.
    compile : bool
        Whether to compile the model by `torch.compile`.
    graphs : bool
        Whether to run fused steps as CUDA graphs, on a GPU and where they can be recorded.
    keep : {"last", "best", "all", "none"}
        Which weights are the result.
    buffer : str or int
        Bytes of training samples in memory, such as ``"4 GiB"``; empty or 0 for no bound.

    Raises
    ------
    PipelineError
        If a value is not of its kind.
    """

    epochs: int = 10
    batch_size: int = 64
    optimizer: str = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.0
    momentum: float = 0.0
    nesterov: bool = False
    beta1: float = 0.9
    beta2: float = 0.999
    schedule: str = "constant"
    warmup: int = 0
    step_size: int = 1
    gamma: float = 0.1
    horizon: int = 0
    clip: float = 0.0
    label_smoothing: float = 0.0
    patience: int = 0
    amp: bool = False
    compile: bool = False
    graphs: bool = True
    keep: str = "last"
    buffer: str | int = ""

    def __post_init__(self) -> None:
        one_of("optimizer", self.optimizer, OPTIMIZERS)
        one_of("schedule", self.schedule, SCHEDULES)
        one_of("keep", self.keep, KEEPS)
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "int":
                least = _LEAST.get(field.name, 0)
                if isinstance(value, bool) or not isinstance(value, int) or value < least:
                    raise PipelineError(
                        f"{field.name} must be an int of at least {least}, but got {value!r}."
                    )
            elif field.type == "float":
                number = isinstance(value, (int, float)) and not isinstance(value, bool)
                if not number or not 0 <= value < float("inf"):
                    raise PipelineError(
                        f"{field.name} must be a number of at least 0, but got {value!r}."
                    )
            elif field.type == "bool" and not isinstance(value, bool):
                raise PipelineError(f"{field.name} must be True or False, but got {value!r}.")
        if self.buffer:
            try:
                parse_bytes(self.buffer)
            except DataError as error:
                raise PipelineError(str(error)) from error
        for name in ("beta1", "beta2", "label_smoothing"):
            if not getattr(self, name) < 1:
                raise PipelineError(f"{name} must be below 1, but got {getattr(self, name)!r}.")

    def check_together(self) -> TorchOptions:
        """Refuse options of which one rules out another, and give them back.

        Raises
        ------
        PipelineError
            If there are such.
        """
        if self.optimizer == "sgd" and self.nesterov and not self.momentum:
            raise PipelineError("nesterov needs a momentum above 0, but momentum is 0.")
        return self

    @classmethod
    def of(cls, *sources: Mapping[str, Any]) -> TorchOptions:
        """Collect the options from mappings, of which the later go before the earlier.

        Names that are no option are left out.
        """
        known = {field.name for field in fields(cls)}
        values: dict[str, Any] = {}
        for source in sources:
            values.update({name: source[name] for name in source if name in known})
        return cls(**values)

    def shared(self) -> tuple[Any, ...]:
        """Give what must be equal for trials to be trained as one."""
        return tuple(getattr(self, name) for name in SHARED)

    def to_dict(self) -> dict[str, Any]:
        """Give all options by name."""
        return asdict(self)

    def learning_rates(self, epoch: int, steps: int) -> list[float]:
        """Give the learning rate of each step of an epoch.

        Parameters
        ----------
        epoch : int
            From 0.
        steps : int
            Steps an epoch.
        """
        span = self.horizon or self.epochs
        shape = (self.schedule, self.warmup, self.step_size, float(self.gamma))
        return [self.lr * factor for factor in _factors(shape, epoch, span, steps)]


_LEAST = {"batch_size": 1, "step_size": 1}


@functools.lru_cache(maxsize=4096)
def _factors(
    shape: tuple[str, int, int, float], epoch: int, epochs: int, steps: int
) -> tuple[float, ...]:
    schedule, warmup, step_size, gamma = shape
    return tuple(
        learning_rate_factor(
            schedule,
            step,
            epochs * steps,
            warmup=warmup * steps,
            step_size=step_size * steps,
            gamma=gamma,
        )
        for step in range(epoch * steps, (epoch + 1) * steps)
    )


def one_of(name: str, value: Any, known: tuple[str, ...]) -> None:
    """Refuse a value that is none of those known.

    Raises
    ------
    PipelineError
        If it is not.
    """
    if value not in known:
        raise PipelineError(
            f"{name} must be one of {', '.join(known)}, but got {value!r}."
            + did_you_mean(str(value), known)
        )
