"""Folds: the split that belongs to the number of a fold, and to nothing else."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from dasktune.errors import PipelineError


def check_cv(cv: Any) -> Any:
    """Refuse what would split differently each time, and give the rest back.

    Parameters
    ----------
    cv : int, splitter, or iterable of (train, test)
        As scikit-learn's; an iterable is listed.

    Raises
    ------
    PipelineError
        If it is none of these, or is shuffled without a fixed ``random_state``.
    """
    if isinstance(cv, int) and not isinstance(cv, bool) and cv >= 2:
        return cv
    if hasattr(cv, "split") and hasattr(cv, "get_n_splits"):
        shuffled = hasattr(cv, "random_state") and getattr(cv, "shuffle", True)
        if shuffled and not isinstance(cv.random_state, (int, np.integer)):
            raise PipelineError(
                "each fold is a trial of its own, and all must be parts of one split; but got "
                f"{cv!r}, which splits anew each time. Give it an int as random_state."
            )
        return cv
    try:
        return [(np.asarray(train), np.asarray(test)) for train, test in cv]
    except (TypeError, ValueError):
        raise PipelineError(
            "cv must be a number of folds of at least 2, a splitter of scikit-learn or a list of "
            f"(train, test), but got {cv!r}."
        ) from None


def split(
    cv: Any, fold: int, x: Any, y: Any = None, groups: Any = None, *, classifier: bool = False
) -> tuple[Any, Any]:
    """Give the samples to fit on and those to score on.

    Parameters
    ----------
    cv : int, splitter, or list of (train, test)
        What `check_cv` gave. A number stands for folds shuffled with ``random_state=0``: by
        group where there are `groups`, stratified for a classifier, else plain.
    fold : int
        From 0.
    x, y, groups : array-like
        The samples, their targets, and their groups.
    classifier : bool
        Whether the estimator is one.

    Returns
    -------
    (array of int, array of int)
        Positions of samples.

    Raises
    ------
    PipelineError
        If there is no such fold.
    """
    if isinstance(cv, list):
        count, pairs = len(cv), iter(cv)
    else:
        splitter = _splitter(cv, y, groups, classifier=classifier) if isinstance(cv, int) else cv
        count = splitter.get_n_splits(x, y, groups)
        pairs = splitter.split(x, y, groups)
    if not 0 <= fold < count:
        raise PipelineError(
            f"cv={cv!r} makes {count} folds, numbered from 0, but the space has fold {fold}. "
            f"Write fold=dt.folds({count})."
        )
    train, test = next(itertools.islice(pairs, fold, None))
    return train, test


def _splitter(count: int, y: Any, groups: Any, *, classifier: bool) -> Any:
    from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold
    from sklearn.utils.multiclass import type_of_target

    kind: Any = KFold
    if groups is not None:
        kind = GroupKFold
    elif classifier and y is not None and type_of_target(y) in ("binary", "multiclass"):
        kind = StratifiedKFold
    return kind(count, shuffle=True, random_state=0)
