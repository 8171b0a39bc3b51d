"""Candidates: what trains a trial of a `SearchCV`, whose estimator and data are in no file."""

from __future__ import annotations

import functools
import json
import logging
import time
from collections.abc import Mapping, Sequence
from numbers import Number
from typing import TYPE_CHECKING, Any

import numpy as np

from dasktune.closure import fingerprint
from dasktune.config import Config
from dasktune.data import Data
from dasktune.errors import SourceError
from dasktune.fingerprint import canonical, digest
from dasktune.identity import described
from dasktune.sklearn.part import Part
from dasktune.sklearn.recipe import SklearnRecipe
from dasktune.sklearn.table import to_dataset
from dasktune.source import Sources, text_of
from dasktune.trial import Trial

if TYPE_CHECKING:
    import xarray as xr

log = logging.getLogger("dasktune.sklearn")

MAIN = "dasktune_search"
"""Stands for the pipeline file that a search has not."""


class Given:
    """A preprocess recipe of data that are there already; it travels without them.

    Parameters
    ----------
    splits : mapping of str to xarray.Dataset
        The data.
    """

    # No `__dict__`: what is in one counts as code, and the data count by their content.
    __slots__ = ("splits",)

    def __init__(self, splits: Mapping[str, xr.Dataset]) -> None:
        self.splits = dict(splits)

    def __call__(self) -> dict[str, xr.Dataset]:
        """Give the data."""
        return self.splits

    def __reduce__(self) -> tuple[Any, ...]:
        return (Given, ({},))

    def digest(self) -> str:
        """Digest the content of the data."""
        parts = []
        for split, dataset in sorted(self.splits.items()):
            for name, variable in sorted(dataset.variables.items()):
                tree, _ = described(variable.values)
                parts.append([split, str(name), list(variable.dims), tree])
            parts.append([split, json.dumps(dataset.attrs)])
        return digest(parts)

    @classmethod
    def of(
        cls,
        x: Any,
        y: Any,
        splits: Sequence[tuple[Any, Any]],
        arguments: Mapping[str, Any],
    ) -> Given:
        """Take samples, the positions of each fold's, and further arguments with a row a sample.

        Raises
        ------
        NotStorable
            If something can't be stored without pickling it.
        """
        folds: dict[str, Any] = {}
        for number, name in enumerate(("train", "test")):
            parts = [np.asarray(pair[number]) for pair in splits]
            parts = [np.flatnonzero(part) if part.dtype == bool else part for part in parts]
            folds[name] = (f"{name}_sample", np.concatenate(parts).astype(np.int64))
            folds[f"{name}_end"] = ("fold", np.cumsum([len(part) for part in parts]))
        import xarray as xr

        return cls({"all": to_dataset(x=x, y=y, **arguments), "folds": xr.Dataset(folds)})


class CandidateRecipe(SklearnRecipe):
    """Fits and scores one candidate on one fold, as scikit-learn's own search does.

    Parameters
    ----------
    estimator : estimator
        Not fitted.
    names : mapping of str to str
        The parameters by the names of their hyperparameters.
    behind : mapping of str to object
        What the words in the config stand for, whose content is part of the word.
    scoring : str, callable, list, tuple, set, dict or None
        As scikit-learn's.
    error_score : "raise" or number
        What a scorer that fails counts as.
    constants : mapping of str to mapping
        For ``"fit"`` and ``"score"`` the arguments that do not have a row a sample.
    **options : object
        As `SklearnRecipe`'s.
    """

    # What is in `__dict__` counts as code of every trial; a new candidate must not.
    __slots__ = ("behind", "names")

    def __init__(
        self,
        estimator: Any,
        *,
        names: Mapping[str, str],
        behind: Mapping[str, Any],
        scoring: Any,
        error_score: Any,
        constants: Mapping[str, Mapping[str, Any]],
        **options: Any,
    ) -> None:
        super().__init__(estimator, scoring=scoring, **options)
        self.names = dict(names)
        self.behind = dict(behind)
        self.error_score = error_score
        self.constants = {kind: dict(values) for kind, values in constants.items()}

    def __call__(self, trial: Trial, data: Data, *, epochs: int = 0) -> None:
        """Fit and score one candidate on one fold."""
        from sklearn import config_context
        from sklearn.metrics import check_scoring

        with config_context(**self.config):
            estimator = self.estimator_of(trial.config)
            raises = self.error_score == "raise"
            scorer = (
                self.scoring
                if callable(self.scoring)
                else check_scoring(estimator, self.scoring, raise_exc=raises)
            )
            fitting, testing = self._parts(trial, data, estimator)
            started = time.perf_counter()
            fitting.fitted(estimator)
            fitted = time.perf_counter()
            test = self._checked(testing, estimator, scorer)
            scored = time.perf_counter()
            row = {f"test_{_column(name)}": value for name, value in test.items()}
            if self.train_scores:
                train = self._checked(fitting, estimator, scorer)
                row.update({f"train_{_column(name)}": value for name, value in train.items()})
            times = {"fit_time": fitted - started, "score_time": scored - fitted}
            trial.report(value=next(iter(test.values())), **times, **row)

    def estimator_of(self, config: Config) -> Any:
        """Give the estimator with the parameters of a candidate."""
        from sklearn.base import clone

        params = {
            self.names[name]: self.behind.get(value, value) if isinstance(value, str) else value
            for name, value in config.items()
        }
        return clone(self.estimator).set_params(**clone(params, safe=False))

    def sources(self) -> Sources:
        """Give the texts of the user's modules that the search reaches.

        The first stands for the pipeline file: it holds what the search consists of.

        Raises
        ------
        SourceError
            If the identity of something cannot be told.
        """
        return sources_of([vars(self), self.behind])

    def _parts(self, trial: Trial, data: Data, estimator: Any) -> tuple[Part, Part]:
        whole = self._part(data, "all")
        whole.fit.update(self.constants["fit"])
        whole.score.update(self.constants["score"])
        train, test = (
            _fold(data["folds"], name, trial.replicate[self.fold]) for name in ("train", "test")
        )
        return whole.take(estimator, train), whole.take(estimator, test, train)

    def _checked(self, part: Part, estimator: Any, scorer: Any) -> dict[str, float]:
        """Score, with the error's score for a scorer that fails."""
        try:
            scores = part.scored(estimator, scorer)
        except Exception as error:
            if self.error_score == "raise":
                raise
            log.warning("scoring failed: %s: %s", type(error).__name__, error)
            return {"score": float(self.error_score)}
        for name, value in scores.items():
            if isinstance(value, str):  # the traceback of one scorer of several
                log.warning("scoring failed: %s", value)
                scores[name] = self.error_score
            elif not isinstance(getattr(value, "item", lambda v=value: v)(), Number):
                raise ValueError(
                    f"scoring must return a number, got {value} ({type(value)}) instead. "
                    f"(scorer={name})"
                )
        return scores


def sources_of(thing: Any) -> Sources:
    """Give the texts of the user's modules that an object reaches, after its description.

    Raises
    ------
    SourceError
        If the identity of something cannot be told.
    """
    try:
        tree, code = described(thing)
    except Exception as error:
        raise SourceError(
            f"the identity of {thing!r} cannot be told ({error}), so no result could be found "
            "again. Leave store=None, or build it of functions and classes at the top of a module."
        ) from error
    text = canonical(tree).decode()
    modules: dict[str, dict[str, Any]] = {MAIN: {"source": text, "file": "", "package": False}}
    for function in code:
        while isinstance(function, functools.partial):
            function = function.func
        module = getattr(function, "__module__", None)
        if module == "__main__" and text_of(module) is None:
            raise SourceError(
                f"{function.__qualname__} is defined in a notebook or at a prompt, where its "
                "changes could not be seen. Leave store=None, or put it into a .py file."
            )
        if module and module not in modules and text_of(module) is not None:
            modules |= Sources.snapshot(module).modules
    return Sources(MAIN, modules)


def word_of(value: Any) -> str:
    """Give a word for a value that is not plain: readable, and another for another content.

    Raises
    ------
    SourceError
        If its identity cannot be told.
    """
    code = fingerprint(functools.partial(_nothing, value), sources_of(value))
    name = getattr(value, "__name__", type(value).__name__)
    return f"{name}-{code.digest[:8]}"


def _fold(folds: xr.Dataset, name: str, number: int) -> Any:
    """Give the positions of a fold's samples."""
    ends = [0, *folds[f"{name}_end"].values]
    return folds[name].values[ends[number] : ends[number + 1]]


def _nothing(value: Any) -> None:
    """Stand for what a value is given to."""


def _column(name: str) -> str:
    """Name a metric's column, also where the scorer's name is no identifier."""
    return (
        name
        if name.isidentifier() and not name.startswith("hex_")
        else f"hex_{name.encode().hex()}"
    )


def scorer_name(column: str) -> str:
    """Give the scorer's name of a column."""
    return bytes.fromhex(column[4:]).decode() if column.startswith("hex_") else column
