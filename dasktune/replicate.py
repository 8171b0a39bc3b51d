"""Replicates: every config again, with other random numbers or on other parts of the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dasktune.domain import Domain, distinct
from dasktune.errors import SpaceError
from dasktune.interval import Integers


@dataclass(frozen=True)
class Replicates(Domain):
    """Repetitions of every config with other random numbers."""

    values: tuple[int, ...]
    common: bool = False

    def from_unit(self, u: float) -> int:
        """Map `u` in [0, 1) to one of the replicates."""
        return self.values[min(int(u * len(self.values)), len(self.values) - 1)]

    def points(self) -> tuple[int, ...]:
        """List the replicates."""
        return self.values

    def read(self, text: str) -> int:
        """Read the number of a replicate."""
        return Integers({}, 0, 0).read(text)


@dataclass(frozen=True)
class Folds(Replicates):
    """Repetitions of every config on other parts of the data."""


def replicates(count: int | Sequence[int], *, common: bool = False) -> Replicates:
    """Repeat every config with other random numbers: an axis of the sweep.

    Parameters
    ----------
    count : int or sequence of int
        How many replicates, numbered from 0; or their numbers.
    common : bool, default False
        Whether a replicate has the same random numbers in all configs (for paired comparisons)
        instead of each trial having its own.

    Raises
    ------
    SpaceError
        If there would be none, or one is given twice, or one is not an int.
    """
    return Replicates({}, _numbered("replicates", count), common)


def folds(count: int | Sequence[int]) -> Folds:
    """Repeat every config on each fold of a cross-validation: an axis of the sweep.

    Each fold is a trial of its own. It has its number in ``trial.replicate``, of which alone
    the split must be made, so that all configs see the same; `SklearnRecipe` does so.

    Parameters
    ----------
    count : int or sequence of int
        How many folds, numbered from 0; or their numbers.

    Raises
    ------
    SpaceError
        If there would be none, or one is given twice, or one is not an int.
    """
    return Folds({}, _numbered("folds", count))


def _numbered(name: str, count: int | Sequence[int]) -> tuple[int, ...]:
    values = tuple(range(count)) if isinstance(count, int) else tuple(count)
    if isinstance(count, bool) or not values:
        raise SpaceError(f"{name}() needs at least one, but got {count!r}.")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int):
            raise SpaceError(f"{name}() needs whole numbers, but got {value!r}.")
    distinct(values, f"{name}()")
    return values
