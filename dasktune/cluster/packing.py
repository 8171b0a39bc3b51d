"""How many trials share a device with a gain: a pure decision, from what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

GAIN = 0.1
"""Least gain for which twice as many trials are worth it."""
ROOM = 0.9
"""Share of a device's memory that trials may fill."""
MOST = 32
"""Most trials on one device; MPS serves 48 processes."""


@dataclass(frozen=True)
class Level:
    """What was measured with so many trials on the device at a time.

    Attributes
    ----------
    trials : int
        How many.
    rate : float
        Epochs a second, of all of them together; more exactly, reports.
    used : float or None
        Bytes of the device's memory in use meanwhile; None if nobody knows.
    error : str
        Why it could not be done; empty if it could.
    """

    trials: int
    rate: float = 0.0
    used: float | None = None
    error: str = ""


@dataclass(frozen=True)
class Room:
    """What the device offers.

    Attributes
    ----------
    used, total : float or None
        Bytes of its memory that were in use before, and all of them; None if nobody knows.
    most : int
        Trials that there are to train on it.
    """

    used: float | None = None
    total: float | None = None
    most: int = MOST


@dataclass(frozen=True)
class Verdict:
    """What is to be done next, or how many trials share the device.

    Attributes
    ----------
    next : int or None
        Measure with so many; None if that is known.
    pack : int
        So many trials at a time are best, as far as was measured.
    why : str
        In a few words.
    """

    next: int | None
    pack: int
    why: str = ""


def judge(levels: Sequence[Level], room: Room) -> Verdict:
    """Decide whether to measure twice as many, and which number is best so far.

    Parameters
    ----------
    levels : sequence of Level
        What was measured, each with twice as many trials as the one before.
    room : Room
        What the device offers.
    """
    if not levels:
        return Verdict(1, 1)
    last, before = levels[-1], levels[-2] if len(levels) > 1 else None
    if last.error:
        return Verdict(None, before.trials if before else 1, f"{last.trials}: {last.error}")
    if last.rate <= 0:
        why = f"{last.trials}: too slow to be measured in a short while"
        return Verdict(None, before.trials if before else 1, why)
    if before is not None and last.rate < before.rate * (1 + GAIN):
        change = last.rate / before.rate - 1
        told = f"{abs(change):.0%} {'faster' if change > 0 else 'slower'}"
        why = f"{last.trials} would be only {told}" if change > 0 else f"{last.trials} are {told}"
        return Verdict(None, before.trials, why)
    more = last.trials * 2
    if more > min(room.most, MOST):
        few = room.most < 2 * MOST
        why = f"it has no more than {room.most} to train" if few else f"{MOST} is the most"
        return Verdict(None, last.trials, why)
    if last.used is not None and room.used is not None and room.total:
        each = (last.used - room.used) / last.trials
        if room.used + each * more > ROOM * room.total:
            need = f"{more} would need {(room.used + each * more) / 2**30:.1f} GiB"
            return Verdict(None, last.trials, f"{need} of {room.total / 2**30:.1f} GiB")
    return Verdict(more, last.trials)


def rate(rows: Sequence[Sequence[float]]) -> float:
    """Give the reports a second of trials that are trained at the same time.

    Parameters
    ----------
    rows : sequence of sequence of float
        The times of each one's reports. The first of each starts its clock.
    """
    return sum(
        (len(times) - 1) / (times[-1] - times[0])
        for times in rows
        if len(times) > 1 and times[-1] > times[0]
    )


def tell(levels: Sequence[Level], verdict: Verdict, where: str) -> str:
    """Say in a line what was measured, what is chosen, and why."""
    rates = [f"{n.rate:.3g} with {n.trials}" for n in levels if n.rate and not n.error]
    measured = f" (epochs a second: {', '.join(rates)})" if rates else ""
    return f"packing {verdict.pack} on {where}, since {verdict.why}{measured}"
