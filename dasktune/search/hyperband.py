"""Hyperband: successive halving with several answers to how early it may judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dasktune.search.draws import Draws
from dasktune.search.halving import Bracket, Brackets, bracket_rungs, check_ladder, ladder, steps
from dasktune.search.strategy import Rung, Search, Strategy


@dataclass(frozen=True)
class Hyperband(Strategy):
    """Hyperband (Li et al., JMLR 18(185), 2018, arXiv 1603.06560), synchronous.

    The brackets run side by side and each rung is decided when all of it is known, so that the
    answer is the same with any number of workers.

    Parameters
    ----------
    max_epochs : int, optional
        The longest budget (R); the pipeline's number of epochs if not given.
    min_epochs : int, default 1
        The shortest budget is at least this (1 in the paper).
    eta : int, default 3
        One of how many goes on from rung to rung.
    seed : int, default 0
        Of the configs that are drawn.

    Notes
    -----
    Algorithm 1 of the paper, line by line: ``s_max = floor(log_eta(R))``, ``B = (s_max + 1) R``;
    for the brackets ``s = s_max … 0``: ``n = ceil(B / R * eta**s / (s + 1))``,
    ``r = R * eta**-s``; rung ``i`` has ``n_i = floor(n * eta**-i)`` configs, trained for
    ``r_i = r * eta**i`` epochs, rounded down. ``bracket`` 0 of the dataset is ``s = s_max``.
    Where a space has too few configs, brackets share them, and a training that two of them
    want runs once.

    Examples
    --------
    >>> [(rung.configs, rung.budget) for rung in Hyperband().rungs(9)]
    [(9, 1), (3, 3), (1, 9), (5, 3), (1, 9), (3, 9)]
    """

    max_epochs: int | None = None
    min_epochs: int = 1
    eta: int = 3
    seed: int = 0
    multiobjective: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_ladder(self.max_epochs, self.min_epochs, self.eta, self.seed)

    def rungs(self, max_epochs: int) -> list[Rung]:
        """List the rungs of all brackets."""
        return [rung for bracket in self._brackets(max_epochs) for rung in bracket]

    def start(self, draws: Draws, max_epochs: int) -> Search:
        """Start a search."""
        total = self.configs(max_epochs)
        configs = draws.upto(total)
        brackets, first = [], 0
        for rungs in self._brackets(max_epochs):
            wanted = range(first, first + min(rungs[0].configs, len(configs)))
            chosen = [configs[i % len(configs)] for i in wanted]
            brackets.append(Bracket(chosen, rungs, self.eta))
            first += rungs[0].configs
        return Brackets(brackets)

    def _brackets(self, max_epochs: int) -> list[list[Rung]]:
        most = steps(max_epochs, self.min_epochs, self.eta)
        brackets = []
        for number, s in enumerate(range(most, -1, -1)):
            n = -(-(most + 1) * self.eta**s // (s + 1))
            brackets.append(bracket_rungs(number, n, ladder(max_epochs, self.eta, s), self.eta))
        return brackets
