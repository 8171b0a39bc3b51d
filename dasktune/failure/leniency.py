"""Leniency: whether a trial is tried once more after what befell it, and how. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from dasktune.failure.kind import MEMORY, Kind, Setback

MOST_DEATHS = 3
"""Times that a worker process may die under a trial, for no reason outside, before it counts."""

MOST_STANDSTILLS = 3
"""Times that a trial's time may run out, one after another, without a checkpoint in between."""

MOST_NODES = 3
"""Nodes that may fail under a trial, one after another, without a checkpoint in between."""

FUSED_DEATHS = 2
"""Times that a worker process, or a node, may die under trials that are trained as one."""


@dataclass(frozen=True)
class Verdict:
    """What is to be done with a trial.

    Attributes
    ----------
    kind : Kind or None
        As what it has failed; None if it is tried again.
    text : str
        Why, in one line for the user.
    alone : Kind or None
        For what reason nothing else may be trained beside it; None if something may.
    """

    kind: Kind | None = None
    text: str = ""
    alone: Kind | None = None


def verdict_on(past: Sequence[Setback], epoch: int) -> Verdict:
    """Judge a trial by what befell its attempts so far.

    Parameters
    ----------
    past : sequence of Setback
        The attempts, the first one first.
    epoch : int
        The epoch from which the next attempt would go on.
    """
    hung = [s for s in past if s.kind is Kind.HANG and not s.together]
    if len(hung) > 1 or any(not setback.beside for setback in hung):
        return Verdict(Kind.HANG, hung[-1].evidence)
    short = [s for s in past if s.kind in MEMORY]
    if len(short) > 1:
        return Verdict(short[-1].kind, f"{short[-1].evidence}; also with nothing beside it")
    deaths = [s for s in past if s.kind is Kind.LOST and not s.free]
    if len(deaths) >= MOST_DEATHS:
        return Verdict(
            Kind.LOST,
            f"its worker process died {len(deaths)} times while it trained "
            f"(at last: {deaths[-1].evidence}).",
        )
    if standstills(past, epoch) >= MOST_STANDSTILLS:
        return Verdict(
            Kind.TIME,
            f"its worker's time ran out {MOST_STANDSTILLS} times before it came to a checkpoint. "
            "Give the jobs a longer walltime, or the trial checkpoints (trial.checkpoint).",
        )
    fell = nodes_lost(past, epoch)
    if len(fell) >= MOST_NODES and fell[-1].alone:
        return Verdict(
            Kind.LOST,
            f"{len(fell)} nodes failed, one after another, while it trained and before it came to "
            "a checkpoint; under the last one nothing else of this run was trained there "
            f"({fell[-1].evidence}).",
        )
    apart = [*short, *hung]
    if len(fell) >= MOST_NODES - 1 and not apart:  # or it may have been the fault of a neighbour
        apart = fell
    return Verdict(alone=apart[-1].kind if apart else None)


def standstills(past: Sequence[Setback], epoch: int) -> int:
    """Count the last attempts whose time ran out before they came to any checkpoint."""
    return sum(1 for _ in takewhile(lambda s: s.kind is Kind.TIME, _fruitless(past, epoch)))


def nodes_lost(past: Sequence[Setback], epoch: int) -> list[Setback]:
    """List the last attempts whose nodes failed before they came to any checkpoint, one a job.

    Those between them that were preempted, or ran out of time, say nothing of that.
    """
    fell = [s for s in _fruitless(past, epoch) if s.felled]
    return [*{setback.felled: setback for setback in reversed(fell)}.values()]


def _fruitless(past: Sequence[Setback], epoch: int) -> Iterator[Setback]:
    """Give the attempts since the last checkpoint that any came to, the last one first."""
    for setback in reversed(past):
        if epoch > setback.epoch:
            return
        yield setback
        epoch = setback.epoch


def must_be_apart(past: Sequence[Setback]) -> str:
    """Say why a trial may not be trained as one with others any more; empty if it may."""
    if any(setback.kind in MEMORY for setback in past):
        return "memory ran out"
    if any(setback.kind is Kind.HANG for setback in past):
        return "the group hung"
    if sum(s.kind is Kind.LOST and not s.free for s in past) >= FUSED_DEATHS:
        return "the worker process died under the group"
    if len({s.felled for s in past} - {""}) >= FUSED_DEATHS:
        return "nodes failed under the group"
    return ""


def tries_again(kind: Kind, past: Sequence[Setback], retries: int) -> bool:
    """Say whether a trial that raised an exception is tried again at once.

    Parameters
    ----------
    kind : Kind
        Of the exception.
    past : sequence of Setback
        What befell earlier attempts.
    retries : int
        How many exceptions are forgiven.
    """
    if kind in MEMORY:
        return not any(setback.kind in MEMORY for setback in past)
    return kind is Kind.EXCEPTION and sum(s.kind is kind for s in past) < retries
