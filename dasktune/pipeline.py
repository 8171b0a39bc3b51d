"""The pipeline: what a user's file describes."""

from __future__ import annotations

import copy
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dasktune.config import Config, TrialSpec, Value, plain
from dasktune.dag import Dag
from dasktune.design import Chosen, Design
from dasktune.domain import literal
from dasktune.errors import PipelineError, UsageError, did_you_mean
from dasktune.markup import box, table
from dasktune.objective import SECONDS, Objective
from dasktune.replicate import Folds
from dasktune.search import Strategy
from dasktune.space import Space
from dasktune.wording import in_words

SEARCHED = ("budget", "bracket", "rung", "stopped", "spent", "parent", "began")
"""Coordinates that the dataset of a search has on ``trial``."""


class Pipeline:
    """A sweep: preprocess once, train every configuration, collate.

    Parameters
    ----------
    space : Space or Design
        The hyperparameters. A `Space` stands for its full grid; `Space.random`, `Space.sobol`,
        `Space.latin_hypercube` and `Space.explicit` give other designs.
    preprocess : callable
        Gives a mapping of split names to `xarray.Dataset`, in memory or chunked by Dask. Its
        keyword parameters are variables that the command line overrides (``images=5000``).
    train : callable
        ``train(trial, data)`` trains one configuration and reports its metrics; it may give
        back a `torch.nn.Module` or a mapping of names to arrays, which is kept. Further
        parameters, with defaults, are variables that the command line overrides.
    objective : str or sequence of str
        ``"max"`` or ``"min"`` and the name of a metric. Several, such as ``("max val_accuracy",
        "min seconds")``, have a Pareto front instead of a best trial; ``seconds`` is how long
        the training took.
    collate : callable, optional
        ``collate(dataset)`` gives the dataset back with derived variables.
    resources : mapping of str to number, default ``{"GPU": 1}``
        What a worker must offer to train one trial; a recipe for scikit-learn wants
        ``{"CPU": 1}`` if nothing is said. On one machine the workers that dasktune starts offer
        it, whether there is a GPU or not.
    inputs : sequence of path, optional
        Raw files and folders that `preprocess` reads, relative to the pipeline file. They
        count by their content.
    uses : sequence of callable, optional
        Code that is reached in ways that cannot be seen (registries, ``getattr``), to be
        counted as part of `train`.
    threads : int, default 1
        Threads that the numerical libraries may take for one trial.
    checkpoint_every : float, default 30.0
        Least number of seconds between two checkpoints of a trial.
    budget : str, optional
        The variable of `train` that says for how many epochs it trains, if training for more
        is the same at first: a longer budget then goes on from where a shorter one ended. Its
        last checkpoint is kept for that. A recipe names its own; ``""`` is none.
    search : Strategy, optional
        How to search the space, such as ``dt.Hyperband()``, instead of training all of it for
        all epochs. A `Space` then stands for all of its points, drawn at random; a design for
        its own.

    Raises
    ------
    PipelineError
        If a part does not fit.
    """

    def __init__(
        self,
        space: Space | Design,
        preprocess: Callable[..., Mapping[str, Any]],
        train: Callable[..., Any],
        *,
        objective: str | Sequence[str],
        collate: Callable[[Any], Any] | None = None,
        resources: Mapping[str, float] | None = None,
        inputs: Sequence[str | os.PathLike[str]] = (),
        uses: Sequence[Callable[..., Any]] = (),
        threads: int = 1,
        checkpoint_every: float = 30.0,
        budget: str | None = None,
        search: Strategy | None = None,
    ) -> None:
        self.endless = isinstance(space, Space)  # else a search keeps to the design's configs
        if isinstance(space, Space):
            space = space.grid() if search is None else space.random(1)
        if not isinstance(space, Design):
            raise PipelineError(
                f"a pipeline's space must be a dasktune.Space, but got {space!r}. "
                "Write Space(lr=choice(0.1, 0.01))."
            )
        self.design = space
        self.preprocess = preprocess
        self.train = train
        self.collate = collate
        self.objective = Objective.parse(objective)
        if self.objective.metric == SECONDS:
            raise PipelineError(
                "the first objective must be a metric that train() reports; 'min seconds' may "
                "follow it, as in objective=('max val_accuracy', 'min seconds')."
            )
        usual = getattr(train, "resources", {"GPU": 1})
        self.resources = _resources(usual if resources is None else resources)
        self.inputs = tuple(os.fspath(path) for path in inputs)
        self.uses = tuple(uses)
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise PipelineError(f"threads must be an int of at least 1, but got {threads!r}.")
        self.threads = threads
        self.checkpoint_every = float(checkpoint_every)
        self.variables = {
            "preprocess": _variables(preprocess, "preprocess", ()),
            "train": _variables(train, "train", ("trial", "data")),
        }
        if collate is not None:
            _variables(collate, "collate", ("dataset",))
        self._shadowed: set[str] = set()  # variables that hyperparameters go before
        if getattr(train, "hyperparameters_first", False):
            for name in self.design.space.names:
                if name in self.variables["train"]:
                    self._shadowed.add(name)
                    del self.variables["train"][name]
        clash = set(self.design.space.names) & set(self.variable_names())
        if clash:
            raise PipelineError(
                f"a name is either a hyperparameter or a variable, but {sorted(clash)[0]!r} is "
                "both. Rename the parameter of the function."
            )
        variables = self.variables["train"]
        if budget and not isinstance(variables.get(budget), int):
            raise PipelineError(
                f"budget must name a variable of train() that is an int, but got {budget!r}."
                + did_you_mean(budget, list(variables))
            )
        own = getattr(train, "budget", "") if budget is None else budget
        self.budget = own if own in variables else ""  # else it is a hyperparameter
        self.search: Strategy | None = None
        if search is not None:
            self._search(search)

    @property
    def space(self) -> Space:
        """The hyperparameters and their domains."""
        return self.design.space

    @property
    def max_epochs(self) -> int:
        """The longest budget of a search."""
        most = self.search.max_epochs if self.search is not None else None
        told = self.variables["train"].get(self.budget, 1)
        assert isinstance(told, int)
        return told if most is None else most

    def searching(self, search: Strategy | None) -> Pipeline:
        """Give this pipeline with another strategy, or with none."""
        changed = copy.copy(self)
        changed.search = None
        if search is not None:
            changed._search(search)
        elif self.endless:
            changed.design = self.space.grid()
        return changed

    def at(self, budget: int) -> Pipeline:
        """Give this pipeline, without a search, with a budget as its number of epochs."""
        changed = copy.copy(self)
        changed.search = None
        if not self.budget:
            return changed
        train = {**self.variables["train"], self.budget: budget}
        changed.variables = {**self.variables, "train": train}
        return changed

    def only(self, spec: TrialSpec) -> Pipeline:
        """Give this pipeline, without its search, with a single trial, to its last epoch."""
        changed = copy.copy(self) if self.search is None else self.at(self.max_epochs)
        changed.design = Chosen.of(self.space, [spec])
        return changed

    def _search(self, search: Strategy) -> None:
        if not isinstance(search, Strategy):
            raise PipelineError(
                f"search must be a strategy such as dasktune.Hyperband(), but got {search!r}."
            )
        if not self.budget and search.shortens:
            raise PipelineError(
                f"{type(search).__name__} needs to know which variable of train() says for how "
                "many epochs it trains: name it, as in Pipeline(..., budget='epochs')."
            )
        if self.objective.others and not search.multiobjective:
            raise PipelineError(
                f"{type(search).__name__} takes one objective, but got ({self.objective}). Name "
                "the first alone, or take another strategy, such as dasktune.ASHA."
            )
        clash = set(SEARCHED) & set(self.space.names)
        if clash:
            raise PipelineError(
                f"in a search {', '.join(SEARCHED)} are names of the dataset, but "
                f"{sorted(clash)[0]!r} is a hyperparameter. Rename it."
            )
        numbers = [d for d in self.space.replicates.values() if not isinstance(d, Folds)]
        if not numbers and any(rung.replicates for rung in search.rungs(self.max_epochs)):
            raise PipelineError(
                f"{type(search).__name__} needs replicates in the space, as in "
                "Space(..., seed=replicates(1)); to add them to a sweep that is trained already, "
                "write seed=replicates(1).default(0)."
            )
        self.search = search
        if self.endless:
            self.design = (
                self.space.grid()
                if search.all_configs
                else self.space.random(search.configs(self.max_epochs), search.seed)
            )

    def trials(self) -> tuple[TrialSpec, ...]:
        """List the trials of the sweep, in the order of the design."""
        return self.design.trials()

    def variable_names(self) -> tuple[str, ...]:
        """List the variables of all recipes."""
        return tuple(dict.fromkeys([*self.variables["preprocess"], *self.variables["train"]]))

    def describe(self) -> str:
        """Say in a line what it trains."""
        what = self.design.describe()
        return what if self.search is None else f"{self.search} over a {what}"

    def variables_of(self, spec: TrialSpec) -> dict[str, Value]:
        """Give the variables of `train` for a trial.

        A hyperparameter with its neutral value is a variable still, if it was one before.
        """
        train = self.variables["train"]
        still = {name: spec.axes()[name] for name in spec.neutral if name in self._shadowed}
        return {**train, **still} if still else train

    def budget_of(self, config: Config) -> str:
        """Name the variable by which a config's training goes on from a shorter one, or ``""``."""
        goes_on = getattr(self.train, "goes_on", None)
        if self.budget and goes_on is not None and not goes_on(config, self.variables["train"]):
            return ""
        return self.budget

    def override(self, values: Mapping[str, Sequence[str]]) -> Pipeline:
        """Give this pipeline with hyperparameters or variables set on the command line.

        Parameters
        ----------
        values : mapping of str to sequence of str
            For each name the texts typed behind ``=``, split at commas.

        Raises
        ------
        UsageError
            If there is no such name, or a text cannot be read.
        """
        changed = copy.copy(self)
        changed.variables = {recipe: dict(named) for recipe, named in self.variables.items()}
        names = self.variable_names()
        for name in values:
            if name not in names and name not in self.space.names:
                known = [*self.space.names, *names]
                raise UsageError(
                    f"no hyperparameter or variable {name!r} in this pipeline."
                    + did_you_mean(name, known)
                )
        for recipe in changed.variables.values():
            for name in recipe.keys() & values.keys():
                recipe[name] = _read(name, recipe[name], values[name])
        narrowed = {name: texts for name, texts in values.items() if name in self.space.names}
        if narrowed:
            changed.design = self.design.override(narrowed)
        if self.search is not None and self.budget in values:
            if self.search.max_epochs is not None:
                raise UsageError(
                    f"the search says max_epochs={self.search.max_epochs}, which "
                    f"{self.budget}={values[self.budget][0]} cannot change. Leave it out there."
                )
            changed._search(self.search)  # more epochs may need more configs
        return changed

    def visualize(self) -> Dag:
        """Draw the DAG: raw inputs, preprocessed, the trials, trained, collated, all.

        Returns
        -------
        Dag
            A notebook shows it; ``save("dag.svg")`` writes it.
        """
        return Dag(self.inputs, [spec.id for spec in self.trials()])

    def _repr_html_(self) -> str:
        space = [(name, in_words(domain)) for name, domain in self.space.domains.items()]
        recipes = [
            ("objective", str(self.objective)),
            ("resources", ", ".join(f"{k}={v:g}" for k, v in self.resources.items())),
            *((f"{role}()", _settings(values)) for role, values in self.variables.items()),
        ]
        return box("Pipeline", self.describe(), table(space), table(recipes))

    def __repr__(self) -> str:
        return f"<Pipeline: {self.design.describe()}, {self.objective}>"


def _settings(values: Mapping[str, Value]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items()) or "no variables"


def _resources(resources: Mapping[str, float]) -> dict[str, float]:
    checked: dict[str, float] = {}
    for name, amount in dict(resources).items():
        number = isinstance(amount, (int, float)) and not isinstance(amount, bool)
        if not isinstance(name, str) or not number or not 0 < amount < float("inf"):
            raise PipelineError(
                "resources must map names to positive numbers, as in {'GPU': 1}, "
                f"but got {name!r}: {amount!r}."
            )
        checked[name] = float(amount)
    return checked


def _variables(recipe: Callable[..., Any], role: str, given: tuple[str, ...]) -> dict[str, Value]:
    """List a recipe's keyword parameters and defaults, after those that it is `given`."""
    shape = f"{role}({', '.join(given)})"
    if not callable(recipe):
        raise PipelineError(f"{role} must be a function like {shape}, but got {recipe!r}.")
    parameters = list(inspect.signature(recipe).parameters.values())
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    first, rest = parameters[: len(given)], parameters[len(given) :]
    if len(first) < len(given) or any(p.kind not in positional for p in first):
        raise PipelineError(
            f"{role} must be a function like {shape}, but got {role}{inspect.signature(recipe)}."
        )
    variables: dict[str, Value] = {}
    for parameter in rest:
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        if parameter.default is parameter.empty or parameter.kind is parameter.POSITIONAL_ONLY:
            raise PipelineError(
                f"{role} must be a function like {shape}, whose further parameters have "
                f"defaults, but {parameter.name!r} has none."
            )
        variables[parameter.name] = plain(parameter.default, where=f"{role}({parameter.name}=…)")
    return variables


def _read(name: str, default: Value, texts: Sequence[str]) -> Value:
    if len(texts) != 1 and not isinstance(default, tuple):
        raise UsageError(
            f"the variable {name!r} takes one value, but got {','.join(texts)!r}. "
            "Make it a hyperparameter to try several."
        )
    value = literal(",".join(texts)) if isinstance(default, tuple) else literal(texts[0])
    if isinstance(default, str):
        value = texts[0]
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if default is not None and type(value) is not type(default):
        raise UsageError(
            f"the variable {name!r} must be of type {type(default).__name__}, as {default!r}, "
            f"but got {texts[0]!r}."
        )
    return value
