"""The order of samples: shuffled in windows of blocks, a function of seed and epoch alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from dasktune.errors import DataError

BLOCK = 1024**2
"""Bytes of rows that lie next to each other and are read in one piece."""

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}


def parse_bytes(size: int | str) -> int:
    """Read a number of bytes, such as ``"1 GiB"`` or ``"500 MB"``.

    Raises
    ------
    DataError
        If it is no such thing.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmg]i?)?b?\s*", str(size), re.IGNORECASE)
    if isinstance(size, bool) or not found:
        raise DataError(f"buffer must be a number of bytes like '1 GiB', but got {size!r}.")
    return int(float(found[1]) * _UNITS[(found[2] or "").lower()])


@dataclass(frozen=True)
class Window:
    """Rows that are in memory at one time.

    Attributes
    ----------
    spans : tuple of (int, int)
        The rows that are read, from and to, in the order in which they then lie in memory.
    order : numpy.ndarray of int64
        In which order they are given out, as positions in memory.
    """

    spans: tuple[tuple[int, int], ...]
    order: np.ndarray[Any, Any]


@dataclass(frozen=True)
class Order:
    """How the rows of a split are cut into blocks and windows.

    Attributes
    ----------
    rows : int
        Rows of the split.
    block : int
        Rows of a block.
    blocks : int
        Blocks of a window.
    """

    rows: int
    block: int
    blocks: int

    @classmethod
    def of(
        cls, rows: int, row_bytes: int, *, batch_size: int, buffer: int, chunk: int = 0
    ) -> Order:
        """Fit the windows into a buffer.

        Two windows are in memory at one time: one is given out while the next one is read; and
        two batches.

        Parameters
        ----------
        rows : int
            Rows of the split.
        row_bytes : int
            Bytes of one row, over all variables.
        batch_size : int
            Rows of a batch.
        buffer : int
            Bytes that may be in memory.
        chunk : int, optional
            Rows that can only be read as a whole, for what is compressed.

        Raises
        ------
        DataError
            If the buffer is too small for that.
        """
        room = buffer // 2 - batch_size * row_bytes
        block = chunk or max(1, min(BLOCK, room // 8) // row_bytes)
        blocks = room // (block * row_bytes)
        if blocks < 1:
            least = 2 * (batch_size + block) * row_bytes
            raise DataError(
                f"a buffer of {buffer:,} bytes is too small: two batches of {batch_size} and two "
                f"blocks of {block} rows of {row_bytes:,} bytes take {least:,}. Give that much."
            )
        return cls(rows, block, blocks)

    def windows(self, seed: int, epoch: int, *, shuffle: bool) -> Iterator[Window]:
        """List the windows of an epoch, all rows once.

        Parameters
        ----------
        seed, epoch : int
            What the order is a function of. Blocks are shuffled over all of the split, and
            rows within a window.
        shuffle : bool
            Whether to shuffle at all.

        Yields
        ------
        Window
            With rows in the order of the file, as far as blocks go.
        """
        random = np.random.default_rng([seed, epoch])
        count = -(-self.rows // self.block)
        numbers = random.permutation(count) if shuffle else np.arange(count)
        for first in range(0, count, self.blocks):
            chosen = np.sort(numbers[first : first + self.blocks])
            spans = tuple(
                (int(n) * self.block, min(self.rows, (int(n) + 1) * self.block)) for n in chosen
            )
            rows = sum(to - start for start, to in spans)
            yield Window(spans, random.permutation(rows) if shuffle else np.arange(rows))
