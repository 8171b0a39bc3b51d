"""Intervals: domains of the numbers between two bounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from dasktune.domain import Domain
from dasktune.errors import SpaceError

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class Interval(Domain):
    """Real numbers between two bounds, on a linear or a logarithmic scale."""

    low: float
    high: float
    log: bool = False
    count: int | None = None

    def from_unit(self, u: float) -> float:
        """Map `u` in [0, 1) to a number between the bounds."""
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            return min(max(math.exp(low + u * (high - low)), self.low), self.high)
        return self.low + u * (self.high - self.low)

    def points(self) -> tuple[float, ...] | None:
        """List `points` numbers, evenly spaced from bound to bound."""
        if self.count is None:
            return None
        if self.count == 1:
            return (float(f"{self.from_unit(0.5):.12g}"),)
        # Rounded, so that 0.001 is the 0.001 that a user types, and not 0.0009999999999999998.
        inner = (
            float(f"{self.from_unit(i / (self.count - 1)):.12g}") for i in range(1, self.count - 1)
        )
        return (self.low, *inner, self.high)

    def read(self, text: str) -> float:
        """Read a number; it may lie outside of the bounds."""
        return _read(float, "a number", text)


@dataclass(frozen=True)
class Integers(Domain):
    """Whole numbers between two bounds, both included."""

    low: int
    high: int
    log: bool = False
    step: int = 1

    def from_unit(self, u: float) -> int:
        """Map `u` in [0, 1) to a whole number; on a linear scale each has the same share."""
        if self.log:
            low, high = math.log(self.low), math.log(self.high + 1)
            return min(int(math.exp(low + u * (high - low))), self.high)
        values = range(self.low, self.high + 1, self.step)
        return values[min(int(u * len(values)), len(values) - 1)]

    def points(self) -> tuple[int, ...] | None:
        """List all the numbers, or None on a logarithmic scale."""
        return None if self.log else tuple(range(self.low, self.high + 1, self.step))

    def read(self, text: str) -> int:
        """Read a whole number; it may lie outside of the bounds."""
        return _read(int, "a whole number", text)


def uniform(low: float, high: float, *, points: int | None = None) -> Interval:
    """Let a hyperparameter be any real number between two bounds.

    Parameters
    ----------
    low, high : float
        The bounds, finite, `low` < `high`.
    points : int, optional
        How many evenly spaced numbers a grid takes from it, bounds included.

    Raises
    ------
    SpaceError
        If the bounds are not so, or `points` is below 1.
    """
    low, high = _bounds("uniform", low, high)
    return Interval({}, low, high, False, _count(points))


def log_uniform(low: float, high: float, *, points: int | None = None) -> Interval:
    """Let a hyperparameter be any positive number, evenly likely per power of ten.

    Parameters
    ----------
    low, high : float
        The bounds, finite, 0 < `low` < `high`.
    points : int, optional
        How many logarithmically spaced numbers a grid takes from it, bounds included.

    Raises
    ------
    SpaceError
        If the bounds are not so, or `points` is below 1.
    """
    low, high = _bounds("log_uniform", low, high)
    if low <= 0:
        raise SpaceError(
            f"log_uniform() needs 0 < low, but got low={low!r}. Take a small positive bound, "
            "or uniform()."
        )
    return Interval({}, low, high, True, _count(points))


def integers(low: int, high: int, *, step: int = 1, log: bool = False) -> Integers:
    """Let a hyperparameter be a whole number between two bounds, both included.

    Parameters
    ----------
    low, high : int
        The bounds, `low` <= `high`; with `log`, 0 < `low`.
    step : int, default 1
        Distance between two values.
    log : bool, default False
        Whether each power of ten is as likely as the next; then a grid cannot list the values.

    Raises
    ------
    SpaceError
        If the bounds or the step are not so.
    """
    for name, value in (("low", low), ("high", high), ("step", step)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise SpaceError(f"integers() needs {name} to be an int, but got {value!r}.")
    if low > high:
        raise SpaceError(f"integers() needs low <= high, but got low={low}, high={high}.")
    if step < 1:
        raise SpaceError(f"integers() needs step >= 1, but got step={step}.")
    if log and (low < 1 or step != 1):
        raise SpaceError(
            f"integers(log=True) needs low >= 1 and step=1, but got low={low}, step={step}."
        )
    return Integers({}, low, high, log, step)


def _read(kind: Callable[[str], Number], words: str, text: str) -> Number:
    try:
        return kind(text)
    except ValueError:
        raise SpaceError(f"a value must be {words}, but got {text!r}.") from None


def _bounds(name: str, low: Any, high: Any) -> tuple[float, float]:
    for word, value in (("low", low), ("high", high)):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not math.isfinite(value):
            raise SpaceError(f"{name}() needs {word} to be a finite number, but got {value!r}.")
    if not low < high:
        raise SpaceError(
            f"{name}() needs low < high, but got low={low!r}, high={high!r}. "
            "Swap them, or take constant()."
        )
    return float(low), float(high)


def _count(points: Any) -> int | None:
    if points is not None and (isinstance(points, bool) or not isinstance(points, int)):
        raise SpaceError(f"points must be an int, but got {points!r}.")
    if points is not None and points < 1:
        raise SpaceError(f"points must be at least 1, but got {points}.")
    return points
