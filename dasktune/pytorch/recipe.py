"""A recipe for PyTorch: a training loop that needs no code, and survives what stops it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dasktune.config import Config, plain
from dasktune.data import Data
from dasktune.errors import PipelineError
from dasktune.pytorch.options import TorchOptions, one_of
from dasktune.trial import Trial

if TYPE_CHECKING:
    import torch

    from dasktune.model import Trajectory
    from dasktune.pytorch.problem import Problem
    from dasktune.pytorch.together import Ended, Seat

LOSSES = ("cross_entropy", "mse_loss", "l1_loss", "binary_cross_entropy_with_logits")

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
        See `dasktune.pytorch.schedule.learning_rate_factor`.
    warmup : int, default 0
        Epochs over which the learning rate first rises.
    step_size, gamma : int (epochs), float
        For ``step``.
    horizon : int, default 0
        Epochs over which ``cosine`` and ``one_cycle`` stretch; 0 for `epochs`. With a fixed
        one, a training for more epochs goes on from one for fewer; otherwise it starts anew.
    clip : float, default 0.0
        Largest norm of the gradient; 0 leaves it as it is.
    label_smoothing : float, default 0.0
        For ``cross_entropy`` in training: the share of a target that is spread over all classes.
    patience : int, default 0
        Stop after so many epochs without a smaller ``val_loss``; 0 never stops early.
    amp : bool, default False
        Whether to compute in bfloat16 where that is safe.
    compile : bool, default False
        Whether to compile the model by `torch.compile`, which takes some seconds a worker and
        pays for long trainings; fused, the whole of a step's gradient is compiled.
    graphs : bool, default True
        Whether to run fused steps as CUDA graphs, on a GPU and where they can be recorded.
    keep : {"last", "best", "all", "none"}
        Which weights are the trial's result; the best have the smallest ``val_loss``; ``all``
        are the last, and beside them those after each epoch.
    buffer : str or int, default ""
        Bytes of training samples that may be in memory, such as ``"4 GiB"``. A split that is
        larger is read and shuffled in windows (see `dasktune.Data.batches`), ahead of the
        training, and its trials are not fused; without it, samples are taken from all over the
        file, which is slow once the split is larger than the memory.

    Notes
    -----
    The order of samples is a function of the trial's seed and the epoch alone, and the learning
    rate one of the step, so neither needs to be restored when a trial goes on from a checkpoint.
    A trial whose training loss is no longer finite stops there.

    Trials with models of one structure and equal `batch_size`, `optimizer`, `amp`, `compile`,
    `graphs` and `keep` may be trained as one vmapped step (see `dasktune.pytorch.fused`); all
    else is each trial's own.

    Raises
    ------
    PipelineError
        If an option is not of its kind.
    """

    hyperparameters_first = True
    """A variable that is a hyperparameter of the space is taken from the config."""
    variables_in = "options"
    """The attribute that counts by the variables, and not once more as code."""
    budget = "epochs"
    """The variable by which a longer training goes on from a shorter one; see `goes_on`."""

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
        horizon: int = 0,
        clip: float = 0.0,
        label_smoothing: float = 0.0,
        patience: int = 0,
        amp: bool = False,
        compile: bool = False,
        graphs: bool = True,
        keep: str = "last",
        buffer: str | int = "",
    ) -> None:
        if not callable(model):
            raise PipelineError(
                f"model must be a function like model(config, data), but got {model!r}."
            )
        if isinstance(loss, str):
            one_of("loss", loss, LOSSES)
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
            "horizon": horizon,
            "clip": clip,
            "label_smoothing": label_smoothing,
            "patience": patience,
            "amp": amp,
            "compile": compile,
            "graphs": graphs,
            "keep": keep,
            "buffer": buffer,
        }
        for name, value in self.options.items():
            self.options[name] = plain(value, where=f"TorchRecipe({name}=…)")
        TorchOptions(**self.options)
        if label_smoothing and loss != "cross_entropy":
            raise PipelineError(
                f"label_smoothing is for loss='cross_entropy', but loss is {loss!r}. "
                "Smooth the labels in your own loss function."
            )
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

    def __call__(
        self, trial: Trial, data: Data, **variables: Any
    ) -> torch.nn.Module | Trajectory | None:
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
        torch.nn.Module, Trajectory or None
            The model with the weights to keep, on the CPU.
        """
        from dasktune.pytorch.loop import train_alone

        options = TorchOptions.of(self.options, variables, trial.config).check_together()
        problem = self._problem(data, options)
        return train_alone(trial, self.model(trial.config, data), options, problem)

    def goes_on(self, config: Config, variables: Mapping[str, Any]) -> bool:
        """Say whether training for more epochs is the same at first.

        It is, unless the schedule stretches over the epochs, whatever their number.

        Parameters
        ----------
        config : Config
            The trial's hyperparameters.
        variables : mapping of str to value
            As the command line sets them.
        """
        options = TorchOptions.of(self.options, variables, config)
        return options.schedule in ("constant", "step") or options.horizon > 0

    def together(
        self, config: Config, variables: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], tuple[str, ...]]:
        """Say with which trials one may be trained together.

        Parameters
        ----------
        config : Config
            The trial's hyperparameters.
        variables : mapping of str to value
            As the command line sets them.

        Returns
        -------
        kind : tuple
            Equal for trials that may share a step, if their models have one structure.
        likeness : tuple of str
            Equal for trials whose models have it for certain, if `model` goes by the config.

        Raises
        ------
        PipelineError
            If an option is not of its kind.
        """
        options = TorchOptions.of(self.options, variables, config).check_together()
        others = (f"{name}={config[name]!r}" for name in sorted(config))
        likeness = (word for word in others if word.partition("=")[0] not in self.options)
        return options.shared(), (*likeness, f"{options.epochs:09d}")

    def train_together(
        self,
        trials: Sequence[Trial],
        data: Data,
        *,
        width: int | None,
        stopping: Callable[[], bool],
        **variables: Any,
    ) -> Iterator[Ended]:
        """Train several trials, as many in one step as is fastest.

        Parameters
        ----------
        trials : sequence of Trial
            For which `together` gives the same.
        data : Data
            With the splits ``train`` and ``val``.
        width : int or None
            Trials that share a step; None to measure what is fastest.
        stopping : callable
            Says whether nothing new is to be started.
        **variables : value
            Options by name, as the command line sets them.

        Yields
        ------
        Ended
            Each trial as it ends.
        """
        from dasktune.pytorch.member import Member
        from dasktune.pytorch.together import Ended, Seat, train_together
        from dasktune.seeding import seed_everything

        seats: list[Seat] = []
        for trial in trials:
            options = TorchOptions.of(self.options, variables, trial.config)
            seed_everything(trial.seed)
            try:
                member = Member(self.model(trial.config, data), options, trial.seed)
            except Exception as error:
                yield Ended(trial, alone=f"its model failed with {type(error).__name__}")
            else:
                seats.append(Seat(trial, member))
        if seats:
            problem = self._problem(data, seats[0].member.options)
            yield from train_together(seats, problem, width=width, stopping=stopping)

    def _problem(self, data: Data, options: TorchOptions) -> Problem:
        from dasktune.pytorch.problem import Problem

        loss: Any = self.loss
        names = (self.inputs, self.targets)
        return Problem.of(data, names, loss, self.metrics, amp=options.amp, buffer=options.buffer)
