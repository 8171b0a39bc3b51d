"""A recipe for PyTorch: a training loop that needs no code, and survives what stops it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dasktune.config import Config, plain
from dasktune.data import Data
from dasktune.errors import PipelineError, did_you_mean
from dasktune.schedule import SCHEDULES, learning_rate_factor
from dasktune.trial import Trial

if TYPE_CHECKING:
    import torch

OPTIMIZERS = ("sgd", "adam", "adamw")
LOSSES = ("cross_entropy", "mse_loss", "l1_loss", "binary_cross_entropy_with_logits")
KEEPS = ("last", "best", "none")

Loss = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]


class TorchRecipe:
    """Trains a PyTorch model on the preprocessed splits; give it to a pipeline as ``train``.

    Each option below `metrics` is fixed here, is a hyperparameter of the same name, or is set on
    the command line (``epochs=5``).

    Parameters
    ----------
    model : callable
        ``model(config, data)`` gives a `torch.nn.Module`, for each trial a new one.
    inputs, targets : str, default "x" and "y"
        The variables of the splits ``train`` and ``val``; their first dimension counts samples.
    loss : str or callable, default "cross_entropy"
        A loss of `torch.nn.functional`, or ``loss(outputs, targets)`` that gives a mean.
    metrics : mapping of str to callable, optional
        ``metric(outputs, targets)`` over all of ``val``, such as torchmetrics' functions.
        Reported as ``val_<name>``, beside ``train_loss`` and ``val_loss``; a classification
        also reports ``val_accuracy``.
    epochs : int, default 10
        Passes over ``train``.
    batch_size : int, default 64
        Samples a step; the last step of an epoch takes what is left.
    optimizer : {"adamw", "adam", "sgd"}
        With `lr`, `weight_decay`, `beta1` and `beta2`, or `momentum` and `nesterov`.
    lr : float, default 1e-3
        The learning rate.
    weight_decay : float, default 0.0
        Decoupled for ``adamw``, as an L2 penalty for the others.
    momentum, nesterov : float, bool
        For ``sgd``.
    beta1, beta2 : float, default 0.9 and 0.999
        For ``adam`` and ``adamw``.
    schedule : {"constant", "step", "cosine", "one_cycle"}
        See `dasktune.schedule.learning_rate_factor`.
    warmup : int, default 0
        Epochs over which the learning rate first rises.
    step_size, gamma : int (epochs), float
        For ``step``.
    clip : float, default 0.0
        Largest norm of the gradient; 0 leaves it as it is.
    patience : int, default 0
        Stop after so many epochs without a smaller ``val_loss``; 0 never stops early.
    amp : bool, default False
        Whether to compute in bfloat16 where that is safe.
    keep : {"last", "best", "none"}
        Which weights are the trial's result; the best have the smallest ``val_loss``.

    Notes
    -----
    The order of samples is a function of the trial's seed and the epoch alone, and the learning
    rate one of the step, so neither needs to be restored when a trial goes on from a checkpoint.

    Raises
    ------
    PipelineError
        If an option is not of its kind.
    """

    hyperparameters_first = True
    """A variable that is a hyperparameter of the space is taken from the config."""

    def __init__(
        self,
        model: Callable[[Config, Data], torch.nn.Module],
        *,
        inputs: str = "x",
        targets: str = "y",
        loss: str | Loss = "cross_entropy",
        metrics: Mapping[str, Loss] | None = None,
        epochs: int = 10,
        batch_size: int = 64,
        optimizer: str = "adamw",
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        nesterov: bool = False,
        beta1: float = 0.9,
        beta2: float = 0.999,
        schedule: str = "constant",
        warmup: int = 0,
        step_size: int = 1,
        gamma: float = 0.1,
        clip: float = 0.0,
        patience: int = 0,
        amp: bool = False,
        keep: str = "last",
    ) -> None:
        if not callable(model):
            raise PipelineError(
                f"model must be a function like model(config, data), but got {model!r}."
            )
        if isinstance(loss, str):
            _one_of("loss", loss, LOSSES)
        self.model = model
        self.inputs = inputs
        self.targets = targets
        self.loss = loss
        self.metrics = dict(metrics or {})
        self.options: dict[str, Any] = {
            "epochs": epochs,
            "batch_size": batch_size,
            "optimizer": optimizer,
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "beta1": beta1,
            "beta2": beta2,
            "schedule": schedule,
            "warmup": warmup,
            "step_size": step_size,
            "gamma": gamma,
            "clip": clip,
            "patience": patience,
            "amp": amp,
            "keep": keep,
        }
        for name, value in self.options.items():
            self.options[name] = plain(value, where=f"TorchRecipe({name}=…)")
        _check(self.options)
        # The code that counts is the user's: a sweep looks for it where the model is.
        self.__module__ = model.__module__

    @property
    def __signature__(self) -> inspect.Signature:
        """As a train function's: the options are variables of the command line."""
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        given = [inspect.Parameter(name, kind) for name in ("trial", "data")]
        options = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value)
            for name, value in self.options.items()
        ]
        return inspect.Signature([*given, *options])

    def __call__(self, trial: Trial, data: Data, **variables: Any) -> torch.nn.Module | None:
        """Train one trial.

        Parameters
        ----------
        trial : Trial
            The trial; its config goes before `variables`.
        data : Data
            With the splits ``train`` and ``val``.
        **variables : value
            Options by name, as the command line sets them.

        Returns
        -------
        torch.nn.Module or None
            The model with the weights to keep, on the CPU.
        """
        import torch

        options = {**self.options, **variables}
        options |= {name: value for name, value in trial.config.items() if name in options}
        _check(options)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        x, y, val_x, val_y = (
            data.tensor(split, name).to(device)
            for split in ("train", "val")
            for name in (self.inputs, self.targets)
        )
        loss_of = self._loss()
        model = self.model(trial.config, data).to(device)
        optimizer = _optimizer(options, model.parameters())
        best = _Best()
        trial.checkpoint(model=model, optimizer=optimizer, best=best)
        batch = options["batch_size"]
        steps_an_epoch = -(-len(x) // batch)
        steps = steps_an_epoch * options["epochs"]
        for epoch in trial.epochs(options["epochs"]):
            model.train()
            total = torch.zeros((), device=device)
            order = sample_order(trial.seed, epoch, len(x)).to(device)
            for index, chosen in enumerate(order.split(batch)):
                factor = learning_rate_factor(
                    options["schedule"],
                    epoch * steps_an_epoch + index,
                    steps,
                    warmup=options["warmup"] * steps_an_epoch,
                    step_size=options["step_size"] * steps_an_epoch,
                    gamma=options["gamma"],
                )
                for group in optimizer.param_groups:
                    group["lr"] = options["lr"] * factor
                with _precision(device, options["amp"]):
                    loss = loss_of(model(x[chosen]), y[chosen])
                optimizer.zero_grad()
                loss.backward()
                if options["clip"]:
                    torch.nn.utils.clip_grad_norm_(model.parameters(), options["clip"])
                optimizer.step()
                total += loss.detach().float() * len(chosen)
            with _precision(device, options["amp"]):
                outputs = _outputs(model, val_x, batch)
            row = self._scores(loss_of, outputs.float(), val_y)
            trial.report(train_loss=total / len(x), **row)
            improved = best.offer(float(row["val_loss"]), epoch)
            if options["keep"] == "best" and improved:
                best.weights = {k: v.detach().clone() for k, v in model.state_dict().items()}
            if options["patience"] and epoch - best.epoch >= options["patience"]:
                break
        if options["keep"] == "none":
            return None
        if options["keep"] == "best" and best.weights:
            model.load_state_dict(best.weights)
        return model.cpu()

    def _loss(self) -> Loss:
        if isinstance(self.loss, str):
            import torch

            found: Loss = getattr(torch.nn.functional, self.loss)
            return found
        return self.loss

    def _scores(self, loss_of: Loss, outputs: torch.Tensor, targets: torch.Tensor) -> Any:
        row = {"val_loss": loss_of(outputs, targets)}
        if self.loss == "cross_entropy":
            row["val_accuracy"] = (outputs.argmax(1) == targets).float().mean()
        return row | {f"val_{name}": of(outputs, targets) for name, of in self.metrics.items()}


def sample_order(seed: int, epoch: int, count: int) -> torch.Tensor:
    """Give the order of samples in an epoch, as int64 of shape ``(count,)``.

    A function of its arguments alone: what ran before does not matter.
    """
    import torch

    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    return torch.randperm(count, generator=generator)


class _Best:
    """The smallest loss so far, when it was, and the weights of then."""

    def __init__(self) -> None:
        self.value = float("inf")
        self.epoch = -1
        self.weights: dict[str, Any] = {}

    def offer(self, value: float, epoch: int) -> bool:
        """Take a loss, and say whether it is the smallest."""
        if value < self.value or self.epoch < 0:
            self.value, self.epoch = value, epoch
            return True
        return False

    def state_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        vars(self).update(state)


def _optimizer(options: Mapping[str, Any], parameters: Any) -> torch.optim.Optimizer:
    import torch

    common: dict[str, Any] = {"lr": options["lr"], "weight_decay": options["weight_decay"]}
    if options["optimizer"] == "sgd":
        momentum = {"momentum": options["momentum"], "nesterov": options["nesterov"]}
        return torch.optim.SGD(parameters, **common, **momentum)
    kind = torch.optim.Adam if options["optimizer"] == "adam" else torch.optim.AdamW
    return kind(parameters, **common, betas=(options["beta1"], options["beta2"]))


def _outputs(model: torch.nn.Module, x: torch.Tensor, batch: int) -> torch.Tensor:
    import torch

    model.eval()
    with torch.no_grad():
        # Evaluating needs no gradients, hence less memory: larger pieces than in training.
        return torch.cat([model(part) for part in x.split(max(batch, 1024))])


@contextmanager
def _precision(device: torch.device, amp: bool) -> Iterator[None]:
    import torch

    with torch.autocast(device.type, torch.bfloat16, enabled=amp):
        yield


def _check(options: Mapping[str, Any]) -> None:
    """Refuse options that are not of their kind."""
    for name, known in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("keep", KEEPS)):
        _one_of(name, options[name], known)
    for name, least in (
        ("epochs", 0),
        ("batch_size", 1),
        ("warmup", 0),
        ("step_size", 1),
        ("patience", 0),
    ):
        value = options[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise PipelineError(f"{name} must be an int of at least {least}, but got {value!r}.")
    for name in ("lr", "weight_decay", "momentum", "beta1", "beta2", "gamma", "clip"):
        value = options[name]
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not 0 <= value < float("inf"):
            raise PipelineError(f"{name} must be a number of at least 0, but got {value!r}.")
    for name in ("nesterov", "amp"):
        if not isinstance(options[name], bool):
            raise PipelineError(f"{name} must be True or False, but got {options[name]!r}.")
    if options["optimizer"] == "sgd" and options["nesterov"] and not options["momentum"]:
        raise PipelineError("nesterov needs a momentum above 0, but momentum is 0.")


def _one_of(name: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        raise PipelineError(
            f"{name} must be one of {', '.join(known)}, but got {value!r}."
            + did_you_mean(str(value), known)
        )
