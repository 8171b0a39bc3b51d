"""Cost: how long the trainings of a plan will take, from how long earlier ones took."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from dasktune.stamp import Stamp


@dataclass(frozen=True)
class Cost:
    """What is to be trained.

    Attributes
    ----------
    epochs : tuple of int
        Epochs of each trial that is to be trained, from where a checkpoint left off.
    each : float or None
        Seconds an epoch; None if none was ever timed.
    """

    epochs: tuple[int, ...]
    each: float | None

    @property
    def total(self) -> int:
        """Epochs in all."""
        return sum(self.epochs)

    def seconds(self, jobs: int) -> float | None:
        """Estimate how long it takes with so many trials at a time."""
        if self.each is None:
            return None
        longest = max(self.epochs, default=0)
        return self.each * max(longest, self.total / max(1, jobs))


def seconds_an_epoch(stamps: Sequence[Stamp]) -> float | None:
    """Give the median time of an epoch over some trainings.

    One that went on from a checkpoint took its time for what came after that.
    """
    found = []
    for stamp in stamps:
        epochs = int(stamp.body["result"]["curve"]["epochs"])
        trained = epochs - int(stamp.body.get("resumed_at", 0))
        if trained > 0:
            found.append(stamp.seconds / trained)
    return statistics.median(found) if found else None
