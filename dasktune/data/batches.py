"""Batches: shuffled samples of data of any size, in memory of a size that is given."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from dasktune.data.device import ahead
from dasktune.data.order import Order
from dasktune.data.reading import Rows, read_spans
from dasktune.errors import DataError

if TYPE_CHECKING:
    import torch

READERS = 4
"""Threads that read ahead: a disk, or a file system over a network, serves several at once."""

Arrays = tuple[np.ndarray[Any, Any], ...]


class Batches:
    """The batches of one epoch; what `Data.batches` gives.

    Each time that it is iterated over, it gives the same batches.

    Parameters
    ----------
    sources : sequence of Rows
        The variables, all of the same number of rows.
    whole : sequence of numpy.ndarray
        The variables in memory, if they are to be taken from there; empty if not.
    order : Order
        Blocks and windows.
    batch_size : int
        Rows of a batch.
    seed, epoch : int
        What the order is a function of.
    shuffle : bool
        Whether to shuffle.
    drop_last : bool
        Whether to leave out the last batch if it is smaller.
    device : str
        Where the batches are to be.
    """

    def __init__(
        self,
        sources: Sequence[Rows],
        whole: Sequence[np.ndarray[Any, Any]],
        order: Order,
        batch_size: int,
        *,
        seed: int,
        epoch: int,
        shuffle: bool,
        drop_last: bool,
        device: str,
    ) -> None:
        self._sources = sources
        self._whole = whole
        self._order = order
        self._batch = batch_size
        self._how: dict[str, Any] = {"seed": seed, "epoch": epoch, "shuffle": shuffle}
        self._drop_last = drop_last
        self._device = device

    def __len__(self) -> int:
        batches = self._order.rows / self._batch
        return math.floor(batches) if self._drop_last else math.ceil(batches)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, ...]]:
        tensors = map(_tensors, self._in_memory() if self._whole else self._read())
        yield from tensors if self._device == "cpu" else ahead(tensors, self._device)

    def _in_memory(self) -> Iterator[Arrays]:
        """Take the rows from memory in one window, without reading them into another."""
        for window in self._order.windows(**self._how):
            for first in range(0, self._order.rows, self._batch):
                chosen = window.order[first : first + self._batch]
                if len(chosen) == self._batch or not self._drop_last:
                    yield tuple(array[chosen] for array in self._whole)

    def _read(self) -> Iterator[Arrays]:
        """Give out one window while the next one is read."""
        if not self._order.rows:
            return
        rows = min(self._order.rows, self._order.block * self._order.blocks)
        buffers = [
            tuple(np.empty((rows, *s.shape[1:]), s.dtype) for s in self._sources) for _ in range(2)
        ]
        windows = list(self._order.windows(**self._how))
        rest: Arrays = tuple(buffer[:0].copy() for buffer in buffers[0])
        with ThreadPoolExecutor(READERS, thread_name_prefix="read-ahead") as pool:
            try:
                ready = read_spans(self._sources, windows[0].spans, buffers[0], pool)
                for number, window in enumerate(windows):
                    ready()
                    if number + 1 < len(windows):
                        spans = windows[number + 1].spans
                        ready = read_spans(self._sources, spans, buffers[(number + 1) % 2], pool)
                    rest = yield from self._give(buffers[number % 2], window.order, rest)
            finally:
                pool.shutdown(cancel_futures=True)
        if len(rest[0]) and not self._drop_last:
            yield rest

    def _give(
        self, buffer: Arrays, order: np.ndarray[Any, Any], rest: Arrays
    ) -> Generator[Arrays, None, Arrays]:
        """Give out a window, and return the rows that make no whole batch."""
        at = 0
        if len(rest[0]):
            at = min(self._batch - len(rest[0]), len(order))
            more = (array[order[:at]] for array in buffer)
            rest = tuple(np.concatenate(both) for both in zip(rest, more, strict=True))
            if len(rest[0]) < self._batch:
                return rest
            yield rest
        while at + self._batch <= len(order):
            chosen = order[at : at + self._batch]
            yield tuple(array[chosen] for array in buffer)
            at += self._batch
        return tuple(array[order[at:]] for array in buffer)


def _tensors(arrays: Arrays) -> tuple[torch.Tensor, ...]:
    import torch

    try:
        return tuple(torch.from_numpy(array) for array in arrays)
    except TypeError as error:
        raise DataError(f"a batch cannot be tensors: {error}") from error
