"""Optuna's samplers: the next config follows from a model of what was found so far."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from dasktune.config import Config, Value
from dasktune.domain import Choice, Constant, Domain
from dasktune.errors import SearchError
from dasktune.interval import Integers, Interval
from dasktune.search.draws import Draws
from dasktune.search.standing import Score
from dasktune.search.strategy import Ask, Rung, Search, Strategy, one_of, whole

if TYPE_CHECKING:
    from dasktune.design import Design

TRIES = 30
"""Times that a sampler is asked for a config that is new and allowed, before one is drawn."""

SAMPLERS: dict[str, tuple[str, dict[str, Any]]] = {
    # With constant_liar, a config in training counts as a bad one, so that none is asked twice.
    "tpe": ("TPESampler", {"constant_liar": True}),
    "gp": ("GPSampler", {"deterministic_objective": True}),
    "cmaes": ("CmaEsSampler", {}),
    "nsga2": ("NSGAIISampler", {}),
    "qmc": ("QMCSampler", {"scramble": True}),
    "random": ("RandomSampler", {}),
}
SEVERAL = ("tpe", "gp", "nsga2", "qmc", "random")
"""Samplers that take several objectives."""


@dataclass(frozen=True)
class Optuna(Strategy):
    """Samples with one of Optuna's samplers, for the longest budget each.

    Needs the extra ``search`` (``pip install 'dasktune[search]'``). Conditions and predicates of
    the space hold. What a sampler proposes depends on the order in which results come in, so
    that the answer may differ with the number of workers; with one at a time it does not, nor if
    the run is killed and goes on. A note of what was asked and told is kept in the store; the
    results themselves are looked for as everywhere.

    Parameters
    ----------
    n_trials : int
        Configs in all, over all runs.
    sampler : str, default "tpe"
        ``tpe`` (Bergstra et al., NeurIPS 2011), ``gp`` (Gaussian process), ``cmaes`` (Hansen &
        Ostermeier, 2001), ``nsga2`` (Deb et al., 2002), ``qmc`` (a Sobol sequence) or ``random``.
    max_epochs : int, optional
        The budget; the pipeline's number of epochs if not given.
    seed : int, default 0
        Of the sampler.
    """

    n_trials: int
    sampler: str = "tpe"
    max_epochs: int | None = None
    seed: int = 0
    synchronous: ClassVar[bool] = False
    remembers: ClassVar[bool] = True
    multiobjective: ClassVar[bool] = True

    def __post_init__(self) -> None:
        whole("n_trials", self.n_trials, 1)
        whole("seed", self.seed, 0)
        if self.max_epochs is not None:
            whole("max_epochs", self.max_epochs, 1)
        one_of("sampler", self.sampler, SAMPLERS)

    def rungs(self, max_epochs: int) -> list[Rung]:
        """List its one rung."""
        return [Rung(0, 0, self.n_trials, max_epochs)]

    def start(self, draws: Draws, max_epochs: int) -> Search:
        """Start a search."""
        if draws.design is None:
            raise SearchError("Optuna samples a space; it cannot be started from given configs.")
        if draws.design.kind == "union":
            raise SearchError(
                "Optuna samples a space, and a union of designs is none. Search one of its spaces."
            )
        if draws.objectives > 1 and self.sampler not in SEVERAL:
            raise SearchError(
                f"the sampler {self.sampler!r} takes one objective, but there are "
                f"{draws.objectives}. Take one of {', '.join(SEVERAL)}."
            )
        return _Sampling(draws, draws.design, self, max_epochs)


class _Sampling(Search):
    """The study, which is set up only once a new config is needed."""

    def __init__(self, draws: Draws, design: Design, strategy: Optuna, max_epochs: int) -> None:
        self._draws = draws
        self._design = design
        self._strategy = strategy
        self._budget = max_epochs
        self._done: list[tuple[Config, Score | None] | Config] = []  # tells and asks, in order
        self._asked: dict[Config, None] = {}
        self._scores: dict[Config, Score | None] = {}
        self._study: Any = None
        self._trials: dict[Config, Any] = {}
        self._exhausted = False

    def ask(self, room: int) -> list[Ask]:
        """Ask for as many as there is room for."""
        asks: list[Ask] = []
        while len(asks) < room and len(self._asked) < self._strategy.n_trials:
            config = None if self._exhausted else self._new()
            if config is None:
                self._exhausted = True
                break
            asks.append(self._note(config))
        return asks

    def again(self, config: Config) -> Ask:
        """Take what an earlier run has asked for."""
        return self._note(config)

    def tell(self, ask: Ask, score: Score | None) -> None:
        """Take a score."""
        self._scores[ask.config] = score
        self._done.append((ask.config, score))
        if self._study is not None:
            self._tell(ask.config, score)

    def fate(self, config: Config) -> str:
        """Say why a config was trained no longer."""
        if config in self._scores and self._scores[config] is None:
            return f"no score at {self._budget} epochs"
        return "longest budget" if config in self._asked else ""

    def _note(self, config: Config) -> Ask:
        self._asked[config] = None
        self._done.append(config)
        return Ask(config, self._budget)

    def _new(self) -> Config | None:
        """Ask the sampler until it gives a config that is new and allowed, or else draw one."""
        if self._study is None:
            self._set_up()
        for _ in range(TRIES):
            trial = self._study.ask()
            with _quiet():
                config = self._config(
                    trial.suggest_float, trial.suggest_int, trial.suggest_categorical
                )
            if config not in self._asked and self._design.space.allows(config):
                self._trials[config] = trial
                return config
            score = self._scores.get(config)
            self._study.tell(trial, score, state=None if score is not None else _FAILED())
        for config in self._draws.upto(len(self._asked) + 1):
            if config not in self._asked:
                self._trials[config] = self._given(config)
                return config
        return None

    def _set_up(self) -> None:
        """Begin a study, and do again in it what was done."""
        try:
            import optuna
        except ImportError as error:
            raise SearchError(
                "the strategy Optuna needs Optuna; install it with pip install 'dasktune[search]'."
            ) from error
        logging.getLogger("optuna").setLevel(logging.ERROR)
        kind, options = SAMPLERS[self._strategy.sampler]
        with _quiet():
            sampler = getattr(optuna.samplers, kind)(seed=self._strategy.seed, **options)
        directions = ["maximize"] * self._draws.objectives
        self._study = optuna.create_study(directions=directions, sampler=sampler)
        asked, self._asked = self._asked, {}
        scores, self._scores = self._scores, {}
        same = True
        for step in self._done:
            if isinstance(step, Config):
                proposed = self._new() if same else None
                if proposed != step:
                    # By another release of Optuna, say; what was asked for then stands.
                    same = False
                    if proposed is not None:
                        self._study.tell(self._trials.pop(proposed), state=_FAILED())
                    self._trials[step] = self._given(step)
                self._asked[step] = None
            else:
                config, score = step
                self._scores[config] = score
                self._tell(config, score)
        self._asked, self._scores = asked, scores

    def _tell(self, config: Config, score: Score | None) -> None:
        state = _FAILED() if score is None else None
        self._study.tell(self._trials[config], score, state=state)

    def _given(self, config: Config) -> Any:
        """Make a trial of the study with given values."""
        params = {
            name: _number(self._design.space.domains[name], value)
            for name, value in config.items()
            if not isinstance(self._design.space.domains[name], Constant)
        }
        self._study.enqueue_trial(params)
        trial = self._study.ask()
        self._config(trial.suggest_float, trial.suggest_int, trial.suggest_categorical)
        return trial

    def _config(
        self,
        real: Callable[..., float],
        integer: Callable[..., int],
        categorical: Callable[..., Any],
    ) -> Config:
        space = self._design.space
        values: dict[str, Value] = {}
        for name in space.order:
            domain = space.domains[name]
            if not space.exists(name, values):
                continue
            if isinstance(domain, Interval):
                values[name] = real(name, domain.low, domain.high, log=domain.log)
            elif isinstance(domain, Integers):
                values[name] = integer(
                    name, domain.low, domain.high, step=domain.step, log=domain.log
                )
            elif isinstance(domain, Choice):
                # By position: Optuna's categories cannot be tuples.
                values[name] = domain.values[categorical(name, list(range(len(domain.values))))]
            else:
                values[name] = domain.from_unit(0.0)
        return Config({name: values[name] for name in space.names if name in values})


def _number(domain: Domain, value: Value) -> Any:
    return domain.values.index(value) if isinstance(domain, Choice) else value


def _FAILED() -> Any:
    from optuna.trial import TrialState

    return TrialState.FAIL


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna's warnings to itself: of what it calls experimental, of its models' numerics."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
