"""Draws: the configs that a search begins with, in an order that nothing but the seed decides."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator
from dataclasses import replace

from dasktune.config import Config
from dasktune.design import TRIES, Design


class Draws:
    """Configs to begin with, one after the other.

    Parameters
    ----------
    configs : iterable of Config
        All different; it may be endless.

    Attributes
    ----------
    design : Design or None
        Where they come from, if from one.
    objectives : int
        How many values the score of a config has.
    """

    def __init__(self, configs: Iterable[Config]) -> None:
        self._configs: list[Config] = []
        self._coming = iter(configs)
        self.design: Design | None = None
        self.objectives = 1

    @classmethod
    def of(cls, design: Design, seed: int, *, endless: bool = False) -> Draws:
        """Draw the different configs of a design.

        Those of a full grid, or of a list, come in random order, since the first ones of a grid
        are alike.

        Parameters
        ----------
        design : Design
            Where they come from.
        seed : int
            Of their order.
        endless : bool, default False
            Whether a random design goes on for as long as its space has other configs.
        """
        if endless:
            design = replace(design, n=10**9)  # a larger one begins with the same configs
        draws = cls(_distinct(design, seed))
        draws.design = design
        return draws

    def upto(self, count: int) -> list[Config]:
        """Give the first ones; fewer where there are fewer."""
        missing = count - len(self._configs)
        if missing > 0:
            self._configs += itertools.islice(self._coming, missing)
        return self._configs[:count]


def _distinct(design: Design, seed: int) -> Iterator[Config]:
    seen: set[Config] = set()
    in_vain = 0
    for config in _ordered(design, seed):
        if config in seen:
            in_vain += 1
            if in_vain >= TRIES:
                return  # a space of few configs, all of which were drawn
            continue
        in_vain = 0
        seen.add(config)
        yield config


def _ordered(design: Design, seed: int) -> Iterator[Config]:
    if design.kind not in ("grid", "explicit", "union"):
        yield from design.configs_in_order()
        return
    configs = list(design.configs_in_order())
    random.Random(f"{seed}/order").shuffle(configs)
    yield from configs
