"""Reading: rows of a variable, into memory that is given."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


class Rows(Protocol):
    """A variable whose rows can be read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The variable's."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The variable's."""

    def read(self, start: int, out: np.ndarray[Any, Any]) -> None:
        """Read as many rows as `out` has, from `start` on."""


@dataclass(frozen=True)
class FileRows:
    """Rows of an array that is one file: read past the mapping, so that they do not stay.

    Attributes
    ----------
    path : str
        The file.
    start : int
        Where the array begins.
    shape : tuple of int
        The array's.
    dtype : numpy.dtype
        The array's.
    """

    path: str
    start: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def read(self, start: int, out: np.ndarray[Any, Any]) -> None:
        """Read as many rows as `out` has, from `start` on."""
        rest = memoryview(out.reshape(-1).view("u1"))
        offset = self.start + start * (out.nbytes // len(out))
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            while rest.nbytes:
                count = os.preadv(descriptor, [rest], offset)
                if not count:
                    raise OSError(f"{self.path} ends at byte {offset:,}, before its array does")
                rest, offset = rest[count:], offset + count
        finally:
            os.close(descriptor)


@dataclass(frozen=True)
class ChunkedRows:
    """Rows of a variable that xarray reads from its chunks.

    Attributes
    ----------
    variable : xarray.Variable
        The variable, not in memory.
    """

    variable: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """The variable's."""
        return tuple(self.variable.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The variable's."""
        dtype: np.dtype[Any] = self.variable.dtype
        return dtype

    def read(self, start: int, out: np.ndarray[Any, Any]) -> None:
        """Read as many rows as `out` has, from `start` on."""
        out[...] = self.variable[start : start + len(out)].values


def read_spans(
    sources: Sequence[Rows],
    spans: Sequence[tuple[int, int]],
    buffers: Sequence[np.ndarray[Any, Any]],
    pool: Executor,
) -> Callable[[], None]:
    """Begin to read spans of rows of several variables, one behind the other.

    Returns
    -------
    callable
        Waits until all is read.
    """
    jobs = []
    at = 0
    for start, to in spans:
        for source, buffer in zip(sources, buffers, strict=True):
            jobs.append(pool.submit(source.read, start, buffer[at : at + to - start]))
        at += to - start

    def wait() -> None:
        for job in jobs:
            job.result()

    return wait
