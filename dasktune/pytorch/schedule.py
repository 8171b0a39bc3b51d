"""Learning-rate schedules, as pure functions of the step.

A schedule has no state, so a resumed or a fused training has nothing to restore.
"""

from __future__ import annotations

import math

from dasktune.errors import PipelineError, did_you_mean

SCHEDULES = ("constant", "step", "cosine", "one_cycle")
_RISE = 0.3  # share of a one-cycle schedule in which the rate rises
_START = 1 / 25  # where it starts
_END = 1e-4 / 25  # where it ends


def learning_rate_factor(
    schedule: str,
    step: int,
    steps: int,
    *,
    warmup: int = 0,
    step_size: int = 1,
    gamma: float = 0.1,
) -> float:
    """Give what the learning rate is multiplied by at a step.

    Parameters
    ----------
    schedule : {"constant", "step", "cosine", "one_cycle"}
        ``step`` multiplies by `gamma` every `step_size` steps; ``cosine`` falls to 0 along half
        a cosine; ``one_cycle`` rises for 30 % of the steps, then falls, both along cosines
        (Smith & Topin, arXiv 1708.07120, with the defaults of torch's ``OneCycleLR``).
    step, steps : int
        The optimizer step, from 0, and how many there are in all.
    warmup : int, default 0
        Steps over which the rate first rises linearly; the schedule covers the rest.
    step_size : int, default 1
        Steps between two falls of ``step``.
    gamma : float, default 0.1
        The factor of a fall of ``step``.

    Returns
    -------
    float
        At most 1.

    Raises
    ------
    PipelineError
        If there is no such schedule.
    """
    if schedule not in SCHEDULES:
        raise PipelineError(
            f"schedule must be one of {', '.join(SCHEDULES)}, but got {schedule!r}."
            + did_you_mean(str(schedule), SCHEDULES)
        )
    if step < warmup:
        return (step + 1) / (warmup + 1)
    step, steps = step - warmup, max(1, steps - warmup)
    if schedule == "step":
        return float(gamma ** (step // step_size))
    if schedule == "cosine":
        return (1 + math.cos(math.pi * min(1.0, step / steps))) / 2
    if schedule == "one_cycle":
        top = _RISE * steps - 1
        if step <= top:
            return _between(_START, 1.0, step / top if top > 0 else 1.0)
        return _between(1.0, _END, (step - top) / max(1.0, steps - 1 - top))
    return 1.0


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * min(1.0, share)))
