"""Parts: the samples that an estimator is fitted on, or scored on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dasktune.errors import PipelineError


@dataclass(frozen=True)
class Part:
    """Some samples, with what belongs to them.

    Attributes
    ----------
    x, y : array-like
        The samples and their targets (None without).
    fit, score : dict of str to object
        Further arguments of ``fit``, and of the scorer.
    """

    x: Any
    y: Any = None
    fit: dict[str, Any] = field(default_factory=dict)
    score: dict[str, Any] = field(default_factory=dict)

    def take(self, estimator: Any, samples: Any, columns: Any = None) -> Part:
        """Give a part of this part.

        Parameters
        ----------
        estimator : estimator
            Which says whether `x` is a kernel matrix, whose columns are samples too.
        samples : array of int
            Those to take.
        columns : array of int, optional
            The samples of the columns of a kernel matrix, if they are others.
        """
        from sklearn.utils import _safe_indexing
        from sklearn.utils.metaestimators import _safe_split

        x, y = _safe_split(estimator, self.x, self.y, samples, columns)
        count = self.x.shape[0] if hasattr(self.x, "shape") else len(self.x)

        def some(arguments: Mapping[str, Any]) -> dict[str, Any]:
            return {
                name: _safe_indexing(value, samples) if _rows(value) == count else value
                for name, value in arguments.items()
            }

        return Part(x, y, some(self.fit), some(self.score))

    def fitted(self, estimator: Any) -> Any:
        """Fit an estimator, and give it back."""
        given = (self.x,) if self.y is None else (self.x, self.y)
        estimator.fit(*given, **self.fit)
        return estimator

    def scored(self, estimator: Any, scorer: Any) -> dict[str, float]:
        """Score a fitted estimator.

        Returns
        -------
        dict of str to float
            By the scorer's names; ``"score"`` for a scorer that has none.
        """
        given = (self.x,) if self.y is None else (self.x, self.y)
        scores = scorer(estimator, *given, **self.score)
        return dict(scores) if isinstance(scores, Mapping) else {"score": scores}

    def passes(self, estimator: Any, scored: Part) -> Iterator[tuple[Any, Part, Part]]:
        """Fit an estimator by ``partial_fit``, one pass over the samples after the other.

        The steps of a scikit-learn Pipeline before the last one are fitted once.

        Parameters
        ----------
        estimator : estimator
            With ``partial_fit``, or a Pipeline whose last step has it.
        scored : Part
            What is scored after each pass.

        Yields
        ------
        (estimator, Part, Part)
            What to score, and on what: the last step, on what reaches it of this part and of
            `scored`.

        Raises
        ------
        PipelineError
            If it has no ``partial_fit``.
        """
        import numpy as np
        from sklearn.pipeline import Pipeline

        part, last = self, estimator
        if isinstance(estimator, Pipeline) and not hasattr(estimator, "partial_fit"):
            last = estimator[-1]
            if len(estimator) > 1:
                before = Part(self.x, self.y).fitted(estimator[:-1])
                part = Part(before.transform(self.x), self.y, self.fit, self.score)
                scored = Part(before.transform(scored.x), scored.y, {}, scored.score)
        if not hasattr(last, "partial_fit"):
            raise PipelineError(
                f"epochs are passes of partial_fit, which {type(last).__name__} has not. Leave "
                "epochs at 0, or take an estimator that has it, such as SGDClassifier."
            )
        arguments = dict(part.fit)
        if part.y is not None and _takes_classes(last):
            arguments["classes"] = np.unique(part.y)
        given = (part.x,) if part.y is None else (part.x, part.y)
        while True:
            last.partial_fit(*given, **arguments)
            yield last, part, scored


def _rows(value: Any) -> int:
    if isinstance(value, str):
        return -1
    with contextlib.suppress(TypeError):
        return int(value.shape[0]) if getattr(value, "shape", ()) else len(value)
    return -1


def _takes_classes(estimator: Any) -> bool:
    import inspect

    return "classes" in inspect.signature(estimator.partial_fit).parameters
