"""The trial: what a train function is given."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from dasktune import drain
from dasktune.checkpoint import Left, check_stateful, load_checkpoint, save_checkpoint
from dasktune.config import Config, TrialSpec
from dasktune.curve import Curve
from dasktune.errors import PipelineError

Emit = Callable[[dict[str, Any]], None]
"""Takes one small event, such as ``{"event": "report", "trial": …}``; never raises."""

_LOOK_EVERY = 0.2  # seconds between two looks at the stop flag
_LOOK_FOR_END_EVERY = 1.0  # and at the flag that ends this trial alone
_LOOK_FOR_OTHERS_EVERY = 5.0  # and at whether it is trained elsewhere by now


class Interrupted(BaseException):
    """The trial was asked to end and is at a checkpoint, if it has any; not an `Exception`, so
    that ``except Exception`` in a train function lets it pass.
    """


class Trial:
    """One configuration in training: gives the config, takes the metrics.

    Attributes
    ----------
    config : Config
        The hyperparameters.
    seed : int
        This trial's own seed, 32 bits. Python, NumPy and torch are already seeded with it.
    replicate : dict of str to int
        The replicate's axis and number, such as ``{"seed": 0}``.
    id : str
        The trial's name.
    parent : str
        The name of the trial from whose checkpoint this one begins; ``""`` for the start.
    began : int
        The epoch at which it begins, 0 for the start.
    stopped : bool
        Whether it, alone, was asked to end (``dasktune stop``).
    """

    def __init__(
        self,
        spec: TrialSpec,
        *,
        checkpoint_folder: str = "",
        origin_folder: str = "",
        checkpoint_every: float = 30.0,
        budget: int | None = None,
        stop_flag: str = "",
        end_flag: str = "",
        emit: Emit = lambda event: None,
        beat: Callable[[], None] = lambda: None,
        superseded: Callable[[], bool] = lambda: False,
    ) -> None:
        self.config: Config = spec.config
        self.seed: int = spec.seed
        self.replicate: dict[str, int] = dict(spec.replicate)
        self.id: str = spec.id
        self.parent: str = spec.origin.trial if spec.origin is not None else ""
        self.began: int = spec.origin.epoch if spec.origin is not None else 0
        self.curve = Curve()
        self.resumed_at = 0
        self.seconds_before = 0.0  # that its training took before it was left at `resumed_at`
        begun = time.perf_counter()
        self.clock: Callable[[], float] = lambda: time.perf_counter() - begun
        self.stopped = False
        self._folder = checkpoint_folder
        self._origin_folder = origin_folder
        self._every = checkpoint_every
        self._budget = budget
        self._stop_flag = stop_flag
        self._end_flag = end_flag
        self._emit = emit
        self._beat = beat
        self._superseded = superseded
        self._objects: dict[str, Any] = {}
        self._epoch: int | None = None
        self._epochs: int | None = None
        self._saved_at = time.monotonic()
        self._looked_at = 0.0
        self._stopping = False
        self._looked_for_end_at = 0.0
        self._looked_for_others_at = time.monotonic()

    def epochs(self, count: int) -> Iterator[int]:
        """Count the epochs, from where a checkpoint left off.

        Parameters
        ----------
        count : int
            Epochs in all, at least 0.

        Yields
        ------
        int
            The epoch, from 0 or from the checkpoint's.
        """
        self.check_origin()
        self._epochs = count
        for epoch in range(self.resumed_at, count):
            self._epoch = epoch
            yield epoch
            self._end_epoch(epoch + 1, last=epoch + 1 == count)
        self._epoch = None

    def report(self, **metrics: Any) -> None:
        """Report metrics: one row of the curve.

        Inside of `epochs` all reports of an epoch are one row; elsewhere each is its own.

        Parameters
        ----------
        **metrics : float, 0-d array or tensor, or xarray.DataArray
            The metrics by name. A `DataArray` keeps its named dimensions in the dataset.

        Raises
        ------
        MetricError
            If a value is not a number.
        """
        self._beat()
        epoch = len(self.curve.rows) if self._epoch is None else self._epoch
        self.curve.put(epoch, metrics)
        row = {k: v for k, v in self.curve.rows[epoch].items() if isinstance(v, float)}
        where = {"trial": self.id, "epoch": epoch, "epochs": self._epochs}
        self._emit({"event": "report", **where, "metrics": row})

    def checkpoint(self, **objects: Any) -> bool:
        """Name what a checkpoint holds, and go on from one if there is one.

        Call it once, before the loop over `epochs`. Checkpoints are then written at the ends
        of epochs; they also hold the random number generators' states and the curve so far.
        A trial with a `parent` begins from that one's checkpoint, with random numbers of its
        own; apply its config after this call, since an optimizer's state brings the rate of then.

        Parameters
        ----------
        **objects : object with state_dict and load_state_dict
            Models, optimizers, schedulers.

        Returns
        -------
        bool
            Whether the objects were put into the state of a checkpoint.

        Raises
        ------
        PipelineError
            If an object has no ``state_dict``.
        """
        check_stateful(objects)
        self._objects = objects
        loaded = load_checkpoint(self._folder, objects, self._budget) if self._folder else None
        if loaded is None and self._origin_folder:
            # Its random numbers are its own.
            loaded = load_checkpoint(self._origin_folder, objects, self.began, generators=False)
        if loaded is None:
            return False
        self.resumed_at, curve, self.seconds_before = loaded
        self.curve = Curve.from_json(curve)
        self._emit({"event": "resumed", "trial": self.id, "epoch": self.resumed_at})
        return True

    @property
    def epochs_trained(self) -> int:
        """Epochs that were reported since the training began, or went on."""
        return len(self.curve.rows) - self.resumed_at

    @property
    def can_be_left(self) -> bool:
        """Whether it saves checkpoints, so that it may be left after any epoch."""
        return bool(self._objects and self._folder)

    def check_origin(self) -> None:
        """Make sure that a trial which begins from another one's checkpoint has done so.

        Raises
        ------
        PipelineError
            If it has not: it would be another training than the one that its key names.
        """
        if self.resumed_at < self.began:
            raise PipelineError(
                f"this trial begins at epoch {self.began} of {self.parent}, but did not "
                "load a checkpoint of it. train() must call trial.checkpoint(model=…, "
                "optimizer=…) before its loop over trial.epochs(); if it does, the checkpoint is "
                "gone or does not fit: train the search again with -B."
            )

    def end(self) -> None:
        """Say that the training ends here, before its last epoch, as early stopping does.

        Call it before leaving the loop over `epochs`, so that a longer budget finds the state.
        """
        self._save_final(max(self._epoch or 0, len(self.curve.rows)))

    def _end_epoch(self, next_epoch: int, *, last: bool) -> None:
        self._beat()
        if last:
            self._save_final(next_epoch)
            return
        self._leave_to_others()
        self.stopped = self._asked_to_end()
        saves = self.can_be_left
        stopping = saves and self._asked_to_stop()
        due = time.monotonic() - self._saved_at >= self._every
        if saves and (stopping or self.stopped or due):
            self._leave_to_others(saving=True)
            save_checkpoint(self._folder, self._objects, self._left(next_epoch))
            self._saved_at = time.monotonic()
        if stopping or self.stopped:
            raise Interrupted(next_epoch)

    def _save_final(self, next_epoch: int) -> None:
        """Save the state in which a budget ends, if a longer one may go on from it."""
        if self.can_be_left and self._budget is not None:
            save_checkpoint(self._folder, self._objects, self._left(next_epoch), final=True)

    def _left(self, next_epoch: int) -> Left:
        return Left(next_epoch, self.curve.to_json(), self.seconds_before + self.clock())

    def _leave_to_others(self, *, saving: bool = False) -> None:
        """End here, and save nothing, if another attempt at this trial has begun elsewhere."""
        now = time.monotonic()
        if saving or now - self._looked_for_others_at >= _LOOK_FOR_OTHERS_EVERY:
            self._looked_for_others_at = now
            if self._superseded():
                raise Interrupted

    def _asked_to_stop(self) -> bool:
        if drain.requested():
            return True
        now = time.monotonic()
        if not self._stopping and self._stop_flag and now - self._looked_at >= _LOOK_EVERY:
            self._looked_at = now
            self._stopping = os.path.exists(self._stop_flag)
        return self._stopping

    def _asked_to_end(self) -> bool:
        now = time.monotonic()
        if self._end_flag and now - self._looked_for_end_at >= _LOOK_FOR_END_EVERY:
            self._looked_for_end_at = now
            return os.path.exists(self._end_flag)
        return False

    def __repr__(self) -> str:
        return f"<Trial {self.id}>"
