"""Domains: the values that one hyperparameter may take.

Every domain maps the unit interval onto its values (`from_unit`), which is all that random and
quasi-random sampling need, and may list `points`, which is all that a grid needs.
"""

from __future__ import annotations

import abc
import ast
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


def constant(value: Any) -> Constant:
    """Give every config the same value, which the command line may override.

    Raises
    ------
    SpaceError
        If it is not a plain value.
    """
    return Constant({}, plain(value, where="a constant"))


def distinct(values: Sequence[Value], where: str) -> None:
    """Refuse a value that is given twice (``1`` and ``1.0`` are two values)."""
    seen: set[bytes] = set()
    for value in values:
        text = canonical(typed(value))
        if text in seen:
            raise SpaceError(f"{where} needs different values, but got {value!r} twice.")
        seen.add(text)
