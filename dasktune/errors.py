"""What can go wrong, as one tree.

::

    DasktuneError                 exit code 2, one line for the user
    ├── UsageError (ValueError)   an unknown target, variable or option value
    ├── PipelineError             the pipeline file cannot be loaded, or holds something wrong
    │   └── SpaceError (ValueError)   a domain, a space or a design that cannot be
    ├── SourceError               code whose identity cannot be told
    │   └── CodeSkewError         a worker holds other code than the plan was made with
    ├── StoreError (OSError)      the store cannot be read or written
    │   └── StampError            a stamp that is truncated, edited or of another schema
    ├── ClusterError              no cluster, or none that offers what is needed
    ├── MetricError (ValueError)  a reported metric that is not a number
    ├── DataError (ValueError)    preprocess gave back something that is not a mapping of datasets
    │   └── NotStorable (TypeError)   a table that could only be stored as a pickle
    ├── FitFailed (ValueError)        a fit of a SearchCV that may not fail, or all of them
    ├── TrialLost                 what befell a trial's worker, so that it is not tried again
    └── NotRemade                 targets were not remade because of errors
"""

from __future__ import annotations

from typing import Any


class DasktuneError(Exception):
    """Any error that dasktune raises on purpose; its text is one line for the user."""

    exit_code = 2


class UsageError(DasktuneError, ValueError):
    """The user asked for something that does not exist or cannot be combined."""


class PipelineError(DasktuneError):
    """The pipeline file cannot be loaded, or what it defines does not fit together."""


class SpaceError(PipelineError, ValueError):
    """A domain, a space or a design that cannot be."""


class SearchError(PipelineError, ValueError):
    """A strategy cannot be as it is described."""


class SourceError(DasktuneError):
    """Code whose identity cannot be told, so no key can be made of it."""


class CodeSkewError(SourceError):
    """A worker holds other code than the plan was made with."""


class StoreError(DasktuneError, OSError):
    """The store cannot be read or written."""


class StampError(StoreError):
    """A stamp that is truncated, edited by hand, or of another schema."""


class ClusterError(DasktuneError):
    """No cluster can be had, or none of its workers offers what a target needs."""


class MetricError(DasktuneError, ValueError):
    """A reported metric that is not a number."""


class DataError(DasktuneError, ValueError):
    """`preprocess` gave back something that is not a mapping of named datasets."""


class NotStorable(DataError, TypeError):
    """A table that could only be stored as a pickle."""


class FitFailed(DasktuneError, ValueError):
    """A fit of a `SearchCV` failed with ``error_score="raise"``, or all its fits did."""


class TrialLost(DasktuneError):
    """What befell the worker of a trial, again and again or once too often.

    Attributes
    ----------
    kind : dasktune.failure.kind.Kind
        What it was.
    """

    def __init__(self, text: str, kind: Any) -> None:
        super().__init__(text)
        self.kind = kind


class NotRemade(DasktuneError):
    """Some targets were not remade because of errors."""


def did_you_mean(word: str, known: list[str] | tuple[str, ...]) -> str:
    """Name the closest known word, as the end of an error message.

    Parameters
    ----------
    word : str
        What the user wrote.
    known : sequence of str
        What would have been right.

    Returns
    -------
    str
        ``" Did you mean 'x'?"``, or the list of what is known, or nothing.
    """
    import difflib

    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f" Did you mean {close[0]!r}?"
    return f" Known: {', '.join(known)}." if known and len(known) <= 20 else ""
