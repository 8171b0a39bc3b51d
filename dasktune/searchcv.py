"""SearchCV: scikit-learn's hyperparameter search, run as a sweep that remembers its results."""

from __future__ import annotations

import contextlib
import copy
import random
import sys
import tempfile
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import GridSearchCV, check_cv
from sklearn.utils import indexable

from dasktune.candidates import FOLD, Candidates, outcomes, split_arguments
from dasktune.closure import Code
from dasktune.design import Design
from dasktune.errors import FitFailed, SourceError
from dasktune.pipeline import Pipeline
from dasktune.plan import Request
from dasktune.recipe import Codes, bring, codes_of, withdraw
from dasktune.results import open_results
from dasktune.run import Options, make
from dasktune.sklearn.candidate import MAIN, CandidateRecipe, Given
from dasktune.source import Sources
from dasktune.space import Space
from dasktune.store import Store
from dasktune.summary import Summary
from dasktune.sweep import Sweep

if TYPE_CHECKING:
    import xarray as xr


class SearchCV(GridSearchCV):
    """Searches the parameters of an estimator by cross-validation, as `GridSearchCV` does.

    Each candidate on each fold is a trial of a sweep: it runs in this process, on workers of this
    machine or on any Dask cluster, and with a `store` it is never trained twice.

    Parameters
    ----------
    estimator : estimator
        As scikit-learn's, such as a Pipeline.
    param_grid : dict, list of dict, Space or Design
        Lists of values by parameter, as `GridSearchCV` takes them, or a space or design of
        dasktune, such as ``dt.Space(C=dt.log_uniform(0.01, 100)).random(20)``.
    scoring : str, callable, list, tuple, set or dict, optional
        As scikit-learn's.
    refit : bool, str or callable, default True
        Whether to fit the best candidate on all samples; with several scorers by which.
    cv : int, splitter or iterable, optional
        As scikit-learn's.
    error_score : "raise" or number, default nan
        The score of a fit that fails.
    return_train_score : bool, default False
        Whether to score on the samples that were fitted on as well.
    cluster : "none", "local", str or distributed.Client, default "none"
        Where to train: in this process, on workers of this machine, on a running scheduler.
    jobs : int, optional
        Trials at a time.
    store : path, optional
        Where to keep results, as ``dist``: a second search over equal data trains only what
        is new. Without, they are dropped after the search.
    name : str, default "search"
        The folder in the store.
    threads : int, default 1
        Threads that the numerical libraries may take for one trial.

    Attributes
    ----------
    cv_results_, best_estimator_, best_score_, best_params_, best_index_, scorer_, n_splits_
        As `GridSearchCV`'s.
    refit_time_, multimetric_, classes_, n_features_in_, feature_names_in_
        Likewise.
    dataset_ : xarray.Dataset
        The trials with all that is known of them, as `dasktune.open_results` gives it.

    Notes
    -----
    What counts for a result is the content of the data, the estimator with its parameters and
    its code as far as it is yours, the scorers, and the fold's samples. A fitted estimator is not
    kept, since that would be a pickle; `best_estimator_` is fitted anew in this process.

    Warnings of a fit are in its log, ``trained/<trial>/log.txt`` of the store.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.svm import SVC
    >>> search = SearchCV(SVC(), {"C": [0.1, 1, 10]}).fit(*load_iris(return_X_y=True))
    >>> search.best_params_
    {'C': 10}
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **GridSearchCV._parameter_constraints,
        "param_grid": [dict, list, Space, Design],
    }

    def __init__(
        self,
        estimator: Any,
        param_grid: Any,
        *,
        scoring: Any = None,
        refit: Any = True,
        cv: Any = None,
        error_score: Any = np.nan,
        return_train_score: bool = False,
        cluster: Any = "none",
        jobs: int | None = None,
        store: Any = None,
        name: str = "search",
        threads: int = 1,
    ) -> None:
        self.estimator = estimator
        self.param_grid = param_grid
        self.scoring = scoring
        self.refit = refit
        self.cv = cv
        self.error_score = error_score
        self.return_train_score = return_train_score
        self.cluster = cluster
        self.jobs = jobs
        self.store = store
        self.name = name
        self.threads = threads

    def __sklearn_clone__(self) -> SearchCV:
        """Give a copy that is not fitted; a client cannot be copied, and is shared."""
        bare = copy.copy(self)
        bare.cluster = None
        twin: SearchCV = super(SearchCV, bare).__sklearn_clone__()
        twin.cluster = self.cluster
        return twin

    def fit(self, X: Any, y: Any = None, **params: Any) -> SearchCV:
        """Search, and fit the best candidate on all samples.

        Parameters
        ----------
        X : array-like, sparse matrix or data frame of shape (n_samples, n_features)
            The samples.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), optional
            The targets.
        **params : object
            For the estimator's ``fit``, the scorers and the splitter, as `GridSearchCV` routes
            them; such as ``sample_weight`` and ``groups``.
        """
        self._validate_params()
        scorers, refit_metric = self._get_scorers()
        X, y = indexable(X, y)
        routed = self._get_routed_params_for_fit(params)
        cv = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        splits = list(cv.split(X, y, **routed.splitter.split))
        self.n_splits_ = cv.get_n_splits(X, y, **routed.splitter.split)
        if len(splits) != self.n_splits_:
            raise ValueError(
                "cv.split and cv.get_n_splits return inconsistent results. "
                f"Expected {self.n_splits_} splits, got {len(splits)}"
            )
        base = clone(self.estimator)
        candidates = Candidates.of(self.param_grid, passing=self.store is None)
        for candidate in candidates.params:
            clone(base).set_params(**clone(candidate, safe=False))
        if not splits or not candidates.params:
            raise ValueError(
                "No fits were performed. Was the CV iterator empty? Were there no candidates?"
            )
        arguments = {"fit": routed.estimator.fit, "score": routed.scorer.score}
        self.dataset_ = self._searched(base, candidates, X, y, splits, arguments)
        several = None if callable(self.scoring) else hasattr(scorers, "_scorers")
        score = self.error_score if self.error_score != "raise" else np.nan
        out = outcomes(
            self.dataset_,
            list(candidates.trials(len(splits))),
            error_score=score,
            multimetric=several,
        )
        _warn_of_failures(out, score)
        results = self._format_results(candidates.params, len(splits), out)
        self.multimetric_ = isinstance(out[0]["test_scores"], dict)
        if callable(self.scoring) and self.multimetric_:
            self._check_refit_for_multimetric(out[0]["test_scores"])
            refit_metric = self.refit
        if self.refit or not self.multimetric_:
            self.best_index_ = self._select_best_index(self.refit, refit_metric, results)
            if not callable(self.refit):
                self.best_score_ = results[f"mean_test_{refit_metric}"][self.best_index_]
            self.best_params_ = results["params"][self.best_index_]
        if self.refit:
            best = clone(base).set_params(**clone(self.best_params_, safe=False))
            started = time.time()
            best.fit(*((X,) if y is None else (X, y)), **routed.estimator.fit)
            self.refit_time_ = time.time() - started
            self.best_estimator_ = best
            if hasattr(best, "feature_names_in_"):
                self.feature_names_in_ = best.feature_names_in_
        self.scorer_ = scorers._scorers if hasattr(scorers, "_scorers") else scorers
        self.cv_results_ = results
        return self

    def _searched(
        self,
        base: Any,
        candidates: Candidates,
        X: Any,
        y: Any,
        splits: list[tuple[Any, Any]],
        arguments: Mapping[str, Mapping[str, Any]],
    ) -> xr.Dataset:
        """Train each candidate on each fold, and give the collated trials."""
        count = X.shape[0] if hasattr(X, "shape") else len(X)
        tables: dict[str, Any] = {}
        variables: dict[str, dict[str, str]] = {}
        constants = {}
        for kind, given in arguments.items():
            rows, constants[kind] = split_arguments(given, count)
            variables[kind] = {name: f"{kind}_{name}" for name in rows}
            tables |= {f"{kind}_{name}": value for name, value in rows.items()}
        data = Given.of(X, y, splits, tables)
        recipe = CandidateRecipe(
            base,
            names=candidates.names,
            behind=candidates.behind,
            scoring=self.scoring,
            error_score=self.error_score,
            constants=constants,
            targets=None if y is None else "y",
            fold=FOLD,
            fit_variables=variables["fit"],
            score_variables=variables["score"],
            train_scores=self.return_train_score,
        )
        pipeline = Pipeline(
            candidates.design(len(splits)),
            data,
            recipe,
            objective="max value",
            resources={},
            threads=self.threads,
        )
        with contextlib.ExitStack() as stack:
            folder = self.store
            if folder is None:
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="dasktune-"))
            codes = self._codes(pipeline)
            stack.callback(withdraw, codes)
            stack.enter_context(_random_numbers_left_alone())
            store = Store.at(folder, self.name)
            sweep = Sweep(pipeline, self.name, "", store, codes, {"data": data.digest()})
            summary = self._made(sweep)
            return open_results(f"{store.collated(summary.collated_key() or '')}/results.zarr")

    def _codes(self, pipeline: Pipeline) -> Codes:
        """Fingerprint the search; where nothing is kept, its identity may be new."""
        try:
            return codes_of(pipeline)
        except SourceError:
            if self.store is not None:
                raise
        name = uuid.uuid4().hex
        once = Sources(MAIN, {MAIN: {"source": name, "file": "", "package": False}})
        codes = Codes(once, {role: Code({role: name}) for role in ("preprocess", "train")})
        bring(pipeline, codes)
        return codes

    def _made(self, sweep: Sweep) -> Summary:
        """Run the sweep: the data are stored from here, the trials run where they are to."""
        make(sweep, Request(goals=("preprocessed",)), Options(cluster="none", debug=True))
        lenient = self.error_score != "raise"
        if (isinstance(self.cluster, str) and self.cluster == "none") or sweep.plan().up_to_date:
            here = Options(
                cluster="none", ignore_errors=lenient, debug=not lenient, give_up_after=0
            )
            summary = make(sweep, None, here)
        else:
            with self._client() as client:
                from dasktune.delivery import delivered

                with delivered(client, sweep.pipeline, sweep.codes):
                    options = Options(
                        cluster=client, jobs=self.jobs, ignore_errors=lenient, give_up_after=0
                    )
                    summary = make(sweep, None, options)
        if summary.interrupted:
            raise KeyboardInterrupt
        failures = summary.failures()
        if failures and (not lenient or summary.collated_key() is None):
            raise FitFailed(f"{failures[0].target}: {failures[0].error}")
        return summary

    @contextlib.contextmanager
    def _client(self) -> Iterator[Any]:
        from dasktune.cluster import Demand, connect

        if not isinstance(self.cluster, str):
            yield self.cluster
            return
        with connect(self.cluster, Demand({}, self.jobs, self.threads)) as connection:
            yield connection.client


@contextlib.contextmanager
def _random_numbers_left_alone() -> Iterator[None]:
    """Put the global generators back, which each trial in this process seeds."""
    python, numpy = random.getstate(), np.random.get_state()
    torch = sys.modules.get("torch")
    state = torch.get_rng_state() if torch is not None else None
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        if torch is not None and state is not None:
            torch.set_rng_state(state)


def _warn_of_failures(out: list[dict[str, Any]], score: float) -> None:
    """Warn of fits that failed, and raise if all did, as `GridSearchCV`."""
    errors = [result["fit_error"] for result in out if result["fit_error"]]
    if not errors:
        return
    lines = "\n".join(f"{errors.count(e)} fits failed with: {e}" for e in dict.fromkeys(errors))
    if len(errors) == len(out):
        raise FitFailed(
            f"All the {len(errors)} fits failed. It is very likely that your model is "
            f"misconfigured; debug it with error_score='raise'.\n{lines}"
        )
    warnings.warn(
        f"{len(errors)} fits failed out of a total of {len(out)}. The score on these train-test "
        f"partitions will be set to {score}.\n{lines}",
        FitFailedWarning,
    )
