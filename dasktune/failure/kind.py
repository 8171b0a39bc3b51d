"""Failures: the kinds of what can befall a trial, and how an exception's kind is told. Pure."""

from __future__ import annotations

import errno
import os
import re
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What befell a trial; what is done about each is said in ``docs/failures.md``."""

    LOST = "worker lost"
    PREEMPTED = "preempted"
    TIME = "out of time"
    HOST_MEMORY = "out of memory"
    GPU_MEMORY = "out of GPU memory"
    EXCEPTION = "exception"
    NAN = "NaN"
    HANG = "hang"


MEMORY = (Kind.HOST_MEMORY, Kind.GPU_MEMORY)
"""Kinds that another try without neighbours may cure."""

_GPU = re.compile(
    r"(CUDA|HIP|MPS)( error:| backend)? out of memory|CUBLAS_STATUS_ALLOC_FAILED"
    r"|RESOURCE_EXHAUSTED|CUDNN_STATUS_ALLOC_FAILED",
    re.I,
)
_HOST = re.compile(r"can't allocate memory|out of shared memory|cannot allocate memory", re.I)


@dataclass(frozen=True)
class Setback:
    """An attempt that came to nothing.

    Attributes
    ----------
    kind : Kind
        What befell it.
    evidence : str
        How that is known, in one line.
    free : bool
        Whether it was nobody's fault here, so that it counts for nothing.
    epoch : int
        The epoch of the checkpoint from which the attempt went on; -1 without one.
    together : bool
        Whether it happened to trials that were trained as one.
    beside : bool
        Whether others were trained in the same process, so that it may have been their fault.
    felled : str
        The job of a queue whose node failed under it; empty if that is not what befell it.
    alone : bool
        Whether nothing else of its run was trained on its machine.
    """

    kind: Kind
    evidence: str
    free: bool = False
    epoch: int = -1
    together: bool = False
    beside: bool = False
    felled: str = ""
    alone: bool = False

    def to_json(self) -> dict[str, str]:
        """Give what the record of a trial holds of it."""
        return {"kind": str(self.kind), "evidence": self.evidence}


def kind_of(error: BaseException) -> Kind:
    """Tell the kind of an exception, by its type's name and what it says; nothing is imported."""
    for cause in _causes(error):
        known = getattr(cause, "kind", None)
        if isinstance(known, Kind):
            return known
        names = {base.__name__ for base in type(cause).__mro__}
        text = str(cause)
        if names & {"OutOfMemoryError", "ResourceExhaustedError"} or _GPU.search(text):
            return Kind.GPU_MEMORY
        if isinstance(cause, MemoryError) or _HOST.search(text):
            return Kind.HOST_MEMORY
        if isinstance(cause, OSError) and cause.errno == errno.ENOMEM:
            return Kind.HOST_MEMORY
        if "KilledWorker" in names:
            return Kind.LOST
    return Kind.EXCEPTION


def cause_of(error: BaseException) -> str:
    """Name what two failures share that are the same: type and place, and not the text.

    The text may tell of the trial, such as of its config.
    """
    if isinstance(getattr(error, "kind", None), Kind):
        return str(error.kind)  # type: ignore[attr-defined]
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"


def count_kinds(kinds: Sequence[str]) -> str:
    """Count kinds for people: ``"2 exception, 1 hang"``; without any, nothing."""
    counted = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds) if kind}
    return ", ".join(f"{count} {kind}" for kind, count in counted.items())


def worded(kind: str, error: str) -> str:
    """Tell a failure in a line: its kind, and then its error."""
    return f"{kind}: {error}" if kind and error else error or kind


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Walk from an exception to those that it was raised from."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__
