"""A recipe for scikit-learn: any estimator, each fold of a cross-validation a trial of its own."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from dasktune.config import Config
from dasktune.data import Data
from dasktune.errors import PipelineError, did_you_mean
from dasktune.sklearn.folds import check_cv, split
from dasktune.sklearn.part import Part
from dasktune.sklearn.table import read
from dasktune.trial import Trial

ROUTED = ("enable_metadata_routing", "transform_output")
"""What of scikit-learn's configuration can change a result."""


class SklearnRecipe:
    """Trains an estimator of scikit-learn; give it to a pipeline as ``train``.

    The hyperparameters are set through ``set_params``, so ``svc__C`` is the ``C`` of a step.

    Parameters
    ----------
    estimator : estimator
        Anything that follows scikit-learn's rules, such as a Pipeline; each trial has a clone.
    inputs, targets, groups : str, default "x", "y" and none
        Variables of the splits, or tables that `dasktune.sklearn.table.to_dataset` put there;
        ``targets=None`` for learning without.
    scoring : str, callable, or sequence or mapping of these, optional
        As scikit-learn's; the estimator's own ``score`` if not given. Reported as
        ``val_<name>``, or ``val_score`` where there is no name.
    cv : int, splitter, or list of (train, test), optional
        How the split ``train`` falls into folds; the space then has ``fold=dt.folds(n)``. The
        samples of a fold are a function of its number alone. A number stands for shuffled folds,
        stratified for a classifier, by group with `groups`. Without, the estimator is fitted on
        ``train`` and scored on ``val``.
    fold : str, default "fold"
        The name of the axis of folds.
    epochs : int, default 0
        Passes of ``partial_fit``, each with its own row of the curve; 0 for one ``fit``. Fixed
        here, a hyperparameter, or set on the command line (``epochs=20``).
    named : mapping of str to mapping of str to object, optional
        For hyperparameters whose values are no plain ones: the objects that the names in the
        config stand for, as in ``named={"scale": {"none": "passthrough", "std": Scaler()}}``.
    fit_variables, score_variables : mapping of str to str, optional
        Further arguments of ``fit`` and of the scorer, by the variables that hold them, as in
        ``{"sample_weight": "weight"}``.
    train_scores : bool, default False
        Whether to report ``train_<name>`` as well.
    keep : sequence of str, optional
        Numeric attributes of the fitted estimator (of a Pipeline's last step) to keep as
        ``model.safetensors``, such as ``("coef_", "intercept_")``.

    Notes
    -----
    The global random number generators are seeded with the trial's seed, and NumPy's is what an
    estimator with ``random_state=None`` draws from.

    A fitted estimator has no format but pickle, which can run any code when it is loaded; so it
    is not kept, nor is there a checkpoint: an interrupted trial starts anew. Fit the best config
    again, or name its arrays with `keep`.

    Raises
    ------
    PipelineError
        If a part does not fit.
    """

    hyperparameters_first = True
    """A variable that is a hyperparameter of the space is taken from the config."""
    resources = {"CPU": 1}  # noqa: RUF012
    """What a trial wants if the pipeline does not say: scikit-learn does without a GPU."""
    variables_in = "epochs"
    """The attribute that counts by the variables, and not once more as code."""

    def __init__(
        self,
        estimator: Any,
        *,
        inputs: str = "x",
        targets: str | None = "y",
        groups: str = "",
        scoring: Any = None,
        cv: Any = None,
        fold: str = "fold",
        epochs: int = 0,
        named: Mapping[str, Mapping[str, Any]] | None = None,
        fit_variables: Mapping[str, str] | None = None,
        score_variables: Mapping[str, str] | None = None,
        train_scores: bool = False,
        keep: Sequence[str] = (),
    ) -> None:
        from sklearn import get_config

        if isinstance(estimator, type) or not hasattr(estimator, "get_params"):
            raise PipelineError(
                "estimator must be an estimator of scikit-learn, such as SVC(), "
                f"but got {estimator!r}."
            )
        self.estimator = estimator
        self.inputs = inputs
        self.targets = targets
        self.groups = groups
        self.scoring = scoring
        self.cv = None if cv is None else check_cv(cv)
        self.fold = fold
        self.epochs = _count(epochs)
        self.named = {name: dict(objects) for name, objects in (named or {}).items()}
        self.fit_variables = dict(fit_variables or {})
        self.score_variables = dict(score_variables or {})
        self.train_scores = train_scores
        self.keep = tuple(keep)
        now = get_config()
        self.config = {name: now[name] for name in ROUTED if now[name] not in (False, "default")}
        # The code that counts is the user's: a sweep looks for it where the recipe is made.
        self.__module__ = sys._getframe(1).f_globals.get("__name__", "__main__")

    @property
    def __signature__(self) -> inspect.Signature:
        """As a train function's: the epochs are a variable of the command line."""
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        given = [inspect.Parameter(name, kind) for name in ("trial", "data")]
        only = inspect.Parameter.KEYWORD_ONLY
        return inspect.Signature([*given, inspect.Parameter("epochs", only, default=self.epochs)])

    def __call__(self, trial: Trial, data: Data, *, epochs: int = 0) -> dict[str, Any] | None:
        """Train one trial.

        Parameters
        ----------
        trial : Trial
            The trial; its config goes before `epochs`.
        data : Data
            With the split ``train``, and ``val`` unless there are folds.
        epochs : int
            As the command line sets it.

        Returns
        -------
        dict of str to numpy.ndarray, or None
            What is to be kept.
        """
        from sklearn import config_context
        from sklearn.metrics import check_scoring

        epochs = _count(trial.config.get("epochs", epochs))
        with config_context(**self.config):
            estimator = self.estimator_of(trial.config)
            scorer = check_scoring(estimator, self.scoring)
            fitting, scoring = self._parts(trial, data, estimator)
            if epochs:
                passes = fitting.passes(estimator, scoring)
                for _ in trial.epochs(epochs):
                    trial.report(**self._scores(scorer, *next(passes)))
            else:
                fitting.fitted(estimator)
                trial.report(**self._scores(scorer, estimator, fitting, scoring))
            return self._kept(estimator)

    def _scores(self, scorer: Any, estimator: Any, fitting: Part, scoring: Part) -> dict[str, Any]:
        row = {f"val_{name}": value for name, value in scoring.scored(estimator, scorer).items()}
        if self.train_scores:
            more = fitting.scored(estimator, scorer)
            row.update({f"train_{name}": value for name, value in more.items()})
        return row

    def estimator_of(self, config: Config) -> Any:
        """Give the estimator with the hyperparameters of a config, not fitted.

        Raises
        ------
        PipelineError
            If it has no such parameter.
        """
        from sklearn.base import clone

        estimator = clone(self.estimator)
        params = {name: value for name, value in config.items() if name != "epochs"}
        for name in params.keys() & self.named.keys():
            params[name] = self._object(name, params[name])
        try:
            return estimator.set_params(**params)
        except ValueError as error:
            known = sorted(estimator.get_params())
            for name in params:
                if name not in known:
                    raise PipelineError(
                        f"the hyperparameter {name!r} is no parameter of the estimator."
                        + did_you_mean(name, known)
                    ) from error
            raise

    def _object(self, name: str, word: Any) -> Any:
        from sklearn.base import clone

        if word not in self.named[name]:
            known = [str(key) for key in self.named[name]]
            raise PipelineError(
                f"named[{name!r}] has no {word!r}." + did_you_mean(str(word), known)
            )
        return clone(self.named[name][word], safe=False)

    def _parts(self, trial: Trial, data: Data, estimator: Any) -> tuple[Part, Part]:
        """Give what to fit on, and what to score on."""
        from sklearn.base import is_classifier

        fold = trial.replicate.get(self.fold)
        if (fold is None) is not (self.cv is None):
            raise PipelineError(
                f"a cv needs an axis of folds and the other way round, but got cv={self.cv!r} and "
                f"{'no fold' if fold is None else f'fold {fold}'}. Write {self.fold}=dt.folds(5) "
                "in the space, and cv=5 here."
            )
        whole = self._part(data, "train")
        if fold is None:
            return whole, self._part(data, "val")
        groups = read(data["train"], self.groups) if self.groups else None
        chosen = split(self.cv, fold, whole.x, whole.y, groups, classifier=is_classifier(estimator))
        return whole.take(estimator, chosen[0]), whole.take(estimator, chosen[1], chosen[0])

    def _part(self, data: Data, name: str) -> Part:
        dataset = data[name]
        return Part(
            read(dataset, self.inputs),
            None if self.targets is None else read(dataset, self.targets),
            {word: read(dataset, variable) for word, variable in self.fit_variables.items()},
            {word: read(dataset, variable) for word, variable in self.score_variables.items()},
        )

    def _kept(self, estimator: Any) -> dict[str, Any] | None:
        import numpy as np
        from sklearn.pipeline import Pipeline

        last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
        return {name: np.asarray(getattr(last, name)) for name in self.keep} or None

    def __repr__(self) -> str:
        return f"<SklearnRecipe: {type(self.estimator).__name__}>"


def _count(epochs: Any) -> int:
    if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 0:
        raise PipelineError(f"epochs must be an int of at least 0, but got {epochs!r}.")
    return epochs
