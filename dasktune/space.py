"""The space: the named hyperparameters and their domains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dasktune.config import Config, Value, plain
from dasktune.design import Design
from dasktune.domain import Choice, Constant, Domain, distinct
from dasktune.errors import SpaceError, UsageError, did_you_mean
from dasktune.replicate import Folds, Replicates

RESERVED = (
    *("trial", "epoch", "objective", "status", "error", "seconds", "finished"),
    *("worker", "device", "key", "failure", "training_seconds"),
)
"""Names that the dataset uses itself."""

Predicate = Callable[[Config], bool]


class Space:
    """The hyperparameters of a sweep: a name and a domain each.

    Parameters
    ----------
    **params : Domain, or None, bool, int, float, str
        The domains by name; a plain value is the same in every config.

    Attributes
    ----------
    replicates : dict of str to Replicates
        Those of the domains that repeat every config: replicates and folds.

    Raises
    ------
    SpaceError
        If a name or a domain cannot be, or a condition names what does not exist.

    Examples
    --------
    >>> from dasktune import choice, replicates
    >>> Space(lr=choice(0.1, 0.01), seed=replicates(3)).grid().describe()
    'full grid of 2 configs x 3 seed'
    """

    def __init__(self, **params: Any) -> None:
        if not params:
            raise SpaceError(
                "a space needs at least one hyperparameter, but got none. "
                "Write Space(lr=choice(0.1, 0.01))."
            )
        self.domains: dict[str, Domain] = {name: _domain(name, p) for name, p in params.items()}
        self.predicates: tuple[Predicate, ...] = ()
        repeated = {name: d for name, d in self.domains.items() if isinstance(d, Replicates)}
        for kind in (Replicates, Folds):
            same = [name for name, domain in repeated.items() if type(domain) is kind]
            if len(same) > 1:
                raise SpaceError(
                    f"a space has at most one {kind.__name__.lower()}(), "
                    f"but got {' and '.join(same)}."
                )
        self.replicates: dict[str, Replicates] = repeated
        self._order = self._topological()

    @property
    def names(self) -> tuple[str, ...]:
        """List the hyperparameters, and the axes of replicates, in the order of declaration."""
        return tuple(self.domains)

    @property
    def order(self) -> tuple[str, ...]:
        """List the hyperparameters without the replicates, parents before their children."""
        return self._order

    def where(self, predicate: Predicate) -> Space:
        """Give this space without the configs that a predicate rules out.

        Parameters
        ----------
        predicate : callable
            Takes a `Config`; gives True for one that is to stay.

        Examples
        --------
        >>> from dasktune import choice
        >>> space = Space(a=choice(1, 2), b=choice(1, 2)).where(lambda c: c.a <= c.b)
        >>> len(space.grid().trials())
        3
        """
        if not callable(predicate):
            raise SpaceError(f"where() takes a function of a config, but got {predicate!r}.")
        changed = self._copy(self.domains)
        changed.predicates = (*self.predicates, predicate)
        return changed

    def exists(self, name: str, values: Mapping[str, Value]) -> bool:
        """Say whether a hyperparameter exists, given the values of its parents."""
        return all(
            parent in values and any(_same(values[parent], value) for value in allowed)
            for parent, allowed in self.domains[name].conditions.items()
        )

    def neutral(self, values: Mapping[str, Value]) -> tuple[str, ...]:
        """Name the hyperparameters that have the value which trials had before they existed."""
        return tuple(n for n, value in values.items() if self.domains[n].is_neutral(value))

    def allows(self, config: Config) -> bool:
        """Say whether no predicate rules a config out.

        Raises
        ------
        SpaceError
            If a predicate fails, or gives anything but True or False.
        """
        for predicate in self.predicates:
            try:
                answer = predicate(config)
            except Exception as error:
                raise SpaceError(
                    f"the predicate of where() failed on {config!r}: "
                    f"{type(error).__name__}: {error}."
                ) from error
            if answer is not True and answer is not False and str(answer) not in ("True", "False"):
                raise SpaceError(
                    f"the predicate of where() must give True or False, but gave {answer!r} "
                    f"for {config!r}."
                )
            if not answer:
                return False
        return True

    def override(self, values: Mapping[str, Sequence[str]]) -> Space:
        """Give this space with domains replaced by values typed on the command line.

        Raises
        ------
        UsageError
            If there is no such hyperparameter, or a value cannot be read.
        """
        domains = dict(self.domains)
        for name, texts in values.items():
            if name not in domains:
                raise UsageError(
                    f"no hyperparameter {name!r} in this space." + did_you_mean(name, self.names)
                )
            domain = domains[name]
            try:
                read = tuple(domain.read(text) for text in texts)
                distinct(read, f"{name}=…")
            except SpaceError as error:
                raise UsageError(f"{name}: {error}") from error
            if isinstance(domain, Replicates):
                numbers = tuple(value for value in read if isinstance(value, int))
                domains[name] = replace(domain, values=numbers)
            elif isinstance(domain, Constant) and len(read) == 1:
                domains[name] = Constant(domain.conditions, read[0], neutral=domain.neutral)
            else:
                domains[name] = Choice(domain.conditions, read, neutral=domain.neutral)
        changed = self._copy(domains)
        changed.predicates = self.predicates
        return changed

    def grid(self) -> Design:
        """Give every combination of the domains' points."""
        return Design(self, "grid")

    def random(self, n: int, seed: int = 0) -> Design:
        """Give `n` configs drawn at random.

        Each hyperparameter has its own stream of random numbers, so that changing one leaves
        the others as they were, and a larger `n` keeps the first ones.

        Parameters
        ----------
        n : int
            Number of configs, at least 1.
        seed : int, default 0
            Of the random numbers.
        """
        return Design(self, "random", n, seed)

    def sobol(self, n: int, seed: int = 0) -> Design:
        """Give `n` configs of a scrambled Sobol sequence; a larger `n` keeps the first ones."""
        return Design(self, "sobol", n, seed)

    def latin_hypercube(self, n: int, seed: int = 0) -> Design:
        """Give `n` configs of a Latin hypercube."""
        return Design(self, "latin hypercube", n, seed)

    def explicit(self, configs: Sequence[Mapping[str, Any]]) -> Design:
        """Give just these configs, each with all replicates.

        Parameters
        ----------
        configs : sequence of mapping
            Values by name; constants may be left out.
        """
        return Design(self, "explicit", configs=tuple(dict(config) for config in configs))

    def _copy(self, domains: Mapping[str, Domain]) -> Space:
        return Space(**domains)

    def _topological(self) -> tuple[str, ...]:
        """Order the names so that parents come first; check the conditions."""
        for name, domain in self.domains.items():
            if domain.conditions and isinstance(domain, Replicates):
                raise SpaceError(f"replicates cannot be conditional, but {name!r} is.")
            for parent, allowed in domain.conditions.items():
                if parent not in self.domains:
                    raise SpaceError(
                        f"{name!r} exists when {parent!r} has some value, but there is no "
                        f"{parent!r}." + did_you_mean(parent, self.names)
                    )
                if parent in self.replicates:
                    raise SpaceError(f"{name!r} cannot depend on the replicate {parent!r}.")
                points = self.domains[parent].points()
                for value in allowed:
                    if points is not None and not any(_same(value, point) for point in points):
                        # An override may have narrowed the parent; then this never exists.
                        continue
        order: list[str] = []
        state: dict[str, int] = {}

        def visit(name: str, path: tuple[str, ...]) -> None:
            if state.get(name) == 1:
                raise SpaceError(f"conditions go round in a circle: {' -> '.join((*path, name))}.")
            if state.get(name) == 2:
                return
            state[name] = 1
            for parent in self.domains[name].conditions:
                visit(parent, (*path, name))
            state[name] = 2
            if name not in self.replicates:
                order.append(name)

        for name in self.domains:
            visit(name, ())
        return tuple(order)

    def __repr__(self) -> str:
        return f"<Space: {', '.join(self.names)}>"


def _same(one: Value, other: Value) -> bool:
    return type(one) is type(other) and one == other


def _domain(name: str, param: Any) -> Domain:
    if not name.isidentifier() or name in RESERVED:
        raise SpaceError(
            f"a hyperparameter's name must be an identifier other than {', '.join(RESERVED)}, "
            f"but got {name!r}."
        )
    if isinstance(param, Domain):
        return param
    if isinstance(param, (list, tuple, set, range)):
        raise SpaceError(
            f"the domain of {name!r} must be a domain or one plain value, but got {param!r}. "
            f"Write {name}=choice({', '.join(repr(item) for item in param)})."
        )
    return Constant({}, plain(param, where=f"the hyperparameter {name!r}"))
