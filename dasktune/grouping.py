"""Which trials may share a step: a partition, made before anything runs. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

WIDEST = 512
"""Most trials in a group."""


@dataclass(frozen=True)
class Candidate:
    """A trial that is to be trained.

    Attributes
    ----------
    name : str
        The target's name.
    kind : hashable or None
        Equal for trials that may share a step; None for one that may not.
    likeness : tuple of str
        Trials whose likeness is equal, or near in order, are best put into one group: they
        are likely to have models of the same structure.
    """

    name: str
    kind: Hashable | None
    likeness: tuple[str, ...] = ()


def partition(
    candidates: Sequence[Candidate], workers: int, widest: int = WIDEST
) -> list[tuple[str, ...]]:
    """Put trials into groups that may share a step.

    Parameters
    ----------
    candidates : sequence of Candidate
        In the order of the plan.
    workers : int
        Trials that the cluster trains at a time, at least 1; all of them get some.
    widest : int
        Most trials in a group.

    Returns
    -------
    list of tuple of str
        Groups of at least two names. Who is in none is trained alone. The groups of a kind
        differ in size by at most one.
    """
    kinds: dict[Hashable, list[Candidate]] = {}
    for candidate in candidates:
        if candidate.kind is not None:
            kinds.setdefault(candidate.kind, []).append(candidate)
    total = sum(len(kind) for kind in kinds.values())
    groups: list[tuple[str, ...]] = []
    for kind in kinds.values():
        alike = sorted(kind, key=lambda candidate: candidate.likeness)  # stable: plan's order
        share = -(-workers * len(alike) // total)
        pieces = max(-(-len(alike) // widest), min(share, len(alike) // 2), 1)
        for piece in range(pieces):
            first, last = (len(alike) * i // pieces for i in (piece, piece + 1))
            if last - first > 1:
                groups.append(tuple(candidate.name for candidate in alike[first:last]))
    return groups
