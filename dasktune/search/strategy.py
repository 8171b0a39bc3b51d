"""What a strategy is: a description, and the search that it starts, which is asked and told."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from dasktune.config import Config, Parent
from dasktune.errors import SearchError, did_you_mean
from dasktune.search.draws import Draws
from dasktune.search.standing import Score


@dataclass(frozen=True)
class Ask:
    """A wish: that a config is trained, up to a budget.

    Attributes
    ----------
    config : Config
        The hyperparameters; all replicates of it are trained.
    budget : int
        Epochs in all, at least 1.
    bracket, rung : int
        Where in the search it belongs, for people.
    replicates : tuple of int
        The replicates, if not those of the design.
    parent : Parent or None
        From whose checkpoint it begins, if not from the start.
    """

    config: Config
    budget: int
    bracket: int = 0
    rung: int = 0
    replicates: tuple[int, ...] = ()
    parent: Parent | None = None


MOST = 10_000_000
"""Of configs, epochs and so forth that a strategy takes: more is a slip of the keyboard."""
ALL = 0
"""The number of configs of a rung that has all of the design."""


@dataclass(frozen=True)
class Rung:
    """A row of what a search may do at most.

    Attributes
    ----------
    bracket, rung : int
        Its place.
    configs : int
        Most configs that are trained up to its budget; `ALL` for those of the design.
    budget : int
        Epochs in all.
    replicates : int
        Replicates of each, in all; 0 for those of the design.
    known : int or None
        Of `replicates`, those that other rungs train; those of the design if None.
    """

    bracket: int
    rung: int
    configs: int
    budget: int
    replicates: int = 0
    known: int | None = None


class Search(abc.ABC):
    """A search on its way: asks for trainings, is told their scores. Larger scores are better.

    It decides only from what it was told. It has ended when it asks for nothing and all that it
    asked for was told.
    """

    @abc.abstractmethod
    def ask(self, room: int) -> list[Ask]:
        """Ask for trainings that were not asked for before.

        Parameters
        ----------
        room : int
            Trainings for which there is room now, at least 1. A synchronous search asks for all
            that is decided, whatever the room.
        """

    @abc.abstractmethod
    def tell(self, ask: Ask, score: Score | None) -> None:
        """Take the score of a training; None if it failed or diverged.

        With several objectives it is a tuple of values, of which each is the better the larger.
        """

    @abc.abstractmethod
    def fate(self, config: Config) -> str:
        """Say in a few words why a config was trained no longer."""

    def fate_of(self, config: Config, parent: Parent | None) -> str:
        """Say so of a config that began from the checkpoint of another."""
        return self.fate(config)

    def again(self, config: Config) -> Ask:
        """Take a config that an earlier run has asked for; of a strategy that remembers."""
        raise NotImplementedError(f"{type(self).__name__} remembers nothing")

    def past(self) -> Iterator[Ask]:
        """List what an earlier run may have asked for, where it cannot be asked again.

        What is found of it is told before the next is taken. A synchronous search asks the same
        again, so that it lists nothing.
        """
        return iter(())


class Strategy(abc.ABC):
    """The description of a search: a frozen dataclass, of which any number can be started.

    Attributes
    ----------
    max_epochs : int or None
        The longest budget; None for what the pipeline's variable says.
    seed : int
        Of the configs that are drawn.
    synchronous : bool
        Whether it comes to the same answer with any number of workers.
    remembers : bool
        Whether what it asks for follows from the order of what it was told, which is then noted.
    all_configs : bool
        Whether it trains all configs of the design.
    shortens : bool
        Whether it trains for shorter budgets than the longest.
    multiobjective : bool
        Whether it can be told scores of several objectives.
    exploits : bool
        Whether a training may begin from the checkpoint of another.
    replicating : bool
        Whether it asks for some replicates of a config at a time, and tells them apart.
    """

    max_epochs: int | None
    seed: int
    synchronous: ClassVar[bool] = True
    remembers: ClassVar[bool] = False
    all_configs: ClassVar[bool] = False
    shortens: ClassVar[bool] = True
    multiobjective: ClassVar[bool] = False
    exploits: ClassVar[bool] = False
    replicating: ClassVar[bool] = False

    @abc.abstractmethod
    def rungs(self, max_epochs: int) -> list[Rung]:
        """List what it does at most, with a longest budget."""

    @abc.abstractmethod
    def start(self, draws: Draws, max_epochs: int) -> Search:
        """Start a search.

        Parameters
        ----------
        draws : Draws
            The configs to begin with.
        max_epochs : int
            The longest budget.
        """

    def configs(self, max_epochs: int) -> int:
        """Tell how many configs it draws at most."""
        return sum(rung.configs for rung in self.rungs(max_epochs) if rung.rung == 0)

    def __str__(self) -> str:
        fields: list[Any] = list(dataclasses.fields(self))  # type: ignore[arg-type]
        given = {
            field.name: getattr(self, field.name)
            for field in fields
            if getattr(self, field.name) != field.default
        }
        words = ", ".join(
            f"{name}={value if isinstance(value, Strategy) else repr(value)}"
            for name, value in given.items()
        )
        return f"{type(self).__name__}({words})"


def whole(name: str, value: Any, least: int) -> None:
    """Refuse an argument that is not a whole number of at least so much.

    Raises
    ------
    SearchError
        If it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise SearchError(f"{name} must be an int of at least {least}, but got {value!r}.")
    if value > MOST and name != "seed":
        raise SearchError(f"{name} must be an int of at most {MOST:,}, but got {value!r}.")


def finite(value: Any) -> bool:
    """Tell whether an argument is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def one_of(name: str, value: Any, known: Collection[str]) -> None:
    """Refuse an argument that is none of the words that are known.

    Raises
    ------
    SearchError
        If it is not.
    """
    if not isinstance(value, str) or value not in known:
        raise SearchError(
            f"{name} must be one of {', '.join(known)}, but got {value!r}."
            + did_you_mean(str(value), list(known))
        )
