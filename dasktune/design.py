"""Designs: which points of a space a sweep consists of."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dasktune.config import Config, Origin, Parent, TrialSpec, Value, plain
from dasktune.domain import Constant
from dasktune.errors import SpaceError, UsageError, did_you_mean
from dasktune.replicate import Folds

if TYPE_CHECKING:
    from dasktune.space import Space

TRIES = 1000
"""Points drawn for each one wanted, before predicates count as ruling out too much."""


@dataclass(frozen=True)
class Design:
    """A finite set of configs of a space, each with all replicates.

    Attributes
    ----------
    space : Space
        The space.
    kind : str
        ``"grid"``, ``"random"``, ``"sobol"``, ``"latin hypercube"`` or ``"explicit"``.
    n : int
        Number of configs, for a sampled design.
    seed : int
        Of the sampling.
    configs : tuple of dict
        The configs of an explicit design.
    """

    space: Space
    kind: str
    n: int = 1
    seed: int = 0
    configs: tuple[dict[str, Any], ...] = ()

    def __post_init__(self) -> None:
        for name, value, least in (("n", self.n, 1), ("seed", self.seed, 0)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise SpaceError(f"{name} must be an int of at least {least}, but got {value!r}.")
        if self.kind == "explicit" and not self.configs:
            raise SpaceError("explicit() needs at least one config, but got none.")

    @property
    def is_grid(self) -> bool:
        """Whether it is every combination of the domains' points."""
        return self.kind == "grid"

    def trials(self) -> tuple[TrialSpec, ...]:
        """List the trials: configs in the order of the design, replicates innermost.

        Raises
        ------
        SpaceError
            If there is none, or a domain cannot be listed for a grid.
        """
        found: dict[str, TrialSpec] = {}
        for config in self.configs_in_order():
            for spec in self.replicated(config):
                found.setdefault(spec.id, spec)
        if not found:
            raise SpaceError(
                "the predicates of where() rule out every config of the space. Loosen one."
            )
        return tuple(found.values())

    def replicated(
        self, config: Config, numbers: Sequence[int] = (), parent: Parent | None = None
    ) -> tuple[TrialSpec, ...]:
        """Give the trials of a config: one a replicate and fold.

        Parameters
        ----------
        config : Config
            The config.
        numbers : sequence of int, optional
            The replicates; those of the space if not given.
        parent : Parent, optional
            From whose checkpoint, that of the same replicate, each of them begins.
        """
        repeated = self.space.replicates
        if numbers:
            repeated = {
                name: domain
                if isinstance(domain, Folds)
                else replace(domain, values=tuple(numbers))
                for name, domain in repeated.items()
            }
        common = any(domain.common for domain in repeated.values())
        specs = []
        for chosen in itertools.product(*(domain.values for domain in repeated.values())):
            replicate = dict(zip(repeated, chosen, strict=True))
            specs.append(self._spec(config, replicate, common, parent))
        return tuple(specs)

    def _spec(
        self, config: Config, replicate: dict[str, int], common: bool, parent: Parent | None
    ) -> TrialSpec:
        neutral = self.space.neutral({**config, **replicate})
        origin = None
        if parent is not None:
            before = self._spec(parent.config, replicate, common, parent.parent)
            origin = Origin.of(before, parent.epoch)
        return TrialSpec(config, replicate, common, neutral, origin)

    def override(self, values: Mapping[str, Sequence[str]]) -> Design:
        """Give this design with domains replaced by values typed on the command line.

        An explicit design keeps those of its configs that have the values.
        """
        space = self.space.override(values)
        if self.kind != "explicit":
            return Design(space, self.kind, self.n, self.seed)
        kept = []
        for config in self.configs:
            matches = all(
                config.get(name) in (space.domains[name].points() or ())
                for name in values
                if name not in space.replicates
            )
            if matches:
                kept.append(config)
        if not kept:
            words = " ".join(f"{name}={','.join(texts)}" for name, texts in values.items())
            raise UsageError(f"none of the explicit configs has {words}.")
        return Design(space, self.kind, configs=tuple(kept))

    def describe(self) -> str:
        """Say in a line what it consists of."""
        repeated = self.space.replicates.items()
        copies = math.prod(len(domain.values) for _, domain in repeated)
        count = len(self.trials()) // copies
        words = {"grid": "full grid of", "explicit": "list of"}.get(
            self.kind, f"{self.kind} design of"
        )
        text = f"{words} {count} config{'s' if count != 1 else ''}"
        return " x ".join([text, *(f"{len(axis.values)} {name}" for name, axis in repeated)])

    def configs_in_order(self) -> Iterator[Config]:
        """Give the configs one by one; a sampled design may give one twice."""
        if self.kind == "grid":
            yield from self._grid()
        elif self.kind == "explicit":
            for index, values in enumerate(self.configs):
                yield self._checked(index, values)
        else:
            yield from self._sampled()

    def _config(self, values: Mapping[str, Value]) -> Config:
        return Config({name: values[name] for name in self.space.names if name in values})

    def _grid(self) -> Iterator[Config]:
        points: dict[str, tuple[Value, ...]] = {}
        for name in self.space.order:
            listed = self.space.domains[name].points()
            if listed is None:
                raise SpaceError(
                    f"a full grid needs a list of values for {name!r}, which has none. Give it "
                    "points=…, write choice(…), or sample: space.random(n)."
                )
            points[name] = listed

        # The last declared varies fastest; parents must be known before their children.
        def expand(names: tuple[str, ...], values: dict[str, Value]) -> Iterator[dict[str, Value]]:
            if not names:
                yield values
                return
            name, rest = names[0], names[1:]
            if not self.space.exists(name, values):
                yield from expand(rest, values)
                return
            for value in points[name]:
                yield from expand(rest, {**values, name: value})

        for values in expand(self.space.order, {}):
            config = self._config(values)
            if self.space.allows(config):
                yield config

    def _sampled(self) -> Iterator[Config]:
        accepted = 0
        for units in self._units():
            values: dict[str, Value] = {}
            for name in self.space.order:
                if self.space.exists(name, values):
                    values[name] = self.space.domains[name].from_unit(units[name])
            config = self._config(values)
            if self.space.allows(config):
                accepted += 1
                yield config
            if accepted == self.n:
                return
        raise SpaceError(
            f"only {accepted} of {self.n} configs could be drawn: the predicates of where() "
            "rule out too much. Loosen one, or ask for fewer."
        )

    def _units(self) -> Iterator[dict[str, float]]:
        """Draw points of the unit cube, by name."""
        names = sorted(self.space.order)
        if self.kind == "random":
            streams = {name: random.Random(f"{self.seed}/{name}") for name in names}
            for _ in range(TRIES * self.n):
                yield {name: stream.random() for name, stream in streams.items()}
            return
        from scipy.stats import qmc

        if self.kind == "sobol":
            sampler = qmc.Sobol(len(names), scramble=True, rng=self.seed)
            for power in range(max(1, math.ceil(math.log2(self.n))), 17):
                start = sampler.num_generated
                for row in sampler.random(2**power - start):
                    yield dict(zip(names, map(float, row), strict=True))
            return
        rows = qmc.LatinHypercube(len(names), rng=self.seed).random(self.n)
        for row in rows:
            yield dict(zip(names, map(float, row), strict=True))

    def _checked(self, index: int, given: Mapping[str, Any]) -> Config:
        """Check one config of an explicit design."""
        where = f"config {index} of explicit()"
        names = [name for name in self.space.names if name not in self.space.replicates]
        for name in given:
            if name not in names:
                raise SpaceError(
                    f"{where} has {name!r}, which the space has not." + did_you_mean(name, names)
                )
        values: dict[str, Value] = {}
        for name in self.space.order:
            domain = self.space.domains[name]
            exists = self.space.exists(name, values)
            if name in given and not exists:
                raise SpaceError(f"{where} has {name!r}, whose condition does not hold there.")
            if name in given:
                values[name] = plain(given[name], where=f"{name!r} in {where}")
            elif exists and isinstance(domain, Constant):
                values[name] = domain.value
            elif exists:
                raise SpaceError(f"{where} lacks a value for {name!r}.")
        config = self._config(values)
        if not self.space.allows(config):
            raise SpaceError(f"{where} is ruled out by a predicate of where(): {config!r}.")
        return config


@dataclass(frozen=True)
class Chosen(Design):
    """A few trials of a design, such as those that a search has asked for.

    Attributes
    ----------
    specs : tuple of TrialSpec
        The trials.
    """

    specs: tuple[TrialSpec, ...] = ()

    @classmethod
    def of(cls, space: Space, specs: Sequence[TrialSpec]) -> Chosen:
        """Choose trials."""
        return cls(
            space, "explicit", configs=tuple(dict(s.config) for s in specs), specs=tuple(specs)
        )

    def trials(self) -> tuple[TrialSpec, ...]:
        """List the trials."""
        return self.specs
