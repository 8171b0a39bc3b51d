"""Unions: several designs as one sweep, such as a region of the space that is added to another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from dasktune.config import Config, Parent, TrialSpec
from dasktune.design import Design
from dasktune.domain import Choice, Domain
from dasktune.errors import SpaceError, UsageError, did_you_mean
from dasktune.interval import Integers, Interval
from dasktune.replicate import Replicates
from dasktune.space import Space


@dataclass(frozen=True)
class Union(Design):
    """The configs of several designs, each with the replicates of its own.

    Attributes
    ----------
    designs : tuple of Design
        The designs. A trial that two of them have is one trial.
    """

    designs: tuple[Design, ...] = ()

    def trials(self) -> tuple[TrialSpec, ...]:
        """List the trials, design by design."""
        found: dict[str, TrialSpec] = {}
        for design in self.designs:
            for spec in design.trials():
                found.setdefault(spec.id, spec)
        return tuple(found.values())

    def replicated(
        self, config: Config, numbers: Sequence[int] = (), parent: Parent | None = None
    ) -> tuple[TrialSpec, ...]:
        """Give the trials of a config, by the designs that have it."""
        known = [d for d, configs in zip(self.designs, self._configs, strict=True)
                 if (parent.config if parent else config) in configs]  # fmt: skip
        homes = known or [d for d in self.designs if set(config) <= set(d.space.names)][:1]
        specs = (spec for d in homes for spec in d.replicated(config, numbers, parent))
        found = {spec.id: spec for spec in reversed(tuple(specs))}
        return tuple(reversed(found.values()))

    @cached_property
    def _configs(self) -> tuple[frozenset[Config], ...]:
        return tuple(frozenset(design.configs_in_order()) for design in self.designs)

    def override(self, values: Mapping[str, Sequence[str]]) -> Design:
        """Give the union of those designs that have the names, narrowed to their values.

        A value that some of them have is for those alone: to name it adds no trial to the
        others. One that none of them has is new, and for all.
        """
        for name in values:
            if name not in self.space.names:
                raise UsageError(
                    f"no hyperparameter {name!r} in this space."
                    + did_you_mean(name, self.space.names)
                )
        named = [d for d in self.designs if values.keys() <= set(d.space.names)]
        if not named:
            raise UsageError(f"none of the united designs has all of {', '.join(values)}.")
        homes = {
            (name, text): [d for d in named if _has(d, name, text)]
            or [d for d in named if d.kind != "explicit"]
            for name, texts in values.items()
            for text in texts
        }
        designs = []
        for design in named:
            own = {n: [t for t in texts if design in homes[n, t]] for n, texts in values.items()}
            if all(own.values()):
                try:
                    designs.append(design.override(own))
                except UsageError:
                    # A list may have each of the values, but no config with all of them.
                    if design.kind != "explicit":
                        raise
        if not designs:
            words = " ".join(f"{name}={','.join(texts)}" for name, texts in values.items())
            raise UsageError(f"none of the united designs has {words}.")
        return union(*designs)

    def describe(self) -> str:
        """Say in a line what it consists of."""
        parts = " and ".join(f"({design.describe()})" for design in self.designs)
        return f"union of {parts}: {len(self.trials())} trials"

    def configs_in_order(self) -> Iterator[Config]:
        """Give the configs one by one, design by design."""
        for design in self.designs:
            yield from design.configs_in_order()


def union(*designs: Design | Space) -> Design:
    """Unite designs: all their trials are one sweep.

    So a whole region is added to a sweep that is trained already: its own trials keep their
    names, seeds and keys, hence their results. The designs may have hyperparameters of their
    own; a trial of another one lacks them.

    Parameters
    ----------
    *designs : Design or Space
        At least one; a space stands for its full grid.

    Returns
    -------
    Design
        To be given to a pipeline.

    Raises
    ------
    SpaceError
        If they have different axes of replicates, or domains that cannot be one.

    Examples
    --------
    >>> from dasktune import Space, choice
    >>> near = Space(lr=choice(0.1, 0.2), width=choice(32, 64))
    >>> far = Space(lr=choice(0.2, 0.9), width=choice(64))
    >>> len(union(near, far).trials())
    5
    """
    if not designs:
        raise SpaceError("union() needs at least one design, but got none.")
    found: list[Design] = []
    for design in designs:
        made = design.grid() if isinstance(design, Space) else design
        if not isinstance(made, Design):
            raise SpaceError(
                f"union() takes designs, such as space.grid() or space.random(20), or spaces, but "
                f"got {made!r}."
            )
        found += made.designs if isinstance(made, Union) else [made]
    if len(found) == 1:
        return found[0]
    axes = [tuple(design.space.replicates) for design in found]
    if len(set(map(frozenset, axes))) > 1:
        words = " and ".join(f"({', '.join(names)})" for names in axes)
        raise SpaceError(
            f"the designs of a union need the same axes of replicates, but they have {words}. "
            "Write seed=replicates(1).default(0) where trials were trained without."
        )
    names = dict.fromkeys(name for design in found for name in design.space.names)
    domains = {
        name: _merged(name, [d.space.domains[name] for d in found if name in d.space.domains])
        for name in names
    }
    return Union(Space(**domains), "union", designs=tuple(found))


def _has(design: Design, name: str, text: str) -> bool:
    """Say whether a value that was typed is one that a design's trials may have."""
    domain = design.space.domains[name]
    try:
        value = domain.read(text)
    except SpaceError:
        return False
    points: Sequence[object] | None = domain.points()
    if design.kind == "explicit" and name not in design.space.replicates:
        points = [config[name] for config in design.configs if name in config]
    if points is None and isinstance(domain, (Interval, Integers)):
        return isinstance(value, (int, float)) and domain.low <= value <= domain.high
    return any(type(value) is type(p) and value == p for p in points or ())


def _merged(name: str, domains: Sequence[Domain]) -> Domain:
    """Give a domain that holds all the values."""
    first = domains[0]
    if all(domain == first for domain in domains):
        return first
    neutral = first.neutral
    if isinstance(first, Replicates):
        numbers = [n for d in domains if isinstance(d, Replicates) for n in d.values]
        commons = {d.common for d in domains if isinstance(d, Replicates)}
        if len({type(domain) for domain in domains}) > 1 or len(commons) > 1:
            raise SpaceError(f"{name!r} must be the same kind of replicates in all of a union.")
        return type(first)({}, tuple(dict.fromkeys(numbers)), first.common, neutral=neutral)
    listed = [domain.points() for domain in domains]
    if all(points is not None for points in listed):
        # 1 and 1.0 are two values.
        values = {(type(v), v): v for points in listed for v in points or ()}
        return Choice({}, tuple(values.values()), neutral=neutral)
    if all(isinstance(domain, (Interval, Integers)) for domain in domains):
        lows = [d.low for d in domains if isinstance(d, (Interval, Integers))]
        highs = [d.high for d in domains if isinstance(d, (Interval, Integers))]
        logs = all(d.log for d in domains if isinstance(d, (Interval, Integers)))
        if all(isinstance(domain, Integers) for domain in domains):
            return Integers({}, int(min(lows)), int(max(highs)), logs, neutral=neutral)
        return Interval({}, float(min(lows)), float(max(highs)), logs, neutral=neutral)
    raise SpaceError(
        f"the domains of {name!r} cannot be united: {', '.join(map(repr, domains))}. Give the "
        "interval points=…, or list the values."
    )
