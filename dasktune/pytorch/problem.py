"""What all trials of a PyTorch recipe have in common: the data on the device, and the scores."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from torch.func import vmap

from dasktune.data.device import Streamed
from dasktune.data.order import parse_bytes

if TYPE_CHECKING:
    from dasktune.data import Data
    from dasktune.data.batches import Batches

LossFunction = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Problem:
    """The splits as tensors, the loss and the metrics.

    Attributes
    ----------
    x, y : torch.Tensor
        Inputs and targets of ``train``; the first dimension counts samples.
    val_x, val_y : torch.Tensor
        Those of ``val``.
    loss : str or callable
        A loss of `torch.nn.functional`, or ``loss(outputs, targets)``.
    metrics : mapping of str to callable
        ``metric(outputs, targets)``.
    amp : bool
        Whether to compute in bfloat16 where that is safe.
    windows : callable or None
        ``windows(batch_size, seed=…, epoch=…)`` gives the batches of an epoch of a training split
        that is not to be in memory as a whole: see `dasktune.Data.batches`.
    """

    x: torch.Tensor
    y: torch.Tensor
    val_x: torch.Tensor
    val_y: torch.Tensor
    loss: str | LossFunction
    metrics: Mapping[str, LossFunction]
    amp: bool = False
    windows: Callable[..., Batches] | None = None

    @classmethod
    def of(
        cls,
        data: Data,
        names: tuple[str, str],
        loss: str | LossFunction,
        metrics: Mapping[str, LossFunction],
        *,
        amp: bool,
        buffer: str | int = "",
    ) -> Problem:
        """Bring the splits to the GPU if there is one, as far as it has room.

        Parameters
        ----------
        data : Data
            The splits.
        names : (str, str)
            The variables of inputs and targets.
        loss, metrics, amp
            As in the class.
        buffer : str or int
            Bytes of training samples that may be in memory; empty for no bound.
        """
        device = "cuda" if torch.cuda.is_available() else "cpu"
        inputs, targets = names
        val_y = data.tensor("val", targets, device=device)  # the metrics take it as a whole
        room = parse_bytes(buffer or 0)
        if room:
            host = [data.tensor("train", name) for name in names]  # mapped, not read
            if sum(t.numel() * t.element_size() for t in host) > room:
                (val_x,) = cast(list[torch.Tensor], data.place([("val", inputs)], device))
                x, y = cast(list[torch.Tensor], [Streamed(t, device) for t in host])
                windows = functools.partial(
                    data.batches, "train", names, buffer=room, device=device
                )
                return cls(x, y, val_x, val_y, loss, metrics, amp, windows)
        rest = [("train", inputs), ("train", targets), ("val", inputs)]
        # What does not fit behaves like a tensor where the loop uses it: see `Streamed`.
        x, y, val_x = cast(list[torch.Tensor], data.place(rest, device))
        return cls(x, y, val_x, val_y, loss, metrics, amp)

    @property
    def resident(self) -> bool:
        """Whether all of it is on the device."""
        return all(isinstance(part, torch.Tensor) for part in (self.x, self.y, self.val_x))

    @property
    def device(self) -> torch.device:
        """Where the data are."""
        return self.x.device

    def epoch(
        self, seed: int, epoch: int, batch_size: int
    ) -> tuple[int, Iterable[tuple[torch.Tensor, ...]]]:
        """Give the batches of an epoch, shuffled: how many, and inputs and targets of each.

        Parameters
        ----------
        seed, epoch : int
            What the order is a function of.
        batch_size : int
            Samples of a batch; the last one may be smaller.
        """
        if self.windows is not None:
            batches = self.windows(batch_size, seed=seed, epoch=epoch)
            return len(batches), batches
        order = sample_order(seed, epoch, len(self.x)).to(self.device).split(batch_size)
        return len(order), zip(_rows(self.x, order), _rows(self.y, order), strict=True)

    def loss_of(
        self, outputs: torch.Tensor, targets: torch.Tensor, smoothing: Any = 0.0
    ) -> torch.Tensor:
        """Give the loss of one batch, a 0-d tensor.

        Parameters
        ----------
        outputs, targets : torch.Tensor
            Of one batch.
        smoothing : float or 0-d tensor
            Label smoothing of the cross entropy: the share of each target that is spread over
            all classes (Szegedy et al., arXiv 1512.00567, section 7).
        """
        if callable(self.loss):
            return self.loss(outputs, targets)
        loss: torch.Tensor = getattr(F, self.loss)(outputs, targets)
        if self.loss == "cross_entropy" and not (isinstance(smoothing, float) and smoothing == 0):
            spread = -F.log_softmax(outputs, 1).mean()
            loss = (1 - smoothing) * loss + smoothing * spread
        return loss

    def scores(self, outputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Give the metrics of outputs over all of ``val``, 0-d tensors by name."""
        outputs = _full(outputs)
        row = {"val_loss": self.loss_of(outputs, self.val_y)}
        if self.loss == "cross_entropy":
            row["val_accuracy"] = (outputs.argmax(1) == self.val_y).float().mean()
        return row | {f"val_{name}": of(outputs, self.val_y) for name, of in self.metrics.items()}

    def scores_of_each(self, outputs: torch.Tensor) -> dict[str, list[Any]]:
        """Give the metrics of several trials.

        Parameters
        ----------
        outputs : torch.Tensor
            Of shape ``(trials, samples, …)``.

        Returns
        -------
        dict of str to list
            A number, or what a metric of the user's gives, for each trial.
        """
        outputs = _full(outputs)
        losses = vmap(lambda one: self.loss_of(one, self.val_y))(outputs)
        rows = {"val_loss": losses.tolist()}
        if self.loss == "cross_entropy":
            rows["val_accuracy"] = (
                (outputs.argmax(2) == self.val_y)
                .float()
                .mean(tuple(range(1, outputs.ndim - 1)))
                .tolist()
            )
        for name, metric in self.metrics.items():
            rows[f"val_{name}"] = [metric(one, self.val_y) for one in outputs]
        return rows

    @contextmanager
    def precision(self) -> Iterator[None]:
        """Compute in the precision that was asked for."""
        # A cast that is kept for later would be missing from a graph that is recorded now.
        recording = self.device.type == "cuda" and torch.cuda.is_current_stream_capturing()
        with torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.amp, cache_enabled=not recording
        ):
            yield


def _rows(tensor: Any, order: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
    if isinstance(tensor, torch.Tensor):
        return (tensor[chosen] for chosen in order)
    rows: Iterator[torch.Tensor] = tensor.parts(order)
    return rows


def _full(outputs: torch.Tensor) -> torch.Tensor:
    return outputs.float() if outputs.dtype in (torch.bfloat16, torch.float16) else outputs


def sample_order(seed: int, epoch: int, count: int) -> torch.Tensor:
    """Give the order of samples in an epoch, as int64 of shape ``(count,)``.

    A function of its arguments alone: what ran before does not matter.
    """
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    return torch.randperm(count, generator=generator)
