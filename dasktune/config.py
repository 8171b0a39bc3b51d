"""A configuration and a trial: one point of the space, and that point with its replicate."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from dasktune.errors import SpaceError
from dasktune.fingerprint import digest, typed

Value: TypeAlias = bool | int | float | str | tuple["Value", ...] | None
"""What a hyperparameter can be."""

_READABLE = 100  # characters of a trial's id that are for people; a file name holds 255 bytes


def plain(value: Any, *, where: str) -> Value:
    """Turn a value into one a config can hold: None, bool, int, float, str or tuples of them.

    Raises
    ------
    SpaceError
        If the value is anything else, such as a function or an array.
    """
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        value = value.item()  # NumPy's and torch's scalars
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return tuple(plain(item, where=where) for item in value)
    raise SpaceError(
        f"{where} must be None, a bool, a number, a string or a tuple of these, "
        f"but got {value!r} ({type(value).__name__}). "
        "Name it by a string and look it up in train()."
    )


class Config(Mapping[str, Value]):
    """One point of a space: an immutable mapping of hyperparameters, also read as attributes.

    Parameters
    ----------
    values : mapping of str to value
        The hyperparameters. One that does not exist at this point is absent.

    Examples
    --------
    >>> config = Config({"lr": 0.1, "hidden": 64})
    >>> config["lr"], config.hidden
    (0.1, 64)
    """

    __slots__ = ("_hash", "_values")
    _hash: int
    _values: dict[str, Value]

    def __init__(self, values: Mapping[str, Value]) -> None:
        object.__setattr__(self, "_values", dict(values))
        object.__setattr__(self, "_hash", 0)

    def __getitem__(self, name: str) -> Value:
        try:
            return self._values[name]
        except KeyError:
            raise KeyError(self._lacks(name)) from None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(self._lacks(name)) from None

    def _lacks(self, name: str) -> str:
        return f"no hyperparameter {name!r} in this config; it has {', '.join(self._values)}"

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a config cannot be changed (tried to set {name!r})")

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Config):
            return super().__eq__(other)
        # 1 and 1.0 are two values, as in a trial's name.
        theirs = other._values
        return self._values == theirs and all(
            type(value) is type(theirs[name]) for name, value in self._values.items()
        )

    def __hash__(self) -> int:
        if not self._hash:  # searches look their configs up again and again
            found = hash(tuple(sorted(self._values.items(), key=lambda item: item[0])))
            object.__setattr__(self, "_hash", found or 1)
        return self._hash

    def __repr__(self) -> str:
        return f"Config({', '.join(f'{k}={v!r}' for k, v in self._values.items())})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (Config, (self._values,))


@dataclass(frozen=True)
class Parent:
    """The config from whose checkpoint another one begins.

    Attributes
    ----------
    config : Config
        Its hyperparameters.
    epoch : int
        The epochs that it had been trained for.
    parent : Parent or None
        From whose checkpoint it began itself.
    """

    config: Config
    epoch: int
    parent: Parent | None = None


@dataclass(frozen=True)
class Origin:
    """The trial from whose checkpoint another one begins.

    Attributes
    ----------
    trial : str
        Its id.
    epoch : int
        The epochs that it had been trained for.
    content : str
        Digest of all that it is.
    spec : TrialSpec or None
        The trial, where it is to be trained; a record of it does without.
    """

    trial: str
    epoch: int
    content: str
    spec: TrialSpec | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, spec: TrialSpec, epoch: int) -> Origin:
        """Name a trial at an epoch."""
        if spec.origin is not None:  # what came before that is in its parts
            spec = replace(spec, origin=replace(spec.origin, spec=None))
        return cls(spec.id, epoch, digest(spec.parts()), spec)

    def to_json(self) -> dict[str, Any]:
        """Give a JSON-able form, of which ``Origin(**tree)`` is the same again."""
        return {"trial": self.trial, "epoch": self.epoch, "content": self.content}


@dataclass(frozen=True)
class TrialSpec:
    """One config × one replicate, by which a trial is known everywhere.

    Attributes
    ----------
    config : Config
        The hyperparameters, without the replicate.
    replicate : dict of str to int
        The replicate's axis and its value, such as ``{"seed": 0}``; empty without replicates.
    common : bool
        Whether all configs share the random numbers of a replicate.
    neutral : tuple of str
        Hyperparameters, or axes of the replicate, that have the value which trials had before
        they existed. They are no part of what the trial is: of its name, its seed, its key.
    origin : Origin or None
        The trial from whose checkpoint it begins, if it does not begin from the start.
    id : str
        A stable name, readable by a person: ``"lr=0.01,hidden=64,seed=0-3fa2b1c4"``.
    seed : int
        32 bits for the random number generators, made from the content, never from the order.
    """

    config: Config
    replicate: dict[str, int] = field(default_factory=dict)
    common: bool = False
    neutral: tuple[str, ...] = ()
    origin: Origin | None = None
    id: str = field(init=False)
    seed: int = field(init=False)

    def __post_init__(self) -> None:
        config, replicate = self._known(self.config), self._known(self.replicate)
        parts: dict[str, Any] = {"config": typed(config), "replicate": typed(replicate)}
        if self.origin is not None:
            parts["origin"] = self.origin.to_json()
        content = digest(parts)
        words = ",".join(f"{k}={_short(v)}" for k, v in self._known(self.axes()).items())
        words = re.sub(r"[^A-Za-z0-9_.,=+-]", "_", words)[:_READABLE]
        drawn = digest(["common", typed(replicate)]) if self.common else content
        object.__setattr__(self, "id", f"{words}-{content[:8]}")
        object.__setattr__(self, "seed", int(drawn[-8:], 16))

    def axes(self) -> dict[str, Value]:
        """Give the hyperparameters and the replicate in one mapping."""
        return {**self.config, **self.replicate}

    def parts(self) -> dict[str, Any]:
        """Give what of this trial goes into its key."""
        parts = {
            "config": {n: typed(value) for n, value in self._known(self.config).items()},
            "replicate": {n: typed(value) for n, value in self._known(self.replicate).items()},
            "seed": self.seed,
        }
        return parts if self.origin is None else {**parts, "origin": self.origin.to_json()}

    def _known(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Leave out what is neutral."""
        return {name: value for name, value in values.items() if name not in self.neutral}


def _short(value: Value) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, tuple):
        return "x".join(_short(item) for item in value)
    return str(value)
