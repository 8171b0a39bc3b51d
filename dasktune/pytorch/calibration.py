"""How many trials to train as one: measured on the device, then decided."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from dasktune.pytorch.fused import Lanes
from dasktune.pytorch.loop import step
from dasktune.pytorch.member import Member
from dasktune.pytorch.problem import Problem
from dasktune.pytorch.structure import fusible, structure

WIDTHS = (8, 32, 128, 512)
GAIN = 1.1
"""How many times as fast as the loop a fused step must be to be taken."""
_LEAST_ROUNDS, _MOST_ROUNDS, _SECONDS = 4, 20, 0.1
_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-3}


@dataclass(frozen=True)
class Width:
    """How many trials to train as one, and why.

    Attributes
    ----------
    lanes : int
        1 for the loop.
    why : str
        For people.
    """

    lanes: int
    why: str


def decide(alone: float, fused: Mapping[int, float], how: str = "") -> Width:
    """Choose the width from measured times.

    Parameters
    ----------
    alone : float
        Seconds of a step of one trial in the loop.
    fused : mapping of int to float
        Seconds of a fused step by its number of trials.
    how : str, optional
        How the fused steps were run, for people.

    Returns
    -------
    Width
        The one with the least time a trial; the loop, unless fusing gains a tenth.
    """
    if not fused:
        return Width(1, "no fused step could be measured")
    lanes = min(fused, key=lambda width: fused[width] / width)
    each = fused[lanes] / lanes
    gain = alone / each
    times = f"{each * 1e6:.0f} µs a step and trial at {lanes} as one, {alone * 1e6:.0f} µs alone"
    if gain < GAIN:
        return Width(1, f"fusing would not pay: {times}")
    return Width(lanes, f"{gain:.1f} times as fast as the loop{how}: {times}")


def obstacle(members: Sequence[Member], problem: Problem) -> str:
    """Say why members of one structure cannot be trained as one, or give an empty text.

    The first step is taken both ways, and the losses and gradients must agree.
    """
    why = fusible(members[0].model)
    if problem.windows is not None:
        return "the data are read in windows"
    if why or not problem.resident:
        return why or "the data do not fit into the device's memory"
    shape = structure(members[0].model)
    pair = [_copy(members[0]), _copy(members[-1])]
    count = min(len(problem.x), members[0].options.batch_size)
    chosen = torch.arange(count, device=problem.device)
    try:
        training = not _random(pair[0], problem, chosen)
        lanes = Lanes(pair, problem)
        losses, gradients = lanes.gradients(chosen.expand(2, -1), training=training)
        lanes.evaluate()
    except torch.OutOfMemoryError:
        return "two of them do not fit into the device's memory"
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        return f"vmap cannot run it ({type(error).__name__}: {first[:160]})"
    for lane, member in enumerate(pair):
        model = _copy(members[0 if lane == 0 else -1]).model.to(problem.device).train(training)
        with problem.precision():
            smoothing = float(member.options.label_smoothing)
            loss = problem.loss_of(model(problem.x[chosen]), problem.y[chosen], smoothing)
        if structure(model) != shape:
            return "its forward pass changes its attributes"
        trained = [p for p in model.parameters() if p.requires_grad]
        found = torch.autograd.grad(loss, trained, allow_unused=True)
        if any(gradient is None for gradient in found):
            return "not all of its parameters get a gradient"
        expected = torch.cat([gradient.reshape(-1) for gradient in found])
        bound = 0.05 if problem.amp else _TOLERANCE.get(expected.dtype, 1e-3)
        apart = (gradients[lane] - expected).norm() > bound * expected.norm() + 1e-12
        here, there = losses[lane].item(), loss.item()
        differs = abs(here - there) > bound * (1 + abs(there))
        if bool(apart) or differs:
            return "its first fused step differs from the loop's"
    return ""


def measure(members: Sequence[Member], problem: Problem) -> Width:
    """Time steps of some widths beside the loop's, and decide.

    Parameters
    ----------
    members : sequence of Member
        Of one structure; they are left as they are.
    problem : Problem
        The data.
    """
    key = (structure(members[0].model), members[0].options.shared(), str(problem.device))
    most = min(WIDTHS[-1], len(members))
    if (*key, most) in _measured:
        return _measured[*key, most]
    count = min(len(problem.x), members[0].options.batch_size)
    alone = _copy(members[0])
    alone.model.to(problem.device)
    chosen = torch.arange(count, device=problem.device)
    single = _time(
        lambda: step(
            alone.model,
            alone.optimizer,
            alone.options,
            problem,
            (problem.x[chosen], problem.y[chosen]),
            1e-3,
        ),
        problem,
    )
    fused: dict[int, float] = {}
    how = ""
    for width in sorted({*(w for w in WIDTHS if w < most), most}):
        try:
            lanes = Lanes([_copy(members[i % len(members)]) for i in range(width)], problem)
            row = {name: t[0] for name, t in lanes.scalars(np.full((1, width), 1e-3)).items()}
            batch = chosen.expand(width, -1)
            fused[width] = _time(partial(lanes.step, batch, row), problem)
            lanes.evaluate()
            how = _how(lanes)
        except torch.OutOfMemoryError:
            fused.pop(width, None)
            break
        best = min(time / width for width, time in fused.items())
        if fused[width] / width > 1.2 * best:
            break  # past the optimum: wider is slower
    return _measured.setdefault((*key, most), decide(single, fused, how))


def _how(lanes: Lanes) -> str:
    if lanes.recorder is None:
        return ""
    return f", although {lanes.recorder.obstacle}" if lanes.recorder.obstacle else " as CUDA graphs"


_measured: dict[tuple[object, ...], Width] = {}


def _copy(member: Member) -> Member:
    return Member(copy.deepcopy(member.model), member.options, member.seed)


def _random(member: Member, problem: Problem, chosen: torch.Tensor) -> bool:
    """Say whether a model in training mode draws random numbers."""
    before = torch.get_rng_state()
    model = copy.deepcopy(member.model).to(problem.device).train()
    cuda = torch.cuda.get_rng_state() if problem.device.type == "cuda" else None
    with torch.no_grad(), problem.precision():
        model(problem.x[chosen])
    drew = not torch.equal(before, torch.get_rng_state())
    if cuda is not None:
        drew = drew or not torch.equal(cuda, torch.cuda.get_rng_state())
    return drew


def _time(run: Callable[[], object], problem: Problem) -> float:
    """Give the least time of a run, after one that warms up: whatever disturbs it only adds."""
    times: list[float] = []
    while len(times) < _LEAST_ROUNDS or (len(times) < _MOST_ROUNDS and sum(times) < _SECONDS):
        started = time.perf_counter()
        run()
        if problem.device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return min(times[1:])
