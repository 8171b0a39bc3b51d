"""Domains: the values that one hyperparameter may take.

Every domain maps the unit interval onto its values (`from_unit`), which is all that random and
quasi-random sampling need, and may list `points`, which is all that a grid needs.
"""

from __future__ import annotations

import abc
import ast
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from dasktune.config import Value, plain
from dasktune.errors import SpaceError
from dasktune.fingerprint import canonical, typed

D = TypeVar("D", bound="Domain")


@dataclass(frozen=True)
class Domain(abc.ABC):
    """The values of one hyperparameter.

    Attributes
    ----------
    conditions : dict of str to tuple of values
        The hyperparameter exists only where each of these parents has one of these values.
    neutral : tuple of value
        The value, if there is one, that trials had before there was this hyperparameter.
    """

    conditions: dict[str, tuple[Value, ...]]
    neutral: tuple[Value, ...] = field(default=(), kw_only=True)

    @abc.abstractmethod
    def from_unit(self, u: float) -> Value:
        """Map `u` in [0, 1) to a value of the domain."""

    @abc.abstractmethod
    def points(self) -> tuple[Value, ...] | None:
        """List the values for a grid, or None where they cannot be listed."""

    @abc.abstractmethod
    def read(self, text: str) -> Value:
        """Read one value that was typed on the command line."""

    def default(self: D, value: Any) -> D:
        """Say which value a trial had before there was this hyperparameter.

        A trial with this value is the same trial as one without the hyperparameter: it has the
        same name, the same seed and the same result, so that an axis can be added to a sweep
        that is trained already.

        Parameters
        ----------
        value : value
            The neutral value.

        Examples
        --------
        >>> weight_decay = choice(0.0, 0.01).default(0.0)
        """
        return replace(self, neutral=(plain(value, where="default()"),))

    def is_neutral(self, value: Value) -> bool:
        """Say whether a value is the one that trials had before."""
        return any(type(value) is type(old) and value == old for old in self.neutral)

    def when(self: D, **conditions: Any) -> D:
        """Let this hyperparameter exist only where others have given values.

        Parameters
        ----------
        **conditions : value or tuple of values
            The parents by name, each with the value, or values, under which this one exists.

        Examples
        --------
        >>> momentum = uniform(0.0, 0.99, points=3).when(optimizer="sgd")
        """
        if not conditions:
            raise SpaceError("when() needs at least one condition, such as when(optimizer='sgd').")
        checked = {
            name: tuple(
                plain(item, where=f"when({name}=…)")
                for item in (value if isinstance(value, (tuple, list, set)) else (value,))
            )
            for name, value in conditions.items()
        }
        return replace(self, conditions={**self.conditions, **checked})


@dataclass(frozen=True)
class Choice(Domain):
    """One of several given values."""

    values: tuple[Value, ...]

    def from_unit(self, u: float) -> Value:
        """Map `u` in [0, 1) to one of the values, each with the same share."""
        return self.values[min(int(u * len(self.values)), len(self.values) - 1)]

    def points(self) -> tuple[Value, ...]:
        """List the values in the order they were given."""
        return self.values

    def read(self, text: str) -> Value:
        """Read one of the values, or a new one of a type that is among theirs."""
        for value in self.values:
            if text == str(value):
                return value
        value = literal(text)
        kinds = {type(item) for item in self.values}
        if float in kinds and type(value) is int:
            value = float(value)
        if type(value) not in kinds:
            names = " or ".join(sorted(kind.__name__ for kind in kinds))
            raise SpaceError(f"a value must be {names}, as in {self.values}, but got {text!r}.")
        return value


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
        try:
            return float(text)
        except ValueError:
            raise SpaceError(f"a value must be a number, but got {text!r}.") from None


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
        try:
            return int(text)
        except ValueError:
            raise SpaceError(f"a value must be a whole number, but got {text!r}.") from None


@dataclass(frozen=True)
class Constant(Domain):
    """A single value, the same in every config."""

    value: Value

    def from_unit(self, u: float) -> Value:
        """Give the value, whatever `u` is."""
        return self.value

    def points(self) -> tuple[Value, ...]:
        """List the one value."""
        return (self.value,)

    def read(self, text: str) -> Value:
        """Read another value for it."""
        return Choice({}, (self.value,)).read(text) if self.value is not None else literal(text)


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


def literal(text: str) -> Value:
    """Read a Python literal, or else take the text as a string."""
    try:
        return plain(ast.literal_eval(text), where="a value")
    except (ValueError, SyntaxError):
        return text


def choice(*values: Any) -> Choice:
    """Let a hyperparameter be one of several values.

    Parameters
    ----------
    *values : None, bool, int, float, str or tuple of these
        At least one, all different.

    Raises
    ------
    SpaceError
        If there is none, or one is given twice, or one is not a plain value.

    Examples
    --------
    >>> choice("relu", "gelu").points()
    ('relu', 'gelu')
    """
    if len(values) == 1 and isinstance(values[0], (list, set, range)):
        raise SpaceError(
            f"choice() takes its values one by one, but got a {type(values[0]).__name__}. "
            f"Write choice(*{values[0]!r})."
        )
    if not values:
        raise SpaceError("choice() needs at least one value, but got none.")
    checked = tuple(plain(value, where="a value of choice()") for value in values)
    distinct(checked, "choice()")
    return Choice({}, checked)


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


def constant(value: Any) -> Constant:
    """Give every config the same value, which the command line may override.

    Raises
    ------
    SpaceError
        If it is not a plain value.
    """
    return Constant({}, plain(value, where="a constant"))


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


def distinct(values: Sequence[Value], where: str) -> None:
    """Refuse a value that is given twice (``1`` and ``1.0`` are two values)."""
    seen: set[bytes] = set()
    for value in values:
        text = canonical(typed(value))
        if text in seen:
            raise SpaceError(f"{where} needs different values, but got {value!r} twice.")
        seen.add(text)


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
