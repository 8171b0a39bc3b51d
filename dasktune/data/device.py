"""The device: what of the data lives on a GPU, and what is brought there batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

SHARE = 0.5
"""Share of a device's free memory that data may take; the rest is for models and their steps."""


def resident(sizes: Sequence[int], free: int) -> tuple[bool, ...]:
    """Choose what lives on a device: as many variables as fit, the smallest first.

    Parameters
    ----------
    sizes : sequence of int
        Bytes of each variable.
    free : int
        Bytes of the device's memory that are free.

    Returns
    -------
    tuple of bool
        Whether each variable does. The others are brought there batch by batch.
    """
    room = free * SHARE
    chosen = set()
    for index in sorted(range(len(sizes)), key=sizes.__getitem__):
        room -= sizes[index]
        if room < 0:
            break
        chosen.add(index)
    return tuple(index in chosen for index in range(len(sizes)))


def ahead(
    batches: Iterable[tuple[torch.Tensor, ...]], device: str
) -> Iterator[tuple[torch.Tensor, ...]]:
    """Copy a batch to the device while the one before it is in use."""
    before: tuple[torch.Tensor, ...] | None = None
    for batch in batches:
        # From pinned memory the copy goes on by itself; torch keeps that memory as long.
        pinned = (t.pin_memory() if device.startswith("cuda") else t for t in batch)
        on_device = tuple(t.to(device, non_blocking=True) for t in pinned)
        if before is not None:
            yield before
        before = on_device
    if before is not None:
        yield before


class Streamed:
    """A tensor that is too large for the device: indexing it brings rows there.

    Parameters
    ----------
    host : torch.Tensor
        In the machine's memory, shared by all workers.
    device : str
        Where its rows are to be used.
    """

    def __init__(self, host: torch.Tensor, device: str) -> None:
        import torch

        self._host = host
        self._to = device
        self.device = torch.device(device)
        self.shape = host.shape
        self.dtype = host.dtype
        self.ndim = host.ndim

    def __len__(self) -> int:
        return len(self._host)

    def __getitem__(self, chosen: torch.Tensor) -> torch.Tensor:
        """Give rows on the device; `chosen` is an int64 tensor on any device."""
        return next(self.parts([chosen]))

    def parts(self, order: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
        """Give the rows of each of several index tensors on the device, one part ahead."""
        for (part,) in ahead(((self._host[chosen.cpu()],) for chosen in order), self._to):
            yield part

    def split(self, size: int) -> Iterator[torch.Tensor]:
        """Give all rows on the device in parts of a size, one part ahead."""
        starts = range(0, len(self), size)
        for (part,) in ahead(((self._host[at : at + size],) for at in starts), self._to):
            yield part
