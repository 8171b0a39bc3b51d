"""Candidates: the parameter settings of a search, as trials of a sweep, and their scores."""

from __future__ import annotations

import keyword
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dasktune.config import Config, TrialSpec, plain
from dasktune.design import Design
from dasktune.domain import Choice
from dasktune.errors import SourceError, SpaceError
from dasktune.fingerprint import digest
from dasktune.replicate import folds
from dasktune.sklearn.candidate import scorer_name, word_of
from dasktune.space import RESERVED, Space

if TYPE_CHECKING:
    import xarray as xr

FOLD = "fold"
_TAKEN = (*RESERVED, FOLD, "epochs", "value", "fit_time", "score_time")


@dataclass(frozen=True)
class Listed(Design):
    """A design of given configs, in which each has its own hyperparameters.

    Attributes
    ----------
    listed : tuple of Config
        The configs.
    """

    listed: tuple[Config, ...] = ()

    def configs_in_order(self) -> Iterator[Config]:
        """Give the configs one by one."""
        yield from self.listed


@dataclass(frozen=True)
class Candidates:
    """The parameter settings of a search.

    Attributes
    ----------
    params : list of dict
        As scikit-learn has them.
    configs : list of Config
        The same in plain values.
    names : dict of str to str
        The parameters by the names of their hyperparameters.
    behind : dict of str to object
        What the words in the configs stand for.
    """

    params: list[dict[str, Any]]
    configs: list[Config]
    names: dict[str, str]
    behind: dict[str, Any]

    @classmethod
    def of(cls, param_grid: Any, *, passing: bool) -> Candidates:
        """List the candidates.

        Parameters
        ----------
        param_grid : dict, list of dict, Space or Design
            A grid of values as scikit-learn's, or a space or design of dasktune.
        passing : bool
            Whether results are not kept, so that what has no identity may have one for once.

        Raises
        ------
        SourceError
            If a value has no identity but its address, and results are kept.
        """
        listed = list(_params(param_grid))
        behind: dict[str, Any] = {}
        configs = []
        for params in listed:
            values = {}
            for name, value in params.items():
                try:
                    if isinstance(value, list):
                        raise SpaceError("a list is not the tuple that a config holds")
                    values[_hyperparameter(name)] = plain(value, where=name)
                except SpaceError:
                    word = _word(value, passing=passing)
                    behind[word] = value
                    values[_hyperparameter(name)] = word
            configs.append(Config(values))
        names = {_hyperparameter(name): name for params in listed for name in params}
        return cls(listed, configs, names, behind)

    def design(self, count: int) -> Design:
        """Give the sweep's trials: each candidate with each of so many folds."""
        domains = {
            name: Choice({}, tuple(config[name] for config in self.configs if name in config))
            for name in self.names
        }
        space = Space(**domains, **{FOLD: folds(count)})
        return Listed(space, "list", listed=tuple(self.configs))

    def trials(self, count: int) -> Iterator[str]:
        """List the trials' ids, candidate by candidate; two equal candidates are one trial."""
        for config in self.configs:
            for fold in range(count):
                yield TrialSpec(config, {FOLD: fold}).id


def outcomes(
    dataset: xr.Dataset, trials: Sequence[str], *, error_score: float, multimetric: bool | None
) -> list[dict[str, Any]]:
    """Give what scikit-learn's own search knows of each fit.

    Parameters
    ----------
    dataset : xarray.Dataset
        A collated one.
    trials : sequence of str
        The trials' ids; one may be there more than once.
    error_score : number
        The score of a fit that failed.
    multimetric : bool or None
        Whether there are several scorers; None if it depends on what they gave.

    Returns
    -------
    list of dict
        ``fit_time``, ``score_time``, ``fit_error`` (None or a line), ``test_scores`` and, where
        they were asked for, ``train_scores``.
    """
    columns = {str(name): dataset[name].values[:, 0] for name in dataset.data_vars}
    row_of = {trial: row for row, trial in enumerate(dataset["trial"].values)}
    errors, seconds = dataset["error"].values, dataset["seconds"].values
    found: dict[str, list[str]] = {
        split: [name for name in columns if name.startswith(f"{split}_")]
        for split in ("test", "train")
    }
    if multimetric is None:
        multimetric = found["test"] != ["test_score"]
    out = []
    for trial in trials:
        row = row_of[trial]
        failed = str(errors[row])
        result: dict[str, Any] = {"fit_error": failed or None}
        for name in ("fit_time", "score_time"):
            result[name] = columns[name][row] if name in columns and not failed else 0.0
        if failed:
            result["fit_time"] = float(seconds[row])
        for split, names in found.items():
            scores = {
                scorer_name(name.removeprefix(f"{split}_")): (
                    error_score if failed else float(columns[name][row])
                )
                for name in names
            }
            if scores:
                result[f"{split}_scores"] = scores if multimetric else scores["score"]
        out.append(result)
    return out


def _params(param_grid: Any) -> Iterator[dict[str, Any]]:
    from sklearn.model_selection import ParameterGrid

    if isinstance(param_grid, Space):
        param_grid = param_grid.grid()
    if not isinstance(param_grid, Design):
        yield from ParameterGrid(param_grid)
        return
    if param_grid.space.replicates:
        raise SpaceError(
            "a search has its folds from cv=…, but the space has the axes "
            f"{', '.join(param_grid.space.replicates)}. Leave them out."
        )
    for spec in param_grid.trials():
        yield dict(spec.config)


def _hyperparameter(name: str) -> str:
    """Name a parameter so that a dataset can have it as a coordinate."""
    taken = name in _TAKEN or name.startswith(("test_", "train_", "param_"))
    if name.isidentifier() and not keyword.iskeyword(name) and not taken:
        return name
    return f"param_{re.sub(r'[^A-Za-z0-9_]', '_', name)}" + (
        "" if name.isidentifier() else f"_{digest(name)[:4]}"
    )


def _word(value: Any, *, passing: bool) -> str:
    try:
        return word_of(value)
    except SourceError:
        if not passing:
            raise
        return f"{type(value).__name__}-{uuid.uuid4().hex[:8]}"


def split_arguments(
    arguments: Mapping[str, Any], count: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tell arguments that have a row a sample from those that have not."""
    rows: dict[str, Any] = {}
    constants: dict[str, Any] = {}
    for name, value in arguments.items():
        if value is None:
            continue
        length = getattr(value, "shape", (None,))[0] if getattr(value, "shape", ()) else None
        if length is None and isinstance(value, (list, tuple)):
            length = len(value)
        (rows if length == count else constants)[name] = value
    return rows, constants
